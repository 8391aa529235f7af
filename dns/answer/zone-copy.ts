import { putU16, putU32, u16, u32 } from "../wire/big-endian.ts";
import { flagBits, headerBytes } from "../wire/message.ts";
import { classIn, typeNumbers } from "../wire/record-type.ts";
import type { ZoneChange } from "../zone/change-journal.ts";
import { soaNumberBytes } from "./answer-zone.ts";
import type { BlockRecord } from "./block-changes.ts";
import { blockHeadBytes, nameBytesOf, setHeadBytes } from "./name-block.ts";

/** More in one message would make the pointer of an owner's name useless, and one event of the socket long. */
const messageBytes = 0x3fff;

/** What a transfer begins and ends with, at one moment. */
export interface ZoneHead {
  /** The zone's place among the zones. */
  readonly index: number;
  /** Bytes of the zone's name on the wire. */
  readonly zoneBytes: number;
  /** Data of its SOA. */
  readonly soa: Uint8Array;
  /** Seconds. */
  readonly ttl: number;
}

/** Where the blocks of a zone lie, at one moment: what happens to the zone afterwards does not reach it. */
export interface ZoneCopyParts extends ZoneHead {
  readonly bytes: Uint8Array;
  readonly offsets: readonly number[];
}

/** The question of a transfer, as it came. */
export interface TransferQuestion {
  readonly id: number;
  /** The zone's name on the wire, in the case it was asked in. */
  readonly name: Uint8Array;
  /** AXFR or IXFR. */
  readonly type: number;
}

/**
 * The messages of a zone transfer (RFC 5936): the SOA, every record, and the SOA again. Each message has the question, which
 * owners' names point at. Made one by one, so that a large zone holds up nobody.
 */
export function* transferMessages(zone: ZoneCopyParts, question: TransferQuestion): Iterable<Uint8Array> {
  const message = new TransferMessage(question);
  message.soa(zone);
  for (const offset of zone.offsets) {
    const nameBytes = nameBytesOf(zone.bytes, offset);
    const sets = zone.bytes[offset + 3] ?? 0;
    const owner = offset + blockHeadBytes;
    let head = owner + nameBytes;
    let at = head + sets * setHeadBytes;
    for (let i = 0; i < sets; i++, head += setHeadBytes) {
      const end = at + u32(zone.bytes, head + 5);
      while (at < end) {
        const length = 10 + u16(zone.bytes, at + 10);
        if (!message.fits(nameBytes + length)) yield message.take();
        // an owner in the block is a pointer to the question; here it is its own labels and a pointer to the zone's name
        message.record(zone.bytes, { owner, ownerBytes: nameBytes - zone.zoneBytes, tail: at + 2, tailBytes: length });
        at += 2 + length;
      }
    }
  }
  if (!message.fits(zone.soa.length + 12)) yield message.take();
  message.soa(zone);
  yield message.take();
}

/** The answer to a transfer that has nothing to tell: the SOA alone (RFC 1995 section 2). */
export function soaMessage(zone: ZoneHead, question: TransferQuestion): Uint8Array {
  const message = new TransferMessage(question);
  message.soa(zone);
  return message.take();
}

/**
 * The messages of an incremental transfer (RFC 1995 section 4): the SOA, the SOA of before and what went, the SOA and what came, and the
 * SOA again.
 */
export function* changeMessages(
  zone: ZoneHead,
  change: ZoneChange<BlockRecord> & { readonly from: number },
  question: TransferQuestion,
): Iterable<Uint8Array> {
  const message = new TransferMessage(question);
  const before = Uint8Array.from(zone.soa);
  putU32(before, before.length - soaNumberBytes, change.from);
  message.soa(zone);
  for (const [soa, records] of [
    [before, change.removed],
    [zone.soa, change.added],
  ] as const) {
    if (!message.fits(soa.length + 12)) yield message.take();
    message.soa({ ...zone, soa });
    for (const { bytes, nameBytes } of records) {
      const tailBytes = bytes.length - nameBytes;
      if (!message.fits(nameBytes + tailBytes)) yield message.take();
      message.record(bytes, { owner: 0, ownerBytes: nameBytes - zone.zoneBytes, tail: nameBytes, tailBytes });
    }
  }
  if (!message.fits(zone.soa.length + 12)) yield message.take();
  message.soa(zone);
  yield message.take();
}

class TransferMessage {
  readonly #question: TransferQuestion;
  #out = new Uint8Array(0);
  #at = 0;
  #answers = 0;

  constructor(question: TransferQuestion) {
    this.#question = question;
    this.#begin();
  }

  fits(bytes: number): boolean {
    return this.#at + bytes + 2 <= messageBytes || this.#answers === 0;
  }

  soa(zone: ZoneHead): void {
    const out = this.#room(12 + zone.soa.length);
    putU16(out, this.#at, 0xc000 | headerBytes);
    putU16(out, this.#at + 2, typeNumbers.SOA);
    putU16(out, this.#at + 4, classIn);
    putU16(out, this.#at + 6, zone.ttl >>> 16);
    putU16(out, this.#at + 8, zone.ttl);
    putU16(out, this.#at + 10, zone.soa.length);
    out.set(zone.soa, this.#at + 12);
    this.#at += 12 + zone.soa.length;
    this.#answers++;
  }

  record(
    from: Uint8Array,
    r: { readonly owner: number; readonly ownerBytes: number; readonly tail: number; readonly tailBytes: number },
  ): void {
    const out = this.#room(r.ownerBytes + 2 + r.tailBytes);
    out.set(from.subarray(r.owner, r.owner + r.ownerBytes), this.#at);
    putU16(out, this.#at + r.ownerBytes, 0xc000 | headerBytes);
    out.set(from.subarray(r.tail, r.tail + r.tailBytes), this.#at + r.ownerBytes + 2);
    this.#at += r.ownerBytes + 2 + r.tailBytes;
    this.#answers++;
  }

  take(): Uint8Array {
    putU16(this.#out, 6, this.#answers);
    const message = this.#out.subarray(0, this.#at);
    this.#begin();
    return message;
  }

  #begin(): void {
    const { id, name, type } = this.#question;
    const out = new Uint8Array(messageBytes);
    putU16(out, 0, id);
    putU16(out, 2, flagBits.qr | flagBits.aa);
    putU16(out, 4, 1);
    out.set(name, headerBytes);
    putU16(out, headerBytes + name.length, type);
    putU16(out, headerBytes + name.length + 2, classIn);
    this.#out = out;
    this.#at = headerBytes + name.length + 4;
    this.#answers = 0;
  }

  /** A single record may be longer than a message usually is. */
  #room(bytes: number): Uint8Array {
    if (this.#at + bytes > this.#out.length) {
      const grown = new Uint8Array(this.#at + bytes);
      grown.set(this.#out.subarray(0, this.#at));
      this.#out = grown;
    }
    return this.#out;
  }
}
