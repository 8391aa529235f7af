import { type ChildProcess, spawn } from "node:child_process";
import {
  closeSync,
  constants,
  existsSync,
  type FSWatcher,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  watch,
  writeFileSync,
  writeSync,
} from "node:fs";
import { Socket } from "node:net";
import { constants as machine } from "node:os";
import { join } from "node:path";
import { PassThrough, type Writable } from "node:stream";
import { setTimeout } from "node:timers/promises";
import type { Clock } from "../base/clock.ts";
import { ContainerLogWriter, type LogStream } from "./container-log.ts";
import { type ContainerInput, type RootLayer, shimArgv } from "./container-shim.ts";
import { NodeError } from "./errors.ts";

/** One started container as files: what a new agent needs to go on with it. */
export interface ContainerFiles {
  readonly folder: string;
  readonly log: string;
}

export interface ContainerCommand {
  readonly argv: readonly string[];
  readonly root: RootLayer;
  readonly input: ContainerInput;
  /** For the shim and what it runs. */
  readonly env: NodeJS.ProcessEnv;
}

const drainMs = 500;
// USER_HZ, the same on all Linux architectures that matter here.
const ticksPerSecond = 100;
/** A container begins a moment before its number is written. */
const startSlackMs = 3000;
/** The end is told by a file at once; a shim that was killed leaves none, and is looked for. */
const lookMs = 3000;
const halfStartedMs = 1500;
const pollMs = 100;

/**
 * The agent's side of a shim: it reads the output into the log and tells of the end. Ends by itself; `abandon` lets go without ending
 * the container.
 */
export class ContainerProcess {
  readonly files: ContainerFiles;
  readonly log: ContainerLogWriter;
  /** The status that the container's command ended with; `undefined` when nobody saw it. Settles after the output is in the log. */
  readonly exited: Promise<{ readonly code: number | undefined; readonly at: number }>;
  readonly #clock: Clock;
  readonly #sockets: Socket[] = [];
  readonly #stop = new AbortController();
  /** Only of a shim that this agent started: others are looked for. */
  readonly #shimEnded = new AbortController();

  private constructor(files: ContainerFiles, clock: Clock) {
    this.files = files;
    this.#clock = clock;
    this.log = new ContainerLogWriter(files.log, clock);
    // Later than the opening of the output: with nobody reading, the last of it would go with the shim.
    this.exited = Promise.resolve().then(() => this.#waitForExit());
    this.exited.catch(() => undefined);
  }

  /** Starts the shim; resolves when the container's first process runs. Rejects with `runtime-failed`, and what the runtime said. */
  static async start(files: ContainerFiles, command: ContainerCommand, clock: Clock, signal: AbortSignal): Promise<ContainerProcess> {
    const { folder } = files;
    for (const name of command.root.kind === "none" ? [] : ["upper", "work", "root", "layers"])
      mkdirSync(join(folder, name), { recursive: true, mode: 0o755 });
    const [file = "", ...args] = shimArgv(folder, command.root, command.input, command.argv);
    const shim = spawn(file, args, { detached: true, stdio: "ignore", env: command.env });
    const failed = new Promise<never>((_, reject) => {
      shim.once("error", (cause) => reject(new NodeError("runtime-failed", `cannot run ${file}: ${cause.message}`, cause)));
    });
    failed.catch(() => undefined);
    shim.unref();
    if (shim.pid !== undefined) writeFileSync(join(folder, "shim"), String(shim.pid));
    try {
      await Promise.race([waitForFile(folder, ["pid", "exit"], signal), failed]);
    } catch (error) {
      if (signal.aborted) await endHalfStarted(folder, shim);
      throw error;
    }
    if (!existsSync(join(folder, "pid"))) {
      const said = readText(join(folder, "runtime.log")).trim().split("\n")[0] ?? "";
      killShim(folder);
      throw new NodeError("runtime-failed", said === "" ? `the container ended with ${readText(join(folder, "exit")).trim()}` : said);
    }
    await numberWritten(folder);
    const process = new ContainerProcess(files, clock);
    shim.once("exit", () => process.#shimEnded.abort());
    process.#readOutput();
    return process;
  }

  /** Goes on with a container that an earlier agent started; also with one that has ended since. */
  static adopt(files: ContainerFiles, clock: Clock): ContainerProcess {
    const process = new ContainerProcess(files, clock);
    if (shimPid(files.folder) !== undefined) process.#readOutput();
    return process;
  }

  /** The container's first process, as this machine numbers it; 0 before it is known. */
  get pid(): number {
    return Number(readText(join(this.files.folder, "pid")).trim());
  }

  get startedAt(): number {
    return modifiedAt(join(this.files.folder, "pid")) ?? this.#clock.now();
  }

  /**
   * The container's standard input; what is written to one that takes none is never read. Its end is not passed on, since others may
   * attach, unless the container's input is for one.
   */
  openStdin(): Writable {
    let file: number;
    try {
      file = openSync(join(this.files.folder, "in"), constants.O_WRONLY | constants.O_NONBLOCK);
    } catch {
      // Nobody has the other end open: the container takes no input, or has ended.
      return new PassThrough().resume();
    }
    const socket = new Socket({ fd: file, readable: false, writable: true });
    socket.on("error", () => undefined);
    socket.once("finish", () => socket.destroy());
    socket.once("close", () => this.#endInput());
    this.#sockets.push(socket);
    return socket;
  }

  /** For input that is for one: lets go of the end that the shim keeps open. Nobody writes to it afterwards. */
  #endInput(): void {
    const { folder } = this.files;
    if (this.#stop.signal.aborted || !existsSync(join(folder, "eof"))) return;
    rmSync(join(folder, "in"), { force: true });
    try {
      const file = openSync(join(folder, "eof"), constants.O_WRONLY | constants.O_NONBLOCK);
      writeSync(file, "\n");
      closeSync(file);
    } catch {
      // The container has ended, and the shim with it.
    }
  }

  /** The terminal that a container with `tty` runs on, as this machine names it. */
  get terminal(): string {
    return readText(join(this.files.folder, "tty")).trim();
  }

  abandon(): void {
    this.#stop.abort();
    for (const socket of this.#sockets) socket.destroy();
    this.log.close();
  }

  #readOutput(): void {
    for (const [name, stream] of [
      ["out", "stdout"],
      ["err", "stderr"],
    ] as const satisfies readonly (readonly [string, LogStream])[]) {
      const fd = openSync(join(this.files.folder, name), constants.O_RDONLY | constants.O_NONBLOCK);
      const socket = new Socket({ fd, readable: true, writable: false });
      socket.on("data", (bytes: Buffer) => this.log.write(stream, bytes));
      socket.on("error", () => undefined);
      this.#sockets.push(socket);
    }
  }

  async #waitForExit(): Promise<{ code: number | undefined; at: number }> {
    const { folder } = this.files;
    const exit = join(folder, "exit");
    while (!existsSync(exit)) {
      const step = AbortSignal.any([AbortSignal.timeout(lookMs), this.#stop.signal, this.#shimEnded.signal]);
      await waitForFile(folder, ["exit"], step).catch(() => undefined);
      if (this.#stop.signal.aborted) return new Promise(() => undefined);
      if (!existsSync(exit) && shimPid(folder) === undefined) break;
    }
    const at = modifiedAt(exit) ?? this.#clock.now();
    const text = readText(exit).trim();
    // Whoever waited for the container may have been killed and not the container itself.
    killOrphan(folder);
    // The shim held the pipes open; with it gone the last bytes are followed by their end.
    killShim(folder);
    await Promise.race([Promise.all(this.#sockets.map(ended)), this.#clock.sleep(drainMs)]);
    for (const socket of this.#sockets) socket.destroy();
    this.log.close();
    for (const name of ["in", "out", "err", "ctl", "eof"]) rmSync(join(folder, name), { force: true });
    return { code: text === "" ? undefined : Number(text), at };
  }
}

/** Nobody else knows yet of a container whose start is given up: it has come so far that it can be ended whole, or never will. */
async function endHalfStarted(folder: string, shim: ChildProcess): Promise<void> {
  await waitForFile(folder, ["pid", "exit"], AbortSignal.timeout(halfStartedMs)).catch(() => undefined);
  await numberWritten(folder);
  killOrphan(folder);
  shim.kill("SIGKILL");
}

/** The file `pid` is there a moment before the number is in it; a signal sent in between would reach nobody. */
async function numberWritten(folder: string): Promise<void> {
  for (let i = 0; i < 500 && existsSync(join(folder, "pid")) && readText(join(folder, "pid")).trim() === ""; i++) await setTimeout(1);
}

/** The shim's process id while it runs. */
export function shimPid(folder: string): number | undefined {
  const pid = Number(readText(join(folder, "shim")));
  if (!Number.isInteger(pid) || pid <= 1) return undefined;
  // Numbers are given again: only a process with this folder among its arguments is ours.
  const args = readText(`/proc/${pid}/cmdline`).split("\0");
  return args.includes("fairway-shim") && args.includes(folder) ? pid : undefined;
}

export function killShim(folder: string): void {
  const pid = shimPid(folder);
  if (pid === undefined) return;
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // Gone between the look and the kill.
  }
}

/**
 * Ends the first process of a container, and with it all others, when it outlived those who waited for it. Numbers are given again: a
 * process is the container's only when it began when the file with its number was written.
 */
export function killOrphan(folder: string): void {
  const pid = Number(readText(join(folder, "pid")));
  const written = modifiedAt(join(folder, "pid"));
  const began = startTime(pid);
  if (pid <= 1 || written === undefined || began === undefined || Math.abs(began - written) > startSlackMs) return;
  for (const target of [pid, -pid]) {
    try {
      process.kill(target, "SIGKILL");
    } catch {
      // It is gone, or leads no group.
    }
  }
}

/** When a process began, in milliseconds since 1970; `undefined` when there is none. proc_pid_stat(5): field 22, in ticks since boot. */
function startTime(pid: number): number | undefined {
  const stat = readText(`/proc/${pid}/stat`);
  const ticks = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
  if (stat === "" || !Number.isFinite(ticks)) return undefined;
  return Date.now() - Number(readText("/proc/uptime").split(" ")[0]) * 1000 + (ticks * 1000) / ticksPerSecond;
}

/** Whether a process has a handler for a signal: proc_pid_status(5), SigCgt. */
export function catchesSignal(pid: number, signal: NodeJS.Signals): boolean {
  const mask = /^SigCgt:\s*([0-9a-f]+)$/m.exec(readText(`/proc/${pid}/status`))?.[1];
  return mask !== undefined && (BigInt(`0x${mask}`) & (1n << BigInt(machine.signals[signal] - 1))) !== 0n;
}

/** Resolves when one of the files exists; rejects with the signal's reason, and never for want of a way to be told: then it looks. */
export function waitForFile(folder: string, names: readonly string[], signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    let watcher: FSWatcher | undefined;
    let timer: NodeJS.Timeout | undefined;
    const there = (): boolean => names.some((name) => existsSync(join(folder, name)));
    const finish = (settle: () => void): void => {
      watcher?.close();
      clearInterval(timer);
      signal.removeEventListener("abort", stop);
      settle();
    };
    const stop = (): void => finish(() => reject(signal.reason));
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    signal.addEventListener("abort", stop, { once: true });
    const look = (): void => {
      if (there()) finish(resolve);
    };
    const poll = (): void => {
      timer ??= setInterval(look, pollMs);
    };
    try {
      watcher = watch(folder, look);
      watcher.on("error", poll);
    } catch {
      // This user has used up its watches, or the folder is gone: a caller that asks again at once would never let others run.
      poll();
    }
    look();
  });
}

function ended(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.readableEnded || socket.destroyed) resolve();
    socket.once("end", resolve);
    socket.once("close", () => resolve());
  });
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function modifiedAt(path: string): number | undefined {
  try {
    return statSync(path).mtimeMs;
  } catch {
    return undefined;
  }
}
