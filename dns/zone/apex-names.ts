import { type Ip, ipFamily } from "../../src/base/ip.ts";
import type { DomainName } from "../wire/name.ts";
import type { RecordData } from "../wire/record.ts";
import { classIn } from "../wire/record-type.ts";
import type { NameRecords } from "./record-delta.ts";

/** The version of the DNS specification that Kubernetes clients may ask for. */
const specificationVersion = "1.1.0";
const versionTtl = 28800;

/** The names every zone has; the SOA is the answerer's, because its serial follows each change. */
export function apexNames(config: {
  readonly zone: DomainName;
  readonly reverseZones: readonly DomainName[];
  readonly ttl: number;
  /** Where this server answers, for the NS record's address. */
  readonly addresses: readonly Ip[];
}): ReadonlyMap<DomainName, NameRecords> {
  const names = new Map<DomainName, NameRecords>();
  for (const zone of [config.zone, ...config.reverseZones]) {
    const server = `ns.dns.${zone}`;
    const data = config.addresses.map((ip): RecordData => ({ kind: ipFamily(ip) === 4 ? "A" : "AAAA", ip }));
    names.set(zone, {
      sets: [
        {
          data: [{ kind: "NS", target: server }],
          additional: data.map((d) => ({ name: server, class: classIn, ttl: config.ttl, data: d })),
        },
      ],
    });
    names.set(server, {
      sets: (["A", "AAAA"] as const).flatMap((kind) => {
        const own = data.filter((d) => d.kind === kind);
        return own.length === 0 ? [] : [{ data: own }];
      }),
    });
  }
  names.set(`svc.${config.zone}`, { sets: [] });
  names.set(`pod.${config.zone}`, { sets: [] });
  names.set(`dns-version.${config.zone}`, { sets: [{ data: [{ kind: "TXT", texts: [specificationVersion] }], ttl: versionTtl }] });
  return names;
}
