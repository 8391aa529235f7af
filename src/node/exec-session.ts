import { spawn } from "node:child_process";
import { PassThrough } from "node:stream";
import type { ContainerProcess } from "./container-process.ts";
import type { ContainerRun, ExecOptions, ExecSession } from "./pod-runtime.ts";

/** A command as a session, without a terminal. Signals count as 128 + n, as a shell has it. */
export function startExec(argv: readonly string[], options: ExecOptions): ExecSession {
  const [file = "", ...args] = argv;
  const child = spawn(file, args, { stdio: [options.stdin ? "pipe" : "ignore", "pipe", "pipe"] });
  const stdout = child.stdout ?? new PassThrough();
  const stderr = child.stderr ?? new PassThrough();
  const stdin = child.stdin ?? new PassThrough();
  stdin.on("error", () => undefined);
  const exitCode = new Promise<number>((resolve) => {
    child.once("error", () => resolve(126));
    child.once("close", (code, signal) => resolve(code ?? (signal === "SIGKILL" ? 137 : 143)));
  });
  return { stdin, stdout, stderr, resize: () => undefined, exitCode, kill: () => void child.kill("SIGKILL") };
}

/** A container's live output, until it ends. A container without standard input takes none. */
export function attachTo(container: ContainerProcess | undefined, run: ContainerRun): ExecSession {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const stdin = new PassThrough().resume();
  const leave = container?.log.onOutput((stream, bytes) => (stream === "stdout" ? stdout : stderr).write(bytes));
  const end = (): void => {
    leave?.();
    stdout.end();
    stderr.end();
  };
  const exitCode = run.exited.then(({ code }) => {
    end();
    return code;
  });
  return { stdin, stdout, stderr, resize: () => undefined, exitCode, kill: end };
}
