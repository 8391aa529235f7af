import { putU16, u16, u32 } from "../wire/big-endian.ts";
import { typeNumbers } from "../wire/record-type.ts";
import type { NameArena } from "./name-arena.ts";
import { blockHeadBytes, nameBytesOf, setHeadBytes } from "./name-block.ts";
import { hashName } from "./name-hash.ts";

const maxPointer = 0x3fff;

/**
 * The additional records of an answer: the addresses that targets of its SRV or NS records have here. They are looked up for each
 * answer: so names need not be told again when others' addresses change, and no address is held twice.
 */
export class TargetAddresses {
  /** How many the last `write` wrote. */
  count = 0;

  /**
   * Writes them behind `[start, end)`, the answer's records with whole names, and gives their end: all, or none where there is no
   * room up to `limit`. Records of one target stand next to each other.
   */
  write(arena: NameArena, out: Uint8Array, start: number, end: number, limit: number): number {
    this.count = 0;
    let written = end;
    let last = -1;
    for (let at = start; at < end; at += 12 + u16(out, at + 10)) {
      const target = at + (u16(out, at + 2) === typeNumbers.SRV ? 18 : 12);
      const length = at + 12 + u16(out, at + 10) - target;
      const offset = arena.find(out, target, length, hashName(out, target, target + length));
      if (offset < 0 || offset === last) continue;
      last = offset;
      written = this.#copyAddresses(arena.bytes, offset, out, target, length, written, limit);
      if (written > limit) break;
    }
    if (written <= limit) return written;
    this.count = 0;
    return end;
  }

  /** More than `limit`, with nothing written beyond it, where there is no room. */
  #copyAddresses(
    bytes: Uint8Array,
    offset: number,
    out: Uint8Array,
    target: number,
    targetBytes: number,
    start: number,
    limit: number,
  ): number {
    const sets = bytes[offset + 3] ?? 0;
    let head = offset + blockHeadBytes + nameBytesOf(bytes, offset);
    let data = head + sets * setHeadBytes;
    let at = start;
    for (let i = 0; i < sets; i++, head += setHeadBytes) {
      const type = u16(bytes, head);
      const setEnd = data + u32(bytes, head + 5);
      if (type === typeNumbers.A || type === typeNumbers.AAAA) {
        while (data < setEnd) {
          const tail = 10 + u16(bytes, data + 10);
          const owner = target <= maxPointer ? 2 : targetBytes;
          if (at + owner + tail > limit) return limit + 1;
          if (owner === 2) putU16(out, at, 0xc000 | target);
          else out.copyWithin(at, target, target + targetBytes);
          at += owner;
          for (let k = 0; k < tail; k++) out[at + k] = bytes[data + 2 + k] ?? 0;
          at += tail;
          data += 2 + tail;
          this.count++;
        }
      }
      data = setEnd;
    }
    return at;
  }
}
