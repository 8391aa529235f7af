import { ParseError } from "./errors.ts";
import { type DomainName, writeName } from "./name.ts";

/** A pointer has 14 bits of offset (RFC 1035 section 4.1.4). */
const maxPointer = 0x3fff;

/** Of the name being written: no name of a message needs memory of its own. */
const wire = new Uint8Array(255);
/** A name has at most 127 labels and the root: where each begins, and the hash of the name from there on. */
const labelStarts = new Uint8Array(128);
const labelHashes = new Int32Array(128);

/** Bytes being written, with the names so far for compression. Grows up to `limit`, then throws `WireFull`. */
export class WireWriter {
  #bytes: Uint8Array;
  #at = 0;
  #limit: number;
  /** By the hash of a suffix, where it was first written; of two that have one hash, the first is known. */
  readonly #suffixes = new Map<number, number>();

  constructor(limit: number) {
    this.#limit = limit;
    this.#bytes = new Uint8Array(Math.min(512, limit));
  }

  /** Begins anew, in the memory it has. */
  restart(limit: number): void {
    this.#limit = limit;
    this.#at = 0;
    this.#suffixes.clear();
  }

  get length(): number {
    return this.#at;
  }

  /** What was written, not copied. */
  get written(): Uint8Array {
    return this.#bytes.subarray(0, this.#at);
  }

  u8(value: number): void {
    this.#room(1);
    this.#bytes[this.#at++] = value;
  }

  u16(value: number): void {
    this.#room(2);
    this.#bytes[this.#at++] = value >>> 8;
    this.#bytes[this.#at++] = value;
  }

  u32(value: number): void {
    this.u16(value >>> 16);
    this.u16(value & 0xffff);
  }

  bytes(part: Uint8Array): void {
    this.#room(part.length);
    this.#bytes.set(part, this.#at);
    this.#at += part.length;
  }

  /** Overwrites two bytes that were written before. */
  patchU16(at: number, value: number): void {
    this.#bytes[at] = value >>> 8;
    this.#bytes[at + 1] = value;
  }

  /** Forgets all from `at` on, as if it had not been written. */
  cutTo(at: number): void {
    this.#at = at;
    for (const [suffix, place] of this.#suffixes) if (place >= at) this.#suffixes.delete(suffix);
  }

  /** Without pointers inside; later names may point at it. */
  plainName(name: DomainName): void {
    const length = writeName(name, wire, 0);
    this.#remember(readLabels(length));
    this.bytes(wire.subarray(0, length));
  }

  /** With a pointer to the longest suffix that is there already. */
  compressedName(name: DomainName): void {
    const length = writeName(name, wire, 0);
    const labels = readLabels(length);
    for (let i = 0; i < labels; i++) {
      const place = this.#suffixes.get(labelHashes[i] ?? 0);
      if (place === undefined || !this.#isAt(place, labelStarts[i] ?? 0)) continue;
      this.#remember(i);
      this.bytes(wire.subarray(0, labelStarts[i] ?? 0));
      this.u16(0xc000 | place);
      return;
    }
    this.#remember(labels);
    this.bytes(wire.subarray(0, length));
  }

  /** The first `labels` suffixes of the name that is about to be written. */
  #remember(labels: number): void {
    for (let i = 0; i < labels; i++) {
      const place = this.#at + (labelStarts[i] ?? 0);
      const hash = labelHashes[i] ?? 0;
      if (place <= maxPointer && !this.#suffixes.has(hash)) this.#suffixes.set(hash, place);
    }
  }

  /**
   * Whether the name that was written at `place` is the one in `wire` from `at` on. Names compare without case, but a pointer must
   * not change the case of what it stands for (0x20), so case counts here.
   */
  #isAt(place: number, at: number): boolean {
    const bytes = this.#bytes;
    for (let to = place, from = at; ; ) {
      const length = bytes[to] ?? 0;
      if (length >= 0xc0) {
        to = ((length & 0x3f) << 8) | (bytes[to + 1] ?? 0);
        continue;
      }
      for (let i = 0; i <= length; i++) if (bytes[to + i] !== wire[from + i]) return false;
      if (length === 0) return true;
      to += 1 + length;
      from += 1 + length;
    }
  }

  #room(length: number): void {
    const need = this.#at + length;
    if (need > this.#limit) throw new WireFull();
    if (need <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.min(this.#limit, Math.max(need, this.#bytes.length * 2)));
    grown.set(this.#bytes.subarray(0, this.#at));
    this.#bytes = grown;
  }
}

/** The limit of a WireWriter was reached; whoever set the limit catches it. */
export class WireFull extends ParseError {
  constructor() {
    super("truncated", "the message does not fit its limit");
    this.name = "WireFull";
  }
}

/** Fills `labelStarts` and `labelHashes` for the name in `wire`, and gives the number of its labels without the root. */
function readLabels(length: number): number {
  let labels = 0;
  for (let at = 0; wire[at] !== 0; at += 1 + (wire[at] ?? 0)) labelStarts[labels++] = at;
  let hash = 0x811c9dc5;
  let at = length - 1;
  for (let i = labels - 1; i >= 0; i--) {
    for (const start = labelStarts[i] ?? 0; at >= start; at--) hash = Math.imul(hash ^ (wire[at] ?? 0), 0x01000193);
    labelHashes[i] = hash;
  }
  return labels;
}
