import { ipBytes, ipFromBytes } from "../../src/base/ip.ts";
import { ParseError } from "./errors.ts";
import { readName } from "./name.ts";
import type { RecordData, SvcParam } from "./record.ts";
import { typeNumbers } from "./record-type.ts";
import type { WireWriter } from "./wire-writer.ts";

/** A place in a message that must not be passed: `end` is the record's, `bytes` the whole message for compressed names. */
interface Cursor {
  readonly bytes: Uint8Array;
  at: number;
  readonly end: number;
}

type Decode = (c: Cursor) => RecordData;

/** Types whose names may be compressed in data are those of RFC 1035 only (RFC 3597 section 4); reading accepts it everywhere. */
const decoders: ReadonlyMap<number, Decode> = new Map<number, Decode>([
  [typeNumbers.A, (c) => ({ kind: "A", ip: ipFromBytes(take(c, 4)) })],
  [typeNumbers.AAAA, (c) => ({ kind: "AAAA", ip: ipFromBytes(take(c, 16)) })],
  [typeNumbers.NS, (c) => ({ kind: "NS", target: name(c) })],
  [typeNumbers.CNAME, (c) => ({ kind: "CNAME", target: name(c) })],
  [typeNumbers.PTR, (c) => ({ kind: "PTR", target: name(c) })],
  [typeNumbers.DNAME, (c) => ({ kind: "DNAME", target: name(c) })],
  [
    typeNumbers.SOA,
    (c) => ({
      kind: "SOA",
      primary: name(c),
      mailbox: name(c),
      serial: u32(c),
      refresh: u32(c),
      retry: u32(c),
      expire: u32(c),
      minimum: u32(c),
    }),
  ],
  [typeNumbers.MX, (c) => ({ kind: "MX", preference: u16(c), exchange: name(c) })],
  [typeNumbers.TXT, (c) => ({ kind: "TXT", texts: texts(c) })],
  [typeNumbers.SPF, (c) => ({ kind: "SPF", texts: texts(c) })],
  [typeNumbers.HINFO, (c) => ({ kind: "HINFO", cpu: text(c), os: text(c) })],
  [typeNumbers.SRV, (c) => ({ kind: "SRV", priority: u16(c), weight: u16(c), port: u16(c), target: name(c) })],
  [
    typeNumbers.NAPTR,
    (c) => ({
      kind: "NAPTR",
      order: u16(c),
      preference: u16(c),
      flags: text(c),
      services: text(c),
      regexp: text(c),
      replacement: name(c),
    }),
  ],
  [typeNumbers.CAA, (c) => ({ kind: "CAA", flags: u8(c), tag: text(c), value: latin1(take(c, c.end - c.at)) })],
  [typeNumbers.URI, (c) => ({ kind: "URI", priority: u16(c), weight: u16(c), target: latin1(take(c, c.end - c.at)) })],
  [typeNumbers.SVCB, (c) => ({ kind: "SVCB", priority: u16(c), target: name(c), params: params(c) })],
  [typeNumbers.HTTPS, (c) => ({ kind: "HTTPS", priority: u16(c), target: name(c), params: params(c) })],
]);

/** Reads the data of a record of `type` that lies in `[at, at + length)`. Throws a ParseError. */
export function decodeRecordData(bytes: Uint8Array, at: number, length: number, type: number): RecordData {
  const cursor: Cursor = { bytes, at, end: at + length };
  if (cursor.end > bytes.length) throw new ParseError("truncated");
  const decode = decoders.get(type);
  if (decode === undefined) return { kind: "other", type, hex: hexOf(bytes.subarray(at, at + length)) };
  const data = decode(cursor);
  if (cursor.at !== cursor.end) throw new ParseError("bad-record");
  return data;
}

/** Writes the data without its length. Names of RFC 1035's types are compressed when the writer compresses. */
export function writeRecordData(w: WireWriter, data: RecordData): void {
  switch (data.kind) {
    case "A":
    case "AAAA":
      w.bytes(ipBytes(data.ip));
      return;
    case "NS":
    case "CNAME":
    case "PTR":
      w.compressedName(data.target);
      return;
    case "DNAME":
      w.plainName(data.target);
      return;
    case "SOA":
      w.compressedName(data.primary);
      w.compressedName(data.mailbox);
      for (const n of [data.serial, data.refresh, data.retry, data.expire, data.minimum]) w.u32(n);
      return;
    case "MX":
      w.u16(data.preference);
      w.compressedName(data.exchange);
      return;
    case "TXT":
    case "SPF":
      for (const t of data.texts) writeText(w, t);
      return;
    case "HINFO":
      writeText(w, data.cpu);
      writeText(w, data.os);
      return;
    case "SRV":
      w.u16(data.priority);
      w.u16(data.weight);
      w.u16(data.port);
      w.plainName(data.target);
      return;
    case "NAPTR":
      w.u16(data.order);
      w.u16(data.preference);
      for (const t of [data.flags, data.services, data.regexp]) writeText(w, t);
      w.plainName(data.replacement);
      return;
    case "CAA":
      w.u8(data.flags);
      writeText(w, data.tag);
      w.bytes(Buffer.from(data.value, "latin1"));
      return;
    case "URI":
      w.u16(data.priority);
      w.u16(data.weight);
      w.bytes(Buffer.from(data.target, "latin1"));
      return;
    case "SVCB":
    case "HTTPS":
      w.u16(data.priority);
      w.plainName(data.target);
      for (const p of data.params) {
        w.u16(p.key);
        w.u16(p.hex.length / 2);
        w.bytes(Buffer.from(p.hex, "hex"));
      }
      return;
    case "other":
      w.bytes(Buffer.from(data.hex, "hex"));
      return;
  }
}

/** A text longer than 255 bytes cannot be one string of the wire. */
function writeText(w: WireWriter, value: string): void {
  if (value.length > 255) throw new ParseError("bad-record", "a text has more than 255 bytes");
  w.u8(value.length);
  w.bytes(Buffer.from(value, "latin1"));
}

function take(c: Cursor, length: number): Uint8Array {
  if (c.at + length > c.end) throw new ParseError("bad-record");
  const part = c.bytes.subarray(c.at, c.at + length);
  c.at += length;
  return part;
}

function u8(c: Cursor): number {
  return take(c, 1)[0] ?? 0;
}

function u16(c: Cursor): number {
  const b = take(c, 2);
  return ((b[0] ?? 0) << 8) | (b[1] ?? 0);
}

function u32(c: Cursor): number {
  const b = take(c, 4);
  return (((b[0] ?? 0) << 24) | ((b[1] ?? 0) << 16) | ((b[2] ?? 0) << 8) | (b[3] ?? 0)) >>> 0;
}

function name(c: Cursor): string {
  const read = readName(c.bytes, c.at, c.end);
  c.at = read.next;
  return read.name;
}

function text(c: Cursor): string {
  return latin1(take(c, u8(c)));
}

/** At least one string (RFC 1035 section 3.3.14). */
function texts(c: Cursor): readonly string[] {
  const list = [text(c)];
  while (c.at < c.end) list.push(text(c));
  return list;
}

function params(c: Cursor): readonly SvcParam[] {
  const list: SvcParam[] = [];
  while (c.at < c.end) {
    const key = u16(c);
    list.push({ key, hex: hexOf(take(c, u16(c))) });
  }
  return list;
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
}
