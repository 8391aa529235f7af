import { createHmac, timingSafeEqual } from "node:crypto";
import { putU16, putU32, u16 } from "./big-endian.ts";
import { ParseError } from "./errors.ts";
import { headerBytes } from "./message.ts";
import { canonicalName, type DomainName, encodeName, readName } from "./name.ts";

/** Secrets by the canonical names of their keys. */
export type TsigKeys = ReadonlyMap<DomainName, Uint8Array>;

/** Codes of a TSIG record's own (RFC 8945 section 3). */
export const tsigErrors = { BADSIG: 16, BADKEY: 17, BADTIME: 18, BADTRUNC: 22 } as const;

/** What the names of algorithms mean to node:crypto, and bytes of what they make. */
const algorithms: ReadonlyMap<DomainName, { readonly hash: string; readonly bytes: number }> = new Map([
  ["hmac-md5.sig-alg.reg.int.", { hash: "md5", bytes: 16 }],
  ["hmac-sha1.", { hash: "sha1", bytes: 20 }],
  ["hmac-sha224.", { hash: "sha224", bytes: 28 }],
  ["hmac-sha256.", { hash: "sha256", bytes: 32 }],
  ["hmac-sha384.", { hash: "sha384", bytes: 48 }],
  ["hmac-sha512.", { hash: "sha512", bytes: 64 }],
]);

const typeTsig = 250;
const classAny = 255;
const fudgeSeconds = 300;

/** A signature, as it stands at the end of a message. */
export interface TsigRecord {
  readonly key: DomainName;
  readonly algorithm: DomainName;
  /** Seconds since 1970. */
  readonly time: number;
  readonly fudge: number;
  readonly mac: Uint8Array;
  readonly originalId: number;
  readonly error: number;
  readonly other: Uint8Array;
}

/** A message, and what it was signed with. */
export interface SignedMessage {
  /** Without its signature, and with the id it had when it was signed. */
  readonly bytes: Uint8Array;
  readonly record: TsigRecord;
}

/** Undefined for a message without a signature. Throws a ParseError for one that cannot be read, and for one that is not the last record. */
export function takeTsig(message: Uint8Array): SignedMessage | undefined {
  if (message.length < headerBytes) return undefined;
  let at = headerBytes;
  for (let i = u16(message, 4); i > 0; i--) at = readName(message, at).next + 4;
  const others = u16(message, 6) + u16(message, 8);
  const additional = u16(message, 10);
  for (let i = 0; i < others + additional; i++) {
    const { name, next } = readName(message, at);
    if (next + 10 > message.length) throw new ParseError("truncated");
    const end = next + 10 + u16(message, next + 8);
    if (u16(message, next) === typeTsig) {
      if (i < others || i < others + additional - 1 || u16(message, next + 2) !== classAny) throw new ParseError("bad-record", "TSIG");
      const record = readRecord(message, canonicalName(name), next + 10, end);
      // a copy: what a Buffer calls a slice is none
      const bytes = Uint8Array.from(message.subarray(0, at));
      putU16(bytes, 0, record.originalId);
      putU16(bytes, 10, additional - 1);
      return { bytes, record };
    }
    at = end;
  }
  return undefined;
}

/** Whether a signature is of a key that is known and holds: undefined, or the error to be told. `now` in seconds. Throws a ParseError as RFC 8945 wants FORMERR. */
export function checkTsig({ bytes, record }: SignedMessage, keys: TsigKeys, now: number): number | undefined {
  const secret = keys.get(record.key);
  const algorithm = algorithms.get(record.algorithm);
  if (secret === undefined || algorithm === undefined) return tsigErrors.BADKEY;
  const { mac } = record;
  // section 5.2.2.1
  if (mac.length > algorithm.bytes || mac.length < Math.max(10, algorithm.bytes / 2)) throw new ParseError("bad-record", "TSIG");
  const whole = macOf(algorithm.hash, secret, [bytes, variables(record)]);
  if (!timingSafeEqual(whole.subarray(0, mac.length), mac)) return tsigErrors.BADSIG;
  if (Math.abs(now - record.time) > record.fudge) return tsigErrors.BADTIME;
  return mac.length < algorithm.bytes ? tsigErrors.BADTRUNC : undefined;
}

/** Signs the messages that answer one signed query, the first with all of the variables, later ones with the time alone (RFC 8945 section 5.3). */
export class TsigSigner {
  readonly #asked: TsigRecord;
  readonly #secret: Uint8Array;
  #before: Uint8Array;
  #isFirst = true;

  constructor(asked: TsigRecord, keys: TsigKeys) {
    this.#asked = asked;
    this.#secret = keys.get(asked.key) ?? new Uint8Array(0);
    this.#before = asked.mac;
  }

  /** Bytes that a signature takes. */
  get bytes(): number {
    const { key, algorithm } = this.#asked;
    return encodeName(key).length + encodeName(algorithm).length + 10 + 16 + (algorithms.get(algorithm)?.bytes ?? 0);
  }

  sign(message: Uint8Array, now: number, error = 0): Uint8Array {
    const { key, algorithm } = this.#asked;
    const isLate = error === tsigErrors.BADTIME;
    const record = {
      key,
      algorithm,
      // the client's own time, so that it can tell that this is an answer (section 5.2.3)
      time: isLate ? this.#asked.time : now,
      fudge: fudgeSeconds,
      originalId: u16(message, 0),
      error,
      other: isLate ? time48(now) : new Uint8Array(0),
    };
    const before = new Uint8Array(2 + this.#before.length);
    putU16(before, 0, this.#before.length);
    before.set(this.#before, 2);
    const mac = macOf(algorithms.get(algorithm)?.hash ?? "sha256", this.#secret, [
      before,
      message,
      this.#isFirst ? variables(record) : timers(record),
    ]);
    this.#isFirst = false;
    this.#before = mac;
    return appendTsig(message, { ...record, mac });
  }
}

/** An answer with an error that nobody could sign: of an unknown key, or a signature that does not hold (section 5.3.2). */
export function appendUnsigned(message: Uint8Array, asked: TsigRecord, error: number): Uint8Array {
  return appendTsig(message, { ...asked, originalId: u16(message, 0), error, mac: new Uint8Array(0), other: new Uint8Array(0) });
}

function readRecord(message: Uint8Array, key: DomainName, start: number, end: number): TsigRecord {
  const { name: algorithm, next: at } = readName(message, start);
  const macEnd = at + 10 + u16(message, at + 8);
  const otherEnd = macEnd + 6 + u16(message, macEnd + 4);
  if (end > message.length || otherEnd !== end) throw new ParseError("bad-record", "TSIG");
  return {
    key,
    algorithm: canonicalName(algorithm),
    time: u16(message, at) * 0x1_0000_0000 + u16(message, at + 2) * 0x1_0000 + u16(message, at + 4),
    fudge: u16(message, at + 6),
    mac: Uint8Array.from(message.subarray(at + 10, macEnd)),
    originalId: u16(message, macEnd),
    error: u16(message, macEnd + 2),
    other: Uint8Array.from(message.subarray(macEnd + 6, otherEnd)),
  };
}

function appendTsig(message: Uint8Array, r: TsigRecord): Uint8Array {
  const key = encodeName(r.key);
  const algorithm = encodeName(r.algorithm);
  const dataBytes = algorithm.length + 10 + r.mac.length + 6 + r.other.length;
  const out = new Uint8Array(message.length + key.length + 10 + dataBytes);
  out.set(message);
  let at = message.length;
  out.set(key, at);
  at += key.length;
  putU16(out, at, typeTsig);
  putU16(out, at + 2, classAny);
  putU16(out, at + 8, dataBytes);
  at += 10;
  out.set(algorithm, at);
  at += algorithm.length;
  out.set(time48(r.time), at);
  putU16(out, at + 6, r.fudge);
  putU16(out, at + 8, r.mac.length);
  out.set(r.mac, at + 10);
  at += 10 + r.mac.length;
  putU16(out, at, r.originalId);
  putU16(out, at + 2, r.error);
  putU16(out, at + 4, r.other.length);
  out.set(r.other, at + 6);
  putU16(out, 10, u16(out, 10) + 1);
  return out;
}

/** What is signed besides the message (section 4.3.3). */
function variables(r: Omit<TsigRecord, "mac">): Uint8Array {
  const key = encodeName(r.key);
  const algorithm = encodeName(r.algorithm);
  const head = new Uint8Array(6);
  putU16(head, 0, classAny);
  const tail = new Uint8Array(4);
  putU16(tail, 0, r.error);
  putU16(tail, 2, r.other.length);
  return Buffer.concat([key, head, algorithm, timers(r), tail, r.other]);
}

function timers({ time, fudge }: Pick<TsigRecord, "time" | "fudge">): Uint8Array {
  const out = new Uint8Array(8);
  out.set(time48(time));
  putU16(out, 6, fudge);
  return out;
}

function time48(seconds: number): Uint8Array {
  const out = new Uint8Array(6);
  putU16(out, 0, Math.floor(seconds / 0x1_0000_0000));
  putU32(out, 2, seconds % 0x1_0000_0000);
  return out;
}

function macOf(hash: string, secret: Uint8Array, parts: readonly Uint8Array[]): Uint8Array {
  const mac = createHmac(hash, secret);
  for (const part of parts) mac.update(part);
  return mac.digest();
}
