import { ipFamily } from "../../src/base/ip.ts";
import type { RecordData } from "../wire/record.ts";
import { classIn } from "../wire/record-type.ts";
import { type DnsHandler, recordAnswer } from "./handler.ts";

/** Tells clients their own address, port and transport: for looks at networks. The end of a chain. */
export const tellWhoami: DnsHandler = (q, c) => {
  c.took.add("whoami");
  const record = (name: string, data: RecordData) => ({ name, class: classIn, ttl: 0, data });
  const port = record(`_${q.transport}.${q.question.name === "." ? "" : q.question.name}`, {
    kind: "SRV",
    priority: 0,
    weight: 0,
    port: q.clientPort ?? 0,
    target: ".",
  });
  const address = record(q.question.name, { kind: ipFamily(q.client) === 4 ? "A" : "AAAA", ip: q.client });
  return recordAnswer(q.message, [], { additional: [address, port] });
};
