import type { Batch } from "../../src/snapshot/cluster-snapshot.ts";
import type { Derivation } from "../../src/snapshot/derivation.ts";
import type { PodMode } from "../config/zone-config.ts";
import type { DomainName } from "../wire/name.ts";
import type { Exposure } from "./exposure.ts";
import { isLabel } from "./label.ts";
import type { NameSource } from "./name-source.ts";

export const bareName = { kind: "records", records: { sets: [] } } as const satisfies NameSource;
const pods: NameSource = { kind: "records", records: { sets: [], podAddresses: true } };

/**
 * Namespace → the names that stand for it in each zone. A namespace is there when its object is, or when a Service in it proves
 * it: files given to an offline question often leave the Namespace out.
 */
export function namespaceNamesDerivation(config: {
  readonly zones: readonly DomainName[];
  /** Zones of external names: `<namespace>.<zone>`. */
  readonly external: readonly DomainName[];
  readonly pods: PodMode;
  readonly exposure: Exposure;
}): Derivation<string, ReadonlyMap<DomainName, NameSource>> {
  return {
    affected: affectedNamespaces,
    compute: (snapshot, namespace) => {
      const exists =
        snapshot.tables.Namespace.has(namespace) ||
        snapshot.tables.Service.some((service) => (service.metadata?.namespace ?? "") === namespace);
      if (!exists || !isLabel(namespace) || !config.exposure.hasNamespace(snapshot, namespace)) return { plan: undefined, problems: [] };
      const names = new Map<DomainName, NameSource>();
      for (const zone of config.zones) {
        names.set(`${namespace}.svc.${zone}`, bareName);
        if (config.pods !== "disabled") names.set(`${namespace}.pod.${zone}`, config.pods === "insecure" ? pods : bareName);
      }
      for (const zone of config.external) names.set(`${namespace}.${zone}`, bareName);
      return { plan: names, problems: [] };
    },
    equal: (a, b) => a.size === b.size,
  };
}

function affectedNamespaces(batch: Batch): Iterable<string> {
  const keys = new Set<string>(batch.dirty.get("Namespace"));
  for (const service of batch.dirty.get("Service") ?? []) {
    // only a Service that comes or goes can change whether its namespace is proved
    if (batch.before.tables.Service.has(service) !== batch.after.tables.Service.has(service)) keys.add(service.split("/")[0] ?? "");
  }
  return keys;
}
