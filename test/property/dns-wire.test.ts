import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isParseError } from "../../dns/wire/errors.ts";
import { decodeMessage, encodeMessage, type Message } from "../../dns/wire/message.ts";
import { encodeName, nameLabels, readName } from "../../dns/wire/name.ts";
import type { RecordData, ResourceRecord } from "../../dns/wire/record.ts";
import { parseRecord, printRecord } from "../../dns/wire/zone-file.ts";
import { ipFromBytes } from "../../src/base/ip.ts";
import { runs } from "../support/runs.ts";

const u8 = fc.integer({ min: 0, max: 255 });
const u16 = fc.integer({ min: 0, max: 0xffff });
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const bytes = (min: number, max: number): fc.Arbitrary<string> =>
  fc.uint8Array({ minLength: min, maxLength: max }).map((b) => Buffer.from(b).toString("latin1"));
const hex = (max: number): fc.Arbitrary<string> => fc.uint8Array({ maxLength: max }).map((b) => Buffer.from(b).toString("hex"));
/** Any bytes may stand in a label; read back, they have their escapes. */
const name = fc.array(fc.uint8Array({ minLength: 1, maxLength: 20 }), { maxLength: 8 }).map((labels) => {
  const wire = Uint8Array.from([...labels.flatMap((l) => [l.length, ...l]), 0]);
  return readName(wire, 0).name;
});
const ip = (length: 4 | 16): fc.Arbitrary<string> => fc.uint8Array({ minLength: length, maxLength: length }).map(ipFromBytes);
const data: fc.Arbitrary<RecordData> = fc.oneof(
  ip(4).map((a): RecordData => ({ kind: "A", ip: a })),
  ip(16).map((a): RecordData => ({ kind: "AAAA", ip: a })),
  fc.record({ kind: fc.constantFrom("NS", "CNAME", "PTR", "DNAME"), target: name }),
  fc.record({
    kind: fc.constant("SOA"),
    primary: name,
    mailbox: name,
    serial: u32,
    refresh: u32,
    retry: u32,
    expire: u32,
    minimum: u32,
  }),
  fc.record({ kind: fc.constant("MX"), preference: u16, exchange: name }),
  fc.record({ kind: fc.constantFrom("TXT", "SPF"), texts: fc.array(bytes(0, 255), { minLength: 1, maxLength: 3 }) }),
  fc.record({ kind: fc.constant("HINFO"), cpu: bytes(0, 20), os: bytes(0, 20) }),
  fc.record({ kind: fc.constant("SRV"), priority: u16, weight: u16, port: u16, target: name }),
  fc.record({
    kind: fc.constant("NAPTR"),
    order: u16,
    preference: u16,
    flags: bytes(0, 4),
    services: bytes(0, 20),
    regexp: bytes(0, 40),
    replacement: name,
  }),
  fc.record({ kind: fc.constant("CAA"), flags: u8, tag: fc.stringMatching(/^[a-z0-9]{1,15}$/), value: bytes(0, 40) }),
  fc.record({ kind: fc.constant("URI"), priority: u16, weight: u16, target: bytes(1, 40) }),
  fc.record({
    kind: fc.constantFrom("SVCB", "HTTPS"),
    priority: u16,
    target: name,
    params: fc.array(fc.record({ key: u16, hex: hex(10) }), { maxLength: 3 }),
  }),
  fc.record({ kind: fc.constant("other"), type: fc.constantFrom(17, 43, 44, 46, 47, 48, 50, 51, 52, 65280), hex: hex(40) }),
  // signatures and proofs that are well made
  fc.tuple(u16, u8, u32, name, hex(64)).map(([type, labels, time, signer, signature]): RecordData => {
    const head = Buffer.alloc(18);
    head.writeUInt16BE(type);
    head.writeUInt8(labels, 3);
    head.writeUInt32BE(time, 8);
    return { kind: "other", type: 46, hex: Buffer.concat([head, encodeName(signer), Buffer.from(signature, "hex")]).toString("hex") };
  }),
  fc.tuple(name, fc.uint8Array({ minLength: 1, maxLength: 32 })).map(([next, bits]): RecordData => {
    const ended = [...bits.subarray(0, -1), (bits.at(-1) ?? 0) | 1];
    return { kind: "other", type: 47, hex: Buffer.concat([encodeName(next), Uint8Array.of(1, ended.length, ...ended)]).toString("hex") };
  }),
);
const record: fc.Arbitrary<ResourceRecord> = fc.record({
  name,
  class: fc.constantFrom(1, 3, 255),
  ttl: fc.integer({ min: 0, max: 0x7fffffff }),
  data,
});
const bit = fc.boolean();
const message: fc.Arbitrary<Message> = fc.record(
  {
    id: u16,
    isResponse: bit,
    opcode: fc.integer({ min: 0, max: 15 }),
    authoritative: bit,
    truncated: fc.constant(false),
    recursionDesired: bit,
    recursionAvailable: bit,
    authenticData: bit,
    checkingDisabled: bit,
    rcode: fc.integer({ min: 0, max: 15 }),
    questions: fc.array(fc.record({ name, type: u16, class: u16 }), { maxLength: 2 }),
    answers: fc.array(record, { maxLength: 4 }),
    authority: fc.array(record, { maxLength: 2 }),
    additional: fc.array(record, { maxLength: 2 }),
    edns: fc.record({
      udpSize: u16,
      version: u8,
      dnssecOk: bit,
      options: fc.array(fc.record({ code: u16, hex: hex(12) }), { maxLength: 3 }),
    }),
  },
  {
    requiredKeys: [
      "id",
      "isResponse",
      "opcode",
      "authoritative",
      "truncated",
      "recursionDesired",
      "recursionAvailable",
      "authenticData",
      "checkingDisabled",
      "rcode",
      "questions",
      "answers",
      "authority",
      "additional",
    ],
  },
);

describe("messages", () => {
  test("decode takes what encode makes", () => {
    fc.assert(
      fc.property(message, (m) => {
        expect(decodeMessage(encodeMessage(m))).toEqual(m);
      }),
      runs(300),
    );
  });

  test("with a limit, what is left is the beginning of what was there, within the limit", () => {
    fc.assert(
      fc.property(message, fc.integer({ min: 12, max: 600 }), (m, limit) => {
        const encoded = encodeMessage(m, limit);
        const opt = m.edns === undefined ? 0 : 11 + m.edns.options.reduce((n, o) => n + 4 + o.hex.length / 2, 0);
        expect(encoded.length).toBeLessThanOrEqual(Math.max(limit, 12 + opt));
        const cut = decodeMessage(encoded);
        expect(cut.answers).toEqual(m.answers.slice(0, cut.answers.length));
        expect(cut.truncated).toBe(cut.answers.length < m.answers.length || cut.questions.length < m.questions.length);
      }),
      runs(200),
    );
  });

  test("decode throws nothing but a ParseError: random bytes", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), onlyParseErrors), runs(1000));
  });

  test("decode throws nothing but a ParseError: messages with bytes changed or cut off", () => {
    const change = fc.tuple(fc.nat(600), u8);
    fc.assert(
      fc.property(message, fc.array(change, { maxLength: 5 }), fc.option(fc.nat(600)), (m, changes, cut) => {
        const encoded = encodeMessage(m);
        for (const [at, value] of changes) encoded[at % encoded.length] = value;
        onlyParseErrors(cut === null ? encoded : encoded.subarray(0, cut));
      }),
      runs(500),
    );
  });

  test("pointers that loop, point forward or make a name too long are refused at once", () => {
    const head = [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    const loop = Uint8Array.from([...head, 0xc0, 12, 0, 1, 0, 1]);
    const forward = Uint8Array.from([...head, 0xc0, 14, 0, 0, 1, 0, 1]);
    const long = Uint8Array.from([
      ...head,
      ...Array.from({ length: 5 }, () => [60, ...new Array<number>(60).fill(97)]).flat(),
      0,
      0,
      1,
      0,
      1,
    ]);
    expect([loop, forward, long].map(codeOf)).toEqual(["bad-pointer", "bad-pointer", "name-too-long"]);
    // 65535 bytes that count the most records a head can
    const counts = new Uint8Array(0xffff);
    counts.set([0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]);
    expect(codeOf(counts)).toBe("bad-count");
  });
});

describe("text", () => {
  test("parse takes what print makes, for names and for records", () => {
    fc.assert(
      fc.property(record, (r) => {
        expect(readName(encodeName(r.name), 0).name).toBe(r.name);
        expect(parseRecord(printRecord(r))).toEqual(r);
      }),
      runs(500),
    );
  });

  test("parse throws nothing but a ParseError", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          record.map((r) => `${printRecord(r).slice(0, -3)}`),
        ),
        (line) => {
          try {
            parseRecord(line);
          } catch (error) {
            if (!isParseError(error)) throw error;
          }
        },
      ),
      runs(500),
    );
  });

  test("labels are those that were put together", () => {
    fc.assert(
      fc.property(name, (n) => {
        expect(n === "." ? "." : `${nameLabels(n).join(".")}.`).toBe(n);
      }),
      runs(100),
    );
  });
});

function onlyParseErrors(encoded: Uint8Array): void {
  try {
    decodeMessage(encoded);
  } catch (error) {
    if (!isParseError(error)) throw error;
  }
}

function codeOf(encoded: Uint8Array): string {
  try {
    decodeMessage(encoded);
    return "none";
  } catch (error) {
    if (!isParseError(error)) throw error;
    return error.code;
  }
}
