/**
 * The name server beside CoreDNS's kubernetes plugin, unbound, knot and bind9 with the same 10,000 Services and 100,000 endpoints:
 * processor time for each answered query of dnsperf, in rounds that each server has its turn in. Rivals are looked for in PATH,
 * or where FAIRWAY_COREDNS, FAIRWAY_UNBOUND, FAIRWAY_KNOTD and FAIRWAY_NAMED say; those that are not there are left out, and
 * named. Prints one JSON line.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { build } from "esbuild";
import { DnsZone, queryOnce } from "../dns/index.ts";
import { typeOf } from "../dns/wire/record.ts";
import { printType } from "../dns/wire/record-type.ts";
import { printRecordData } from "../dns/wire/zone-file.ts";
import { dnsRuntime } from "../src/daemon/dns-runtime.ts";
import { SnapshotStore } from "../src/snapshot/snapshot-store.ts";
import { endpointsEach, makeService, makeSlice, namespaceOf, namespaces, services, some } from "./shapes/dns-world.ts";

const rounds = 3;
const seconds = 2;
const folder = mkdtempSync(join(tmpdir(), "fairway-dns-bench-"));
const serverCpu = "0";
const clientCpu = String(Math.max(0, cpus().length - 1));

const all = Array.from({ length: services }, (_, s) => s);
const slices = all.map((s) => makeSlice(s, endpointsEach));
const store = new SnapshotStore();
const cursor = store.cursor(() => {});
store.replace("Namespace", namespaces);
store.replace("Service", all.map(makeService));
store.replace("EndpointSlice", slices);
const zone = new DnsZone();
const batch = cursor.take();
if (batch !== undefined) zone.apply(batch);

/** What each server answers, by what it reads. */
const namesFile = join(folder, "names.jsonl");
const zoneFile = join(folder, "cluster.local.zone");
const localData = join(folder, "local-data.conf");
{
  const names = createWriteStream(namesFile);
  const zoneLines = ["cluster.local. 5 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5"];
  const local: string[] = [];
  for (const { key, records } of zone.names()) {
    names.write(`${JSON.stringify([key, records])}\n`);
    if (!key.endsWith("cluster.local.")) continue;
    for (const set of records.sets) {
      for (const data of set.data) {
        const line = `${key} ${set.ttl ?? 5} IN ${printType(typeOf(data))} ${printRecordData(data)}`;
        zoneLines.push(line);
        if (data.kind !== "NS") local.push(`local-data: '${line}'`);
      }
    }
  }
  names.end();
  await once(names, "finish");
  writeFileSync(zoneFile, `${zoneLines.join("\n")}\n`);
  writeFileSync(localData, `${local.join("\n")}\n`);
}
const queries = { hit: join(folder, "hits"), miss: join(folder, "misses"), search: join(folder, "searches") };
writeFileSync(queries.hit, some.map((s) => `svc-${s}.${namespaceOf(s)}.svc.cluster.local A`).join("\n"));
writeFileSync(queries.miss, some.map((s) => `not-${s}.${namespaceOf(s)}.svc.cluster.local A`).join("\n"));
writeFileSync(queries.search, some.map((s) => `www.example-${s}.com.${namespaceOf(s)}.svc.cluster.local A`).join("\n"));

/** A Kubernetes API with nothing but these lists, whose watches stay silent. */
async function startLists(): Promise<Server> {
  const list = (kind: string, apiVersion: string, items: readonly object[]): string =>
    JSON.stringify({ kind: `${kind}List`, apiVersion, metadata: { resourceVersion: "1" }, items });
  const lists: Readonly<Record<string, string>> = {
    "/api/v1/namespaces": list("Namespace", "v1", namespaces),
    "/api/v1/services": list("Service", "v1", all.map(makeService)),
    "/apis/discovery.k8s.io/v1/endpointslices": list("EndpointSlice", "discovery.k8s.io/v1", slices),
  };
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://localhost");
    response.setHeader("content-type", "application/json");
    const text = lists[url.pathname];
    if (url.pathname === "/version") response.end(JSON.stringify({ major: "1", minor: "36", gitVersion: "v1.36.0" }));
    else if (text === undefined)
      response.writeHead(404).end(JSON.stringify({ kind: "Status", apiVersion: "v1", status: "Failure", code: 404 }));
    else if (url.searchParams.has("sendInitialEvents"))
      response
        .writeHead(422)
        .end(JSON.stringify({ kind: "Status", apiVersion: "v1", status: "Failure", reason: "Invalid", message: "no", code: 422 }));
    else if (url.searchParams.has("watch")) response.flushHeaders();
    else response.end(text);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

interface Candidate {
  readonly name: string;
  readonly port: number;
  readonly process: ChildProcess;
}

/** On the server's core, where the machine can say so. */
function pinned(cpu: string, command: string, args: readonly string[]): readonly [string, readonly string[]] {
  const taskset = find("taskset", "FAIRWAY_TASKSET");
  return taskset === undefined ? [command, args] : [taskset, ["-c", cpu, command, ...args]];
}

function start(command: string, args: readonly string[]): ChildProcess {
  const [program, all] = pinned(serverCpu, command, args);
  return spawn(program, all, {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, GOMAXPROCS: "1", NODE_PATH: join(import.meta.dirname, "../node_modules") },
  });
}

/** As it is shipped: in one file without types, which node would otherwise take off, and keep the tools for it in memory. */
const program = join(folder, "dns-server.program.mjs");
await build({
  entryPoints: [join(import.meta.dirname, "guest/dns-server.program.ts")],
  outfile: program,
  bundle: true,
  platform: "node",
  format: "esm",
  external: ["koffi"],
  logLevel: "error",
});

async function startOwn(name: string, udpIo: string): Promise<Candidate> {
  const child = start(process.execPath, ["--expose-gc", ...dnsRuntime, program, namesFile, udpIo]);
  child.stderr?.pipe(process.stderr);
  const [line] = (await once(createInterface({ input: child.stdout ?? process.stdin }), "line")) as [string];
  return { name, port: Number(line), process: child };
}

function find(name: string, variable: string): string | undefined {
  const given = process.env[variable];
  if (given !== undefined) return given;
  const found = spawnSync("sh", ["-c", `command -v ${name}`], { encoding: "utf8" });
  return found.status === 0 ? found.stdout.trim() : undefined;
}

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

async function startRival(name: string, port: number, command: string, args: readonly string[]): Promise<Candidate> {
  const child = start(command, args);
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (text: Buffer) => (said = (said + text.toString()).slice(-2000)));
  const s = some[1] ?? 1;
  for (let i = 0; i < 240; i++) {
    if (child.exitCode !== null) throw new Error(`${name} ended: ${said}`);
    const answer = await queryOnce({ ip: "127.0.0.1", port }, `svc-${s}.${namespaceOf(s)}.svc.cluster.local`, { timeout: 500 }).catch(
      () => undefined,
    );
    if (answer !== undefined && answer.answers.length > 0) return { name, port, process: child };
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  child.kill();
  throw new Error(`${name} did not answer: ${said}`);
}

async function startRivals(lists: number): Promise<{ readonly there: readonly Candidate[]; readonly left: readonly string[] }> {
  const there: Candidate[] = [];
  const left: string[] = [];
  const add = async (name: string, variable: string, configure: (port: number) => readonly string[]): Promise<void> => {
    const command = find(name, variable);
    if (command === undefined) {
      left.push(name);
      return;
    }
    const port = await freePort();
    there.push(await startRival(name, port, command, configure(port)));
  };
  await add("coredns", "FAIRWAY_COREDNS", (port) => {
    const file = join(folder, "Corefile");
    const block = `kubernetes cluster.local {\nendpoint http://127.0.0.1:${lists}\npods insecure\n}`;
    writeFileSync(file, `.:${port} {\nbind 127.0.0.1\n${block}\n}\n`);
    return ["-conf", file];
  });
  await add("unbound", "FAIRWAY_UNBOUND", (port) => {
    const file = join(folder, "unbound.conf");
    const server = [
      `interface: 127.0.0.1@${port}`,
      "do-daemonize: no",
      "num-threads: 1",
      'username: ""',
      'chroot: ""',
      'pidfile: ""',
      `directory: "${folder}"`,
      "use-syslog: no",
      'local-zone: "cluster.local." static',
      `include: ${localData}`,
    ];
    writeFileSync(file, `server:\n${server.map((l) => `  ${l}`).join("\n")}\nremote-control:\n  control-enable: no\n`);
    return ["-d", "-c", file];
  });
  await add("knotd", "FAIRWAY_KNOTD", (port) => {
    const file = join(folder, "knot.conf");
    const server = `server:\n  rundir: ${folder}\n  listen: 127.0.0.1@${port}\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n`;
    const rest = `database:\n  storage: ${folder}\ntemplate:\n  - id: default\n    zonefile-load: whole\n    journal-content: none\n`;
    writeFileSync(file, `${server}${rest}zone:\n  - domain: cluster.local\n    file: ${zoneFile}\n`);
    return ["-c", file];
  });
  await add("named", "FAIRWAY_NAMED", (port) => {
    const file = join(folder, "named.conf");
    const options = `directory "${folder}"; listen-on port ${port} { 127.0.0.1; }; listen-on-v6 { none; }; recursion no; pid-file none; session-keyfile none; managed-keys-directory "${folder}"; minimal-responses yes;`;
    writeFileSync(
      file,
      `options { ${options} };\ncontrols { };\nzone "cluster.local" { type primary; file "${zoneFile}"; check-names ignore; };\n`,
    );
    return ["-f", "-n", "1", "-c", file];
  });
  return { there, left };
}

/** Milliseconds of processor time that a process has had. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

interface Load {
  readonly perSecond: number;
  /** Of processor time, microseconds. */
  readonly cpu: number;
}

/** dnsperf must not hold up this process, which serves lists meanwhile. */
async function dnsperf(port: number, ...args: readonly string[]): Promise<string> {
  const [program, rest] = pinned(clientCpu, "dnsperf", ["-s", "127.0.0.1", "-p", String(port), "-l", String(seconds), ...args]);
  const child = spawn(program, rest, { stdio: ["ignore", "pipe", "ignore"] });
  let out = "";
  child.stdout.on("data", (text: Buffer) => (out += text.toString("latin1")));
  await once(child, "close");
  return out;
}

async function load(c: Candidate, file: string, ...more: readonly string[]): Promise<Load> {
  const pid = c.process.pid ?? 0;
  const before = cpuMs(pid);
  const out = await dnsperf(c.port, "-c", "8", "-q", "200", "-d", file, ...more);
  const completed = Number(/Queries completed:\s+(\d+)/.exec(out)?.[1] ?? 0);
  const perSecond = Number(/Queries per second:\s+([\d.]+)/.exec(out)?.[1] ?? 0);
  return { perSecond: Math.round(perSecond), cpu: Number((((cpuMs(pid) - before) * 1000) / completed).toFixed(2)) };
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
const round2 = (n: number): number => Number(n.toFixed(2));

/** Microseconds at 10,000 queries a second. */
async function latency(c: Candidate): Promise<{ readonly p50: number; readonly p99: number }> {
  const out = await dnsperf(c.port, "-c", "4", "-Q", "10000", "-d", queries.hit, "-v");
  const times = Array.from(out.matchAll(/^> \S+ \S+ \S+ ([\d.]+)$/gm), (m) => Number(m[1]) * 1e6).sort((a, b) => a - b);
  return { p50: Math.round(times[times.length >> 1] ?? 0), p99: Math.round(times[Math.floor(times.length * 0.99)] ?? 0) };
}

const lists = await startLists();
const running: Candidate[] = [];
try {
  const batched = await startOwn("batched", "auto");
  running.push(batched);
  running.push(await startOwn("portable", "portable"));
  const { there, left } = await startRivals((lists.address() as AddressInfo).port);
  running.push(...there);

  const seen = new Map<string, Load[]>(running.map((c) => [c.name, []]));
  const kinds = { miss: [] as Load[], search: [] as Load[], cookie: [] as Load[], hit: [] as Load[] };
  const loads: number[] = [];
  for (let i = 0; i < rounds; i++) {
    for (const c of running) seen.get(c.name)?.push(await load(c, queries.hit));
    kinds.hit.push(await load(batched, queries.hit));
    kinds.miss.push(await load(batched, queries.miss));
    kinds.search.push(await load(batched, queries.search));
    kinds.cookie.push(await load(batched, queries.hit, "-E", "10:0102030405060708"));
    loads.push(loadavg()[0] ?? 0);
  }
  const quiet: number[] = [];
  const updated: number[] = [];
  for (let i = 0; i < rounds; i++) {
    batched.process.stdin?.write("updates 0\n");
    quiet.push((await latency(batched)).p99);
    batched.process.stdin?.write("updates 100\n");
    updated.push((await latency(batched)).p99);
  }
  batched.process.stdin?.write("updates 0\nmemory\n");
  const [memory] = (await once(createInterface({ input: batched.process.stdout ?? process.stdin }), "line")) as [string];

  const cpu = (name: string): number => median((seen.get(name) ?? []).map((l) => l.cpu));
  const servers = Object.fromEntries(
    running.map(({ name }) => [name, { cpuMicros: cpu(name), perSecond: median((seen.get(name) ?? []).map((l) => l.perSecond)) }]),
  );
  const ratio = (of: string): object => Object.fromEntries(there.map(({ name }) => [name, round2(cpu(name) / cpu(of))]));
  const figures = {
    loadAverage: loads.map(round2),
    servers,
    timesLess: { batched: ratio("batched"), portable: ratio("portable") },
    against: {
      searchPath: round2(median(kinds.search.map((l) => l.cpu)) / median(kinds.hit.map((l) => l.cpu))),
      nxdomain: round2(median(kinds.miss.map((l) => l.cpu)) / median(kinds.hit.map((l) => l.cpu))),
      cookies: round2(median(kinds.cookie.map((l) => l.cpu)) / median(kinds.hit.map((l) => l.cpu))),
    },
    p99Micros: { quiet, withHundredChangesASecond: updated },
    residentMiB: Math.round(Number(memory) / 1024),
    left,
  };
  process.stdout.write(`${JSON.stringify(figures)}\n`);
} finally {
  // they write into the folder until they are gone
  await Promise.all(
    running.map(async ({ process: child }) => {
      if (child.exitCode === null && child.kill()) await once(child, "exit");
    }),
  );
  lists.closeAllConnections();
  lists.close();
  rmSync(folder, { recursive: true, force: true });
}
