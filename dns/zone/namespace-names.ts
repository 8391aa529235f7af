import type { Batch } from "../../src/snapshot/cluster-snapshot.ts";
import type { Derivation } from "../../src/snapshot/derivation.ts";
import type { DomainName } from "../wire/name.ts";
import { isLabel } from "./label.ts";
import type { NameSource } from "./name-source.ts";

export type PodMode = "disabled" | "insecure";

const bare: NameSource = { kind: "records", records: { sets: [] } };
const pods: NameSource = { kind: "records", records: { sets: [], podAddresses: true } };

/**
 * Namespace → the two names that stand for it. A namespace is there when its object is, or when a Service in it proves it:
 * files given to an offline question often leave the Namespace out.
 */
export function namespaceNamesDerivation(config: {
  readonly zone: DomainName;
  readonly pods: PodMode;
}): Derivation<string, ReadonlyMap<DomainName, NameSource>> {
  return {
    affected: affectedNamespaces,
    compute: (snapshot, namespace) => {
      const exists =
        snapshot.tables.Namespace.has(namespace) ||
        snapshot.tables.Service.some((service) => (service.metadata?.namespace ?? "") === namespace);
      if (!exists || !isLabel(namespace)) return { plan: undefined, problems: [] };
      const names = new Map<DomainName, NameSource>([[`${namespace}.svc.${config.zone}`, bare]]);
      if (config.pods === "insecure") names.set(`${namespace}.pod.${config.zone}`, pods);
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
