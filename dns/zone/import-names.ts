import type { EndpointSlice } from "../../src/api/types/discovery-v1.generated.ts";
import type { ServiceImport } from "../../src/api/types/multicluster-v1alpha1.generated.ts";
import { isPort, parseIp } from "../../src/base/ip.ts";
import { type Batch, importOfSlice, type ObjectKey, type Snapshot } from "../../src/snapshot/cluster-snapshot.ts";
import type { Derivation } from "../../src/snapshot/derivation.ts";
import type { Compiled, Problem } from "../../src/snapshot/problem.ts";
import type { KubernetesConfig } from "../config/zone-config.ts";
import type { DomainName } from "../wire/name.ts";
import { createEndpointTargets, type EndpointTargets, type TargetPort } from "./endpoint-targets.ts";
import type { Exposure } from "./exposure.ts";
import { isLabel, maxNameLength } from "./label.ts";
import type { NameSource } from "./name-source.ts";
import type { PointerClaim } from "./pointer-names.ts";
import { addressSets, srvSets } from "./record-sets.ts";
import { addPortNames, endpointNames, headlessNames, made, type ServiceNames } from "./service-names.ts";

export interface ImportNamesConfig {
  /** Canonical: `clusterset.local.`. */
  readonly zone: DomainName;
  readonly exposure: Exposure;
  readonly kubernetes: KubernetesConfig;
}

const sourceClusterLabel = "multicluster.kubernetes.io/source-cluster";

/**
 * ServiceImport key → its names (KEP-1645): the set's address, or, of a headless one, the ready endpoints of all clusters, each as
 * `<endpoint>.<cluster>.<service>…`. One with an address has no names of single clusters.
 */
export function importNamesDerivation(config: ImportNamesConfig): Derivation<ObjectKey, ServiceNames> {
  const targets = createEndpointTargets(config.kubernetes, {
    slicesOf: (snapshot, key) => snapshot.slicesByImport.get(key),
    baseOf: (slice, base) => {
      const cluster = clusterOf(slice);
      return cluster === undefined ? undefined : `${cluster}.${base}`;
    },
    as: "imported-endpoint",
  });
  return {
    affected: (batch) => affectedImports(batch, config.exposure),
    compute: (snapshot, key) => compileImport(config, targets, snapshot, key),
  };
}

function affectedImports(batch: Batch, exposure: Exposure): Iterable<ObjectKey> {
  const keys = new Set<ObjectKey>(batch.dirty.get("ServiceImport"));
  const { before, after } = batch;
  for (const key of batch.dirty.get("EndpointSlice") ?? []) {
    for (const { tables } of [before, after]) {
      const slice = tables.EndpointSlice.get(key);
      const owner = slice === undefined ? undefined : importOfSlice(slice);
      if (owner !== undefined) keys.add(owner);
    }
  }
  const turned = new Set(exposure.turned(batch));
  if (turned.size === 0) return keys;
  for (const { tables } of [before, after])
    for (const key of tables.ServiceImport.keys()) if (turned.has(key.split("/")[0] ?? "")) keys.add(key);
  return keys;
}

function compileImport(
  config: ImportNamesConfig,
  endpointTargets: EndpointTargets,
  snapshot: Snapshot,
  key: ObjectKey,
): Compiled<ServiceNames | undefined> {
  const imported = snapshot.tables.ServiceImport.get(key);
  if (imported === undefined || !config.exposure.hasObject(snapshot, imported.metadata)) return { plan: undefined, problems: [] };
  const { name = "", namespace = "" } = imported.metadata ?? {};
  const base = `${name}.${namespace}.svc.${config.zone}`;
  if (!isLabel(name) || !isLabel(namespace) || base.length > maxNameLength) {
    const message = `${printName(imported)} has no DNS name: name and namespace must be labels of a-z, 0-9 and -, 63 at most`;
    return { plan: undefined, problems: [problemOf(imported, "metadata.name", "InvalidName", message)] };
  }
  const targets = endpointTargets(snapshot, key, base);
  const problems = unnamedSlices(snapshot, key, imported);
  if (imported.spec?.type === "Headless") {
    const names = endpointNames(targets);
    headlessNames(names, targets, base);
    return { plan: { names, claims: targets }, problems };
  }
  const isHidden = config.kubernetes.ignoreEmptyServices === true && targets.length === 0;
  return { plan: isHidden ? undefined : addressNames(imported, base), problems };
}

/** Of one that is reached at an address of the whole set. */
function addressNames({ spec }: ServiceImport, base: DomainName): ServiceNames | undefined {
  const own = (spec?.ips ?? []).flatMap((text) => parseIp(text) ?? []);
  // without an address (not yet allocated) there is nothing to tell
  if (own.length === 0) return undefined;
  const ports: readonly TargetPort[] = (spec?.ports ?? []).filter((p) => isPort(p.port));
  const pairs = ports.flatMap((port) => own.map(() => ({ target: base, port: port.port, as: port })));
  const names = new Map<DomainName, NameSource>([[base, made([...addressSets(own), ...srvSets(pairs)])]]);
  addPortNames(names, pairs, base);
  return { names, claims: own.map((ip): PointerClaim => ({ ip, name: base, as: "imported" })) };
}

/** Undefined for a slice that does not say whose it is, or not by a label. */
function clusterOf(slice: EndpointSlice): string | undefined {
  const cluster = slice.metadata?.labels?.[sourceClusterLabel]?.toLowerCase();
  return cluster !== undefined && isLabel(cluster) ? cluster : undefined;
}

function unnamedSlices(snapshot: Snapshot, key: ObjectKey, imported: ServiceImport): readonly Problem[] {
  const slices = snapshot.slicesByImport.get(key);
  const unnamed = slices === undefined ? [] : Array.from(slices.entries()).filter(([, slice]) => clusterOf(slice) === undefined);
  if (unnamed.length === 0) return [];
  const which = unnamed.map(([slice]) => slice).sort();
  const message = `${printName(imported)}: endpoints of EndpointSlice ${which.join(", ")} have no names, since the label ${sourceClusterLabel} tells no cluster`;
  return [problemOf(imported, "spec", "UnknownCluster", message)];
}

function printName({ metadata }: ServiceImport): string {
  return `ServiceImport ${metadata?.namespace ?? ""}/${metadata?.name ?? ""}`;
}

function problemOf(imported: ServiceImport, field: string, reason: string, message: string): Problem {
  const { name = "", namespace } = imported.metadata ?? {};
  return { object: { kind: "ServiceImport", name, ...(namespace === undefined ? {} : { namespace }) }, field, reason, message };
}
