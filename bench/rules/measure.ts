import { loadavg } from "node:os";
import type { Candidate } from "./candidates.ts";
import { type BenchCluster, probed, probedIp } from "./cluster.ts";
import { cpuMs, cpuWhenQuiet, median, memoryOf } from "./cpu.ts";
import { flushRules, ownServices } from "./namespaces.ts";
import { listeners, monotonicMs, type Prober } from "./prober.ts";

export interface MeasureOptions {
  /** Changes that are not counted, first: what a program does the first time is part of its start. */
  readonly warmUp: number;
  /** Changes, unless they take longer than a while. */
  readonly changes: number;
  readonly burst: number;
  readonly connections: number;
  readonly giveUpMs: number;
  readonly say: (text: string) => void;
}

/** Milliseconds; CPU is the program's and of what it ran. */
export interface Figures {
  readonly name: string;
  readonly mode: string;
  readonly load: readonly number[];
  /** From the start of the process until every Service that is tried answers; undefined where it took too long. */
  readonly full?: { readonly wall: number; readonly cpu: number };
  /** One endpoint: from the first byte of the write to the first connection to the new one. */
  readonly change?: { readonly count: number; readonly median: number; readonly worst: number; readonly cpu: number };
  readonly burst?: { readonly wall: number; readonly cpu: number };
  readonly memory?: { readonly mib: number; readonly peakMib: number };
  /** A new connection through a Service, in microseconds, the candidate's own CPU included, beside one without any rules right before: medians of rounds. */
  readonly connection?: { readonly cpu: number; readonly wall: number; readonly withoutCpu: number; readonly withoutWall: number };
}

const changesEndMs = 30_000;
/** After a full load: what was needed for it alone is given back by then. */
const settleMs = 5000;
const rounds = 7;

/** Everything about one candidate, with an API server that is full already. Leaves no rules. */
export async function measure(candidate: Candidate, cluster: BenchCluster, prober: Prober, o: MeasureOptions): Promise<Figures> {
  const { name, mode } = candidate;
  const load = loadavg().map((n) => Number(n.toFixed(1)));
  const base = { name, mode, load };
  flushRules();
  const without = await connections(prober, directIps, o.connections, () => 0);
  o.say(`${name} ${mode}: full load`);
  await Promise.all(Array.from({ length: probed }, (_, i) => cluster.probe(i, 0)));
  if (mode === "userspace") ownServices(true);
  const started = monotonicMs();
  const child = candidate.start();
  const pid = child.pid ?? 0;
  try {
    for (let i = 0; i < probed; i++) {
      while ((await prober.until(probedIp(i), 0, 1000)) === undefined)
        if (child.exitCode !== null || monotonicMs() - started > o.giveUpMs) return base;
    }
    const full = { wall: monotonicMs() - started, cpu: cpuMs(pid) };
    await cpuWhenQuiet(pid);
    await new Promise((resolve) => setTimeout(resolve, settleMs));
    o.say(`${name} ${mode}: one endpoint at a time`);
    const change = await changes(pid, cluster, prober, o);
    o.say(`${name} ${mode}: ${o.burst} at once`);
    const burst = await burstOf(pid, cluster, prober, o);
    const memory = memoryOf(pid);
    o.say(`${name} ${mode}: connections`);
    const ips = Array.from({ length: probed }, (_, i) => probedIp(i));
    const through = await connections(prober, ips, o.connections, () => cpuMs(pid));
    const connection = { cpu: through.cpu, wall: through.wall, withoutCpu: without.cpu, withoutWall: without.wall };
    return { ...base, full, ...(change === undefined ? {} : { change }), ...(burst === undefined ? {} : { burst }), memory, connection };
  } finally {
    const ended = new Promise((resolve) => (child.exitCode === null ? child.once("exit", resolve) : resolve(0)));
    child.kill("SIGTERM");
    await ended;
    flushRules();
  }
}

const directIps: readonly string[] = [listeners[0]];

async function connections(
  prober: Prober,
  ips: readonly string[],
  count: number,
  ownCpuMs: () => number,
): Promise<{ readonly cpu: number; readonly wall: number }> {
  const cpu: number[] = [];
  const wall: number[] = [];
  await prober.connect(ips, count);
  for (let n = 0; n < rounds; n++) {
    const before = ownCpuMs();
    const { cpuMicros, wallMicros } = await prober.connect(ips, count);
    cpu.push(cpuMicros + ((ownCpuMs() - before) * 1000) / count);
    wall.push(wallMicros);
  }
  return { cpu: median(cpu), wall: median(wall) };
}

async function changes(pid: number, cluster: BenchCluster, prober: Prober, o: MeasureOptions): Promise<Figures["change"]> {
  const waits: number[] = [];
  let before = cpuMs(pid);
  let end = monotonicMs() + changesEndMs;
  for (let n = 0; n < o.warmUp + o.changes && monotonicMs() < end; n++) {
    if (n === o.warmUp) {
      before = await cpuWhenQuiet(pid);
      end = monotonicMs() + changesEndMs;
      waits.length = 0;
    }
    const i = (n * 7) % probed;
    const to = Math.floor(n / probed) % 2 === 0 ? 1 : 0;
    const seen = prober.until(probedIp(i), to, o.giveUpMs);
    const started = monotonicMs();
    await cluster.probe(i, to);
    const at = await seen;
    if (at === undefined) return undefined;
    waits.push(at - started);
    // each by itself, as most changes are
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  const cpu = ((await cpuWhenQuiet(pid)) - before) / waits.length;
  // back, for what comes
  await Promise.all(Array.from({ length: probed }, (_, i) => cluster.probe(i, 0)));
  for (let i = 0; i < probed; i++) await prober.until(probedIp(i), 0, o.giveUpMs);
  await cpuWhenQuiet(pid);
  return { count: waits.length, median: median(waits), worst: Math.max(...waits), cpu };
}

let version = 0;
async function burstOf(pid: number, cluster: BenchCluster, prober: Prober, o: MeasureOptions): Promise<Figures["burst"]> {
  version++;
  const before = cpuMs(pid);
  const started = monotonicMs();
  await cluster.inParallel(o.burst, (n) => cluster.change((n * 7919) % cluster.services, version));
  const seen = prober.until(probedIp(0), 1, o.giveUpMs);
  await cluster.probe(0, 1);
  const at = await seen;
  const cpu = (await cpuWhenQuiet(pid)) - before;
  await cluster.probe(0, 0);
  await prober.until(probedIp(0), 0, o.giveUpMs);
  return at === undefined ? undefined : { wall: at - started, cpu };
}
