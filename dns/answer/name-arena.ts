import { putU32, u32 } from "../wire/big-endian.ts";
import type { NameRecords, SetEdit } from "../zone/record-delta.ts";
import { editBlock, growthOf, usedBytesOf } from "./block-edit.ts";
import { type BlockZone, blockFlags, blockHeadBytes, encodeNameBlock, flagsOf, nameBytesOf, setFlag, zoneIndexOf } from "./name-block.ts";
import { hashName, lowerByte } from "./name-hash.ts";

const emptySlot = 0;
const deadSlot = 1;
/** Offsets below it mean that a slot is free. */
const firstOffset = 16;
const firstCapacity = 1 << 10;
/** Garbage below it is not worth a compaction. */
const leastGarbageBytes = 1 << 20;
/** Sizes of blocks are multiples of it, so that what one leaves fits another. */
const sizeStep = 8;
/** A block takes a free place that is so much larger at most. */
const mostSpare = 16;
/** A power of two. */
const changeCounts = 1 << 12;

export interface ArenaZone {
  /** On the wire, lower case. */
  readonly name: Uint8Array;
  /** Seconds. */
  readonly ttl: number;
}

/**
 * All names of some zones, as blocks in one growing byte array with an open-addressing index: no object per name. A name that
 * only has names below it is there too, as an empty block, so that asking for it is no data and not NXDOMAIN (RFC 8020).
 */
export class NameArena {
  #bytes = new Uint8Array(64 << 10);
  #used = firstOffset;
  #garbage = 0;
  /** By their size, places that blocks have left: where endpoints come and go, new names take those of old ones, and nothing moves. */
  readonly #free = new Map<number, number[]>();
  /** Of each slot a name's hash and its block's offset: side by side, since each query meets both where no cache has them. */
  #entries = new Int32Array(2 * firstCapacity);
  /** How many existing names lie one label below the slot's. */
  #children = new Uint32Array(firstCapacity);
  /** How often names have changed, by a part of their hash or their parent's. */
  readonly #changes = new Uint32Array(changeCounts);
  #live = 0;
  #dead = 0;
  readonly #zones: readonly (ArenaZone & BlockZone)[];

  /** Zones' own names exist from the start. */
  constructor(zones: readonly ArenaZone[]) {
    this.#zones = zones.map((zone, index) => ({ ...zone, index }));
    for (const zone of this.#zones) {
      const hash = hashName(zone.name, 0, zone.name.length);
      if (this.find(zone.name, 0, zone.name.length, hash) < 0) this.#insert(zone.name, hash, zone, { sets: [] });
    }
  }

  /** Where the blocks lie; another array after each change. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  get size(): number {
    return this.#live;
  }

  /** Bytes in use, garbage included, and what the index takes. */
  get memory(): { readonly used: number; readonly garbage: number; readonly index: number } {
    return { used: this.#used, garbage: this.#garbage, index: this.#children.length * 12 };
  }

  /** The offset of the block of the name that lies at `[start, start + length)`, in any case; -1 when it does not exist. */
  find(name: Uint8Array, start: number, length: number, hash: number): number {
    const slot = this.#slotOf(name, start, length, hash);
    return slot < 0 ? -1 : this.#offsetAt(slot);
  }

  /**
   * Touches what `find` and the answers to names of these hashes will read. One after the other each name waits twice for memory, for its
   * entry and its block; loads that do not wait for each other are under way together.
   */
  warm(hashes: Int32Array, count: number): void {
    const entries = this.#entries;
    const bytes = this.#bytes;
    const mask = (entries.length >> 1) - 1;
    for (let i = 0; i < count; i++) warmOffsets[i] = entries[2 * (spread(hashes[i] ?? 0) & mask) + 1] ?? 0;
    let seen = 0;
    for (let i = 0; i < count; i++) {
      const offset = warmOffsets[i] ?? 0;
      seen ^= (bytes[offset] ?? 0) ^ (bytes[offset + cacheLine] ?? 0);
    }
    // kept, so that no compiler leaves the loads out
    warmOffsets[0] = seen;
  }

  /** Another number after each change of the name of this hash, of a name right below it, or of where blocks lie (and by chance of others). */
  changesOf(hash: number): number {
    return this.#changes[hash & (changeCounts - 1)] ?? 0;
  }

  /** Makes or replaces a name. Says false for one that is in no zone. */
  put(name: Uint8Array, records: NameRecords): boolean {
    const hash = this.#countChange(name);
    const slot = this.#slotOf(name, 0, name.length, hash);
    if (slot >= 0) {
      const old = this.#offsetAt(slot);
      const block = encodeNameBlock(name, this.#zoneAt(old), records);
      this.#entries[2 * slot + 1] = this.#replaceBlock(old, block);
      return true;
    }
    const zone = this.#countInParent(name);
    if (zone === undefined) return false;
    this.#insert(name, hash, zone, records);
    return true;
  }

  /** Changes some records of a name; one that is not there stays away. */
  edit(name: Uint8Array, edits: readonly SetEdit[]): void {
    const slot = this.#slotOf(name, 0, name.length, this.#countChange(name));
    if (slot < 0) return;
    const offset = this.#roomFor(this.#offsetAt(slot), growthOf(edits));
    this.#entries[2 * slot + 1] = offset;
    const { ttl } = this.#zoneAt(offset);
    for (const edit of edits) editBlock(this.#bytes, offset, edit, ttl);
  }

  /** Takes a name's records away; the name stays while there are names below it, and a zone's own name always. */
  remove(name: Uint8Array): void {
    const slot = this.#slotOf(name, 0, name.length, this.#countChange(name));
    if (slot < 0) return;
    const offset = this.#offsetAt(slot);
    const zone = this.#zoneAt(offset);
    if ((this.#children[slot] ?? 0) > 0 || zone.name.length === name.length) {
      this.#entries[2 * slot + 1] = this.#replaceBlock(offset, encodeNameBlock(name, zone, undefined));
      return;
    }
    this.#drop(slot);
    this.#uncountInParent(name, zone.name.length);
  }

  /** From now on `unstated` gives the names that have not been put since. */
  restate(): void {
    for (const offset of this.#blocks()) setFlag(this.#bytes, offset, blockFlags.unstated);
  }

  /** On the wire, as they lie in the arena until the next change. */
  *unstated(): Iterable<Uint8Array> {
    for (const offset of this.#blocks()) {
      const flags = flagsOf(this.#bytes, offset);
      const name = this.#bytes.subarray(offset + blockHeadBytes, offset + blockHeadBytes + nameBytesOf(this.#bytes, offset));
      const isApex = name.length === this.#zoneAt(offset).name.length;
      if ((flags & blockFlags.unstated) !== 0 && (flags & blockFlags.empty) === 0 && !isApex) yield name;
    }
  }

  *#blocks(): Iterable<number> {
    for (let slot = 0; slot < this.#children.length; slot++) {
      const offset = this.#offsetAt(slot);
      if (offset >= firstOffset) yield offset;
    }
  }

  /** The blocks of one zone, by its place among the zones, in bytes that no later change touches. */
  copyOf(zone: number): { readonly bytes: Uint8Array; readonly offsets: readonly number[] } {
    const bytes = this.#bytes.slice(0, this.#used);
    const offsets: number[] = [];
    for (const offset of this.#blocks()) if (zoneIndexOf(bytes, offset) === zone) offsets.push(offset);
    return { bytes, offsets };
  }

  /** A name's block; undefined when it does not exist. */
  blockCopy(name: Uint8Array): Uint8Array | undefined {
    const offset = this.find(name, 0, name.length, hashName(name, 0, name.length));
    return offset < 0 ? undefined : this.#bytes.slice(offset, offset + usedBytesOf(this.#bytes, offset));
  }

  /** Moves the blocks together when more than a third is garbage. */
  compactWhenDue(): void {
    if (this.#garbage < leastGarbageBytes || this.#garbage * 3 < this.#used) return;
    const next = new Uint8Array(Math.max(64 << 10, Math.ceil((this.#used - this.#garbage) * 1.25)));
    let at = firstOffset;
    for (let slot = 0; slot < this.#children.length; slot++) {
      const offset = this.#offsetAt(slot);
      if (offset < firstOffset) continue;
      const size = this.#sizeOf(offset);
      next.set(this.#bytes.subarray(offset, offset + size), at);
      this.#entries[2 * slot + 1] = at;
      at += size;
    }
    this.#bytes = next;
    this.#used = at;
    this.#garbage = 0;
    this.#free.clear();
    for (let i = 0; i < changeCounts; i++) this.#changes[i] = (this.#changes[i] ?? 0) + 1;
  }

  /** The name's hash. */
  #countChange(name: Uint8Array): number {
    const below = 1 + (name[0] ?? 0);
    const parent = hashName(name, below, name.length);
    const hash = hashName(name, 0, below, parent);
    for (const own of [parent, hash]) {
      const at = own & (changeCounts - 1);
      this.#changes[at] = (this.#changes[at] ?? 0) + 1;
    }
    return hash;
  }

  #offsetAt(slot: number): number {
    return this.#entries[2 * slot + 1] ?? 0;
  }

  #slotOf(name: Uint8Array, start: number, length: number, hash: number): number {
    const entries = this.#entries;
    const mask = (entries.length >> 1) - 1;
    for (let slot = spread(hash) & mask; ; slot = (slot + 1) & mask) {
      const offset = entries[2 * slot + 1] ?? 0;
      if (offset === emptySlot) return -1;
      if (offset !== deadSlot && entries[2 * slot] === hash && this.#isName(offset, name, start, length)) return slot;
    }
  }

  #isName(offset: number, name: Uint8Array, start: number, length: number): boolean {
    const bytes = this.#bytes;
    if (nameBytesOf(bytes, offset) !== length) return false;
    const at = offset + blockHeadBytes;
    for (let i = 0; i < length; i++) if (bytes[at + i] !== lowerByte[name[start + i] ?? 0]) return false;
    return true;
  }

  #insert(name: Uint8Array, hash: number, zone: BlockZone, records: NameRecords | undefined): void {
    if ((this.#live + this.#dead + 1) * 5 > this.#children.length * 3) this.#rehash();
    const offset = this.#append(encodeNameBlock(name, zone, records));
    const mask = this.#children.length - 1;
    let slot = spread(hash) & mask;
    while (this.#offsetAt(slot) >= firstOffset) slot = (slot + 1) & mask;
    if (this.#offsetAt(slot) === deadSlot) this.#dead--;
    this.#entries[2 * slot] = hash;
    this.#entries[2 * slot + 1] = offset;
    this.#children[slot] = 0;
    this.#live++;
  }

  #drop(slot: number): void {
    this.#leave(this.#offsetAt(slot));
    this.#entries[2 * slot + 1] = deadSlot;
    this.#live--;
    this.#dead++;
  }

  /**
   * A name comes: its parent, made where it does not exist, has a child more. The result is the zone of both; undefined, with
   * nothing done, for a name in no zone.
   */
  #countInParent(name: Uint8Array): BlockZone | undefined {
    const parent = name.subarray(1 + (name[0] ?? 0));
    if (parent.length === 0) return undefined;
    const hash = hashName(parent, 0, parent.length);
    let slot = this.#slotOf(parent, 0, parent.length, hash);
    if (slot < 0) {
      const zone = this.#countInParent(parent);
      if (zone === undefined) return undefined;
      this.#insert(parent, hash, zone, undefined);
      slot = this.#slotOf(parent, 0, parent.length, hash);
    }
    this.#children[slot] = (this.#children[slot] ?? 0) + 1;
    return this.#zoneAt(this.#offsetAt(slot));
  }

  #zoneAt(offset: number): ArenaZone & BlockZone {
    const zone = this.#zones[zoneIndexOf(this.#bytes, offset)];
    if (zone === undefined) throw new Error("a block of no zone");
    return zone;
  }

  /** A name went: its parent has a child less, and goes too when that was all it was there for. */
  #uncountInParent(name: Uint8Array, zoneBytes: number): void {
    const parent = name.subarray(1 + (name[0] ?? 0));
    const slot = this.#slotOf(parent, 0, parent.length, hashName(parent, 0, parent.length));
    const left = (this.#children[slot] ?? 0) - 1;
    this.#children[slot] = left;
    const isEmpty = (flagsOf(this.#bytes, this.#offsetAt(slot)) & blockFlags.empty) !== 0;
    if (left === 0 && isEmpty && parent.length !== zoneBytes) {
      this.#drop(slot);
      this.#uncountInParent(parent, zoneBytes);
    }
  }

  /** Writes over the old block where the new one fits well, so that a change of addresses makes no garbage. */
  #replaceBlock(offset: number, block: Uint8Array): number {
    const size = this.#sizeOf(offset);
    if (block.length <= size && block.length * 2 > size) {
      this.#bytes.set(block, offset);
      putU32(this.#bytes, offset + 4, size);
      return offset;
    }
    this.#leave(offset);
    return this.#append(block);
  }

  /** Where a block lies that has so many bytes left over: another place where it has not, with some to spare for what comes next. */
  #roomFor(offset: number, bytes: number): number {
    const used = usedBytesOf(this.#bytes, offset);
    if (used + bytes <= this.#sizeOf(offset)) return offset;
    const roomier = this.#reserve(used + bytes + (used >> 3));
    const size = this.#sizeOf(roomier);
    this.#bytes.copyWithin(roomier, offset, offset + used);
    putU32(this.#bytes, roomier + 4, size);
    this.#leave(offset);
    return roomier;
  }

  #leave(offset: number): void {
    const size = this.#sizeOf(offset);
    this.#garbage += size;
    const places = this.#free.get(size);
    if (places === undefined) this.#free.set(size, [offset]);
    else places.push(offset);
  }

  #append(block: Uint8Array): number {
    const offset = this.#reserve(block.length);
    const size = this.#sizeOf(offset);
    this.#bytes.set(block, offset);
    putU32(this.#bytes, offset + 4, size);
    return offset;
  }

  /** A place for so many bytes, which has its size written where a block has it. */
  #reserve(bytes: number): number {
    const size = Math.ceil(bytes / sizeStep) * sizeStep;
    for (let fit = size; fit <= size + mostSpare; fit += sizeStep) {
      const offset = this.#free.get(fit)?.pop();
      if (offset === undefined) continue;
      this.#garbage -= fit;
      return offset;
    }
    const need = this.#used + size;
    if (need > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(need, Math.ceil(this.#bytes.length * 1.5)));
      grown.set(this.#bytes.subarray(0, this.#used));
      this.#bytes = grown;
    }
    const offset = this.#used;
    this.#used = need;
    putU32(this.#bytes, offset + 4, size);
    return offset;
  }

  #sizeOf(offset: number): number {
    return u32(this.#bytes, offset + 4);
  }

  #rehash(): void {
    let capacity = firstCapacity;
    while (capacity < (this.#live + 1) * 3) capacity *= 2;
    const entries = this.#entries;
    const children = this.#children;
    this.#entries = new Int32Array(2 * capacity);
    this.#children = new Uint32Array(capacity);
    this.#dead = 0;
    const mask = capacity - 1;
    for (let old = 0; old < children.length; old++) {
      const offset = entries[2 * old + 1] ?? 0;
      if (offset < firstOffset) continue;
      const hash = entries[2 * old] ?? 0;
      let slot = spread(hash) & mask;
      while (this.#offsetAt(slot) !== emptySlot) slot = (slot + 1) & mask;
      this.#entries[2 * slot] = hash;
      this.#entries[2 * slot + 1] = offset;
      this.#children[slot] = children[old] ?? 0;
    }
  }
}

/** Of names that are looked up together. */
export const mostWarm = 64;
const warmOffsets = new Int32Array(mostWarm);
/** Bytes that memory comes in. */
const cacheLine = 64;

/** FNV's low bits alone are poor for names that differ only near one end. */
function spread(hash: number): number {
  return hash ^ (hash >>> 15);
}
