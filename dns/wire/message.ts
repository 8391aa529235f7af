import { putU16, u16 } from "./big-endian.ts";
import { decodeEdnsOptions, type Edns } from "./edns.ts";
import { ParseError } from "./errors.ts";
import { type DomainName, readName } from "./name.ts";
import { type ResourceRecord, typeOf } from "./record.ts";
import { decodeRecordData, writeRecordData } from "./record-data.ts";
import { typeNumbers } from "./record-type.ts";
import { WireFull, WireWriter } from "./wire-writer.ts";

export interface Question {
  readonly name: DomainName;
  readonly type: number;
  readonly class: number;
}

/** A query or an answer as a value. OPT is in `edns`, never in `additional`. */
export interface Message {
  readonly id: number;
  readonly isResponse: boolean;
  readonly opcode: number;
  readonly authoritative: boolean;
  readonly truncated: boolean;
  readonly recursionDesired: boolean;
  readonly recursionAvailable: boolean;
  readonly authenticData: boolean;
  readonly checkingDisabled: boolean;
  /** With the extended bits of EDNS: 0–4095; above 15 needs `edns`. */
  readonly rcode: number;
  readonly questions: readonly Question[];
  readonly answers: readonly ResourceRecord[];
  readonly authority: readonly ResourceRecord[];
  readonly additional: readonly ResourceRecord[];
  readonly edns?: Edns;
}

/** Bits of the header's second 16-bit word (RFC 1035 section 4.1.1, RFC 4035 section 3). */
export const flagBits = { qr: 0x8000, aa: 0x0400, tc: 0x0200, rd: 0x0100, ra: 0x0080, ad: 0x0020, cd: 0x0010 } as const;
export const headerBytes = 12;
/** Root name, type, class, TTL, length: the least a record can be. */
const leastRecordBytes = 11;
const leastQuestionBytes = 5;

/** Throws a ParseError for whatever is no message: cut off, looping, counting more than it holds, with bytes behind. */
export function decodeMessage(bytes: Uint8Array): Message {
  if (bytes.length < headerBytes) throw new ParseError("truncated");
  const flags = u16(bytes, 2);
  const counts = [u16(bytes, 4), u16(bytes, 6), u16(bytes, 8), u16(bytes, 10)] as const;
  const least = counts[0] * leastQuestionBytes + (counts[1] + counts[2] + counts[3]) * leastRecordBytes;
  if (least > bytes.length - headerBytes) throw new ParseError("bad-count");

  let at = headerBytes;
  const questions: Question[] = [];
  for (let i = 0; i < counts[0]; i++) {
    const { name, next } = readName(bytes, at);
    if (next + 4 > bytes.length) throw new ParseError("truncated");
    questions.push({ name, type: u16(bytes, next), class: u16(bytes, next + 2) });
    at = next + 4;
  }
  let edns: Edns | undefined;
  let extendedRcode = 0;
  const section = (count: number): ResourceRecord[] => {
    const records: ResourceRecord[] = [];
    for (let i = 0; i < count; i++) {
      const { name, next } = readName(bytes, at);
      if (next + 10 > bytes.length) throw new ParseError("truncated");
      const type = u16(bytes, next);
      const rrClass = u16(bytes, next + 2);
      const ttl = ((u16(bytes, next + 4) << 16) | u16(bytes, next + 6)) >>> 0;
      const length = u16(bytes, next + 8);
      const dataAt = next + 10;
      if (dataAt + length > bytes.length) throw new ParseError("truncated");
      at = dataAt + length;
      if (type === typeNumbers.OPT) {
        if (edns !== undefined) throw new ParseError("several-options");
        if (name !== ".") throw new ParseError("bad-record", "an OPT record is not at the root");
        extendedRcode = ttl >>> 24;
        edns = {
          udpSize: rrClass,
          version: (ttl >>> 16) & 0xff,
          dnssecOk: (ttl & 0x8000) !== 0,
          options: decodeEdnsOptions(bytes, dataAt, at),
        };
        continue;
      }
      // RFC 2181 section 8: a TTL with the top bit set counts as zero
      records.push({ name, class: rrClass, ttl: ttl > 0x7fffffff ? 0 : ttl, data: decodeRecordData(bytes, dataAt, length, type) });
    }
    return records;
  };
  const answers = section(counts[1]);
  const authority = section(counts[2]);
  const additional = section(counts[3]);
  if (at !== bytes.length) throw new ParseError("trailing-bytes");
  const message: Message = {
    id: u16(bytes, 0),
    isResponse: (flags & flagBits.qr) !== 0,
    opcode: (flags >> 11) & 15,
    authoritative: (flags & flagBits.aa) !== 0,
    truncated: (flags & flagBits.tc) !== 0,
    recursionDesired: (flags & flagBits.rd) !== 0,
    recursionAvailable: (flags & flagBits.ra) !== 0,
    authenticData: (flags & flagBits.ad) !== 0,
    checkingDisabled: (flags & flagBits.cd) !== 0,
    rcode: (extendedRcode << 4) | (flags & 15),
    questions,
    answers,
    authority,
    additional,
  };
  return edns === undefined ? message : { ...message, edns };
}

/** The same without its OPT record. Written out: to leave a field out by a pattern costs as much as to decode the message. */
export function withoutEdns(m: Message): Message {
  return {
    id: m.id,
    isResponse: m.isResponse,
    opcode: m.opcode,
    authoritative: m.authoritative,
    truncated: m.truncated,
    recursionDesired: m.recursionDesired,
    recursionAvailable: m.recursionAvailable,
    authenticData: m.authenticData,
    checkingDisabled: m.checkingDisabled,
    rcode: m.rcode,
    questions: m.questions,
    answers: m.answers,
    authority: m.authority,
    additional: m.additional,
  };
}

/**
 * At most `limit` bytes: answers that do not fit are left out and TC is set; authority and additional records that do not fit
 * are left out silently, as RFC 2181 section 9 allows. The OPT record always stays.
 */
export function encodeMessage(m: Message, limit = 0xffff): Uint8Array {
  const optionBytes = m.edns === undefined ? 0 : 11 + m.edns.options.reduce((n, o) => n + 4 + o.hex.length / 2, 0);
  const w = writer;
  w.restart(Math.max(limit, headerBytes + optionBytes) - optionBytes);
  const counts = [0, 0, 0, 0];
  let truncated = m.truncated;
  w.u16(m.id);
  w.u16(0);
  for (let i = 0; i < 4; i++) w.u16(0);
  for (const q of m.questions) {
    if (!fits(w, writeQuestion, q)) {
      truncated = true;
      break;
    }
    counts[0] = (counts[0] ?? 0) + 1;
  }
  const sections = [m.answers, m.authority, m.additional];
  for (let i = 0; i < 3; i++) {
    let whole = !truncated;
    for (const r of whole ? (sections[i] ?? []) : []) {
      whole = fits(w, writeRecord, r);
      if (!whole) break;
      counts[i + 1] = (counts[i + 1] ?? 0) + 1;
    }
    if (!whole && i === 0) truncated = true;
    if (!whole) break;
  }
  const body = w.written;
  const out = new Uint8Array(body.length + optionBytes);
  out.set(body);
  if (m.edns !== undefined) {
    writeOpt(out, body.length, m.edns, m.rcode >> 4);
    counts[3] = (counts[3] ?? 0) + 1;
  }
  const flags =
    (m.isResponse ? flagBits.qr : 0) |
    ((m.opcode & 15) << 11) |
    (m.authoritative ? flagBits.aa : 0) |
    (truncated ? flagBits.tc : 0) |
    (m.recursionDesired ? flagBits.rd : 0) |
    (m.recursionAvailable ? flagBits.ra : 0) |
    (m.authenticData ? flagBits.ad : 0) |
    (m.checkingDisabled ? flagBits.cd : 0) |
    (m.rcode & 15);
  putU16(out, 2, flags);
  for (let i = 0; i < 4; i++) putU16(out, 4 + 2 * i, counts[i] ?? 0);
  return out;
}

/** Messages are written one after the other. */
const writer = new WireWriter(0xffff);

/** Writes an item whole or not at all. */
function fits<T>(w: WireWriter, write: (w: WireWriter, item: T) => void, item: T): boolean {
  const before = w.length;
  try {
    write(w, item);
    return true;
  } catch (error) {
    if (!(error instanceof WireFull)) throw error;
    w.cutTo(before);
    return false;
  }
}

function writeQuestion(w: WireWriter, q: Question): void {
  w.compressedName(q.name);
  w.u16(q.type);
  w.u16(q.class);
}

function writeRecord(w: WireWriter, r: ResourceRecord): void {
  w.compressedName(r.name);
  w.u16(typeOf(r.data));
  w.u16(r.class);
  w.u32(r.ttl);
  const lengthAt = w.length;
  w.u16(0);
  writeRecordData(w, r.data);
  w.patchU16(lengthAt, w.length - lengthAt - 2);
}

function writeOpt(out: Uint8Array, start: number, edns: Edns, extendedRcode: number): void {
  let at = start;
  out[at++] = 0;
  putU16(out, at, typeNumbers.OPT);
  putU16(out, at + 2, edns.udpSize);
  out[at + 4] = extendedRcode;
  out[at + 5] = edns.version;
  putU16(out, at + 6, edns.dnssecOk ? 0x8000 : 0);
  putU16(out, at + 8, out.length - at - 10);
  at += 10;
  for (const o of edns.options) {
    putU16(out, at, o.code);
    putU16(out, at + 2, o.hex.length / 2);
    out.set(Buffer.from(o.hex, "hex"), at + 4);
    at += 4 + o.hex.length / 2;
  }
}
