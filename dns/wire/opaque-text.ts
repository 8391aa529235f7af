import { unreachable } from "../../src/base/unreachable.ts";
import { ParseError } from "./errors.ts";
import { encodeName, readName } from "./name.ts";
import { parseType, printType, typeNumbers } from "./record-type.ts";

/** How a field of a record stands in zone files and on the wire. */
type FieldForm =
  | "u8"
  | "u16"
  | "u32"
  /** A record type by its name. */
  | "type"
  /** Seconds since 1970 as `YYYYMMDDHHmmSS`. */
  | "time"
  | "name"
  /** To the end, in as many words as one likes. */
  | "hex"
  | "base64"
  /** Hexadecimal behind a byte of length; `-` for none. */
  | "salt"
  /** Base 32 (with the extended hexadecimal alphabet) behind a byte of length. */
  | "hash"
  /** Record types, as the bits of windows (RFC 4034 section 4.1.2). */
  | "types";

const digest: readonly FieldForm[] = ["u16", "u8", "u8", "hex"];
const key: readonly FieldForm[] = ["u16", "u8", "u8", "base64"];

/** Types that nothing here looks into: bytes on their way, but with a text of their own (RFC 4034, 5155, 6698, 4255, 1183). */
const forms: ReadonlyMap<number, readonly FieldForm[]> = new Map<number, readonly FieldForm[]>([
  [typeNumbers.RP, ["name", "name"]],
  [typeNumbers.DS, digest],
  [typeNumbers.CDS, digest],
  [typeNumbers.SSHFP, ["u8", "u8", "hex"]],
  [typeNumbers.RRSIG, ["type", "u8", "u8", "u32", "time", "time", "u16", "name", "base64"]],
  [typeNumbers.NSEC, ["name", "types"]],
  [typeNumbers.DNSKEY, key],
  [typeNumbers.CDNSKEY, key],
  [typeNumbers.NSEC3, ["u8", "u8", "u16", "salt", "hash", "types"]],
  [typeNumbers.NSEC3PARAM, ["u8", "u8", "u16", "salt"]],
  [typeNumbers.TLSA, ["u8", "u8", "u8", "hex"]],
]);

/** The places of names among a type's fields: in a zone file they may be relative. */
export function opaqueNameFields(type: number): readonly number[] {
  return (forms.get(type) ?? []).flatMap((form, i) => (form === "name" ? [i] : []));
}

/** A record's data as zone files have it, from its bytes; undefined for types and bytes that have no such text. */
export function printOpaque(type: number, hex: string): string | undefined {
  const form = forms.get(type);
  if (form === undefined) return undefined;
  try {
    const cursor = { bytes: Buffer.from(hex, "hex"), at: 0 };
    const text = form
      .map((f) => printField(f, cursor))
      .join(" ")
      .trimEnd();
    // what reads otherwise (a compressed name, a type twice) stays as bytes
    return cursor.at === cursor.bytes.length && parseOpaque(type, text.split(" ")) === hex ? text : undefined;
  } catch (error) {
    if (error instanceof ParseError) return undefined;
    throw error;
  }
}

/** The bytes of what a zone file says; undefined for types without a text of their own. Throws a ParseError. */
export function parseOpaque(type: number, fields: readonly string[]): string | undefined {
  const form = forms.get(type);
  if (form === undefined) return undefined;
  const parts = form.map((f, i) => {
    const rest = f === "hex" || f === "base64" ? fields.slice(i).join("") : f === "types" ? fields.slice(i).join(" ") : fields[i];
    return writeField(f, rest ?? bad(`${printType(type)} has ${form.length} fields`));
  });
  const last = form.at(-1);
  const isOpen = last === "hex" || last === "base64" || last === "types";
  return !isOpen && fields.length > form.length
    ? bad(`${printType(type)} has ${form.length} fields`)
    : Buffer.concat(parts).toString("hex");
}

interface Cursor {
  readonly bytes: Buffer;
  at: number;
}

function printField(form: FieldForm, c: Cursor): string {
  switch (form) {
    case "u8":
      return String(take(c, 1).readUInt8());
    case "u16":
      return String(take(c, 2).readUInt16BE());
    case "u32":
      return String(take(c, 4).readUInt32BE());
    case "type":
      return printType(take(c, 2).readUInt16BE());
    case "time":
      return new Date(take(c, 4).readUInt32BE() * 1000).toISOString().replace(/[-:T]|\..*$/g, "");
    case "name": {
      const { name, next } = readName(c.bytes, c.at);
      c.at = next;
      return name;
    }
    case "hex":
      return take(c, c.bytes.length - c.at).toString("hex");
    case "base64":
      return take(c, c.bytes.length - c.at).toString("base64");
    case "salt": {
      const salt = take(c, take(c, 1).readUInt8());
      return salt.length === 0 ? "-" : salt.toString("hex");
    }
    case "hash":
      return printBase32(take(c, take(c, 1).readUInt8()));
    case "types":
      return printTypes(take(c, c.bytes.length - c.at));
    default:
      return unreachable(form);
  }
}

function writeField(form: FieldForm, text: string): Uint8Array {
  switch (form) {
    case "u8":
      return unsigned(text, 1);
    case "u16":
      return unsigned(text, 2);
    case "u32":
      return unsigned(text, 4);
    case "type":
      return unsigned(String(parseType(text) ?? bad(`${text} is no record type`)), 2);
    case "time":
      return unsigned(String(parseTime(text)), 4);
    case "name":
      return encodeName(text);
    case "hex":
      return /^([0-9a-f]{2})*$/i.test(text) ? Buffer.from(text, "hex") : bad(`${text} is not hexadecimal`);
    case "base64":
      return /^[A-Za-z0-9+/]*={0,2}$/.test(text) ? Buffer.from(text, "base64") : bad(`${text} is not base 64`);
    case "salt":
      return behindLength(text === "-" ? new Uint8Array() : writeField("hex", text));
    case "hash":
      return behindLength(parseBase32(text));
    case "types":
      return writeTypes(
        text
          .split(" ")
          .filter((word) => word !== "")
          .map((word) => parseType(word) ?? bad(`${word} is no record type`)),
      );
    default:
      return unreachable(form);
  }
}

function take(c: Cursor, length: number): Buffer {
  if (c.at + length > c.bytes.length) throw new ParseError("bad-record");
  const part = c.bytes.subarray(c.at, c.at + length);
  c.at += length;
  return part;
}

function unsigned(text: string, bytes: 1 | 2 | 4): Uint8Array {
  if (!/^[0-9]{1,10}$/.test(text) || Number(text) >= 2 ** (8 * bytes)) return bad(`${text} is not a number of ${8 * bytes} bits`);
  const out = Buffer.alloc(bytes);
  out.writeUIntBE(Number(text), 0, bytes);
  return out;
}

function parseTime(text: string): number {
  const match = /^([0-9]{4})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})$/.exec(text);
  if (match === null) return /^[0-9]{1,10}$/.test(text) ? Number(text) : bad(`${text} is no time`);
  const [, year, month, day, hour, minute, second] = match;
  const at = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return Number.isNaN(at) ? bad(`${text} is no time`) : Math.floor(at / 1000) % 2 ** 32;
}

function behindLength(bytes: Uint8Array): Uint8Array {
  return bytes.length > 255 ? bad("a field has more than 255 bytes") : Buffer.concat([Uint8Array.of(bytes.length), bytes]);
}

function printTypes(bytes: Buffer): string {
  const types: string[] = [];
  for (const c: Cursor = { bytes, at: 0 }; c.at < bytes.length; ) {
    const window = take(c, 1).readUInt8();
    const bits = take(c, take(c, 1).readUInt8());
    for (let i = 0; i < bits.length * 8; i++) if (((bits[i >> 3] ?? 0) & (0x80 >> (i & 7))) !== 0) types.push(printType(window * 256 + i));
  }
  return types.join(" ");
}

function writeTypes(types: readonly number[]): Uint8Array {
  const windows = Map.groupBy(
    [...new Set(types)].sort((a, b) => a - b),
    (type) => type >> 8,
  );
  return Buffer.concat(
    Array.from(windows, ([window, own]) => {
      const bits = Buffer.alloc(((own.at(-1) ?? 0) & 0xff) / 8 + 1);
      for (const type of own) bits[(type & 0xff) >> 3] = (bits[(type & 0xff) >> 3] ?? 0) | (0x80 >> (type & 7));
      return Buffer.concat([Uint8Array.of(window, bits.length), bits]);
    }),
  );
}

const base32Digits = "0123456789abcdefghijklmnopqrstuv";

function printBase32(bytes: Uint8Array): string {
  const bits = Array.from(bytes, (b) => b.toString(2).padStart(8, "0")).join("");
  return (bits.match(/.{1,5}/g) ?? []).map((five) => base32Digits[Number.parseInt(five.padEnd(5, "0"), 2)]).join("");
}

function parseBase32(text: string): Uint8Array {
  const bits = Array.from(text.toLowerCase(), (digit) => {
    const value = base32Digits.indexOf(digit);
    return value < 0 ? bad(`${text} is not base 32`) : value.toString(2).padStart(5, "0");
  }).join("");
  return Uint8Array.from(bits.match(/[01]{8}/g) ?? [], (byte) => Number.parseInt(byte, 2));
}

function bad(why: string): never {
  throw new ParseError("bad-text", why);
}
