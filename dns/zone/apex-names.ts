import { type Ip, ipFamily } from "../../src/base/ip.ts";
import type { ServedZone } from "../config/served-zones.ts";
import type { DomainName } from "../wire/name.ts";
import type { RecordData } from "../wire/record.ts";
import { bareName } from "./namespace-names.ts";
import type { NameRecords } from "./record-delta.ts";

/** The version of the DNS specification that Kubernetes clients may ask for. */
const specificationVersion = "1.1.0";
/** That of the DNS specification of KEP-1645. */
const multiclusterVersion = "1.0.0";
const versionTtl = 28800;

/** The names every zone has; the SOA is the answerer's, because its serial follows each change. */
export function apexNames(config: {
  readonly zones: readonly ServedZone[];
  /** Canonical forward zones of the cluster. */
  readonly cluster: readonly DomainName[];
  /** Those of what is imported from other clusters. */
  readonly clusterset: readonly DomainName[];
  /** Where this server answers, for the NS record's address. */
  readonly addresses: readonly Ip[];
}): ReadonlyMap<DomainName, NameRecords> {
  const names = new Map<DomainName, NameRecords>();
  const data = config.addresses.map((ip): RecordData => ({ kind: ipFamily(ip) === 4 ? "A" : "AAAA", ip }));
  for (const { name: zone, nameServer } of config.zones) {
    const server = `${nameServer}.${zone}`;
    names.set(zone, { sets: [{ data: [{ kind: "NS", target: server }] }] });
    names.set(server, {
      sets: (["A", "AAAA"] as const).flatMap((kind) => {
        const own = data.filter((d) => d.kind === kind);
        return own.length === 0 ? [] : [{ data: own }];
      }),
    });
  }
  const version = (text: string): NameRecords => ({ sets: [{ data: [{ kind: "TXT", texts: [text] }], ttl: versionTtl }] });
  for (const zone of config.cluster) {
    names.set(`svc.${zone}`, bareName.records);
    names.set(`pod.${zone}`, bareName.records);
    names.set(`dns-version.${zone}`, version(specificationVersion));
  }
  for (const zone of config.clusterset) {
    names.set(`svc.${zone}`, bareName.records);
    names.set(`dns-version.${zone}`, version(multiclusterVersion));
  }
  return names;
}
