import { execFile } from "node:child_process";
import { createSocket, type RemoteInfo } from "node:dgram";
import { once } from "node:events";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { queryOnce } from "../../../dns/forward/query-once.ts";
import { plainConnection } from "../../../dns/forward/tcp-connection.ts";
import { emptyAnswer, questionMessage } from "../../../dns/handler/handler.ts";
import { type DnsServer, startDnsServer } from "../../../dns/server/dns-server.ts";
import { startNotifier } from "../../../dns/server/notifier.ts";
import { decodeMessage, encodeMessage, type Message } from "../../../dns/wire/message.ts";
import { parseRecord, printRecord } from "../../../dns/wire/zone-file.ts";
import { DnsZone } from "../../../dns/zone/dns-zone.ts";
import { parseCidr } from "../../../src/base/cidr.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { batchFromEmpty } from "../../../src/snapshot/snapshot-store.ts";
import { snapshotOf } from "../../support/dns-cases.ts";
import { reverse, shop } from "./shop.ts";

const run = promisify(execFile);
const kubernetes = { zones: ["cluster.local", ...reverse] };
const loopback = [parseCidr("127.0.0.1/32")].filter((c) => c !== undefined);
const zone = new DnsZone({ kubernetes, revision: 500 });
zone.apply(batchFromEmpty(snapshotOf(shop)));
let server: DnsServer;
let at = { ip: "127.0.0.1", port: 0 };

beforeAll(async () => {
  server = startDnsServer({
    kubernetes,
    listen: [{ ip: "127.0.0.1", port: 0 }],
    upstreams: [],
    transfer: [
      { zones: ["cluster.local"], to: loopback },
      { zones: ["96.10.in-addr.arpa"], to: [] },
    ],
  });
  await server.ready;
  server.apply(zone.full());
  server.setSynced();
  at = server.addresses()[0] ?? at;
});
afterAll(() => server.close());

const question = (name: string, type: number): Message => {
  const { edns: _, ...m } = questionMessage({ name, type, class: 1 }, { id: 9 });
  return m;
};
const ask = async (query: Message, to = at): Promise<Message> => {
  const tcp = plainConnection(to);
  const answer = await tcp.exchange(query, AbortSignal.timeout(20_000)).finally(() => tcp.close());
  return answer;
};

test.each([
  ["a zone that others may have", "96.10.in-addr.arpa."],
  ["a zone that nobody is named for", "244.10.in-addr.arpa."],
  ["a name in a zone", "svc.cluster.local."],
  ["a zone of somebody else", "example.org."],
])("%s is refused", async (_, name) => {
  expect((await ask(question(name, 252))).rcode).toBe(5);
});

test("over UDP there is no transfer", async () => {
  const m = await queryOnce(at, "cluster.local.", { type: "AXFR", transport: "udp" });
  expect([m.rcode, m.answers]).toEqual([5, []]);
});

describe("IXFR", () => {
  const withSerial = (serial: number): Message => ({
    ...question("cluster.local.", 251),
    authority: [parseRecord(`cluster.local. 0 IN SOA a. b. ${serial} 0 0 0 0`)],
  });
  test.each([
    ["of the current serial has the SOA alone", zone.revision, 1],
    ["of a later one too", zone.revision + 7, 1],
    ["of an older one has the whole zone", zone.revision - 1, undefined],
    ["of one a half circle back too", (zone.revision + 0x80000001) >>> 0, undefined],
  ])("%s", async (_, serial, want) => {
    const m = await ask(withSerial(serial));
    expect(m.answers[0]?.data).toMatchObject({ kind: "SOA", serial: zone.revision });
    if (want === undefined) expect(m.answers.length).toBeGreaterThan(20);
    else expect(m.answers.length).toBe(want);
  });
  test("over UDP says the serial, so that the client comes over TCP", async () => {
    const m = await queryOnce(at, "cluster.local.", { type: "IXFR", transport: "udp" });
    expect(m.answers.map((r) => r.data.kind)).toEqual(["SOA"]);
  });
});

test("IXFR tells what went and came since a serial that this server had", async () => {
  const own = startDnsServer({
    kubernetes,
    listen: [{ ip: "127.0.0.1", port: 0 }],
    upstreams: [],
    transfer: [{ zones: ["cluster.local"], to: loopback }],
  });
  await own.ready;
  const full = zone.full();
  own.apply(full);
  const web = full.upserts.find((u) => u.key === "web.shop.svc.cluster.local.");
  own.apply({ revision: zone.revision + 1, upserts: [], deletes: ["web.shop.svc.cluster.local."] });
  const moved = { sets: [{ data: [{ kind: "A", ip: "10.96.0.99" }] as const }] };
  own.apply({ revision: zone.revision + 2, upserts: [{ key: "web.shop.svc.cluster.local.", records: moved }], deletes: [] });
  expect(web?.records.sets.length).toBeGreaterThan(0);
  const known = parseRecord(`cluster.local. 0 IN SOA a. b. ${zone.revision} 0 0 0 0`);
  const { answers } = await ask({ ...question("cluster.local.", 251), authority: [known] }, own.addresses()[0]);
  const lines = answers.map(printRecord);
  await own.close();
  const isSoa = (line: string): boolean => line.includes(" SOA ");
  expect(lines.filter(isSoa).map((l) => Number(l.split(" ")[6]))).toEqual([2, 0, 2, 2].map((n) => zone.revision + n));
  expect(lines.filter((l) => !isSoa(l)).sort()).toEqual(
    [
      ...(web?.records.sets ?? []).flatMap((s) =>
        s.data.map((data) => printRecord({ name: web?.key ?? "", class: 1, ttl: s.ttl ?? 5, data })),
      ),
      "web.shop.svc.cluster.local. 5 IN A 10.96.0.99",
    ].sort(),
  );
});

const has = async (command: string, ...args: string[]): Promise<boolean> =>
  run(command, args).then(
    () => true,
    () => false,
  );
describe.each([
  ["dig", await has("dig", "-v"), ["+noall", "+answer"]],
  ["kdig", await has("kdig", "--version"), ["+noall", "+answer"]],
] as const)("%s", (command, there, options) => {
  test.skipIf(!there)("gets the zone", async () => {
    const { stdout } = await run(command, ["@127.0.0.1", "-p", String(at.port), ...options, "cluster.local", "AXFR"]);
    const lines = stdout
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith(";"))
      .map((line) => printRecord(parseRecord(line.replaceAll(/\s+/g, " "))));
    const want = zone
      .full()
      .upserts.filter((u) => u.key.endsWith("cluster.local."))
      .flatMap((u) => u.records.sets.flatMap((s) => s.data.map((data) => printRecord({ name: u.key, class: 1, ttl: s.ttl ?? 5, data }))));
    const soa = lines.filter((l) => l.includes(" SOA "));
    expect(soa.length).toBe(2);
    expect(lines.filter((l) => !l.includes(" SOA ")).sort()).toEqual(want.sort());
  });
});

/** A secondary that replies to the NOTIFY messages it gets, but to the first `deaf` ones. */
async function secondary(
  deaf: number,
): Promise<{ port: number; heard: Message[]; until: (n: number) => Promise<void>; close: () => void }> {
  const socket = createSocket("udp4");
  const heard: Message[] = [];
  const waiting: (() => void)[] = [];
  socket.on("message", (bytes: Buffer, from: RemoteInfo) => {
    const m = decodeMessage(bytes);
    heard.push(m);
    if (heard.length > deaf) socket.send(encodeMessage({ ...emptyAnswer(m, 0), authoritative: true }), from.port, from.address);
    for (const wake of waiting.splice(0)) wake();
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return {
    port: socket.address().port,
    heard,
    until: async (n) => {
      while (heard.length < n) await new Promise<void>((resolve) => waiting.push(resolve));
    },
    close: () => socket.close(),
  };
}

function untilAborted(signal: AbortSignal | undefined): Promise<void> {
  return new Promise((_, reject) => {
    signal?.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });
}

test("a change is told to those who want to hear of it, once for many", async () => {
  const other = await secondary(0);
  const primary = startDnsServer(
    {
      listen: [{ ip: "127.0.0.1", port: 0 }],
      upstreams: [],
      transfer: [{ zones: ["cluster.local"], to: "*", notify: [{ ip: "127.0.0.1", port: other.port }] }],
    },
    { clock: { ...systemClock, sleep: (ms, signal) => (ms === 1000 ? Promise.resolve() : untilAborted(signal)) } },
  );
  await primary.ready;
  for (let revision = 1; revision <= 5; revision++) primary.apply({ revision, upserts: [], deletes: [] });
  await other.until(1);
  expect(other.heard[0]).toMatchObject({ opcode: 4, authoritative: true, questions: [{ name: "cluster.local.", type: 6 }] });
  primary.apply({ revision: 6, upserts: [], deletes: [] });
  await other.until(2);
  await primary.close();
  expect(other.heard.length).toBe(2);
  other.close();
});

test("one who does not reply is told again, later each time, and given up in the end", async () => {
  const other = await secondary(2);
  const waits: number[] = [];
  const outcomes: string[] = [];
  const ended = Promise.withResolvers<void>();
  const clock = {
    ...systemClock,
    sleep: (ms: number, signal?: AbortSignal) => {
      waits.push(ms);
      if (ms === 1000) return Promise.resolve();
      // the first two waits end when their message has been heard, and was not replied to
      return ms < 8000 ? other.until(ms / 2000) : untilAborted(signal);
    },
  };
  const notifier = startNotifier([{ zone: "z.", to: [{ ip: "127.0.0.1", port: other.port }] }], {
    clock,
    id: () => 7,
    report: (zoneName, _server, outcome) => {
      outcomes.push(`${zoneName} ${outcome}`);
      ended.resolve();
    },
  });
  notifier.changed();
  await ended.promise;
  await notifier.close();
  other.close();
  expect(waits).toEqual([1000, 2000, 4000, 8000]);
  expect(outcomes).toEqual(["z. told"]);
});
