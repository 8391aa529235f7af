import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { connect } from "node:net";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { questionMessage } from "../../dns/handler/handler.ts";
import { type DnsServer, startDnsServer } from "../../dns/server/dns-server.ts";
import { decodeMessage, encodeMessage } from "../../dns/wire/message.ts";
import { rcodes } from "../../dns/wire/record-type.ts";
import { DnsZone } from "../../dns/zone/dns-zone.ts";
import { batchFromEmpty } from "../../src/snapshot/snapshot-store.ts";
import { snapshotOf } from "../support/dns-cases.ts";
import { runs, timeLimit } from "../support/runs.ts";
import { shop } from "../unit/dns/shop.ts";

let server: DnsServer;
let port = 0;
let socket: UdpSocket;
beforeAll(async () => {
  server = startDnsServer({
    listen: [{ ip: "127.0.0.1", port: 0 }],
    upstreams: [],
    transfer: [{ to: "*" }],
    nsid: "x",
    tcp: { connectionsPerClient: 1000 },
  });
  await server.ready;
  const zone = new DnsZone();
  zone.apply(batchFromEmpty(snapshotOf(shop)));
  server.apply(zone.full());
  server.setSynced();
  port = server.addresses()[0]?.port ?? 0;
  socket = createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
});
afterAll(async () => {
  socket.close();
  await server.close();
});

const labels = fc.constantFrom(
  "web",
  "shop",
  "svc",
  "cluster",
  "local",
  "_http",
  "_tcp",
  "1-2-3-4",
  "pod",
  "in-addr",
  "arpa",
  "10",
  "",
  "a".repeat(63),
);
const name = fc.oneof(
  fc.constantFrom("web.shop.svc.cluster.local.", "alias.shop.svc.cluster.local.", "circle.shop.svc.cluster.local.", "example.org.", "."),
  fc.array(labels, { maxLength: 12 }).map((l) => `${l.filter((x) => x !== "").join(".")}.`),
);
const record = (hex: string): Buffer => Buffer.from(hex, "hex");
/** What stands behind a question: OPT records, one after the other or broken, records of other sections, pointers to nowhere. */
const extra = fc.oneof(
  fc.constant(record("0000291000000000000000")),
  fc.constant(record("0000291000000080000000")),
  fc.constant(record("0000291000000000000c000a00080102030405060708")),
  fc.constant(record("0000291000000000000c000a00ff0102030405060708")),
  fc.constant(record("00002910000001000000ff")),
  fc.constant(record("c00c00010001000000050004c0000201")),
  fc.constant(record("c0ff00010001000000050004c0000201")),
  fc.constant(record("c00c0006000100000005ffff")),
  fc.uint8Array({ maxLength: 40 }).map((b) => Buffer.from(b)),
);
const word = fc.oneof(fc.constant(0), fc.constant(1), fc.constant(2), fc.constant(0xffff), fc.nat(0xffff));

/** A query that looks like one, with any of its parts as no client would have it. */
const hostile = fc
  .record({
    name: name.filter((n) => n.length < 250),
    type: fc.oneof(fc.constantFrom(1, 28, 5, 6, 33, 12, 255, 251, 252, 41, 250, 249, 253, 0, 65535), word),
    class: fc.constantFrom(1, 1, 1, 3, 4, 254, 255, 0, 65535),
    flags: fc.oneof(fc.constant(0x0100), fc.constant(0x2000), fc.constant(0x2800), word),
    counts: fc.oneof(fc.constant([1, 0, 0]), fc.tuple(word, word, word)),
    extras: fc.array(extra, { maxLength: 4 }),
    cut: fc.option(fc.nat(80)),
  })
  .map((q) => {
    const { edns: _, ...m } = questionMessage({ name: q.name, type: q.type, class: q.class }, { id: 0 });
    const head = Buffer.from(encodeMessage(m));
    head.writeUInt16BE(q.flags, 2);
    head.writeUInt16BE(q.counts[0] ?? 1, 4);
    head.writeUInt16BE(q.counts[1] ?? 0, 6);
    head.writeUInt16BE(q.counts[2] ?? 0, 8);
    head.writeUInt16BE(q.extras.length, 10);
    const bytes = Buffer.concat([head, ...q.extras]);
    return q.cut === null ? bytes : bytes.subarray(0, q.cut);
  });
const anyQuery = fc.oneof(
  { weight: 4, arbitrary: hostile },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 700 }).map((b) => Buffer.from(b)) },
);

const sentinelId = 0xbeef;
const sentinel = encodeMessage(questionMessage({ name: "web.shop.svc.cluster.local.", type: 1, class: 1 }, { id: sentinelId }));
const known = new Set<number>(Object.values(rcodes));

/** Questions sent, and answers had, in all rounds: what the chain answers may come in a later one. */
const total = { asked: 0, answered: 0 };

/** What came back for some datagrams, up to the answer to a plain question sent behind them: it must come. */
async function exchange(datagrams: readonly Buffer[]): Promise<readonly Buffer[]> {
  const got: Buffer[] = [];
  const ended = new Promise<void>((resolve) => {
    const onMessage = (bytes: Buffer): void => {
      if (bytes.readUInt16BE() === sentinelId) {
        socket.off("message", onMessage);
        resolve();
        return;
      }
      total.answered++;
      got.push(bytes);
    };
    socket.on("message", onMessage);
  });
  for (const bytes of datagrams) {
    if (bytes.length >= 2) bytes.writeUInt16BE(0x1111);
    socket.send(bytes, port, "127.0.0.1");
    total.asked++;
  }
  socket.send(sentinel, port, "127.0.0.1");
  await ended;
  return got;
}

test(
  "whatever comes over UDP gets no more answers than questions, each a message no longer than it may be",
  async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyQuery, { minLength: 1, maxLength: 8 }), async (datagrams) => {
        const answers = await exchange(datagrams);
        expect(total.answered).toBeLessThanOrEqual(total.asked);
        for (const bytes of answers) {
          expect(bytes.length).toBeLessThanOrEqual(1232);
          const m = decodeMessage(bytes);
          expect(m.isResponse).toBe(true);
          expect(known.has(m.rcode)).toBe(true);
        }
      }),
      runs(150),
    );
  },
  timeLimit(60_000),
);

test(
  "whatever comes over TCP ends in answers or the end of that connection, and others go on",
  async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyQuery, { minLength: 1, maxLength: 6 }), fc.boolean(), async (messages, framed) => {
        const client = connect(port, "127.0.0.1");
        let all: Buffer = Buffer.alloc(0);
        client.on("data", (chunk: Buffer) => (all = Buffer.concat([all, chunk])));
        client.on("error", () => {});
        const parts = framed ? messages.flatMap((m) => [Buffer.from([m.length >> 8, m.length & 255]), m]) : messages;
        client.end(Buffer.concat(parts));
        // what is only half a message is waited for: the client has closed its side, so this ends
        await once(client, "close");
        while (all.length >= 2 && all.length >= 2 + all.readUInt16BE()) {
          decodeMessage(all.subarray(2, 2 + all.readUInt16BE()));
          all = all.subarray(2 + all.readUInt16BE());
        }
        expect(all.length).toBe(0);
      }),
      runs(60),
    );
  },
  timeLimit(60_000),
);

test("a name of pointers that would take forever, and a message that counts 65,535 records, cost no time", () => {
  // 65,535 pointers each to the one before: decoding is linear because a pointer only leads down
  const chain = Buffer.alloc(0x3ffe + 12);
  chain.writeUInt16BE(1, 4);
  for (let at = 14; at + 2 <= chain.length; at += 2) chain.writeUInt16BE(0xc000 | (at - 2), at);
  const many = Buffer.alloc(65_535);
  many.fill(0xff, 4, 12);
  const started = performance.now();
  for (let i = 0; i < 20; i++) {
    expect(() => decodeMessage(chain)).toThrow();
    expect(() => decodeMessage(many)).toThrow();
  }
  // two milliseconds on a quiet machine
  expect(performance.now() - started).toBeLessThan(2000);
});
