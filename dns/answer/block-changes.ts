import { u16, u32 } from "../wire/big-endian.ts";
import type { ZoneChange } from "../zone/change-journal.ts";
import { blockHeadBytes, nameBytesOf, setHeadBytes, zoneIndexOf } from "./name-block.ts";

/** A record of one of the answerer's zones. */
export interface BlockRecord {
  /** The zone's place among the zones. */
  readonly zone: number;
  /** The owner on the wire, and behind it type, class, TTL and data. */
  readonly bytes: Uint8Array;
  readonly nameBytes: number;
}

/** Equal for equal records. */
export function blockRecordKey({ bytes }: BlockRecord): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}

/** What makes `after` of `before`: blocks of one name, undefined where it is not there. */
export function blockChange(before: Uint8Array | undefined, after: Uint8Array | undefined): ZoneChange<BlockRecord> {
  const old = before === undefined ? [] : tails(before);
  const now = after === undefined ? [] : tails(after);
  // an edit keeps the order, and what it adds stands at the end of its set: most changes are told by one look at each
  const gone: Uint8Array[] = [];
  let next = 0;
  for (const tail of old) {
    const found = now[next];
    if (found !== undefined && Buffer.compare(tail, found) === 0) next++;
    else gone.push(tail);
  }
  const removed = new Map(gone.map((tail) => [keyOf(tail), tail]));
  const added = now.slice(next).filter((tail) => !removed.delete(keyOf(tail)));
  return {
    removed: before === undefined ? [] : Array.from(removed.values(), (tail) => recordOf(before, tail)),
    added: after === undefined ? [] : added.map((tail) => recordOf(after, tail)),
  };
}

/** All but the owners of a block's records, set by set. */
function tails(block: Uint8Array): readonly Uint8Array[] {
  const found: Uint8Array[] = [];
  const sets = block[3] ?? 0;
  let head = blockHeadBytes + nameBytesOf(block, 0);
  let at = head + sets * setHeadBytes;
  for (let i = 0; i < sets; i++, head += setHeadBytes) {
    const end = at + u32(block, head + 5);
    while (at < end) {
      const length = 10 + u16(block, at + 10);
      found.push(block.subarray(at + 2, at + 2 + length));
      at += 2 + length;
    }
  }
  return found;
}

function recordOf(block: Uint8Array, tail: Uint8Array): BlockRecord {
  const nameBytes = nameBytesOf(block, 0);
  const bytes = new Uint8Array(nameBytes + tail.length);
  bytes.set(block.subarray(blockHeadBytes, blockHeadBytes + nameBytes));
  bytes.set(tail, nameBytes);
  return { zone: zoneIndexOf(block, 0), bytes, nameBytes };
}

function keyOf(tail: Uint8Array): string {
  return Buffer.from(tail.buffer, tail.byteOffset, tail.length).toString("latin1");
}
