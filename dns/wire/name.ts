import { ParseError } from "./errors.ts";

/**
 * A domain name as text: labels in the case they came in, each followed by a dot (`.` alone is the root); a dot, backslash and
 * what else means something in a zone file is escaped by a backslash, bytes outside printable ASCII as `\DDD` (RFC 1035
 * section 5.1).
 */
export type DomainName = string;

const maxNameBytes = 255;
const maxLabelBytes = 63;

/** The wire form without compression, case kept. Throws a ParseError for text that is no name; a missing last dot is added. */
export function encodeName(name: DomainName): Uint8Array {
  const out = new Uint8Array(maxNameBytes);
  return out.slice(0, writeName(name, out, 0));
}

/** Writes `name` at `at` and returns the position after it. Throws a ParseError; `out` needs 255 bytes of room. */
export function writeName(name: DomainName, out: Uint8Array, at: number): number {
  if (name === "." || name === "") {
    out[at] = 0;
    return at + 1;
  }
  let lengthAt = at;
  let pos = at + 1;
  const limit = at + maxNameBytes;
  for (let i = 0; i < name.length; i++) {
    let c = name.charCodeAt(i);
    if (c === 0x2e) {
      const length = pos - lengthAt - 1;
      if (length === 0 || length > maxLabelBytes) throw new ParseError("bad-label", name);
      out[lengthAt] = length;
      lengthAt = pos;
      pos++;
      continue;
    }
    if (c === 0x5c) {
      const digits = /^[0-9]{3}/.exec(name.slice(i + 1, i + 4));
      c = digits === null ? name.charCodeAt(i + 1) : Number(digits[0]);
      i += digits === null ? 1 : 3;
    }
    if (!(c <= 255)) throw new ParseError("bad-label", name);
    if (pos >= limit - 1) throw new ParseError("name-too-long");
    out[pos++] = c;
  }
  if (pos - lengthAt > 1) {
    const length = pos - lengthAt - 1;
    if (length > maxLabelBytes) throw new ParseError("bad-label", name);
    out[lengthAt] = length;
    lengthAt = pos;
    pos++;
  }
  if (pos > limit) throw new ParseError("name-too-long");
  out[lengthAt] = 0;
  return pos;
}

/** A name read from a message, and where the next field starts. */
export interface ReadName {
  readonly name: DomainName;
  readonly next: number;
}

/**
 * Reads a name that may be compressed. A pointer must point before the place where the name it is part of began, and each
 * further one lower still, so that no message makes this loop.
 */
export function readName(bytes: Uint8Array, start: number, end: number = bytes.length): ReadName {
  let at = start;
  let next = -1;
  let lowest = start;
  let total = 1;
  let name = "";
  /** Bytes of the name that are in `plain` and not in `name` yet: it is made of few pieces, not of letters. */
  let gathered = 0;
  for (;;) {
    if (at >= end) throw new ParseError("truncated");
    const length = bytes[at] ?? 0;
    if (length === 0) {
      if (gathered > 0) name += plain.toString("latin1", 0, gathered);
      return { name: name === "" ? "." : name, next: next < 0 ? at + 1 : next };
    }
    if (length >= 0xc0) {
      if (at + 1 >= end) throw new ParseError("truncated");
      const target = ((length & 0x3f) << 8) | (bytes[at + 1] ?? 0);
      if (target >= lowest) throw new ParseError("bad-pointer");
      if (next < 0) next = at + 2;
      lowest = target;
      at = target;
      continue;
    }
    if (length > maxLabelBytes) throw new ParseError("bad-label");
    if (at + 1 + length > end) throw new ParseError("truncated");
    total += length + 1;
    if (total > maxNameBytes) throw new ParseError("name-too-long");
    if (isPlainLabel(bytes, at + 1, length)) {
      for (let i = at + 1; i <= at + length; i++) plain[gathered++] = bytes[i] ?? 0;
      plain[gathered++] = 0x2e;
    } else {
      name += plain.toString("latin1", 0, gathered) + printLabel(bytes, at + 1, length);
      gathered = 0;
    }
    at += length + 1;
  }
}

/** What means something in zone files: `. \\ " ; ( ) @ $`. */
const escapedBytes: ReadonlySet<number> = new Set([0x2e, 0x5c, 0x22, 0x3b, 0x28, 0x29, 0x40, 0x24]);

/** By byte, whether it stands for itself in text. */
const plainBytes = Uint8Array.from({ length: 256 }, (_, c) => (c > 0x20 && c < 0x7f && !escapedBytes.has(c) ? 1 : 0));
/** Of the name that is being read. */
const plain = Buffer.alloc(maxNameBytes);

function isPlainLabel(bytes: Uint8Array, at: number, length: number): boolean {
  for (let i = at; i < at + length; i++) if (plainBytes[bytes[i] ?? 0] === 0) return false;
  return true;
}

function printLabel(bytes: Uint8Array, at: number, length: number): string {
  let text = "";
  for (let i = at; i < at + length; i++) {
    const c = bytes[i] ?? 0;
    if (escapedBytes.has(c)) text += `\\${String.fromCharCode(c)}`;
    else if (c > 0x20 && c < 0x7f) text += String.fromCharCode(c);
    else text += `\\${String(c).padStart(3, "0")}`;
  }
  return `${text}.`;
}

/** Lower case (ASCII letters only, as DNS compares), with the last dot. */
export function canonicalName(name: DomainName): DomainName {
  // where nothing of any alphabet is in upper case, nothing is to do: an expression costs more than that
  const lower = name.toLowerCase() === name ? name : name.replace(/[A-Z]/g, (c) => c.toLowerCase());
  if (lower === "") return ".";
  // most names: an expression over the whole name costs more than all else here
  if (lower.endsWith(".") && lower.at(-2) !== "\\") return lower;
  return /(^|[^\\])(\\\\)*\.$/.test(lower) ? lower : `${lower}.`;
}

/** The labels as text, escapes kept; the root has none. */
export function nameLabels(name: DomainName): readonly string[] {
  const labels: string[] = [];
  let start = 0;
  for (let i = 0; i < name.length; i++) {
    if (name[i] === "\\") i++;
    else if (name[i] === ".") {
      if (i > start) labels.push(name.slice(start, i));
      start = i + 1;
    }
  }
  if (start < name.length) labels.push(name.slice(start));
  return labels;
}

/** True for the zone's own name and all names below it. Both canonical. */
export function isInZone(name: DomainName, zone: DomainName): boolean {
  if (zone === ".") return true;
  if (!name.endsWith(zone)) return false;
  if (name.length === zone.length) return true;
  const before = name.slice(0, name.length - zone.length);
  return before.endsWith(".") && !/(^|[^\\])(\\\\)*\\\.$/.test(before);
}
