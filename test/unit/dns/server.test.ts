import { execFile } from "node:child_process";
import { createSocket } from "node:dgram";
import { connect } from "node:net";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { queryOnce } from "../../../dns/forward/query-once.ts";
import { questionMessage } from "../../../dns/handler/handler.ts";
import { openDatagramBatch } from "../../../dns/server/datagram-batch.ts";
import { type DnsServer, startDnsServer } from "../../../dns/server/dns-server.ts";
import { decodeMessage, encodeMessage, type Message } from "../../../dns/wire/message.ts";
import { DnsZone } from "../../../dns/zone/dns-zone.ts";
import { parseCidr } from "../../../src/base/cidr.ts";
import { batchFromEmpty } from "../../../src/snapshot/snapshot-store.ts";
import { outcomeOf, printCaseName, snapshotOf, wantedOutcome } from "../../support/dns-cases.ts";
import { reverse, shop, shopCases } from "./shop.ts";

const run = promisify(execFile);
const ranges = ["10.96.0.0/16", "10.244.0.0/16", "fd00:244::/44"].flatMap((c) => parseCidr(c) ?? []);
let server: DnsServer;
let port = 0;

beforeAll(async () => {
  server = startDnsServer({
    listen: [{ ip: "127.0.0.1", port: 0 }],
    kubernetes: { zones: ["cluster.local", ...reverse] },
    upstreams: [],
    nsid: "node-1",
    tcp: { idle: 800 },
  });
  await server.ready;
  const zone = new DnsZone({ kubernetes: { zones: ["cluster.local", ...reverse] } });
  zone.apply(batchFromEmpty(snapshotOf(shop)));
  server.apply(zone.full());
  server.setSynced();
  port = server.addresses()[0]?.port ?? 0;
});
afterAll(() => server.close());

describe.each(["udp", "tcp"] as const)("the shop's names over %s", (transport) => {
  test.each(shopCases.map((c) => [printCaseName(c), c] as const))("%s", async (_, c) => {
    const m = await queryOnce({ ip: "127.0.0.1", port }, c.qname, { type: c.qtype, transport });
    expect(outcomeOf(m)).toEqual(wantedOutcome(c));
  });
});

const hasDig = await run("dig", ["-v"]).then(
  () => true,
  () => false,
);
describe.skipIf(!hasDig)("dig", () => {
  const dig = async (...args: string[]): Promise<string> =>
    (await run("dig", ["@127.0.0.1", "-p", String(port), "+tries=1", "+time=2", "+noall", "+answer", "+comments", ...args])).stdout;

  test("takes A, SRV, reverse and TCP answers, and finds its cookie good", async () => {
    const out = await dig("web.shop.svc.cluster.local", "A", "_db._tcp.store.shop.svc.cluster.local", "SRV", "-x", "10.96.0.20");
    expect(out).toMatch(/web\.shop\.svc\.cluster\.local\.\s+5\s+IN\s+A\s+10\.96\.0\.20/);
    expect(out).toMatch(/SRV\s+0 33 5432 store-0\.store\.shop/);
    expect(out).toMatch(/20\.0\.96\.10\.in-addr\.arpa\.\s+5\s+IN\s+PTR\s+web\.shop/);
    expect(out).toMatch(/COOKIE: [0-9a-f]{48} \(good\)/);
    expect(out).not.toMatch(/malformed|mismatch|extra bytes|bad packet/i);
  });

  test("gets NSID, BADVERS and a name through the search list of a pod", async () => {
    expect(await dig("+nsid", "web.shop.svc.cluster.local")).toMatch(/NSID: .*"node-1"/);
    expect(await dig("+edns=1", "+noednsneg", "web.shop.svc.cluster.local")).toContain("BADVERS");
    expect(await dig("+search", "+ndots=5", "+domain=shop.svc.cluster.local", "web")).toMatch(
      /web\.shop\.svc\.cluster\.local\.\s+5\s+IN\s+A\s+10\.96\.0\.20/,
    );
  });
});

test("several queries on one connection are answered, those from the chain too", async () => {
  const names = ["web.shop.svc.cluster.local.", "alias.shop.svc.cluster.local.", "nope.cluster.local.", "www.example.org."];
  const bytes = names.map((name, id) => {
    const m = encodeMessage(questionMessage({ name, type: 1, class: 1 }, { id }));
    return Buffer.concat([Buffer.from([m.length >> 8, m.length & 255]), m]);
  });
  const ids: number[] = [];
  await new Promise<void>((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    let pending: Buffer = Buffer.alloc(0);
    socket.on("error", reject);
    socket.on("data", (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk]);
      while (pending.length >= 2 && pending.length >= 2 + pending.readUInt16BE()) {
        ids.push(pending.readUInt16BE(2));
        pending = pending.subarray(2 + pending.readUInt16BE());
      }
    });
    socket.on("close", () => resolve());
    // cut in the middle of a length, so that it must be put together
    const all = Buffer.concat(bytes);
    socket.write(all.subarray(0, 1));
    // and its own side is closed behind the last query: the answers still come, then the server closes
    setImmediate(() => socket.end(all.subarray(1)));
  });
  expect(ids.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3]);
});

test("a connection that says nothing is closed", async () => {
  await new Promise<void>((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", reject);
    socket.on("close", () => resolve());
  });
});

test.each([{ connectionsPerClient: 2 }, { connections: 2 }])(
  "a client, and all together, have no more connections than their limit: %o",
  async (tcp) => {
    const limited = startDnsServer({ listen: [{ ip: "127.0.0.1", port: 0 }], upstreams: [], tcp });
    await limited.ready;
    const to = limited.addresses()[0]?.port ?? 0;
    const closed: number[] = [];
    const sockets = [];
    for (let i = 0; i < 3; i++) {
      const socket = connect(to, "127.0.0.1");
      socket.on("error", () => {});
      socket.on("close", () => closed.push(i));
      sockets.push(socket);
      await new Promise<void>((resolve) => socket.once("connect", () => resolve()));
    }
    const third = sockets[2];
    if (third !== undefined && !third.destroyed) await new Promise<void>((resolve) => third.once("close", () => resolve()));
    expect(closed).toEqual([2]);
    await limited.close();
  },
);

test("bytes that are no query get no answer, and harm nothing", async () => {
  const socket = createSocket("udp4");
  let answers = 0;
  socket.on("message", () => answers++);
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  for (const bytes of [new Uint8Array(0), new Uint8Array(5), new Uint8Array(1400).fill(255)]) socket.send(bytes, port, "127.0.0.1");
  const m = await queryOnce({ ip: "127.0.0.1", port }, "web.shop.svc.cluster.local.");
  expect(m.rcode).toBe(0);
  expect(answers).toBe(0);
  socket.close();
});

describe.each([
  ["auto", "127.0.0.1"],
  ["portable", "127.0.0.1"],
  ["auto", "::1"],
] as const)("a burst of queries, read %s at %s", (udpIo, ip) => {
  test("has an answer each, those from the chain too", async () => {
    const burst = startDnsServer({ listen: [{ ip, port: 0 }], upstreams: [], udpIo });
    await burst.ready;
    const zone = new DnsZone();
    zone.apply(batchFromEmpty(snapshotOf(shop)));
    burst.apply(zone.full());
    burst.setSynced();
    const to = burst.addresses()[0] ?? { ip: "", port: 0 };
    const names = ["web.shop.svc.cluster.local.", "nope.cluster.local.", "alias.shop.svc.cluster.local.", "store.shop.svc.cluster.local."];
    // fewer than a receive buffer of the default size holds: client and server share this thread
    const count = 150;
    const got = new Map<number, Message>();
    const socket = createSocket(ip === "::1" ? "udp6" : "udp4");
    await new Promise<void>((resolve, reject) => {
      socket.on("error", reject);
      socket.on("message", (bytes: Buffer) => {
        const m = decodeMessage(bytes);
        got.set(m.id, m);
        if (got.size === count) resolve();
      });
      socket.bind(0, ip, () => {
        for (let id = 0; id < count; id++) {
          socket.send(encodeMessage(questionMessage({ name: names[id % 4] ?? "", type: 1, class: 1 }, { id })), to.port, to.ip);
        }
      });
    });
    socket.close();
    await burst.close();
    const wrong = Array.from(got.values()).filter((m) => m.questions[0]?.name !== names[m.id % 4] || m.rcode !== (m.id % 4 === 1 ? 3 : 0));
    expect(wrong).toEqual([]);
    expect(got.get(2)?.answers.length).toBe(2);
  });
});

test("this machine can read in batches, or is not one that should", () => {
  const should = process.platform === "linux" && (process.arch === "x64" || process.arch === "arm64");
  expect(openDatagramBatch() !== undefined).toBe(should);
});

test("metrics count what was asked, by CoreDNS's names", async () => {
  const value = (): number =>
    Number(/coredns_dns_requests_total\{[^}]*proto="udp",family="1",type="TXT"\} (\d+)/.exec(server.metrics())?.[1] ?? 0);
  const before = value();
  await queryOnce({ ip: "127.0.0.1", port }, "dns-version.cluster.local.", { type: "TXT" });
  expect(value()).toBe(before + 1);
  expect(server.metrics()).toMatch(
    /coredns_dns_responses_total\{server="dns:\/\/:\d+",zone="\.",view="",rcode="NXDOMAIN",plugin="kubernetes"\} [1-9]/,
  );
  expect(server.metrics()).toMatch(/coredns_dns_request_duration_seconds_count\{[^}]*\} [1-9]/);
});

test("strangers get the cluster's names, but no recursion", async () => {
  const strict = startDnsServer({ listen: [{ ip: "127.0.0.1", port: 0 }], upstreams: [{ ip: "127.0.0.1", port }], allowedClients: ranges });
  await strict.ready;
  strict.setSynced();
  const at = strict.addresses()[0] ?? { ip: "", port: 0 };
  const own = await queryOnce(at, "nope.cluster.local.");
  const other = await queryOnce(at, "www.example.org.");
  await strict.close();
  expect([own.rcode, own.recursionAvailable, other.rcode, other.recursionAvailable]).toEqual([3, false, 5, false]);
});

test.each([
  ["a port in use", (): Parameters<typeof startDnsServer>[0] => ({ listen: [{ ip: "127.0.0.1", port }] }), /EADDRINUSE/],
  ["a ttl out of range", (): Parameters<typeof startDnsServer>[0] => ({ listen: [], kubernetes: { ttl: 4000 } }), /kubernetes\.ttl: 4000/],
  [
    "a zone that is no name",
    (): Parameters<typeof startDnsServer>[0] => ({ listen: [], kubernetes: { zones: ["a b"] } }),
    /kubernetes\.zones: "a b"/,
  ],
])("%s is a refusal to start", async (_, config, message) => {
  const wrong = startDnsServer(config());
  await expect(wrong.ready).rejects.toThrow(message);
  await wrong.close();
});
