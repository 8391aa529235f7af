import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readCorefile } from "../../../dns/corefile/server-blocks.ts";
import type { DnsServer } from "../../../dns/server/dns-server.ts";
import { printRcode } from "../../../dns/wire/record-type.ts";
import { startShopServer } from "./shop-server.ts";

const u16 = (...numbers: readonly number[]): Buffer => {
  const out = Buffer.alloc(2 * numbers.length);
  for (const [i, n] of numbers.entries()) out.writeUInt16BE(n, 2 * i);
  return out;
};
const label = (text: string): Buffer => Buffer.concat([Buffer.from([text.length]), Buffer.from(text, "latin1")]);
const nameOf = (text: string): Buffer => Buffer.concat([...text.split(".").map(label), Buffer.from([0])]);
const web = nameOf("web.shop.svc.cluster.local");
const rd = 0x100;
const head = (flags: number, ...counts: readonly number[]): Buffer =>
  u16(0x4242, flags, counts[0] ?? 1, counts[1] ?? 0, counts[2] ?? 0, counts[3] ?? 0);
const question = (o: { readonly name?: Buffer; readonly type?: number; readonly class?: number } = {}): Buffer =>
  Buffer.concat([o.name ?? web, u16(o.type ?? 1, o.class ?? 1)]);
const opt = (o: { readonly size?: number; readonly version?: number; readonly options?: Buffer } = {}): Buffer => {
  const options = o.options ?? Buffer.alloc(0);
  return Buffer.concat([Buffer.from([0]), u16(41, o.size ?? 1232), Buffer.from([0, o.version ?? 0]), u16(0, options.length), options]);
};
const asked = (...parts: readonly Buffer[]): Buffer => Buffer.concat(parts);
const withOpt = (...records: readonly Buffer[]): Buffer => asked(head(rd, 1, 0, 0, records.length), question(), ...records);
const record = Buffer.concat([web, u16(1, 1, 0, 5, 4), Buffer.from([1, 2, 3, 4])]);
const long = (lastLabel: number): Buffer =>
  Buffer.concat([...Array.from({ length: 63 }, () => label("aaa")), label("a".repeat(lastLabel)), Buffer.from([0])]);

/** What comes in, and what is said to it: a code, or nothing. */
const cases: readonly (readonly [what: string, query: Buffer, want: string])[] = [
  ["a question", asked(head(rd), question()), "NOERROR"],
  ["one byte", Buffer.from([1]), "silence"],
  ["less than a head", head(rd).subarray(0, 11), "silence"],
  ["an answer", asked(head(0x8180), question()), "silence"],
  ["an answer without a question", head(0x8180, 0), "silence"],
  ["no question", head(rd, 0), "FORMERR"],
  ["no question, but an OPT record", asked(head(rd, 0, 0, 0, 1), opt()), "FORMERR"],
  ["a question announced", head(rd), "FORMERR"],
  ["two questions", asked(head(rd, 2), question(), question()), "FORMERR"],
  ["two questions announced", asked(head(rd, 2), question()), "FORMERR"],
  ["65535 questions announced", asked(head(rd, 65535), question()), "FORMERR"],
  ["a name that is a pointer to itself", asked(head(rd), Buffer.from([0xc0, 12]), u16(1, 1)), "FORMERR"],
  ["a name that points ahead", asked(head(rd), Buffer.from([0xc0, 40]), u16(1, 1)), "FORMERR"],
  ["a name that points into the head", asked(head(rd), Buffer.from([0xc0, 0]), u16(1, 1)), "FORMERR"],
  ["a label of type 01", asked(head(rd), Buffer.from([0x41, 0x61, 0]), u16(1, 1)), "FORMERR"],
  ["a label of type 10", asked(head(rd), Buffer.from([0x81, 0x61, 0]), u16(1, 1)), "FORMERR"],
  ["a label longer than the message", asked(head(rd), Buffer.from([63, 97, 97])), "FORMERR"],
  ["a name of 256 bytes", asked(head(rd), question({ name: long(2) })), "FORMERR"],
  ["a name of 255 bytes", asked(head(rd), question({ name: long(1) })), "REFUSED"],
  ["a question that ends in its type", asked(head(rd), web, Buffer.from([0])), "FORMERR"],
  ["something behind the question", asked(head(rd), question(), Buffer.from("garbage")), "FORMERR"],
  ["60,000 bytes behind it", asked(head(rd), question(), Buffer.alloc(60_000, 7)), "FORMERR"],
  ["a record announced", asked(head(rd, 1, 0, 0, 1), question()), "FORMERR"],
  ["65535 records announced", asked(head(rd, 1, 0, 0, 65535), question(), opt()), "FORMERR"],
  ["two OPT records", withOpt(opt(), opt()), "FORMERR"],
  ["an OPT record of version 1", withOpt(opt({ version: 1 })), "NOERROR"],
  ["an OPT record that takes 0 bytes", withOpt(opt({ size: 0 })), "NOERROR"],
  ["an option that ends early", withOpt(opt({ options: u16(10, 30) })), "FORMERR"],
  ["an OPT record longer than the message", withOpt(Buffer.concat([opt().subarray(0, 9), u16(40)])), "FORMERR"],
  ["an option nobody knows", withOpt(opt({ options: u16(65001, 2, 7) })), "NOERROR"],
  ["an OPT record with a name", withOpt(Buffer.concat([label("a"), opt()])), "FORMERR"],
  ["an OPT record among the answers", asked(head(rd, 1, 1), question(), opt()), "FORMERR"],
  ["an answer in a question", asked(head(rd, 1, 1), question(), record), "FORMERR"],
  ["an authority in a question", asked(head(rd, 1, 0, 1), question(), record), "NOERROR"],
  ["a TSIG record of a key nobody has", withOpt(Buffer.concat([nameOf("key"), u16(250, 255, 0, 0, 0)])), "NOERROR"],
  ...[1, 2, 3, 5, 6, 7, 15].map((n) => [`opcode ${n}`, asked(head(rd | (n << 11)), question()), "NOTIMP"] as const),
  ["NOTIFY of a zone nobody keeps", asked(head(4 << 11), question({ type: 6 })), "NOTIMP"],
  ["DSO, which has no question", head(6 << 11, 0), "NOTIMP"],
  ...[0, 3, 4, 254, 255, 9999].map((n) => [`class ${n}`, asked(head(rd), question({ class: n })), "REFUSED"] as const),
  ["type OPT", asked(head(rd), question({ type: 41 })), "FORMERR"],
  ["AXFR by who may not", asked(head(rd), question({ type: 252 })), "REFUSED"],
  ["IXFR by who may not", asked(head(rd), question({ type: 251 })), "REFUSED"],
  ["type 0", asked(head(rd), question({ type: 0 })), "NOERROR"],
  ["type 65535", asked(head(rd), question({ type: 65535 })), "NOERROR"],
  ["TC, AA, Z and a code set", asked(head(rd | 0x0645), question()), "NOERROR"],
];

const kubernetes = " kubernetes cluster.local";
/** Answered from memory; by a chain that has a say in every name; by a table behind plugins that let other classes through. */
const corefiles: readonly (readonly [string, string])[] = [
  ["kubernetes alone", kubernetes],
  ["a rewrite of every name", ` rewrite stop name exact nobody.test somebody.test\n rewrite ttl regex .* 7\n${kubernetes}`],
  [
    "hosts",
    " chaos fairway\n template ANY ANY other.test {\n  rcode NXDOMAIN\n }\n local\n hosts {\n  10.0.0.1 web.shop.svc.cluster.local\n  fallthrough\n }",
  ],
];

/** Silence is when what was asked after it has its answer. */
async function overUdp(port: number, query: Buffer, want: string): Promise<string> {
  const socket = createSocket("udp4");
  try {
    const probe = asked(u16(0x0101), head(rd).subarray(2), question());
    const heard = new Promise<string>((resolve) => {
      socket.on("message", (answer: Buffer) => {
        if (answer.readUInt16BE() !== 0x0101) resolve(printRcode(answer.readUInt8(3) & 15));
        else if (want === "silence") resolve("silence");
      });
    });
    socket.send(query, port, "127.0.0.1");
    socket.send(probe, port, "127.0.0.1");
    return await heard;
  } finally {
    socket.close();
  }
}

async function overTcp(port: number, query: Buffer): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  try {
    socket.end(Buffer.concat([u16(query.length), query]));
    let got: Buffer = Buffer.alloc(0);
    socket.on("data", (chunk: Buffer) => (got = Buffer.concat([got, chunk])));
    await once(socket, "close");
    return got.length === 0 ? "silence" : printRcode(got.readUInt8(5) & 15);
  } finally {
    socket.destroy();
  }
}

describe.each(corefiles)("with %s", (_, plugins) => {
  let server: DnsServer;
  let port = 0;
  beforeAll(async () => {
    const blocks = readCorefile(`.:53 {\n${plugins}\n}\n`, "Corefile", { folder: "/" });
    ({ server, port } = await startShopServer(blocks));
  });
  afterAll(() => server.close());

  test.each(cases)("%s over UDP", async (_what, query, want) => {
    expect(await overUdp(port, query, want)).toBe(want);
  });
  test.each(cases)("%s over TCP", async (_what, query, want) => {
    expect(await overTcp(port, query)).toBe(want);
  });
});
