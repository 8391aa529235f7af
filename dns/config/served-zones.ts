import { canonicalName, type DomainName, isInZone } from "../wire/name.ts";
import { defaultNameServer, defaultTtl, defaultZones, isReverseZone, type KubernetesConfig, type ZonesConfig } from "./zone-config.ts";

/** A zone that this server speaks for. */
export interface ServedZone {
  /** Canonical. */
  readonly name: DomainName;
  /** Seconds. */
  readonly ttl: number;
  /** Labels below `name`, without the last dot: the primary server of its SOA, and its NS. */
  readonly nameServer: string;
  /** What becomes of names in it that do not exist: they are told so, or the rest of the chain is asked. */
  readonly unknown: "denied" | "left";
}

/** All zones of a configuration, each name once; the first that names a zone has it. */
export function servedZones(config: ZonesConfig): readonly ServedZone[] {
  const { kubernetes = {}, external } = config;
  const zones = new Map<DomainName, ServedZone>();
  const add = (names: readonly DomainName[], how: Omit<ServedZone, "name" | "unknown">, fallthrough: readonly DomainName[] = []): void => {
    for (const text of names) {
      const name = canonicalName(text);
      // a zone of which a part falls through is asked name by name
      const left = fallthrough.map(canonicalName).some((f) => isInZone(name, f) || isInZone(f, name));
      if (!zones.has(name)) zones.set(name, { name, ...how, unknown: left ? "left" : "denied" });
    }
  };
  const own = { ttl: kubernetes.ttl ?? defaultTtl, nameServer: kubernetes.nameServer ?? defaultNameServer };
  add(kubernetes.zones ?? defaultZones, own, kubernetes.fallthrough);
  if (external !== undefined) {
    const how = { ttl: external.ttl ?? defaultTtl, nameServer: `ns1.${external.apex ?? "dns"}` };
    add(external.zones, how, external.fallthrough);
  }
  return Array.from(zones.values());
}

/** Whether the rest of the chain is asked for a name (canonical) that does not exist here. */
export function fallsThrough(config: ZonesConfig, name: DomainName): boolean {
  const all = [...(config.kubernetes?.fallthrough ?? []), ...(config.external?.fallthrough ?? [])];
  return all.some((zone) => isInZone(name, canonicalName(zone)));
}

/** Canonical: where the Services of this cluster are. */
export function clusterZones(kubernetes: KubernetesConfig = {}): readonly DomainName[] {
  const imported = clustersetZones(kubernetes);
  return forwardZones(kubernetes.zones ?? defaultZones).filter((zone) => !imported.includes(zone));
}

/** Canonical: where what is imported from other clusters is. */
export function clustersetZones(kubernetes: KubernetesConfig = {}): readonly DomainName[] {
  return (kubernetes.multicluster ?? []).map(canonicalName);
}

/** Canonical forward zones of a list. */
export function forwardZones(zones: readonly DomainName[]): readonly DomainName[] {
  return zones.filter((zone) => !isReverseZone(zone)).map(canonicalName);
}
