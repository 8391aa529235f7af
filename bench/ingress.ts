// CPU per proxied request: fairway, on its fast and on its portable transport, beside nginx, haproxy (and, for small responses,
// npm http-proxy), in one run. The proxies run on one core, load and backend on another. Needs nginx, wrk and taskset on the
// machine; haproxy and h2load where they are there.
// Usage: npm run bench -- ingress [seconds [part of a scene's title]]
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
      let base = 0;
      for (const name of scene.proxies) {
        const pid = proxies.get(name)?.pid;
        if (pid !== undefined) base = await measure(name, pid, { scene, seconds, base, dir });
      }
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

/** Prints one line; gives the CPU time of the first proxy of the scene. */
async function measure(
  name: string,
  pid: number,
  o: { readonly scene: Scene; readonly seconds: number; readonly base: number; readonly dir: string },
): Promise<number> {
  const { scene, seconds, dir } = o;
  const port = proxyPorts[name]?.[scene.tls ? "https" : "http"] ?? 0;
  await open(port);
  await load(port, scene, { seconds: 2, dir }); // compilers are done by then
  const before = cpuMs(pid);
  const requests = await load(port, scene, { seconds, dir });
  const after = cpuMs(pid);
  const user = ((after.user - before.user) * 1000) / requests;
  const system = ((after.system - before.system) * 1000) / requests;
  const micros = user + system;
  const base = o.base || micros;
  console.log(
    `  ${name.padEnd(15)} ${micros.toFixed(1).padStart(7)} µs CPU a request (${user.toFixed(1)} user, ${system.toFixed(1)} system)   ${(micros / base).toFixed(2)} × the first   ${Math.round(requests / seconds)} requests/s`,
  );
  return base;
}
