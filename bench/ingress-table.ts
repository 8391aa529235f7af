// One ingress process with 10,000 hosts × 10 paths: the look-up, a changed route until it serves, memory; then 10,000 idle
// client connections. Prints one JSON document. Usage: npm run bench -- ingress-table [hosts [paths [connections]]]
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, get, type IncomingMessage } from "node:http";
import { connect, type Socket } from "node:net";
import { loadavg } from "node:os";
import { join } from "node:path";
import type { Route } from "../ingress/index.ts";
import { emptyRouteTable } from "../ingress/index.ts";
import { cpuMs, residentMiB } from "./ingress/load.ts";
import { benchPool, benchRoute, fullDelta } from "./ingress/routes.ts";

const [hosts = 10_000, paths = 10, connections = 10_000] = process.argv.slice(2).map(Number);
const lookUps = 300_000;
const changes = 200;

const nameOf = (host: number): string => `host-${host}.example.com`;
const routes: Route[] = [];
for (let h = 0; h < hosts; h++)
  for (let p = 0; p < paths; p++) routes.push(benchRoute(nameOf(h), `/service-${p}/v1`, { pool: `pool-${h % 1000}` }));
console.log(
  JSON.stringify(
    {
      hosts,
      paths,
      loadAverage: loadavg()[0],
      table: lookUpCost(),
      ...(await serving()),
    },
    null,
    2,
  ),
);

/** Microseconds of processor time a match, over hosts and paths taken all over the table. */
function lookUpCost(): { readonly buildMs: number; readonly matchMicros: object; readonly oneRouteChangedMicros: number } {
  const built = process.cpuUsage();
  const pools = Array.from({ length: 1000 }, (_, i) => benchPool(`pool-${i}`, 1));
  let table = emptyRouteTable.with(fullDelta(routes, pools));
  const buildMs = cpuSince(built) / 1000;
  const heads = Array.from({ length: 4096 }, (_, i) => ({
    method: "GET",
    host: nameOf((i * 7919) % hosts),
    path: `/service-${i % paths}/v1/items/${i}`,
    query: "",
    headers: ["host", "x", "user-agent", "bench", "accept", "*/*"],
  }));
  let found = 0;
  const round = (times: number): void => {
    for (let i = 0; i < times; i++) {
      const head = heads[i & 4095];
      if (head !== undefined && table.match(head) !== undefined) found++;
    }
  };
  round(lookUps / 10);
  const times = Array.from({ length: 5 }, () => {
    const before = process.cpuUsage();
    round(lookUps);
    return cpuSince(before) / lookUps;
  });
  if (found !== lookUps * 5.1) throw new Error(`${found} found`);
  const changing = process.cpuUsage();
  for (let i = 0; i < changes; i++) {
    const changed = benchRoute(nameOf((i * 7919) % hosts), "/service-0/v1", { pool: `pool-${i}` });
    table = table.with({ ...fullDelta([changed], []), full: false, revision: i + 2 });
  }
  return {
    buildMs,
    matchMicros: { best: Math.min(...times), worst: Math.max(...times) },
    oneRouteChangedMicros: cpuSince(changing) / changes,
  };
}

function cpuSince(before: NodeJS.CpuUsage): number {
  const spent = process.cpuUsage(before);
  return spent.user + spent.system;
}

/** A process of its own, so that its memory is that of an ingress. */
async function serving(): Promise<object> {
  const backend = createServer((_request, response) => response.end("ok")).listen(0, "127.0.0.1");
  await once(backend, "listening");
  const address = backend.address();
  const backendPort = typeof address === "object" && address !== null ? address.port : 0;
  const child = spawn(
    process.execPath,
    [join(import.meta.dirname, "ingress", "table.program.ts"), String(hosts), String(paths), String(backendPort)],
    {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    },
  );
  try {
    const { port } = await told<{ readonly port: number }>(child);
    const pid = child.pid ?? 0;
    await statusOf(port, nameOf(0), "/service-0/v1");
    const empty = residentMiB(pid);
    const served: number[] = [];
    for (let i = 0; i < changes; i++) {
      child.send({ change: i });
      const { path, at } = await told<{ readonly path: string; readonly at: number }>(child);
      const status = await statusOf(port, nameOf(0), path);
      if (status !== 200) throw new Error(`a changed route answers ${status}`);
      served.push(Date.now() - at);
    }
    served.sort((a, b) => a - b);
    const idle = await idleConnections(port, pid);
    return {
      residentMiB: Math.round(empty),
      changedRouteServesMs: {
        median: served[changes >> 1],
        p99: served[Math.floor(changes * 0.99)],
        with: "a new connection and a request each",
      },
      idleConnections: idle,
    };
  } finally {
    child.kill();
    backend.close();
  }
}

async function idleConnections(port: number, pid: number): Promise<object> {
  const sockets: Socket[] = [];
  const before = { rss: residentMiB(pid), cpu: cpuMs(pid) };
  try {
    for (let i = 0; i < connections; i += 100) {
      const batch = Array.from({ length: Math.min(100, connections - i) }, () => connect(port, "127.0.0.1"));
      sockets.push(...batch);
      await Promise.all(batch.map((s) => askOnce(s)));
    }
    const after = { rss: residentMiB(pid), cpu: cpuMs(pid) };
    return {
      connections,
      residentMiB: Math.round(after.rss),
      moreMiB: Math.round(after.rss - before.rss),
      microsEach: ((after.cpu.user + after.cpu.system - before.cpu.user - before.cpu.system) * 1000) / connections,
    };
  } finally {
    for (const s of sockets) s.destroy();
  }
}

/** One request on it; then it rests. */
function askOnce(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.once("data", () => resolve());
    socket.write(`GET /service-1/v1/x HTTP/1.1\r\nHost: ${nameOf(1)}\r\n\r\n`);
  });
}

function statusOf(port: number, host: string, path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = get({ port, host: "127.0.0.1", path, headers: { host }, agent: false }, (response: IncomingMessage) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    request.on("error", reject);
  });
}

function told<T>(child: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    const gone = (): void => reject(new Error("the ingress process has ended"));
    child.once("exit", gone);
    child.once("message", (message) => {
      child.off("exit", gone);
      resolve(message as T);
    });
  });
}
