import { createSocket } from "node:dgram";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { questionMessage } from "../../../dns/handler/handler.ts";
import { type DnsServer, startDnsServer } from "../../../dns/server/dns-server.ts";
import { decodeMessage, encodeMessage, flagBits, type Message } from "../../../dns/wire/message.ts";
import { parseType, printRcode } from "../../../dns/wire/record-type.ts";
import { DnsZone } from "../../../dns/zone/dns-zone.ts";
import { batchFromEmpty } from "../../../src/snapshot/snapshot-store.ts";
import { snapshotOf } from "../../support/dns-cases.ts";
import { shop } from "./shop.ts";

let server: DnsServer;
let port = 0;
beforeAll(async () => {
  server = startDnsServer({
    listen: [{ ip: "127.0.0.1", port: 0 }],
    upstreams: [],
    nsid: "node-1",
    cookies: { secret: "e5e973e5a6b2a43f48e7dc849e37bfcf" },
    tcp: { idle: 20_000 },
  });
  await server.ready;
  const zone = new DnsZone();
  zone.apply(batchFromEmpty(snapshotOf(shop)));
  server.apply(zone.full());
  server.setSynced();
  port = server.addresses()[0]?.port ?? 0;
});
afterAll(() => server.close());

/** One query's bytes in parts, so that a test can say what no library would write. */
interface Sent {
  readonly type?: string;
  /** The second word of the head. */
  readonly flags?: number;
  readonly opt?: {
    readonly size?: number;
    readonly version?: number;
    readonly flags?: number;
    /** Code and data in hexadecimal. */
    readonly options?: readonly (readonly [number, string])[];
  };
  readonly copies?: number;
}

function bytesOf(name: string, s: Sent): Uint8Array {
  const { edns: _, ...plain } = questionMessage({ name, type: parseType(s.type ?? "SOA") ?? 0, class: 1 }, { id: 0x4242 });
  const query = Buffer.from(encodeMessage({ ...plain, recursionDesired: false }));
  query.writeUInt16BE(s.flags ?? 0, 2);
  if (s.opt === undefined) return query;
  const options = Buffer.concat(
    (s.opt.options ?? []).map(([code, hex]) => {
      const data = Buffer.from(hex, "hex");
      return Buffer.concat([Buffer.from([code >> 8, code & 255, data.length >> 8, data.length & 255]), data]);
    }),
  );
  const head = Buffer.alloc(11);
  head.writeUInt16BE(41, 1);
  head.writeUInt16BE(s.opt.size ?? 4096, 3);
  head[6] = s.opt.version ?? 0;
  head.writeUInt16BE(s.opt.flags ?? 0, 7);
  head.writeUInt16BE(options.length, 9);
  const copies = s.copies ?? 1;
  query.writeUInt16BE(copies, 10);
  return Buffer.concat([query, ...Array.from({ length: copies }, () => Buffer.concat([head, options]))]);
}

function overUdp(query: Uint8Array): Promise<Uint8Array> {
  const socket = createSocket("udp4");
  return new Promise<Uint8Array>((resolve, reject) => {
    socket.on("error", reject);
    socket.on("message", resolve);
    socket.send(query, port, "127.0.0.1");
  }).finally(() => socket.close());
}

function overTcp(query: Uint8Array): Promise<Uint8Array> {
  const socket = connect(port, "127.0.0.1");
  return new Promise<Uint8Array>((resolve, reject) => {
    let all: Buffer = Buffer.alloc(0);
    socket.on("error", reject);
    socket.on("data", (chunk: Buffer) => {
      all = Buffer.concat([all, chunk]);
      if (all.length >= 2 && all.length >= 2 + all.readUInt16BE()) resolve(all.subarray(2));
    });
    socket.write(Buffer.concat([Buffer.from([query.length >> 8, query.length & 255]), query]));
  }).finally(() => socket.destroy());
}

interface Want {
  readonly rcode: string;
  /** Bits of the head that must be as said; QR is always wanted. */
  readonly flags?: number;
  /** The answer has an OPT record: its flags, and its options as `code:hex`. */
  readonly opt?: { readonly flags?: number; readonly options?: readonly (string | RegExp)[] };
  readonly answers?: number;
}

const clientCookie = "2464c4abcf10c957";
const cookie = [10, clientCookie] as const;
const newCookie = new RegExp(`^10:${clientCookie}01000000[0-9a-f]{24}$`);
const nsid = `3:${Buffer.from("node-1").toString("hex")}`;

// what the DNS flag days' tests ask (ISC's list), and a few more; over UDP and TCP, of names the hot path and the chain answer
const table: readonly (readonly [name: string, sent: Sent, want: Want])[] = [
  ["dns", {}, { rcode: "NOERROR", answers: 1 }],
  ["aa", { flags: flagBits.aa }, { rcode: "NOERROR", answers: 1 }],
  ["ad", { flags: flagBits.ad }, { rcode: "NOERROR", flags: 0, answers: 1 }],
  ["cd", { flags: flagBits.cd }, { rcode: "NOERROR", flags: flagBits.cd, answers: 1 }],
  ["ra", { flags: flagBits.ra }, { rcode: "NOERROR", flags: 0, answers: 1 }],
  ["rd", { flags: flagBits.rd }, { rcode: "NOERROR", flags: flagBits.rd, answers: 1 }],
  ["tc", { flags: flagBits.tc }, { rcode: "NOERROR", flags: 0, answers: 1 }],
  ["zflag", { flags: 0x0040 }, { rcode: "NOERROR", flags: 0, answers: 1 }],
  ["opcode 15", { flags: 15 << 11 }, { rcode: "NOTIMP", answers: 0 }],
  ["opcode 15, with its question", { flags: 15 << 11, opt: {} }, { rcode: "NOTIMP", answers: 0 }],
  ["type 666", { type: "TYPE666" }, { rcode: "NOERROR", answers: 0 }],
  ["edns", { opt: {} }, { rcode: "NOERROR", opt: {}, answers: 1 }],
  ["edns, 512 bytes", { opt: { size: 512 } }, { rcode: "NOERROR", opt: {}, answers: 1 }],
  ["edns, no bytes", { opt: { size: 0 } }, { rcode: "NOERROR", opt: {}, answers: 1 }],
  ["edns version 1", { opt: { version: 1 } }, { rcode: "BADVERS", opt: {}, answers: 0 }],
  ["edns version 100", { opt: { version: 100 } }, { rcode: "BADVERS", opt: {}, answers: 0 }],
  ["edns option 100", { opt: { options: [[100, ""]] } }, { rcode: "NOERROR", opt: { options: [] }, answers: 1 }],
  ["edns version 1 with an option", { opt: { version: 1, options: [[100, ""]] } }, { rcode: "BADVERS", opt: {}, answers: 0 }],
  ["edns flag 0x40", { opt: { flags: 0x40 } }, { rcode: "NOERROR", opt: { flags: 0 }, answers: 1 }],
  ["edns version 1 with a flag", { opt: { version: 1, flags: 0x40 } }, { rcode: "BADVERS", opt: { flags: 0 }, answers: 0 }],
  ["do", { opt: { flags: 0x8000 } }, { rcode: "NOERROR", opt: { flags: 0x8000 }, answers: 1 }],
  [
    "do and cd",
    { flags: flagBits.cd, opt: { flags: 0x8000 } },
    { rcode: "NOERROR", flags: flagBits.cd, opt: { flags: 0x8000 }, answers: 1 },
  ],
  [
    "do and a cookie",
    { opt: { flags: 0x8000, options: [cookie] } },
    { rcode: "NOERROR", opt: { flags: 0x8000, options: [newCookie] }, answers: 1 },
  ],
  ["edns version 1 with do", { opt: { version: 1, flags: 0x8000 } }, { rcode: "BADVERS", opt: {}, answers: 0 }],
  [
    "dnskey with do, 512 bytes",
    { type: "DNSKEY", opt: { size: 512, flags: 0x8000 } },
    { rcode: "NOERROR", opt: { flags: 0x8000 }, answers: 0 },
  ],
  ["nsid", { opt: { options: [[3, ""]] } }, { rcode: "NOERROR", opt: { options: [nsid] }, answers: 1 }],
  ["client subnet", { opt: { options: [[8, "00010000"]] } }, { rcode: "NOERROR", opt: { options: [] }, answers: 1 }],
  ["expire", { opt: { options: [[9, ""]] } }, { rcode: "NOERROR", opt: { options: [] }, answers: 1 }],
  ["cookie", { opt: { options: [cookie] } }, { rcode: "NOERROR", opt: { options: [newCookie] }, answers: 1 }],
  [
    "cookie with a server's part that is not ours",
    { opt: { options: [[10, `${clientCookie}0102030405060708`]] } },
    { rcode: "NOERROR", opt: { options: [newCookie] }, answers: 1 },
  ],
  ["cookie of 7 bytes", { opt: { options: [[10, "01020304050607"]] } }, { rcode: "FORMERR", opt: {}, answers: 0 }],
  ["cookie of 12 bytes", { opt: { options: [[10, "0102030405060708090a0b0c"]] } }, { rcode: "FORMERR", opt: {}, answers: 0 }],
  ["cookie of 41 bytes", { opt: { options: [[10, "01".repeat(41)]] } }, { rcode: "FORMERR", opt: {}, answers: 0 }],
  ["two cookies", { opt: { options: [cookie, [10, "ff".repeat(8)]] } }, { rcode: "NOERROR", opt: { options: [newCookie] }, answers: 1 }],
  [
    "a list of options",
    { opt: { options: [[3, ""], [8, "00010000"], [9, ""], cookie] } },
    { rcode: "NOERROR", opt: { options: [nsid, newCookie] }, answers: 1 },
  ],
  ["padding without encryption", { opt: { options: [[12, "0000"]] } }, { rcode: "NOERROR", opt: { options: [] }, answers: 1 }],
  ["two OPT records", { opt: {}, copies: 2 }, { rcode: "FORMERR", answers: 0 }],
];

function check(sent: Sent, want: Want, bytes: Uint8Array, authoritative: boolean): Message {
  const m = decodeMessage(bytes);
  const flags = ((bytes[2] ?? 0) << 8) | (bytes[3] ?? 0);
  expect([m.id, m.isResponse, printRcode(m.rcode)]).toEqual([0x4242, true, want.rcode]);
  const compared = flagBits.rd | flagBits.cd | flagBits.ad | flagBits.ra | flagBits.tc | 0x0040;
  if (want.flags !== undefined) expect(flags & compared).toBe(want.flags);
  if (want.rcode === "NOERROR") expect(m.authoritative).toBe(authoritative);
  if (want.opt === undefined) {
    if (sent.opt === undefined) expect(m.edns).toBeUndefined();
  } else {
    expect(m.edns?.version).toBe(0);
    expect(m.edns?.udpSize).toBe(1232);
    const opt = bytes.length - 11 - (m.edns?.options ?? []).reduce((n, o) => n + 4 + o.hex.length / 2, 0);
    if (want.opt.flags !== undefined) expect(((bytes[opt + 7] ?? 0) << 8) | (bytes[opt + 8] ?? 0)).toBe(want.opt.flags);
    const options = (m.edns?.options ?? []).map((o) => `${o.code}:${o.hex}`);
    if (want.opt.options !== undefined) {
      expect(options.length).toBe(want.opt.options.length);
      for (const [i, option] of want.opt.options.entries()) expect(options[i]).toMatch(option);
    }
  }
  return m;
}

describe.each([
  ["UDP", overUdp],
  ["TCP", overTcp],
] as const)("over %s", (_, exchange) => {
  test.each(table)("of the zone: %s", async (_name, sent, want) => {
    const m = check(sent, want, await exchange(bytesOf("cluster.local.", sent)), true);
    expect(m.answers.length).toBe(want.answers);
  });

  test.each(table)("of an alias, which the chain answers: %s", async (_name, sent, want) => {
    // its target has no SOA: the alias is the one record
    const m = check(sent, want, await exchange(bytesOf("alias.shop.svc.cluster.local.", sent)), true);
    expect(m.answers.map((r) => r.data.kind)).toEqual(want.answers === 0 && want.rcode !== "NOERROR" ? [] : ["CNAME"]);
  });

  test.each(table.filter(([, , want]) => want.rcode !== "NOERROR"))("of nobody's name: %s", async (_name, sent, want) => {
    check(sent, want, await exchange(bytesOf("example.org.", sent)), false);
  });
});

test("a server cookie is taken back, and given again as it is", async () => {
  const given = decodeMessage(await overUdp(bytesOf("cluster.local.", { opt: { options: [cookie] } }))).edns?.options[0]?.hex ?? "";
  expect(given.length).toBe(48);
  for (const name of ["cluster.local.", "alias.shop.svc.cluster.local."]) {
    const again = decodeMessage(await overUdp(bytesOf(name, { opt: { options: [[10, given]] } })));
    expect(again.edns?.options).toEqual([{ code: 10, hex: given }]);
  }
});

test("a connection's idle time is told to those who ask, over TCP only", async () => {
  for (const name of ["cluster.local.", "alias.shop.svc.cluster.local."]) {
    const query = bytesOf(name, { opt: { options: [[11, ""]] } });
    expect(decodeMessage(await overTcp(query)).edns?.options).toEqual([{ code: 11, hex: "00c8" }]);
    expect(decodeMessage(await overUdp(query)).edns?.options).toEqual([]);
  }
});
