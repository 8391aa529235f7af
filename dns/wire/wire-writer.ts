import { ParseError } from "./errors.ts";
import { type DomainName, encodeName } from "./name.ts";

/** A pointer has 14 bits of offset (RFC 1035 section 4.1.4). */
const maxPointer = 0x3fff;

/** Bytes being written, with the names so far for compression. Grows up to `limit`, then throws `WireFull`. */
export class WireWriter {
  #bytes: Uint8Array;
  #at = 0;
  readonly #limit: number;
  /** Where each suffix (wire form as Latin-1) was first written. */
  readonly #suffixes = new Map<string, number>();

  constructor(limit: number) {
    this.#limit = limit;
    this.#bytes = new Uint8Array(Math.min(512, limit));
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
    const wire = encodeName(name);
    this.#remember(wire, 0, wire.length);
    this.bytes(wire);
  }

  /** With a pointer to the longest suffix that is there already. */
  compressedName(name: DomainName): void {
    const wire = encodeName(name);
    let at = 0;
    while (wire[at] !== 0) {
      const known = this.#suffixes.get(suffixKey(wire, at));
      if (known !== undefined) {
        this.#remember(wire, 0, at);
        this.bytes(wire.subarray(0, at));
        this.u16(0xc000 | known);
        return;
      }
      at += 1 + (wire[at] ?? 0);
    }
    this.#remember(wire, 0, at);
    this.bytes(wire);
  }

  #remember(wire: Uint8Array, from: number, to: number): void {
    for (let at = from; at < to && wire[at] !== 0; at += 1 + (wire[at] ?? 0)) {
      const place = this.#at + at;
      const key = suffixKey(wire, at);
      if (place <= maxPointer && !this.#suffixes.has(key)) this.#suffixes.set(key, place);
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

/** Names compare without case, but a pointer must not change the case of what it stands for (0x20), so case counts here. */
function suffixKey(wire: Uint8Array, at: number): string {
  return Buffer.from(wire.buffer, wire.byteOffset + at, wire.length - at).toString("latin1");
}
