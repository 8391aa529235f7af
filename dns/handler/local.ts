import type { LocalConfig } from "../corefile/plugins/serving.ts";
import { canonicalName, isInZone } from "../wire/name.ts";
import type { RecordData } from "../wire/record.ts";
import { classIn, rcodes, typeNumbers } from "../wire/record-type.ts";
import { emptyAnswer, recordAnswer, type Wrap } from "./handler.ts";

const zones = ["localhost.", "0.in-addr.arpa.", "127.in-addr.arpa.", "255.in-addr.arpa."];
const addresses: readonly RecordData[] = [
  { kind: "A", ip: "127.0.0.1" },
  { kind: "AAAA", ip: "::1" },
];

/** Names that never leave a machine (RFC 6761, RFC 6303), and `localhost.<search domain>`, which stub resolvers try. */
export const answerLocal =
  ({ localhostPrefix }: LocalConfig): Wrap =>
  (next) =>
  (q, c) => {
    const name = canonicalName(q.question.name);
    const zone = zones.find((z) => isInZone(name, z));
    const isSearched = localhostPrefix && name.startsWith("localhost.") && name !== "localhost.";
    if (q.question.class !== classIn || (zone === undefined && !isSearched)) return next(q, c);
    c.took.add("local");
    const record = (data: RecordData) => ({ name: q.question.name, class: classIn, ttl: 604800, data });
    const own: readonly RecordData[] =
      name === "1.0.0.127.in-addr.arpa."
        ? [{ kind: "PTR", target: "localhost." }]
        : isSearched || isInZone(name, "localhost.")
          ? addresses
          : [];
    const answers = own.filter((d) => typeNumbers[d.kind as "A"] === q.question.type).map(record);
    if (answers.length > 0 || isSearched) return recordAnswer(q.message, answers);
    const apex = zone ?? name;
    const soa = { primary: apex, mailbox: `root.${apex}`, serial: 1, refresh: 0, retry: 0, expire: 0, minimum: 604800 } as const;
    const authority = [{ name: apex, class: classIn, ttl: 604800, data: { kind: "SOA", ...soa } as const }];
    const exists = name === zone || own.length > 0;
    return { ...emptyAnswer(q.message, exists ? rcodes.NOERROR : rcodes.NXDOMAIN), authoritative: true, authority };
  };
