/**
 * What the name server costs, in the process and over loopback: building 10,000 Services with 100,000 endpoint names, an
 * answer, one change. Prints one JSON line. Times of this machine only: compare figures of one run.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import dns2 from "dns2";
import { execa } from "execa";
import { Answerer } from "../dns/answer/answerer.ts";
import { questionMessage } from "../dns/handler/handler.ts";
import { DnsZone, startDnsServer } from "../dns/index.ts";
import { encodeMessage } from "../dns/wire/message.ts";
import { reverseZones } from "../dns/zone/reverse-zone.ts";
import { parseCidr } from "../src/base/cidr.ts";
import { SnapshotStore } from "../src/snapshot/snapshot-store.ts";
import { endpointsEach, makeService, makeSlice, namespaceOf, namespaces, services, some } from "./shapes/dns-world.ts";

const zones = ["cluster.local.", ...["10.96.0.0/12", "10.128.0.0/9"].flatMap((c) => reverseZones(parseCidr(c)!))];

const store = new SnapshotStore();
const cursor = store.cursor(() => {});
store.replace("Namespace", namespaces);
store.replace(
  "Service",
  Array.from({ length: services }, (_, s) => makeService(s)),
);
store.replace(
  "EndpointSlice",
  Array.from({ length: services }, (_, s) => makeSlice(s, endpointsEach)),
);

const timed = <T>(work: () => T): { ms: number; value: T } => {
  const start = performance.now();
  const value = work();
  return { ms: performance.now() - start, value };
};

const zone = new DnsZone({ kubernetes: { zones } });
const compile = timed(() => {
  const batch = cursor.take();
  if (batch !== undefined) zone.apply(batch);
});
const answerer = new Answerer({ kubernetes: { zones } });
const { value: full } = timed(() => zone.full());
const build = timed(() => answerer.apply(full));
answerer.setSynced();

const out = new Uint8Array(1232);
const rate = (names: readonly string[], type: number): number => {
  const queries = names.map((name) => encodeMessage(questionMessage({ name, type, class: 1 }, { id: 1 })));
  const rounds = 200_000;
  const run = (): void => {
    for (let i = 0; i < rounds; i++) {
      const query = queries[i % queries.length] ?? new Uint8Array();
      answerer.answer(query, query.length, "10.0.0.1", out);
    }
  };
  run();
  return Number((cpuOf(1, run) / rounds).toFixed(2));
};
const hit = rate(
  some.map((s) => `svc-${s}.ns-${s % 100}.svc.cluster.local.`),
  1,
);
const nxdomain = rate(
  some.map((s) => `not-${s}.ns-${s % 100}.svc.cluster.local.`),
  1,
);
/** What most queries of pods are: a name outside with the first suffix of the search path. */
const searchPath = rate(
  some.map((s) => `www.example-${s}.com.ns-${s % 100}.svc.cluster.local.`),
  1,
);
const srv = rate(
  some.map((s) => `_http._tcp.svc-${s}.ns-${s % 100}.svc.cluster.local.`),
  33,
);

/** Processor microseconds of this thread for one turn of some work: what else the machine does is not in it. */
function cpuOf(turns: number, work: (i: number) => void): number {
  for (let i = 0; i < Math.min(turns, 200); i++) work(i);
  const before = process.threadCpuUsage();
  for (let i = 0; i < turns; i++) work(i);
  const { user, system } = process.threadCpuUsage(before);
  return Number(((user + system) / turns).toFixed(2));
}

/** One changed endpoint: the agent's part (the Service's names compiled again), the telling, and the server's part. */
const change = (s: number, sizes: readonly [number, number], turns: number): object => {
  const batches = [0, 1, 0].map((i) => {
    store.apply("EndpointSlice", `${namespaceOf(s)}/svc-${s}-x`, makeSlice(s, sizes[i] ?? 0), "");
    const taken = cursor.take();
    if (taken === undefined) throw new Error("no change");
    return taken;
  });
  // from the larger to the smaller, and back
  const steps = [batches[1], batches[2]];
  zone.apply(batches[0] ?? steps[0]!);
  const derive = cpuOf(turns, (i) => zone.apply(steps[i % 2]!));
  const deltas = steps.map((step) => zone.apply(step!).delta);
  const [first] = deltas;
  const names = (first?.upserts.length ?? 0) + (first?.edits?.length ?? 0) + (first?.deletes.length ?? 0);
  return { derive, apply: cpuOf(turns, (i) => answerer.apply(deltas[i % 2]!)), names };
};
const small = change(5, [endpointsEach, endpointsEach - 1], 10_000);
const large = change(10, [1000, 999], 1000);

/** Queries per second that dnsperf gets, and what each costs this process, servers beside servers of other makes. */
async function overLoopback(): Promise<object> {
  try {
    execFileSync("dnsperf", ["-h"], { stdio: "ignore" });
  } catch {
    return { left: "dnsperf is not installed" };
  }
  const folder = mkdtempSync(join(tmpdir(), "fairway-bench-"));
  const file = join(folder, "names");
  writeFileSync(file, some.map((s) => `svc-${s}.ns-${s % 100}.svc.cluster.local A`).join("\n"));
  const perform = async (port: number): Promise<object> => {
    const before = process.cpuUsage();
    const args = ["-s", "127.0.0.1", "-p", String(port), "-l", "2", "-c", "8", "-q", "200", "-d", file];
    const { stdout } = await execa("dnsperf", args, { reject: false });
    const used = process.cpuUsage(before);
    const completed = Number(/Queries completed:\s+(\d+)/.exec(stdout)?.[1] ?? 0);
    const perSecond = Number(/Queries per second:\s+([\d.]+)/.exec(stdout)?.[1] ?? 0);
    return { perSecond: Math.round(perSecond), cpuMicrosPerQuery: Number(((used.user + used.system) / completed).toFixed(2)) };
  };
  const own = async (udpIo: "auto" | "portable"): Promise<object> => {
    const server = startDnsServer({ listen: [{ ip: "127.0.0.1", port: 0 }], upstreams: [], udpIo });
    await server.ready;
    server.apply(full);
    server.setSynced();
    const result = await perform(server.addresses()[0]?.port ?? 0);
    await server.close();
    return result;
  };
  const result = { batched: await own("auto"), portable: await own("portable"), dns2: await withDns2(perform) };
  rmSync(folder, { recursive: true });
  return result;
}

/** npm's dns2 with a map of the same names: why the hot path is not built on it. */
async function withDns2(perform: (port: number) => Promise<object>): Promise<object> {
  const addresses = new Map(some.map((s) => [`svc-${s}.ns-${s % 100}.svc.cluster.local`, "10.96.0.1"]));
  const server = dns2.createServer({
    udp: true,
    handle: (request, send) => {
      const response = dns2.Packet.createResponseFromRequest(request);
      const [question] = request.questions;
      const address = addresses.get(question?.name ?? "");
      if (question !== undefined && address !== undefined) {
        response.answers.push(dns2.Packet.createResourceFromQuestion(question, { ttl: 5, address }));
      }
      void send(response);
    },
  });
  const bound = await server.listen({ udp: { port: 0, address: "127.0.0.1" } });
  const result = await perform((bound.udp as AddressInfo).port);
  await server.close();
  return result;
}

const { used, garbage, index } = answerer.memory;
const figures = {
  names: answerer.size,
  compileMs: Math.round(compile.ms),
  buildMs: Math.round(build.ms),
  bytesPerName: Math.round((used - garbage + index) / answerer.size),
  answerMicros: { hit, nxdomain, searchPath, srv },
  changeMicros: { small, large },
  udp: await overLoopback(),
};
process.stdout.write(`${JSON.stringify(figures)}\n`);
