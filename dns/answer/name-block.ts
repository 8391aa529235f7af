import { ipBytes } from "../../src/base/ip.ts";
import { putU16, putU32 } from "../wire/big-endian.ts";
import { writeName } from "../wire/name.ts";
import { type RecordData, typeOf } from "../wire/record.ts";
import { writeRecordData } from "../wire/record-data.ts";
import { WireWriter } from "../wire/wire-writer.ts";
import type { NameRecords, RecordSet } from "../zone/record-delta.ts";

/*
 * A name's block in the arena:
 *   0  flags (4 bits) and zone (12 bits, its place among the zones)  2  name bytes  3  number of sets
 *   4  size of the block (u32): room that is left over at its end included
 *   8  the name (wire form, lower case), then a head of 9 bytes for each set:
 *      type (u16), records (u16), stride (u8), bytes of the records (u32)
 *   then for each set its records as they stand in a message that asks for this name: it lies at offset 12, so owners are the
 *   pointer c00c and no byte needs a change.
 */
/** `unstated` is set from outside and goes when a block is built anew. */
export const blockFlags = { podAddresses: 1, alias: 2, empty: 4, unstated: 8 } as const;
export const blockHeadBytes = 8;
export const setHeadBytes = 9;

const questionAt = 12;
export const maxRecords = 0xffff;
/** What one record can take at most: owner, fixed fields and the longest data that is written without a `WireWriter`. */
const recordRoom = 12 + 600;
/** The most that one name may have; 1,000 endpoints with A and SRV records take 80 KiB. */
const maxBlockBytes = 64 << 20;

let scratch = new Uint8Array(64 << 10);

/** The zone a name is in. */
export interface BlockZone {
  /** Its place among the arena's zones. */
  readonly index: number;
  /** Seconds, for records that have no TTL of their own. */
  readonly ttl: number;
}

/** Builds a block; the bytes are valid until the next call. `name` is in wire form, lower case. */
export function encodeNameBlock(name: Uint8Array, zone: BlockZone, records: NameRecords | undefined): Uint8Array {
  return inScratch((out) => encodeInto(out, name, zone, records));
}

/** Records as they lie in a block; the bytes are valid until the next call. */
export function encodeRecords(records: readonly RecordData[], ttl: number): Uint8Array {
  return inScratch((out) => out.subarray(0, writeRecords(out, 0, records, ttl)));
}

function inScratch(encode: (out: Uint8Array) => Uint8Array): Uint8Array {
  for (;;) {
    try {
      return encode(scratch);
    } catch (error) {
      if (!(error instanceof RangeError) || scratch.length >= maxBlockBytes) throw error;
      scratch = new Uint8Array(scratch.length * 2);
    }
  }
}

export function flagsOf(bytes: Uint8Array, block: number): number {
  return (bytes[block] ?? 0) >> 4;
}

export function setFlag(bytes: Uint8Array, block: number, flag: number): void {
  bytes[block] = (bytes[block] ?? 0) | (flag << 4);
}

/** The place of a block's zone among the zones. */
export function zoneIndexOf(bytes: Uint8Array, block: number): number {
  return (((bytes[block] ?? 0) & 0xf) << 8) | (bytes[block + 1] ?? 0);
}

export function nameBytesOf(bytes: Uint8Array, block: number): number {
  return bytes[block + 2] ?? 0;
}

function encodeInto(out: Uint8Array, name: Uint8Array, zone: BlockZone, all: NameRecords | undefined): Uint8Array {
  const sets = all?.sets ?? [];
  const flags =
    (all?.podAddresses === true ? blockFlags.podAddresses : 0) |
    (sets.some((s) => s.data[0]?.kind === "CNAME") ? blockFlags.alias : 0) |
    (all === undefined ? blockFlags.empty : 0);
  putU16(out, 0, (flags << 12) | zone.index);
  out[2] = name.length;
  out[3] = sets.length;
  out.set(name, blockHeadBytes);
  let head = blockHeadBytes + name.length;
  let at = head + sets.length * setHeadBytes;
  for (const set of sets) {
    // a section counts with 16 bits; far fewer fit a message
    const records = set.data.length > maxRecords ? set.data.slice(0, maxRecords) : set.data;
    const first = records[0];
    if (first === undefined) throw new Error("a record set without records");
    const start = at;
    at = writeRecords(out, at, records, set.ttl ?? zone.ttl);
    putU16(out, head, typeOf(first));
    putU16(out, head + 2, records.length);
    out[head + 4] = stride(set);
    putU32(out, head + 5, at - start);
    head += setHeadBytes;
  }
  putU32(out, 4, at);
  return out.subarray(0, at);
}

/** Records as they stand in a block; the result is where they end. Throws a RangeError where there is no room. */
function writeRecords(out: Uint8Array, start: number, records: readonly RecordData[], ttl: number): number {
  lastParent = "";
  let at = start;
  for (const data of records) {
    if (at + recordRoom > out.length) throw new RangeError("block full");
    putU16(out, at, 0xc000 | questionAt);
    at = writeTail(out, at + 2, data, ttl);
  }
  return at;
}

/** Bytes of each record where all have the same length and may be rotated; else 0. */
function stride(set: RecordSet): number {
  if (set.data.length < 2) return 0;
  const kind = set.data[0]?.kind;
  return kind === "A" ? 16 : kind === "AAAA" ? 28 : 0;
}

/** The parent of the last target written, and where its bytes stand: endpoints of one Service differ in their first label only. */
let lastParent = "";
let lastParentAt = 0;
let lastParentBytes = 0;

function writeTarget(name: string, out: Uint8Array, start: number): number {
  const dot = name.indexOf(".");
  if (
    lastParent !== "" &&
    dot > 0 &&
    dot < 64 &&
    name.length - dot - 1 === lastParent.length &&
    name.endsWith(lastParent) &&
    !name.includes("\\")
  ) {
    out[start] = dot;
    for (let i = 0; i < dot; i++) out[start + 1 + i] = name.charCodeAt(i);
    out.copyWithin(start + 1 + dot, lastParentAt, lastParentAt + lastParentBytes);
    return start + 1 + dot + lastParentBytes;
  }
  const end = writeName(name, out, start);
  const first = 1 + (out[start] ?? 0);
  lastParent = name.includes("\\") || end - start <= first + 1 ? "" : name.slice(dot + 1);
  lastParentAt = start + first;
  lastParentBytes = end - start - first;
  return end;
}

function writeTail(out: Uint8Array, start: number, data: RecordData, ttl: number): number {
  putU16(out, start, typeOf(data));
  putU16(out, start + 2, 1);
  putU32(out, start + 4, ttl);
  let at = start + 10;
  if (data.kind === "A") at = writeIpv4(out, at, data.ip);
  else if (data.kind === "AAAA") {
    out.set(ipBytes(data.ip), at);
    at += 16;
  } else if (data.kind === "SRV") {
    putU16(out, at, data.priority);
    putU16(out, at + 2, data.weight);
    putU16(out, at + 4, data.port);
    at = writeTarget(data.target, out, at + 6);
  } else if (data.kind === "PTR" || data.kind === "CNAME" || data.kind === "NS") {
    at = writeTarget(data.target, out, at);
  } else {
    const w = new WireWriter(0xffff);
    writeRecordData(w, data);
    if (at + w.length > out.length) throw new RangeError("block full");
    out.set(w.written, at);
    at += w.length;
  }
  putU16(out, start + 8, at - start - 10);
  return at;
}

/** Digits and dots only: `Ip` is canonical text. */
function writeIpv4(out: Uint8Array, start: number, ip: string): number {
  let at = start;
  let octet = 0;
  for (let i = 0; i < ip.length; i++) {
    const c = ip.charCodeAt(i);
    if (c === 0x2e) {
      out[at++] = octet;
      octet = 0;
    } else octet = octet * 10 + c - 0x30;
  }
  out[at] = octet;
  return at + 1;
}
