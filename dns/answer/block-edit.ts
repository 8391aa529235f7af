import { putU16, putU32, u16, u32 } from "../wire/big-endian.ts";
import { typeOf } from "../wire/record.ts";
import type { SetEdit } from "../zone/record-delta.ts";
import { blockHeadBytes, encodeRecords, maxRecords, nameBytesOf, setHeadBytes } from "./name-block.ts";

/** Owner, fixed fields, an SRV record's numbers and the longest name: what an edited record takes at most. */
const mostRecordBytes = 2 + 10 + 6 + 255;

/** Bytes that a block may need more by edits. */
export function growthOf(edits: readonly SetEdit[]): number {
  return edits.reduce((n, edit) => n + edit.adds.length, 0) * mostRecordBytes;
}

/** Bytes of a block that are in use. */
export function usedBytesOf(bytes: Uint8Array, block: number): number {
  const sets = bytes[block + 3] ?? 0;
  let head = block + blockHeadBytes + nameBytesOf(bytes, block);
  let end = head + sets * setHeadBytes;
  for (let i = 0; i < sets; i++, head += setHeadBytes) end += u32(bytes, head + 5);
  return end - block;
}

/**
 * Takes records out of a set and puts others to its end, where they lie: a few copies within the block, whatever the set has. There must
 * be room for `growthOf`; what is behind the set moves. A set that the block does not have stays away. `ttl` is the zone's.
 */
export function editBlock(bytes: Uint8Array, block: number, edit: SetEdit, ttl: number): void {
  const [some] = [...edit.removes, ...edit.adds];
  if (some === undefined) return;
  const set = new BlockSet(bytes, block, typeOf(some));
  if (!set.isThere) return;
  for (const record of records(encodeRecords(edit.removes, edit.ttl ?? ttl))) set.remove(record);
  for (const record of records(encodeRecords(edit.adds, edit.ttl ?? ttl))) set.add(record);
}

/** One after the other. */
function* records(encoded: Uint8Array): Iterable<Uint8Array> {
  for (let at = 0; at < encoded.length; ) {
    const end = at + 12 + u16(encoded, at + 10);
    yield encoded.subarray(at, end);
    at = end;
  }
}

/** Where the records of one type lie in a block. */
class BlockSet {
  readonly #bytes: Uint8Array;
  #head = -1;
  #start = 0;
  #end = 0;
  /** Of the block's last set. */
  #blockEnd: number;

  constructor(bytes: Uint8Array, block: number, type: number) {
    this.#bytes = bytes;
    this.#blockEnd = block + usedBytesOf(bytes, block);
    const sets = bytes[block + 3] ?? 0;
    let head = block + blockHeadBytes + nameBytesOf(bytes, block);
    let at = head + sets * setHeadBytes;
    for (let i = 0; i < sets; i++, head += setHeadBytes) {
      const end = at + u32(bytes, head + 5);
      if (u16(bytes, head) === type) {
        this.#head = head;
        this.#start = at;
        this.#end = end;
      }
      at = end;
    }
  }

  get isThere(): boolean {
    return this.#head >= 0;
  }

  remove(record: Uint8Array): void {
    const at = this.#find(record);
    // a set is never empty: whoever takes all of its records takes the set
    if (at < 0 || this.#count === 1) return;
    this.#bytes.copyWithin(at, at + record.length, this.#blockEnd);
    this.#resize(-record.length, -1);
  }

  add(record: Uint8Array): void {
    if (this.#count >= maxRecords || this.#find(record) >= 0) return;
    this.#bytes.copyWithin(this.#end + record.length, this.#end, this.#blockEnd);
    this.#bytes.set(record, this.#end);
    this.#resize(record.length, 1);
  }

  get #count(): number {
    return u16(this.#bytes, this.#head + 2);
  }

  #resize(bytes: number, records: number): void {
    this.#end += bytes;
    this.#blockEnd += bytes;
    putU16(this.#bytes, this.#head + 2, this.#count + records);
    putU32(this.#bytes, this.#head + 5, this.#end - this.#start);
  }

  #find(record: Uint8Array): number {
    const bytes = this.#bytes;
    for (let at = this.#start, next = at; at < this.#end; at = next) {
      next = at + 12 + u16(bytes, at + 10);
      if (next - at === record.length && isAt(bytes, at, record)) return at;
    }
    return -1;
  }
}

function isAt(bytes: Uint8Array, at: number, record: Uint8Array): boolean {
  for (let i = 0; i < record.length; i++) if (bytes[at + i] !== record[i]) return false;
  return true;
}
