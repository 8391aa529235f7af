import type { ObjectMeta } from "../../src/api/types/meta-v1.generated.ts";
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
 * Namespace → the names that stand for it in each zone. A namespace is there when its object is, or when a Service or ServiceImport
 * in it proves it: files given to an offline question often leave the Namespace out.
 */
export function namespaceNamesDerivation(config: {
  readonly zones: readonly DomainName[];
  /** Zones of what is imported from other clusters: no pods. */
  readonly clusterset: readonly DomainName[];
  /** Zones of external names: `<namespace>.<zone>`. */
  readonly external: readonly DomainName[];
  readonly pods: PodMode;
  readonly exposure: Exposure;
}): Derivation<string, ReadonlyMap<DomainName, NameSource>> {
  return {
    affected: affectedNamespaces,
    compute: (snapshot, namespace) => {
      const { Namespace: namespaces, Service: services, ServiceImport: imports } = snapshot.tables;
      const isIn = ({ metadata }: { readonly metadata?: ObjectMeta }): boolean => (metadata?.namespace ?? "") === namespace;
      const exists = namespaces.has(namespace) || services.some(isIn) || imports.some(isIn);
      if (!exists || !isLabel(namespace) || !config.exposure.hasNamespace(snapshot, namespace)) return { plan: undefined, problems: [] };
      const names = new Map<DomainName, NameSource>();
      for (const zone of config.zones) {
        names.set(`${namespace}.svc.${zone}`, bareName);
        if (config.pods !== "disabled") names.set(`${namespace}.pod.${zone}`, config.pods === "insecure" ? pods : bareName);
      }
      for (const zone of config.clusterset) names.set(`${namespace}.svc.${zone}`, bareName);
      for (const zone of config.external) names.set(`${namespace}.${zone}`, bareName);
      return { plan: names, problems: [] };
    },
    equal: (a, b) => a.size === b.size,
  };
}

function affectedNamespaces(batch: Batch): Iterable<string> {
  const keys = new Set<string>(batch.dirty.get("Namespace"));
  for (const kind of ["Service", "ServiceImport"] as const) {
    for (const key of batch.dirty.get(kind) ?? []) {
      // only one that comes or goes can change whether its namespace is proved
      if (batch.before.tables[kind].has(key) !== batch.after.tables[kind].has(key)) keys.add(key.split("/")[0] ?? "");
    }
  }
  return keys;
}
