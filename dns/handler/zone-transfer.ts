import type { TransferConfig } from "../corefile/plugins/records.ts";
import { canonicalName, type DomainName } from "../wire/name.ts";
import { rcodes, typeNumbers } from "../wire/record-type.ts";
import { emptyAnswer, recordAnswer, type Wrap } from "./handler.ts";
import type { ZoneData } from "./zone-data.ts";

/** Whole zones of files and other servers, for those who may have them; the cluster's zones are the server's own affair. */
export function answerTransfers(configs: readonly TransferConfig[], dataOf: (zone: DomainName) => ZoneData | undefined): Wrap {
  return (next) => (q, c) => {
    const { type } = q.question;
    if (type !== typeNumbers.AXFR && type !== typeNumbers.IXFR) return next(q, c);
    const zone = canonicalName(q.question.name);
    const own = configs.filter((t) => t.zones.includes(zone));
    const isAllowed = own.some((t) => t.to.some((to) => to === "*" || to.ip === q.client));
    const data = dataOf(zone);
    if (!isAllowed || q.transport === "udp" || data === undefined) return emptyAnswer(q.message, rcodes.REFUSED);
    c.took.add("transfer");
    return recordAnswer(q.message, [data.soa, ...data.records.filter((r) => r !== data.soa), data.soa]);
  };
}
