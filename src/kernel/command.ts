import { spawn } from "node:child_process";
import { KernelError } from "./errors.ts";

export interface CommandResult {
  /** The exit status; 128 + n after signal n. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  /** Written to the command's standard input, which is closed after it. */
  readonly input?: string;
}

/**
 * The one door to programs of the machine. Resolves with whatever status the program ended with; rejects with a
 * `command-missing` KernelError when there is no such program, and with the signal's reason when it aborts (the program is killed).
 */
export type RunCommand = (argv: readonly string[], options?: CommandOptions, signal?: AbortSignal) => Promise<CommandResult>;

// Plain child_process and not execa: a pod's start is four programs of about 3 ms each, and the agent starts cold on every node;
// execa took 115 ms to import on two busy cores, which a node's start cannot spare. `bench/` may hold the comparison.
export const runCommand: RunCommand = (argv, options = {}, signal) =>
  new Promise((resolve, reject) => {
    const [file = "", ...args] = argv;
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const child = spawn(file, args, { stdio: ["pipe", "pipe", "pipe"] });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    const stop = (): void => {
      child.kill("SIGKILL");
      reject(signal?.reason);
    };
    signal?.addEventListener("abort", stop, { once: true });
    child.stdout.on("data", (d: Buffer) => out.push(d));
    child.stderr.on("data", (d: Buffer) => err.push(d));
    // A program that ends without reading its input closes the pipe: its status says why.
    child.stdin.on("error", () => undefined);
    child.on("error", (cause) => {
      signal?.removeEventListener("abort", stop);
      reject(new KernelError("command-missing", `${file}: ${cause.message}`, cause));
    });
    child.on("close", (code, killed) => {
      signal?.removeEventListener("abort", stop);
      resolve({
        code: code ?? 128 + signalNumber(killed),
        stdout: Buffer.concat(out).toString("utf8"),
        stderr: Buffer.concat(err).toString("utf8"),
      });
    });
    child.stdin.end(options.input ?? "");
  });

/** As `run`, but a status other than 0 is a `command-failed` KernelError that names the command and what it said. */
export async function runOrThrow(
  run: RunCommand,
  argv: readonly string[],
  options?: CommandOptions,
  signal?: AbortSignal,
): Promise<CommandResult> {
  const result = await run(argv, options, signal);
  if (result.code !== 0) {
    const said = result.stderr.trim() === "" ? result.stdout.trim() : result.stderr.trim();
    throw new KernelError("command-failed", `${argv.join(" ")} ended with ${result.code}: ${said}`);
  }
  return result;
}

function signalNumber(name: NodeJS.Signals | null): number {
  return name === "SIGTERM" ? 15 : name === "SIGINT" ? 2 : name === "SIGHUP" ? 1 : 9;
}
