/**
 * The name server beside CoreDNS, unbound, knot and bind9 with the same 10,000 Services and 100,000 endpoints: processor time for each
 * answered query of dnsperf, in rounds that each server has its turn in; the same for names outside, kept and asked for each time, where
 * the server does that; delays while names change; memory. Rivals are looked for in PATH, or where FAIRWAY_COREDNS, FAIRWAY_UNBOUND,
 * FAIRWAY_KNOTD and FAIRWAY_NAMED say; those that are not there are left out, and named. Prints one JSON line.
 */
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { DnsZone } from "../dns/index.ts";
import { typeOf } from "../dns/wire/record.ts";
import { printType } from "../dns/wire/record-type.ts";
import { printRecordData } from "../dns/wire/zone-file.ts";
import { systemClock } from "../src/base/clock.ts";
import { zoneEntries } from "../src/daemon/names-table.ts";
import { startStatePublisher } from "../src/daemon/state-publisher.ts";
import { silentLog } from "../src/observe/log.ts";
import { SnapshotStore } from "../src/snapshot/snapshot-store.ts";
import { buildOwn, type Candidate, startOwn, startRivals } from "./dns/candidates.ts";
import { type Load, latency, load, median } from "./dns/load.ts";
import { startUpstream } from "./dns/upstream.ts";
import { endpointsEach, makeService, makeSlice, namespaceOf, namespaces, services, some } from "./shapes/dns-world.ts";

const rounds = 3;
const folder = mkdtempSync(join(tmpdir(), "fairway-dns-bench-"));

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
const zoneFile = join(folder, "cluster.local.zone");
const localData = join(folder, "local-data.conf");
{
  const zoneLines = ["cluster.local. 5 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5"];
  const local: string[] = [];
  for (const { key, records } of zone.names()) {
    if (!key.endsWith("cluster.local.")) continue;
    for (const set of records.sets) {
      for (const data of set.data) {
        const line = `${key} ${set.ttl ?? 5} IN ${printType(typeOf(data))} ${printRecordData(data)}`;
        zoneLines.push(line);
        if (data.kind !== "NS") local.push(`local-data: '${line}'`);
      }
    }
  }
  writeFileSync(zoneFile, `${zoneLines.join("\n")}\n`);
  writeFileSync(localData, `${local.join("\n")}\n`);
}
const queriesOf = (name: string, names: readonly string[]): string => {
  const file = join(folder, name);
  writeFileSync(file, names.map((n) => `${n} A`).join("\n"));
  return file;
};
const queries = {
  hit: queriesOf(
    "hits",
    some.map((s) => `svc-${s}.${namespaceOf(s)}.svc.cluster.local`),
  ),
  miss: queriesOf(
    "misses",
    some.map((s) => `not-${s}.${namespaceOf(s)}.svc.cluster.local`),
  ),
  search: queriesOf(
    "searches",
    some.map((s) => `www.example-${s}.com.${namespaceOf(s)}.svc.cluster.local`),
  ),
  cached: queriesOf(
    "cached",
    all.slice(0, 2000).map((i) => `www-${i}.example.org`),
  ),
  forwarded: queriesOf(
    "forwarded",
    Array.from({ length: 200_000 }, (_, i) => `f-${i}.example.org`),
  ),
};

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

/** Changes one name of a table a hundred times a second, to another size each time, so that blocks move. */
function startChanges(publish: (key: string, records: object) => void): () => void {
  const changing: { readonly key: string; readonly records: { readonly sets: readonly object[] } }[] = [];
  for (const name of zone.names()) {
    if (changing.length === 100) break;
    if (name.records.sets[0]?.data[0]?.kind === "A") changing.push(name);
  }
  let n = 0;
  const timer = setInterval(() => {
    const { key, records } = changing[n++ % changing.length] ?? { key: "", records: { sets: [] } };
    publish(key, n % 2 === 0 ? records : { ...records, sets: records.sets.slice(0, 1) });
  }, 10);
  return () => clearInterval(timer);
}

/** MiB. */
const residentOf = ({ process: { pid } }: Candidate): number =>
  Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1024);

const round2 = (n: number): number => Number(n.toFixed(2));

const lists = await startLists();
const upstream = await startUpstream();
const socket = join(folder, "agent.sock");
/** Each server of ours has a table of its own, so that changes cost only the one that is asked. */
const tables = ["batched", "portable", "forwarding"].map((name) => ({ name, tag: () => zone.revision, full: () => zoneEntries(zone) }));
const publisher = startStatePublisher(socket, tables, { log: silentLog, clock: systemClock });
await publisher.ready;
publisher.markSynced();
const running: Candidate[] = [];
try {
  const program = await buildOwn(folder);
  const own = async (table: string, io: string, cache: string, kinds: readonly (keyof Candidate["ports"])[]): Promise<Candidate> => {
    const started = await startOwn(table, program, [socket, table, io, String(upstream.port), cache], kinds);
    running.push(started);
    return started;
  };
  const batched = await own("batched", "auto", "cached", ["names", "cached"]);
  await own("portable", "portable", "cached", ["names"]);
  await own("forwarding", "auto", "uncached", ["forwarded"]);
  const known = `svc-${some[1] ?? 1}.${namespaceOf(some[1] ?? 1)}.svc.cluster.local`;
  const { there, left } = await startRivals({
    folder,
    zoneFile,
    localData,
    lists: (lists.address() as AddressInfo).port,
    upstream: upstream.port,
    known,
  });
  running.push(...there);
  // a few seconds after it had its names
  const settled = residentOf(batched);

  const seen: Record<keyof Candidate["ports"], Map<string, Load[]>> = { names: new Map(), cached: new Map(), forwarded: new Map() };
  const files = { names: queries.hit, cached: queries.cached, forwarded: queries.forwarded };
  const kinds = { miss: [] as Load[], search: [] as Load[], cookie: [] as Load[], hit: [] as Load[] };
  const port = batched.ports.names ?? 0;
  const loads: number[] = [];
  for (let i = 0; i < rounds; i++) {
    for (const kind of ["names", "cached", "forwarded"] as const) {
      for (const c of running) {
        const at = c.ports[kind];
        if (at === undefined) continue;
        const measured = await load(c, at, files[kind]);
        seen[kind].set(c.name, [...(seen[kind].get(c.name) ?? []), measured]);
      }
    }
    kinds.hit.push(await load(batched, port, queries.hit));
    kinds.miss.push(await load(batched, port, queries.miss));
    kinds.search.push(await load(batched, port, queries.search));
    kinds.cookie.push(await load(batched, port, queries.hit, "-E", "10:0102030405060708"));
    loads.push(loadavg()[0] ?? 0);
  }
  const quiet: number[] = [];
  const updated: number[] = [];
  for (let i = 0; i < 2 * rounds; i++) {
    quiet.push((await latency(port, queries.hit)).p99);
    const end = startChanges((key, records) =>
      publisher.publish("batched", { tag: zone.revision, upserts: [[key, records]], deletes: [] }),
    );
    updated.push((await latency(port, queries.hit)).p99);
    end();
  }

  const figuresOf = (kind: keyof typeof seen): object =>
    Object.fromEntries(
      Array.from(seen[kind], ([name, all]) => [
        name,
        { cpuMicros: median(all.map((l) => l.cpu)), perSecond: median(all.map((l) => l.perSecond)) },
      ]),
    );
  const cpu = (name: string): number => median((seen.names.get(name) ?? []).map((l) => l.cpu));
  const ratio = (of: string): object => Object.fromEntries(there.map(({ name }) => [name, round2(cpu(name) / cpu(of))]));
  const against = (kind: keyof typeof kinds): number => round2(median(kinds[kind].map((l) => l.cpu)) / median(kinds.hit.map((l) => l.cpu)));
  const figures = {
    loadAverage: loads.map(round2),
    names: figuresOf("names"),
    cached: figuresOf("cached"),
    forwarded: figuresOf("forwarded"),
    timesLess: { batched: ratio("batched"), portable: ratio("portable") },
    against: { searchPath: against("search"), nxdomain: against("miss"), cookies: against("cookie") },
    p99Micros: { quiet, withHundredChangesASecond: updated },
    residentMiB: { settled, afterwards: residentOf(batched) },
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
  await Promise.all([publisher.close(), upstream.close()]);
  lists.closeAllConnections();
  lists.close();
  rmSync(folder, { recursive: true, force: true });
}
