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
import { DnsZone, type RecordDelta, startDnsServer } from "../dns/index.ts";
import { encodeMessage } from "../dns/wire/message.ts";
import { reverseZones } from "../dns/zone/reverse-zone.ts";
import { parseCidr } from "../src/base/cidr.ts";
import { SnapshotStore } from "../src/snapshot/snapshot-store.ts";

const services = 10_000;
const endpointsEach = 10;
const zones = ["cluster.local.", ...["10.96.0.0/12", "10.128.0.0/9"].flatMap((c) => reverseZones(parseCidr(c)!))];

const store = new SnapshotStore();
const cursor = store.cursor(() => {});
const address = (i: number): string => `10.${128 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`;
const sliceOf = (s: number, count: number): object => ({
  metadata: {
    namespace: `ns-${s % 100}`,
    name: `svc-${s}-x`,
    labels: { "kubernetes.io/service-name": `svc-${s}` },
    resourceVersion: String(count),
  },
  addressType: "IPv4",
  ports: [{ name: "http", port: 8080, protocol: "TCP" }],
  endpoints: Array.from({ length: count }, (_, k) => ({ addresses: [address(s * endpointsEach + k)], conditions: { ready: true } })),
});
store.replace(
  "Namespace",
  Array.from({ length: 100 }, (_, i) => ({ metadata: { name: `ns-${i}` } })),
);
store.replace(
  "Service",
  Array.from({ length: services }, (_, s) => ({
    metadata: { namespace: `ns-${s % 100}`, name: `svc-${s}` },
    spec:
      s % 10 === 0
        ? { clusterIP: "None", ports: [{ name: "http", port: 80 }] }
        : { clusterIP: `10.96.${s >> 8}.${s & 255}`, ports: [{ name: "http", port: 80 }] },
  })),
);
store.replace(
  "EndpointSlice",
  Array.from({ length: services }, (_, s) => sliceOf(s, endpointsEach) as { addressType: string }),
);

const timed = <T>(work: () => T): { ms: number; value: T } => {
  const start = performance.now();
  const value = work();
  return { ms: performance.now() - start, value };
};
const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
const micro = (ms: number): number => Number((ms * 1000).toFixed(2));

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
  const rounds = 400_000;
  const run = (): void => {
    for (let i = 0; i < rounds; i++) {
      const query = queries[i % queries.length] ?? new Uint8Array();
      answerer.answer(query, query.length, "10.0.0.1", out);
    }
  };
  run();
  return micro(timed(run).ms / rounds);
};
const some = Array.from({ length: 5000 }, (_, i) => (i * 7919) % services);
const hit = rate(
  some.map((s) => `svc-${s}.ns-${s % 100}.svc.cluster.local.`),
  1,
);
const nxdomain = rate(
  some.map((s) => `www.example-${s}.com.ns-${s % 100}.svc.cluster.local.`),
  1,
);
const srv = rate(
  some.map((s) => `_http._tcp.svc-${s}.ns-${s % 100}.svc.cluster.local.`),
  33,
);

/** One changed endpoint: the agent's part and the server's part. */
const change = (s: number, sizes: readonly [number, number], rounds: number): { derive: number; apply: number; names: number } => {
  const derive: number[] = [];
  const apply: number[] = [];
  let names = 0;
  for (let i = 0; i < rounds; i++) {
    const slice = sliceOf(s, sizes[i % 2 === 0 ? 1 : 0]) as { addressType: string };
    store.apply("EndpointSlice", `ns-${s % 100}/svc-${s}-x`, slice, "");
    const batch = cursor.take();
    if (batch === undefined) continue;
    const derived = timed(() => zone.apply(batch).delta);
    const delta = derived.value satisfies RecordDelta;
    names = delta.upserts.length + delta.deletes.length;
    derive.push(derived.ms);
    apply.push(timed(() => answerer.apply(delta)).ms);
  }
  return { derive: micro(median(derive)), apply: micro(median(apply)), names };
};
const small = change(5, [endpointsEach, endpointsEach - 1], 2000);
const large = change(10, [1000, 999], 100);

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
  answerMicros: { hit, nxdomain, srv },
  changeMicros: { small, large },
  udp: await overLoopback(),
};
process.stdout.write(`${JSON.stringify(figures)}\n`);
