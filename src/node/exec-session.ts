import { type ChildProcess, spawn } from "node:child_process";
import { PassThrough, type Readable, type Writable } from "node:stream";
import type { ContainerProcess } from "./container-process.ts";
import type { AttachOptions, ContainerRun, ExecOptions, ExecSession } from "./pod-runtime.ts";

/** A command as a session. Signals count as 128 + n, as a shell has it. */
export function startExec(argv: readonly string[], options: ExecOptions, env: NodeJS.ProcessEnv = process.env): ExecSession {
  return options.tty ? startOnTerminal(argv, env) : startOnPipes(argv, options, env);
}

/** A container's live output, until it ends: well, whatever its exit code, which its status tells. Without standard input it takes none. */
export function attachTo(container: ContainerProcess | undefined, run: ContainerRun, options: AttachOptions): ExecSession {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const leave = container?.log.onOutput((stream, bytes) => (stream === "stdout" ? stdout : stderr).write(bytes));
  const stdin = (options.stdin ? container?.openStdin() : undefined) ?? new PassThrough().resume();
  const end = (): void => {
    stdin.end();
    leave?.();
    stdout.end();
    stderr.end();
  };
  const exitCode = run.exited.then(() => {
    end();
    return 0;
  });
  const resize = (columns: number, rows: number): void => setTerminalSize(container?.terminal ?? "", columns, rows);
  return { stdin, stdout, stderr, resize, exitCode, kill: end };
}

function startOnPipes(argv: readonly string[], options: ExecOptions, env: NodeJS.ProcessEnv): ExecSession {
  const [file = "", ...args] = argv;
  const child = spawn(file, args, { stdio: [options.stdin ? "pipe" : "ignore", "pipe", "pipe"], env });
  return session(child, child.stdin, child.stdout, child.stderr, () => undefined);
}

/**
 * Node has no pseudo-terminals; script(1), which every Debian has, makes one. The command learns its size by stty(1) on the terminal's own
 * name, which the kernel answers with SIGWINCH to those on it.
 */
function startOnTerminal(argv: readonly string[], env: NodeJS.ProcessEnv): ExecSession {
  // crun reads the size once and heeds changes a moment later: it starts when the client has told one, or after half a second.
  const sized = 'i=0; while [ $i -lt 50 ] && stty size | grep -q "^0 "; do sleep 0.01; i=$((i+1)); done';
  const [file = "", ...args] = onTerminal(argv, `tty >&3; exec 3>&-; ${sized}; exec "$@"`);
  const child = spawn(file, args, { stdio: ["pipe", "pipe", "pipe", "pipe"], env });
  const terminal = new Promise<string>((resolve) => {
    let name = "";
    child.stdio[3]?.on("data", (d: Buffer) => {
      name += d.toString();
      if (name.includes("\n")) resolve(name.trim());
    });
    child.once("close", () => resolve(""));
  });
  const resize = (columns: number, rows: number): void => {
    void terminal.then((name) => setTerminalSize(name, columns, rows));
  };
  return session(child, child.stdin, child.stdout, child.stderr, resize);
}

/** The command on a new pseudo-terminal; `script` runs on it first, and gets the command as its arguments. */
export function onTerminal(argv: readonly string[], script: string): readonly string[] {
  return ["script", "-qfec", ["sh", "-c", script, "sh", ...argv].map(quote).join(" "), "/dev/null"];
}

function setTerminalSize(terminal: string, columns: number, rows: number): void {
  if (!terminal.startsWith("/dev/")) return;
  spawn("stty", ["-F", terminal, "rows", String(rows), "cols", String(columns)], { stdio: "ignore" }).on("error", () => undefined);
}

function session(
  child: ChildProcess,
  stdin: Writable | null,
  stdout: Readable | null,
  stderr: Readable | null,
  resize: ExecSession["resize"],
): ExecSession {
  const into = stdin ?? new PassThrough().resume();
  // A command that ends without reading its input closes the pipe: its status says why.
  into.on("error", () => undefined);
  const exitCode = new Promise<number>((resolve) => {
    child.once("error", () => resolve(126));
    child.once("close", (code, signal) => resolve(code ?? (signal === "SIGKILL" ? 137 : 143)));
  });
  const kill = (): void => void child.kill("SIGKILL");
  return { stdin: into, stdout: stdout ?? new PassThrough(), stderr: stderr ?? new PassThrough(), resize, exitCode, kill };
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
