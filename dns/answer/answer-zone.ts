import type { ServedZone } from "../config/served-zones.ts";
import { putU32 } from "../wire/big-endian.ts";
import { encodeName } from "../wire/name.ts";
import { classIn, typeNumbers } from "../wire/record-type.ts";
import type { ArenaZone } from "./name-arena.ts";

/** A zone as the answerer needs it. */
export interface AnswerZone extends ArenaZone {
  /** Unknown names are the chain's: in zones of others, and in zones that fall through. */
  readonly isLeft: boolean;
  /** It is somebody else's: it has no apex and no answer without records. */
  readonly isPassing: boolean;
  /** Its SOA; names in it are filled in for each answer. */
  readonly soa: Uint8Array;
  /** Where in `soa` a pointer to the zone's name belongs. */
  readonly soaPointers: readonly number[];
}

/** Serial, refresh, retry, expire, minimum. */
export const soaNumberBytes = 20;

/** `isPassing`: it is somebody else's. */
export function answerZone(zone: ServedZone, isPassing: boolean): AnswerZone {
  const primary = encodeName(zone.nameServer).subarray(0, -1);
  const mailbox = Buffer.from("\x0ahostmaster", "latin1");
  const soa = new Uint8Array(12 + primary.length + 2 + mailbox.length + 2 + soaNumberBytes);
  const view = new DataView(soa.buffer);
  view.setUint16(2, typeNumbers.SOA);
  view.setUint16(4, classIn);
  view.setUint32(6, zone.ttl);
  view.setUint16(10, soa.length - 12);
  soa.set(primary, 12);
  soa.set(mailbox, 12 + primary.length + 2);
  // the last bounds how long a negative answer is kept (RFC 2308)
  for (const [i, value] of [0, 7200, 1800, 86400, zone.ttl].entries()) view.setUint32(soa.length - soaNumberBytes + 4 * i, value);
  return {
    name: encodeName(zone.name),
    ttl: zone.ttl,
    isPassing,
    isLeft: zone.unknown === "left",
    soa,
    // owner, primary server and mailbox end in the zone's name
    soaPointers: [0, 12 + primary.length, soa.length - soaNumberBytes - 2],
  };
}

/** The data of a zone's SOA with its names spelt out. */
export function wholeSoa({ name, soa, soaPointers: [, primary = 0, mailbox = 0] }: AnswerZone): Uint8Array {
  return Buffer.concat([soa.subarray(12, primary), name, soa.subarray(primary + 2, mailbox), name, soa.subarray(mailbox + 2)]);
}

/** The serial of its SOA, modulo 2³². */
export function setSerial({ soa }: AnswerZone, serial: number): void {
  putU32(soa, soa.length - soaNumberBytes, serial >>> 0);
}
