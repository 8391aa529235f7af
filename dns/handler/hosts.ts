import { ipFamily } from "../../src/base/ip.ts";
import type { HostsConfig } from "../corefile/plugins/records.ts";
import { canonicalName } from "../wire/name.ts";
import type { RecordData } from "../wire/record.ts";
import { classIn, rcodes, typeNumbers } from "../wire/record-type.ts";
import { emptyAnswer, recordAnswer, type Wrap } from "./handler.ts";
import type { HostsTable } from "./hosts-table.ts";
import { addressOfReverse } from "./reverse-address.ts";
import { closestZone, isLeft } from "./zone-match.ts";

/** A, AAAA and PTR records of a table of hosts. A name that is there has no other types. */
export function answerHosts(config: HostsConfig, table: () => HostsTable): Wrap {
  return (next) => (q, c) => {
    const name = canonicalName(q.question.name);
    const { type } = q.question;
    const reverse = type === typeNumbers.PTR && config.reverse ? addressOfReverse(name) : undefined;
    const record = (data: RecordData) => ({ name: q.question.name, class: classIn, ttl: config.ttl, data });
    if (reverse !== undefined) {
      // addresses are in no zone of the block but the root
      const targets = table().names.get(reverse) ?? [];
      if (targets.length === 0) return next(q, c);
      c.took.add("hosts");
      return recordAnswer(
        q.message,
        targets.map((target) => record({ kind: "PTR", target })),
      );
    }
    if (closestZone(name, config.zones) === undefined) return next(q, c);
    const addresses = table().addresses.get(name);
    if (addresses === undefined) {
      if (isLeft(name, config.fallthrough)) return next(q, c);
      c.took.add("hosts");
      // a table has no SOA, so it cannot deny a name (RFC 2308)
      return emptyAnswer(q.message, rcodes.SERVFAIL);
    }
    const isAddress = type === typeNumbers.A || type === typeNumbers.AAAA;
    if (!isAddress && config.leavesOtherTypes && isLeft(name, config.fallthrough)) return next(q, c);
    c.took.add("hosts");
    if (!isAddress) return recordAnswer(q.message, []);
    const family = type === typeNumbers.A ? 4 : 6;
    const own = addresses.filter((ip) => ipFamily(ip) === family);
    return recordAnswer(
      q.message,
      own.map((ip) => record({ kind: family === 4 ? "A" : "AAAA", ip })),
    );
  };
}
