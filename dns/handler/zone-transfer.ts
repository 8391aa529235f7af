import type { TransferConfig } from "../corefile/plugins/records.ts";
import type { Message } from "../wire/message.ts";
import { canonicalName, type DomainName } from "../wire/name.ts";
import { rcodes, typeNumbers } from "../wire/record-type.ts";
import { emptyAnswer, recordAnswer, type Wrap } from "./handler.ts";
import type { ZoneData } from "./zone-data.ts";

/**
 * Whole zones of files and other servers, for those who may have them; the cluster's zones are the server's own affair. IXFR gets the
 * whole zone too, or the SOA alone when its client is current or asks over UDP (RFC 1995 section 2).
 */
export function answerTransfers(configs: readonly TransferConfig[], dataOf: (zone: DomainName) => ZoneData | undefined): Wrap {
  return (next) => (q, c) => {
    const { type } = q.question;
    if (type !== typeNumbers.AXFR && type !== typeNumbers.IXFR) return next(q, c);
    const zone = canonicalName(q.question.name);
    const isAllowed = configs.some((t) => t.zones.includes(zone) && t.to.some((to) => to === "*" || to.ip === q.client));
    const data = isAllowed ? dataOf(zone) : undefined;
    const isStream = q.transport === "tcp" || q.transport === "tls";
    if (data === undefined || !(isStream || type === typeNumbers.IXFR)) return emptyAnswer(q.message, rcodes.REFUSED);
    c.took.add("transfer");
    if (!isStream || (type === typeNumbers.IXFR && isCurrent(q.message, data))) return recordAnswer(q.message, [data.soa]);
    return recordAnswer(q.message, [data.soa, ...data.records.filter((r) => r !== data.soa), data.soa]);
  };
}

/** Serial numbers compare in a circle (RFC 1982). */
function isCurrent({ authority }: Message, { serial }: ZoneData): boolean {
  return authority.some(({ data }) => data.kind === "SOA" && ((serial - data.serial) | 0) <= 0);
}
