import type { Socket } from "node:net";
import { decodeMessage, encodeMessage, type Message } from "../wire/message.ts";
import { canonicalName, type DomainName } from "../wire/name.ts";
import type { ResourceRecord } from "../wire/record.ts";
import { classIn, printRcode, typeNumbers } from "../wire/record-type.ts";
import { printRecord } from "../wire/zone-file.ts";

/** A zone of more records is not taken. */
const maxRecords = 5_000_000;

/** A whole zone by AXFR (RFC 5936): all records between the two SOAs, the first included. Rejects for anything less. */
export async function fetchZone(open: () => Socket, zone: DomainName, signal: AbortSignal): Promise<readonly ResourceRecord[]> {
  const records: ResourceRecord[] = [];
  for await (const record of transfer(open, zoneQuery(zone, typeNumbers.AXFR), signal)) {
    if (records.length === 0 && record.data.kind !== "SOA") throw new Error("a transfer begins with the SOA");
    if (records.length > 0 && record.data.kind === "SOA") return records;
    records.push(record);
  }
  throw new Error("the transfer ended in the middle");
}

/**
 * The zone as it is now, from what changed since it was `known` (RFC 1995); the server may give the whole zone instead. Undefined where
 * it is as it was. Rejects where the server knows no IXFR, and where its changes are not of what is known: then AXFR tells.
 */
export async function fetchChanges(
  open: () => Socket,
  known: { readonly zone: DomainName; readonly soa: ResourceRecord; readonly records: readonly ResourceRecord[] },
  signal: AbortSignal,
): Promise<readonly ResourceRecord[] | undefined> {
  const query = { ...zoneQuery(known.zone, typeNumbers.IXFR), authority: [known.soa] };
  const given: ResourceRecord[] = [];
  /** How many SOAs came after the first: of a pair, the odd one has what went below it, the even one what came. */
  let soas = 0;
  for await (const record of transfer(open, query, signal)) {
    const [first] = given;
    const isSoa = record.data.kind === "SOA";
    if (first === undefined) {
      if (!isSoa) throw new Error("a transfer begins with the SOA");
      given.push(record);
      if (((serialOf(record) - serialOf(known.soa)) | 0) <= 0) return undefined;
      continue;
    }
    // a second SOA at once: changes; anything else: the whole zone
    const isWhole = given.length > 1 ? given[1]?.data.kind !== "SOA" : !isSoa;
    if (isSoa) {
      soas++;
      const isOver = isWhole || (soas > 1 && soas % 2 === 1 && serialOf(record) === serialOf(first));
      if (isOver) return isWhole ? given : changed(known.records, given.slice(1));
    }
    given.push(record);
  }
  throw new Error("the transfer ended in the middle");
}

/** `changes` without the SOA before and after: pairs of an old SOA with what went and a new one with what came. */
function changed(before: readonly ResourceRecord[], changes: readonly ResourceRecord[]): readonly ResourceRecord[] {
  const records = new Map(before.map((r) => [keyOf(r), r]));
  let goes = false;
  for (const record of changes) {
    if (record.data.kind === "SOA") goes = !goes;
    if (!goes) records.set(keyOf(record), record);
    else if (!records.delete(keyOf(record))) throw new Error(`what goes was not there: ${printRecord(record)}`);
  }
  return Array.from(records.values());
}

/** Of a record in its zone; the TTL is none of it. */
function keyOf(record: ResourceRecord): string {
  return printRecord({ ...record, name: canonicalName(record.name), ttl: 0 });
}

function serialOf({ data }: ResourceRecord): number {
  return data.kind === "SOA" ? data.serial : 0;
}

function zoneQuery(zone: DomainName, type: number): Message {
  return {
    id: Math.floor(Math.random() * 0x10000),
    isResponse: false,
    opcode: 0,
    authoritative: false,
    truncated: false,
    recursionDesired: false,
    recursionAvailable: false,
    authenticData: false,
    checkingDisabled: false,
    rcode: 0,
    questions: [{ name: zone, type, class: classIn }],
    answers: [],
    authority: [],
    additional: [],
  };
}

/** All records that answer the query, in as many messages as they come. */
async function* transfer(open: () => Socket, query: Message, signal: AbortSignal): AsyncIterable<ResourceRecord> {
  signal.throwIfAborted();
  const bytes = encodeMessage(query);
  const socket = open();
  const stop = (): void => void socket.destroy(signal.reason instanceof Error ? signal.reason : new Error("stopped"));
  signal.addEventListener("abort", stop, { once: true });
  try {
    socket.write(Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]));
    let count = 0;
    for await (const part of messages(socket)) {
      const message = decodeMessage(part);
      if (message.id !== query.id || !message.isResponse) throw new Error("a message of another question");
      if (message.rcode !== 0) throw new Error(`the server says ${printRcode(message.rcode)}`);
      count += message.answers.length;
      if (count > maxRecords) throw new Error(`more than ${maxRecords} records`);
      yield* message.answers;
    }
  } finally {
    signal.removeEventListener("abort", stop);
    socket.destroy();
  }
}

async function* messages(socket: Socket): AsyncIterable<Uint8Array> {
  let pending: Buffer = Buffer.alloc(0);
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    while (pending.length >= 2 && pending.length >= 2 + pending.readUInt16BE()) {
      const end = 2 + pending.readUInt16BE();
      yield pending.subarray(2, end);
      pending = pending.subarray(end);
    }
  }
}
