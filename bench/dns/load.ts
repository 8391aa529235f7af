import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type Candidate, clientCpu, pinned } from "./candidates.ts";

const seconds = 2;

export interface Load {
  readonly perSecond: number;
  /** Of processor time, microseconds for each answer. */
  readonly cpu: number;
}

/** Milliseconds of processor time that a process has had. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** dnsperf must not hold up this process, which serves lists and upstream meanwhile. */
async function dnsperf(port: number, ...args: readonly string[]): Promise<string> {
  const [program, rest] = pinned(clientCpu, "dnsperf", ["-s", "127.0.0.1", "-p", String(port), "-l", String(seconds), ...args]);
  const child = spawn(program, rest, { stdio: ["ignore", "pipe", "ignore"] });
  let out = "";
  child.stdout.on("data", (text: Buffer) => (out += text.toString("latin1")));
  await once(child, "close");
  return out;
}

/** As much as the server takes. */
export async function load(c: Candidate, port: number, file: string, ...more: readonly string[]): Promise<Load> {
  const pid = c.process.pid ?? 0;
  const before = cpuMs(pid);
  const out = await dnsperf(port, "-c", "8", "-q", "200", "-d", file, ...more);
  const completed = Number(/Queries completed:\s+(\d+)/.exec(out)?.[1] ?? 0);
  const perSecond = Number(/Queries per second:\s+([\d.]+)/.exec(out)?.[1] ?? 0);
  return { perSecond: Math.round(perSecond), cpu: Number((((cpuMs(pid) - before) * 1000) / completed).toFixed(2)) };
}

/** Microseconds at 10,000 queries a second. */
export async function latency(port: number, file: string): Promise<{ readonly p50: number; readonly p99: number }> {
  const out = await dnsperf(port, "-c", "4", "-Q", "10000", "-d", file, "-v");
  const times = Array.from(out.matchAll(/^> \S+ \S+ \S+ ([\d.]+)$/gm), (m) => Number(m[1]) * 1e6).sort((a, b) => a - b);
  return { p50: Math.round(times[times.length >> 1] ?? 0), p99: Math.round(times[Math.floor(times.length * 0.99)] ?? 0) };
}

export const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
