import type { Socket } from "node:net";
import { decodeMessage, encodeMessage } from "../wire/message.ts";
import type { DomainName } from "../wire/name.ts";
import type { ResourceRecord } from "../wire/record.ts";
import { classIn, printRcode, typeNumbers } from "../wire/record-type.ts";

/** A zone of more records is not taken. */
const maxRecords = 5_000_000;

/** A whole zone by AXFR (RFC 5936): all records between the two SOAs, the first included. Rejects for anything less. */
export async function fetchZone(open: () => Socket, zone: DomainName, signal: AbortSignal): Promise<readonly ResourceRecord[]> {
  signal.throwIfAborted();
  const id = Math.floor(Math.random() * 0x10000);
  const question = { name: zone, type: typeNumbers.AXFR, class: classIn };
  const query = encodeMessage({
    id,
    isResponse: false,
    opcode: 0,
    authoritative: false,
    truncated: false,
    recursionDesired: false,
    recursionAvailable: false,
    authenticData: false,
    checkingDisabled: false,
    rcode: 0,
    questions: [question],
    answers: [],
    authority: [],
    additional: [],
  });
  const socket = open();
  const stop = (): void => void socket.destroy(signal.reason instanceof Error ? signal.reason : new Error("stopped"));
  signal.addEventListener("abort", stop, { once: true });
  try {
    socket.write(Buffer.concat([Buffer.from([query.length >> 8, query.length & 255]), query]));
    const records: ResourceRecord[] = [];
    for await (const bytes of messages(socket)) {
      const message = decodeMessage(bytes);
      if (message.id !== id || !message.isResponse) throw new Error("a message of another question");
      if (message.rcode !== 0) throw new Error(`the server says ${printRcode(message.rcode)}`);
      for (const record of message.answers) {
        if (records.length === 0 && record.data.kind !== "SOA") throw new Error("a transfer begins with the SOA");
        if (records.length > 0 && record.data.kind === "SOA") return records;
        records.push(record);
        if (records.length > maxRecords) throw new Error(`more than ${maxRecords} records`);
      }
    }
    throw new Error("the transfer ended in the middle");
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
