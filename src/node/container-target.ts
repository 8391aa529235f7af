import type { Container } from "../api/types/core-v1.generated.ts";
import type { Ip } from "../base/ip.ts";
import type { ContainerRun, PodRuntime } from "./pod-runtime.ts";
import type { ProbeTarget } from "./probe.ts";

const maxOutput = 10_240;

/** Where the probes and hooks of a container go. `run` is asked anew for every command: a restart is another run. */
export function containerTarget(
  container: Container,
  at: { readonly ip: Ip | undefined; readonly runtime: PodRuntime; run(): ContainerRun | undefined },
): ProbeTarget {
  return {
    ip: at.ip ?? "127.0.0.1",
    port: (named) => portOf(container, named),
    exec: async (argv, signal) => {
      const run = at.run();
      if (run === undefined) return { code: 126, output: "the container does not run" };
      return runExec(at.runtime, run, argv, signal);
    },
  };
}

function portOf(container: Container, port: number | string): number | undefined {
  const number = Number(port);
  if (Number.isInteger(number)) return number;
  return container.ports?.find((p) => p.name === port)?.containerPort;
}

/** Output of at most 10 KiB; a command that outlives the signal is killed. */
async function runExec(
  runtime: PodRuntime,
  run: ContainerRun,
  argv: readonly string[],
  signal: AbortSignal,
): Promise<{ readonly code: number; readonly output: string }> {
  const session = runtime.exec(run, argv, { tty: false, stdin: false });
  const stop = (): void => session.kill();
  signal.addEventListener("abort", stop, { once: true });
  const chunks: Buffer[] = [];
  let size = 0;
  for (const stream of [session.stdout, session.stderr]) {
    stream.on("data", (d: Buffer) => {
      if (size < maxOutput) chunks.push(d);
      size += d.length;
    });
  }
  const code = await session.exitCode;
  signal.removeEventListener("abort", stop);
  return { code, output: Buffer.concat(chunks).toString("utf8").slice(0, maxOutput).trim() };
}
