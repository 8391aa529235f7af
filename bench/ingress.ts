// CPU per proxied request: fairway, on its fast and on its portable transport, beside nginx, haproxy (and, for small responses,
// npm http-proxy), in one run: in each of three rounds each of them in turn, so that what else the machine does meets all; of a
// proxy the median counts. The proxies run on one core, load and backend on another. Needs nginx, wrk and taskset on the machine;
// haproxy and h2load where they are there.
// Usage: [BENCH_PORT_OFFSET=100] npm run bench -- ingress [seconds of a proxy in a round [part of a scene's title]]
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { selfSignedCertificate } from "../ingress/proxy/default-certificate.ts";
import { cpuMs, load, open, type Scene } from "./ingress/load.ts";
import { backendPorts, proxyPorts } from "./ingress/ports.ts";
import { cores, hasProgram, pinned, startBackend, startHaproxy, startNginx } from "./ingress/rivals.ts";

const plain = { path: "/a/x", host: "plain", by: "wrk", tls: false, fresh: false } as const;
const three = ["nginx", "haproxy", "fairway", "portable"];
const scenes: readonly Scene[] = [
  { ...plain, title: "1 KiB, kept connections", proxies: [...three, "http-proxy"] },
  { ...plain, title: "1 KiB, kept connections, no head twice", varied: true, proxies: three },
  { ...plain, title: "100 KiB, kept connections", path: "/large", proxies: three },
  { ...plain, title: "1 KiB, kept TLS connections", tls: true, proxies: three },
  { ...plain, title: "1 KiB, a new connection each", fresh: true, proxies: three },
  { ...plain, title: "1 KiB, a new TLS connection each", tls: true, fresh: true, proxies: three },
  { ...plain, title: "1 KiB, access log (metrics are always counted)", proxies: ["nginx, logged", "fairway, logged"] },
  {
    ...plain,
    title: "1 KiB, a rate limit and two rewrites",
    host: "filtered",
    path: "/old/a/x",
    proxies: ["nginx", "fairway", "portable"],
  },
  { ...plain, title: "1 KiB, HTTP/2 over TLS", by: "h2load", tls: true, proxies: ["nginx", "haproxy", "fairway"] },
  { ...plain, title: "gRPC over TLS", by: "h2load, grpc", host: "grpc", path: "/bench.Echo/Say", tls: true, proxies: ["nginx", "fairway"] },
];

const rounds = 3;

const [seconds = "2", wanted = ""] = process.argv.slice(2);
await compare(Number(seconds), wanted);

async function compare(seconds: number, wanted: string): Promise<void> {
  const missing = ["nginx", "wrk", "taskset"].filter((p) => !hasProgram(p));
  if (missing.length > 0) {
    console.log(`left out: this machine has no ${missing.join(", no ")}`);
    return;
  }
  for (const program of ["haproxy", "h2load"]) if (!hasProgram(program)) console.log(`left out: this machine has no ${program}`);
  const asked = scenes.filter((s) => s.title.includes(wanted) && (s.by === "wrk" || hasProgram("h2load")));
  const names = [...new Set(asked.flatMap((s) => s.proxies))].filter((n) => n !== "haproxy" || hasProgram("haproxy"));
  const dir = mkdtempSync(join(tmpdir(), "fairway-bench-"));
  const children: ChildProcess[] = [];
  try {
    const pair = join(dir, "pair");
    const { certificate, key } = selfSignedCertificate(Date.now());
    writeFileSync(`${pair}.crt`, certificate);
    writeFileSync(`${pair}.key`, key);
    children.push(startBackend(dir));
    const proxies = new Map(names.map((name) => [name, start(name, dir, pair)]));
    children.push(...proxies.values());
    for (const port of Object.values(backendPorts)) await open(port);
    for (const scene of asked) {
      console.log(`${scene.title} (load average ${(loadavg()[0] ?? 0).toFixed(1)})`);
      await compareIn(scene, new Map(scene.proxies.map((name) => [name, proxies.get(name)?.pid])), { seconds, dir });
    }
  } finally {
    for (const c of children) c.kill("SIGTERM");
    rmSync(dir, { recursive: true, force: true });
  }
}

function start(name: string, dir: string, pair: string): ChildProcess {
  if (name === "nginx" || name === "nginx, logged") return startNginx(dir, pair, name);
  if (name === "haproxy") return startHaproxy(dir, pair);
  return pinned(cores.proxy, process.execPath, [join(import.meta.dirname, "ingress", "proxy.program.ts"), name, pair]);
}

interface RoundOptions {
  readonly seconds: number;
  readonly dir: string;
}

async function compareIn(scene: Scene, pids: ReadonlyMap<string, number | undefined>, o: RoundOptions): Promise<void> {
  const costs = new Map<string, Cost[]>();
  for (let round = 0; round < rounds; round++)
    for (const [name, pid] of pids) {
      if (pid === undefined) continue;
      const port = proxyPorts[name]?.[scene.tls ? "https" : "http"] ?? 0;
      if (round === 0) await warmUp(port, scene, o.dir);
      costs.set(name, [...(costs.get(name) ?? []), await measure(port, pid, scene, o)]);
    }
  let base = 0;
  for (const [name, seen] of costs) {
    const cost = seen.toSorted((a, b) => micros(a) - micros(b))[Math.floor(seen.length / 2)];
    if (cost === undefined) continue;
    base ||= micros(cost);
    print(name, cost, base);
  }
}

/** Until compilers are done, on a busy machine too. */
async function warmUp(port: number, scene: Scene, dir: string): Promise<void> {
  await open(port);
  let requests = 0;
  for (let i = 0; i < 5 && requests < 30_000; i++) requests += await load(port, scene, { seconds: 2, dir });
}

/** Of one request, in microseconds. */
interface Cost {
  readonly user: number;
  readonly system: number;
  readonly perSecond: number;
}

function micros({ user, system }: Cost): number {
  return user + system;
}

async function measure(port: number, pid: number, scene: Scene, o: RoundOptions): Promise<Cost> {
  const before = cpuMs(pid);
  const requests = await load(port, scene, o);
  const after = cpuMs(pid);
  return {
    user: ((after.user - before.user) * 1000) / requests,
    system: ((after.system - before.system) * 1000) / requests,
    perSecond: requests / o.seconds,
  };
}

function print(name: string, cost: Cost, base: number): void {
  const { user, system, perSecond } = cost;
  const total = micros(cost);
  console.log(
    `  ${name.padEnd(15)} ${total.toFixed(1).padStart(7)} µs CPU a request (${user.toFixed(1)} user, ${system.toFixed(1)} system)   ${(total / base).toFixed(2)} × the first   ${Math.round(perSecond)} requests/s`,
  );
}
