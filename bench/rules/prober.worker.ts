// A thread of its own, pinned to one core: opens connections in the client's namespace and takes them in the endpoints', by
// system calls of its own, for an event loop would cost more than what is measured.
import { createRequire } from "node:module";
import { parentPort, workerData } from "node:worker_threads";
import { enterNetns } from "../../test/support/in-netns.ts";
import type { Namespaces } from "./namespaces.ts";

export interface ProbeRequest {
  readonly id: number;
  /** Until the connection to this address is taken by the listener of that number; or so many connections, to each in turn. */
  readonly until?: { readonly ip: string; readonly listener: number; readonly giveUpMs: number };
  readonly connect?: { readonly ips: readonly string[]; readonly port: number; readonly count: number };
}
export interface ProbeAnswer {
  readonly id: number;
  /** Of CLOCK_MONOTONIC, in milliseconds; undefined where it was given up. */
  readonly at: number | undefined;
  /** Processor and wall time of a connection, in microseconds. */
  readonly cpuMicros: number;
  readonly wallMicros: number;
}

const { namespaces, listeners, port, core } = workerData as {
  readonly namespaces: Namespaces;
  readonly listeners: readonly string[];
  readonly port: number;
  readonly core: number;
};
const koffi = createRequire(import.meta.url)("koffi") as typeof import("koffi");
const libc = koffi.load("libc.so.6");
type Call = (...args: readonly unknown[]) => number;
const socket = libc.func("int socket(int, int, int)") as Call;
const bind = libc.func("int bind(int, const void *, int)") as Call;
const listen = libc.func("int listen(int, int)") as Call;
const connect = libc.func("int connect(int, const void *, int)") as Call;
const accept = libc.func("int accept4(int, void *, void *, int)") as Call;
const close = libc.func("int close(int)") as Call;
const setsockopt = libc.func("int setsockopt(int, int, int, const void *, int)") as Call;
const setAffinity = libc.func("int sched_setaffinity(int, size_t, const void *)") as Call;
const constants = { AF_INET: 2, SOCK_STREAM: 1, SOCK_NONBLOCK: 0o4000, SOL_SOCKET: 1, SO_REUSEADDR: 2, SO_LINGER: 13, SO_SNDTIMEO: 21 };

function address(ip: string, at: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt16LE(constants.AF_INET, 0);
  bytes.writeUInt16BE(at, 2);
  bytes.set(ip.split(".").map(Number), 4);
  return bytes;
}

const mask = Buffer.alloc(128);
mask[core >> 3] = 1 << (core & 7);
setAffinity(0, mask.length, mask);

enterNetns(namespaces.endpoints);
const one = Buffer.from([1, 0, 0, 0]);
const listening = listeners.map((ip) => {
  const fd = socket(constants.AF_INET, constants.SOCK_STREAM | constants.SOCK_NONBLOCK, 0);
  setsockopt(fd, constants.SOL_SOCKET, constants.SO_REUSEADDR, one, 4);
  if (bind(fd, address(ip, port), 16) !== 0 || listen(fd, 128) !== 0)
    throw new Error(`cannot listen at ${ip}:${port}: errno ${koffi.errno()}`);
  return fd;
});
enterNetns(namespaces.client);

// reset at the end, so that no port waits
const linger = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]);
/** A struct timeval: how long an answer is waited for. */
const timeval = (seconds: bigint, micros: bigint): Buffer => Buffer.from(new BigInt64Array([seconds, micros]).buffer);
const patience = { long: timeval(2n, 0n), short: timeval(0n, 20_000n) };
const pause = new Int32Array(new SharedArrayBuffer(4));

const now = (): number => Number(process.hrtime.bigint()) / 1e6;

/** The listener at which a connection waits, which is taken; or -1. */
function take(): number {
  for (const [i, at] of listening.entries()) {
    const other = accept(at, null, null, 0);
    if (other < 0) continue;
    close(other);
    return i;
  }
  return -1;
}

/** The listener that took the connection, or -1. */
function once(to: Buffer, wait: Buffer): number {
  const fd = socket(constants.AF_INET, constants.SOCK_STREAM, 0);
  setsockopt(fd, constants.SOL_SOCKET, constants.SO_LINGER, linger, 8);
  setsockopt(fd, constants.SOL_SOCKET, constants.SO_SNDTIMEO, wait, 16);
  let taken = -1;
  if (connect(fd, to, 16) === 0) {
    taken = take();
    // where one processor does everything, the last packet may still be on its way, or a proxy has to run first
    for (const end = now() + 1000; taken < 0 && now() < end; taken = take()) Atomics.wait(pause, 0, 0, 0.2);
  }
  close(fd);
  return taken;
}

parentPort?.on("message", (request: ProbeRequest) => {
  const cpu = process.threadCpuUsage();
  const started = now();
  let at: number | undefined;
  let count = 1;
  if (request.until !== undefined) {
    const to = address(request.until.ip, port);
    const end = started + request.until.giveUpMs;
    while (at === undefined && now() < end) {
      if (once(to, patience.short) === request.until.listener) at = now();
      else Atomics.wait(pause, 0, 0, 0.2);
    }
  } else if (request.connect !== undefined) {
    const to = request.connect.ips.map((ip) => address(ip, request.connect?.port ?? port));
    ({ count } = request.connect);
    at = started;
    for (let i = 0; i < count; i++) if (once(to[i % to.length] ?? Buffer.alloc(16), patience.long) < 0) at = undefined;
  }
  const spent = process.threadCpuUsage(cpu);
  const answer: ProbeAnswer = {
    id: request.id,
    at,
    cpuMicros: (spent.user + spent.system) / count,
    wallMicros: ((now() - started) * 1000) / count,
  };
  parentPort?.postMessage(answer);
});
parentPort?.postMessage({ id: 0, at: undefined, cpuMicros: 0, wallMicros: 0 } satisfies ProbeAnswer);
