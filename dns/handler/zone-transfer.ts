import type { TransferConfig } from "../corefile/plugins/records.ts";
import type { Message } from "../wire/message.ts";
import { canonicalName, type DomainName } from "../wire/name.ts";
import type { ResourceRecord } from "../wire/record.ts";
import { rcodes, typeNumbers } from "../wire/record-type.ts";
import type { ZoneChange } from "../zone/change-journal.ts";
import { emptyAnswer, recordAnswer, type Wrap } from "./handler.ts";
import type { ZoneData } from "./zone-data.ts";
import { closestZone } from "./zone-match.ts";

/**
 * Whole zones of files and other servers, for those who may have them; the cluster's zones are the server's own affair. IXFR gets
 * what has changed, or the whole zone where that is not known, and the SOA alone when its client is current or asks over UDP (RFC 1995).
 */
export function answerTransfers(
  configs: readonly TransferConfig[],
  dataOf: (zone: DomainName) => ZoneData | undefined,
  changesOf: (zone: DomainName, serial: number) => ZoneChange<ResourceRecord> | undefined,
): Wrap {
  return (next) => (q, c) => {
    const { type } = q.question;
    if (type !== typeNumbers.AXFR && type !== typeNumbers.IXFR) return next(q, c);
    const zone = canonicalName(q.question.name);
    const isAllowed = transfersOf(configs, zone).some((t) => t.to.some((to) => to === "*" || to.ip === q.client));
    const data = isAllowed ? dataOf(zone) : undefined;
    const isStream = q.transport === "tcp" || q.transport === "tls";
    if (data === undefined || !(isStream || type === typeNumbers.IXFR)) return emptyAnswer(q.message, rcodes.REFUSED);
    c.took.add("transfer");
    const had = type === typeNumbers.IXFR ? serialOf(q.message) : undefined;
    // serial numbers compare in a circle (RFC 1982)
    if (!isStream || (had !== undefined && ((data.serial - had) | 0) <= 0)) return recordAnswer(q.message, [data.soa]);
    const change = had === undefined ? undefined : changesOf(zone, had);
    if (change !== undefined && change.removed.length + change.added.length < data.records.length)
      return recordAnswer(q.message, [data.soa, ...soaFirst(change.removed), ...soaFirst(change.added), data.soa]);
    return recordAnswer(q.message, [data.soa, ...data.records.filter((r) => r !== data.soa), data.soa]);
  };
}

/** Those that say something of a zone: whose own zone is the closest at it or above. */
export function transfersOf(all: readonly TransferConfig[], zone: DomainName): readonly TransferConfig[] {
  const closest = closestZone(
    zone,
    all.flatMap((t) => t.zones),
  );
  return closest === undefined ? [] : all.filter((t) => t.zones.includes(closest));
}

function serialOf({ authority }: Message): number | undefined {
  const [serial] = authority.flatMap(({ data }) => (data.kind === "SOA" ? [data.serial] : []));
  return serial;
}

/** What went begins with the SOA of before, what came with that of now (RFC 1995 section 4). */
function soaFirst(records: readonly ResourceRecord[]): readonly ResourceRecord[] {
  const isSoa = ({ data }: ResourceRecord): boolean => data.kind === "SOA";
  return [...records.filter(isSoa), ...records.filter((r) => !isSoa(r))];
}
