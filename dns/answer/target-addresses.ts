import { putU16, u16, u32 } from "../wire/big-endian.ts";
import { typeNumbers } from "../wire/record-type.ts";
import type { NameArena } from "./name-arena.ts";
import { blockHeadBytes, nameBytesOf, setHeadBytes } from "./name-block.ts";
import { hashName } from "./name-hash.ts";

const maxPointer = 0x3fff;
/** So many sets of targets have their addresses kept; those that came first go first. */
const mostKept = 2048;
/** Of one set: what fits no datagram is looked up each time. */
const mostKeptBytes = 1232;
/** Fewer are looked up as quickly as they are found here. */
const leastKept = 3;

/** A set of records whose targets have addresses here. */
export interface TargetSet {
  /** Where its head lies in the arena. */
  readonly head: number;
  /** Of the name it belongs to. */
  readonly hash: number;
  /** How many records it has. */
  readonly count: number;
}

/** Addresses as they were written behind a set. */
interface Kept {
  readonly bytes: Uint8Array;
  readonly count: number;
  /** Where they were written: their owners are pointers to the targets. */
  readonly start: number;
  readonly hash: number;
  /** Of what all targets are right below. */
  readonly parent: number;
  readonly changes: number;
  readonly parentChanges: number;
}

/**
 * The additional records of an answer: the addresses that targets of its SRV or NS records have here. They are looked up when they are
 * asked for: so names need not be told again when others' addresses change, and no address is held twice. What was looked up is kept
 * until one of these names changes: ten targets cost 2.5 µs else.
 */
export class TargetAddresses {
  /** How many the last `write` wrote. */
  count = 0;
  readonly #kept = new Map<number, Kept>();
  #arena: NameArena | undefined;

  /**
   * Writes them behind `[start, end)`, the set's records with whole names, and gives their end: all, or none where there is no room up
   * to `limit`. Records of one target stand next to each other.
   */
  write(arena: NameArena, set: TargetSet, out: Uint8Array, start: number, end: number, limit: number): number {
    if (set.count < leastKept) return this.#lookUp(arena, out, start, end, limit);
    if (arena !== this.#arena) {
      this.#kept.clear();
      this.#arena = arena;
    }
    const kept = this.#kept.get(set.head);
    if (
      kept === undefined ||
      kept.hash !== set.hash ||
      kept.start !== start ||
      kept.changes !== arena.changesOf(set.hash) ||
      kept.parentChanges !== arena.changesOf(kept.parent)
    ) {
      const written = this.#lookUp(arena, out, start, end, limit);
      this.#keep(arena, set, out, start, end, written);
      return written;
    }
    const { bytes, count } = kept;
    const fits = end + bytes.length <= limit;
    this.count = fits ? count : 0;
    if (!fits) return end;
    out.set(bytes, end);
    return end + bytes.length;
  }

  #keep(arena: NameArena, { head, hash }: TargetSet, out: Uint8Array, start: number, end: number, written: number): void {
    this.#kept.delete(head);
    // none may mean that there was no room
    const parent = this.count === 0 || written - end > mostKeptBytes ? undefined : parentOf(out, start, end);
    if (parent === undefined) return;
    if (this.#kept.size >= mostKept)
      for (const first of this.#kept.keys()) {
        this.#kept.delete(first);
        break;
      }
    const bytes = Uint8Array.from(out.subarray(end, written));
    const { count } = this;
    this.#kept.set(head, { bytes, count, start, hash, parent, changes: arena.changesOf(hash), parentChanges: arena.changesOf(parent) });
  }

  #lookUp(arena: NameArena, out: Uint8Array, start: number, end: number, limit: number): number {
    this.count = 0;
    let written = end;
    let last = -1;
    for (let at = start; at < end; at += 12 + u16(out, at + 10)) {
      const target = targetOf(out, at);
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

/** Where the target's name of the record at `at` begins. */
function targetOf(out: Uint8Array, at: number): number {
  return at + (u16(out, at + 2) === typeNumbers.SRV ? 18 : 12);
}

/** The hash of the name that all targets of `[start, end)` are right below; undefined where they have several. */
function parentOf(out: Uint8Array, start: number, end: number): number | undefined {
  let parent: number | undefined;
  for (let at = start; at < end; at += 12 + u16(out, at + 10)) {
    const target = targetOf(out, at);
    const own = hashName(out, target + 1 + (out[target] ?? 0), at + 12 + u16(out, at + 10));
    if (parent !== undefined && own !== parent) return undefined;
    parent = own;
  }
  return parent;
}
