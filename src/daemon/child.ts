import { type ChildProcess, spawn } from "node:child_process";
import { type BackoffPolicy, backoffDelay } from "../base/backoff.ts";
import type { Running } from "../base/running.ts";
import type { BoundSocket } from "../kernel/socket.ts";
import { type Log, messageOfLine } from "../observe/log.ts";

/** How long a child may take to end by itself once told to. Milliseconds. */
const stopTimeout = 4000;
const restart: BackoffPolicy = { first: 50, factor: 2, max: 5000, jitter: 0.2 };
/** A child that lived this long starts again at the first delay. Milliseconds. */
const stableAfter = 10_000;

export interface ChildConfig {
  readonly name: string;
  /** Arguments of `fairway`. */
  readonly args: readonly string[];
  /** Options of the runtime, after those this process was started with. */
  readonly runtimeOptions?: readonly string[];
  /** Runs it inside this network namespace (a path). */
  readonly netns?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Sockets it inherits, from descriptor 4 on; it finds them by `inheritedSockets()`. */
  readonly sockets?: readonly NamedSocket[];
  /** Lines of the child's output go here; absent: to this process's stderr as they are. */
  readonly onLine?: (line: string) => void;
}

export interface ChildDeps {
  readonly log: Log;
  /** Each time the child is up: send it what it needs. */
  readonly onStart?: (child: ChildProcess) => void;
  readonly onMessage?: (message: unknown, child: ChildProcess) => void;
}

export interface SupervisedChild extends Running {
  readonly process: ChildProcess | undefined;
  /** As `close`, but asks by a message instead of SIGTERM, and waits this long for the child to end by itself. Milliseconds. */
  stop(message: object, within: number): Promise<void>;
}

/** A child that would only fail again did not start: what it said last, which its own lines have told already. */
export class ChildRefusal extends Error {
  readonly code = "UNUSABLE";
}

/** The program this process runs: the bundle, or the sources in tests. */
function selfProgram(): string {
  const main = process.env["FAIRWAY_MAIN"] ?? process.argv[1];
  if (main === undefined) throw new Error("cannot find the program to start children with");
  return main;
}

/**
 * Starts `fairway <args>` and starts it again when it dies, with growing delays. `ready` settles with the child's first
 * message `{type: "ready"}`, and rejects when it exits with status 2 before that (it would only fail again: wrong usage, or what this machine cannot do).
 */
export function startChild(config: ChildConfig, deps: ChildDeps): SupervisedChild {
  let child: ChildProcess | undefined;
  let closing = false;
  let attempt = 0;
  let timer: NodeJS.Timeout | undefined;
  let isReady = false;
  let lastLines: string[] = [];
  const ready = Promise.withResolvers<void>();
  // Whoever waits for it sees the error; nobody waiting is no crash.
  ready.promise.catch(() => undefined);

  const start = (): void => {
    const started = performance.now();
    const [command, args] = commandOf(config);
    const proc = spawn(command, args, {
      stdio: ["ignore", "pipe", "pipe", "ipc", ...(config.sockets ?? []).map((x) => x.fd)],
      // A session of its own: Ctrl-C on the terminal reaches only the process that ends the others in order.
      detached: true,
      env: { ...process.env, ...config.env, [socketsVariable]: describeSockets(config.sockets ?? []) },
      serialization: "json",
    });
    child = proc;
    lastLines = [];
    const onText = (stream: NodeJS.ReadableStream): void => {
      let rest = "";
      stream.setEncoding("utf8");
      stream.on("data", (text: string) => {
        const lines = (rest + text).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) {
          lastLines = [...lastLines.slice(-4), line];
          if (config.onLine === undefined) process.stderr.write(`${line}\n`);
          else config.onLine(line);
        }
      });
    };
    if (proc.stdout !== null) onText(proc.stdout);
    if (proc.stderr !== null) onText(proc.stderr);
    proc.on("message", (message) => {
      if (!isReady && isReadyMessage(message)) {
        isReady = true;
        ready.resolve();
      }
      deps.onMessage?.(message, proc);
    });
    proc.on("error", (error) => deps.log("error", `${config.name} could not be started`, { error: error.message }));
    proc.on("exit", (code, signal) => {
      child = undefined;
      if (closing) return;
      const said = messageOfLine(lastLines.at(-1) ?? "");
      if (!isReady && code === 2) {
        ready.reject(said === "" ? new Error(`${config.name}: refused its arguments`) : new ChildRefusal(`${config.name}: ${said}`));
        return;
      }
      attempt = performance.now() - started > stableAfter ? 0 : attempt + 1;
      if (!isReady && attempt > 5) {
        ready.reject(new Error(`${config.name} ended ${attempt} times while starting; last it said: ${said}`));
        return;
      }
      const delay = attempt === 0 ? 0 : backoffDelay(restart, attempt - 1, Math.random());
      deps.log("warn", `${config.name} ended; starting it again`, { code, signal, delayMs: Math.round(delay) });
      timer = setTimeout(start, delay);
    });
    deps.onStart?.(proc);
  };
  start();

  const end = (ask: (proc: ChildProcess) => void, within: number): Promise<void> => {
    closing = true;
    clearTimeout(timer);
    ready.reject(new Error(`${config.name} was stopped`));
    const proc = child;
    if (proc === undefined || proc.exitCode !== null || proc.signalCode !== null) return Promise.resolve();
    return new Promise((resolve) => {
      const kill = setTimeout(() => proc.kill("SIGKILL"), within);
      proc.once("exit", () => {
        clearTimeout(kill);
        resolve();
      });
      ask(proc);
    });
  };
  return {
    ready: ready.promise,
    get process() {
      return child;
    },
    stop: (message, within) => end((proc) => (proc.connected ? proc.send(message) : proc.kill("SIGTERM")), within),
    close: () => end((proc) => proc.kill("SIGTERM"), stopTimeout),
  };
}

function commandOf(config: ChildConfig): [string, string[]] {
  // the runtime takes the last of an option that is given twice
  const self = [process.execPath, ...process.execArgv, ...(config.runtimeOptions ?? []), selfProgram(), ...config.args];
  const [command, ...args] = config.netns === undefined ? self : ["nsenter", `--net=${config.netns}`, "--", ...self];
  return [command ?? process.execPath, args];
}

function isReadyMessage(message: unknown): boolean {
  return typeof message === "object" && message !== null && "type" in message && message.type === "ready";
}

const firstInherited = 4;
const socketsVariable = "FAIRWAY_SOCKETS";

/** What an inherited socket is for: `http`, `https`, `dns`. */
export interface NamedSocket extends BoundSocket {
  readonly name: string;
}

function describeSockets(sockets: readonly NamedSocket[]): string {
  return JSON.stringify(sockets.map((s, i) => ({ ...s, fd: firstInherited + i })));
}

/** The sockets the parent bound and handed over, as systemd's LISTEN_FDS does; none when started by hand. */
export function inheritedSockets(): readonly NamedSocket[] {
  const text = process.env[socketsVariable];
  return text === undefined || text === "" ? [] : (JSON.parse(text) as NamedSocket[]);
}
