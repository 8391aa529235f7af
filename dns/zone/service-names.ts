import type { Service } from "../../src/api/types/core-v1.generated.ts";
import { isPort, parseIp } from "../../src/base/ip.ts";
import { type Batch, changedServices, type ObjectKey, type Snapshot } from "../../src/snapshot/cluster-snapshot.ts";
import type { Derivation } from "../../src/snapshot/derivation.ts";
import type { Compiled, Problem } from "../../src/snapshot/problem.ts";
import type { KubernetesConfig } from "../config/zone-config.ts";
import type { DomainName } from "../wire/name.ts";
import { createEndpointTargets, type EndpointTarget, type EndpointTargets, type TargetPort } from "./endpoint-targets.ts";
import type { Exposure } from "./exposure.ts";
import { isLabel, maxNameLength } from "./label.ts";
import { endpointRecords, type NameSource } from "./name-source.ts";
import type { PointerClaim } from "./pointer-names.ts";
import type { RecordSet } from "./record-delta.ts";
import { addressSets, type SrvTarget, srvSets } from "./record-sets.ts";

/** What one Service puts into DNS. */
export interface ServiceNames {
  readonly names: ReadonlyMap<DomainName, NameSource>;
  /** Which addresses it wants to be what they are called. */
  readonly claims: readonly PointerClaim[];
}

/** Of which zone the names are, and which there are. */
export interface ServiceNamesConfig {
  /** Canonical: `cluster.local.`. */
  readonly zone: DomainName;
  readonly exposure: Exposure;
  readonly kubernetes: KubernetesConfig;
}

/** Service key → its names. */
export function serviceNamesDerivation(config: ServiceNamesConfig): Derivation<ObjectKey, ServiceNames> {
  const targets = createEndpointTargets(config.kubernetes);
  return {
    affected: (batch) => affectedServices(batch, config.exposure),
    compute: (snapshot, key) => compileServiceNames(config, targets, snapshot, key),
  };
}

/** Services whose names a batch may change. */
export function affectedServices(batch: Batch, exposure: Exposure): Iterable<ObjectKey> {
  const keys = changedServices(batch);
  const turned = new Set(exposure.turned(batch));
  if (turned.size > 0) {
    for (const table of [batch.before, batch.after].map((s) => s.tables.Service))
      for (const key of table.keys()) if (turned.has(key.split("/")[0] ?? "")) keys.add(key);
  }
  return keys;
}

function compileServiceNames(
  config: ServiceNamesConfig,
  endpointTargets: EndpointTargets,
  snapshot: Snapshot,
  key: ObjectKey,
): Compiled<ServiceNames | undefined> {
  const service = snapshot.tables.Service.get(key);
  if (service === undefined || !config.exposure.hasObject(snapshot, service.metadata)) return { plan: undefined, problems: [] };
  const { name = "", namespace = "" } = service.metadata ?? {};
  if (!isLabel(name) || !isLabel(namespace)) {
    const message = `${printName(service)} has no DNS name: name and namespace must be labels of a-z, 0-9 and -, 63 at most`;
    return { plan: undefined, problems: [problemOf(service, "metadata.name", "InvalidName", message)] };
  }
  const base = `${name}.${namespace}.svc.${config.zone}`;
  if (base.length > maxNameLength) {
    const message = `${printName(service)} has no DNS name: with the cluster domain it would have more than 255 bytes`;
    return { plan: undefined, problems: [problemOf(service, "metadata.name", "NameTooLong", message)] };
  }
  if (service.spec?.type === "ExternalName") return compileAlias(service, base);

  const targets = endpointTargets(snapshot, key, base);
  const names = endpointNames(targets);
  const { clusterIP, clusterIPs } = service.spec ?? {};
  if (clusterIP === "None" || clusterIPs?.[0] === "None") {
    headlessNames(names, targets, base);
    if (config.kubernetes.zonalNames === true) addZonalNames(names, targets, base);
    return { plan: { names, claims: targets }, problems: [] };
  }

  const problems: Problem[] = [];
  const texts = clusterIPs !== undefined && clusterIPs.length > 0 ? clusterIPs : [clusterIP ?? ""];
  const own = texts.flatMap((text) => {
    const ip = parseIp(text);
    if (ip === undefined && text !== "") {
      const message = `${printName(service)}: ${JSON.stringify(text)} is not an IP address`;
      problems.push(problemOf(service, "spec.clusterIPs", "InvalidAddress", message));
    }
    return ip === undefined ? [] : [ip];
  });
  // without an address (not yet allocated) the Service has no name, but its endpoints have
  const isHidden = config.kubernetes.ignoreEmptyServices === true && targets.length === 0;
  if (own.length > 0 && !isHidden) {
    const ports: readonly TargetPort[] = (service.spec?.ports ?? []).filter((p) => isPort(p.port));
    const pairs = ports.flatMap((port) => own.map(() => ({ target: base, port: port.port, as: port })));
    names.set(base, made(addressSets(own).concat(srvSets(pairs))));
    addPortNames(names, pairs, base);
  }
  const claims: readonly PointerClaim[] = targets;
  // put together by `concat`, as records are above: lists that are spread have room for twenty more, and there are thousands
  const withOwn = claims.concat(own.map((ip): PointerClaim => ({ ip, name: base, as: "cluster-ip" })));
  return { plan: { names, claims: withOwn }, problems };
}

function compileAlias(service: Service, base: DomainName): Compiled<ServiceNames | undefined> {
  const text = service.spec?.externalName ?? "";
  const target = externalTarget(text);
  if (target !== undefined) {
    return { plan: { names: new Map([[base, made([{ data: [{ kind: "CNAME", target }] }])]]), claims: [] }, problems: [] };
  }
  const message = `${printName(service)} has no DNS name: ${JSON.stringify(text)} is not a host name; for an address make a Service without selector and an EndpointSlice`;
  return { plan: undefined, problems: [problemOf(service, "spec.externalName", "InvalidExternalName", message)] };
}

/** A host name with its last dot; undefined for addresses and impossible names. */
export function externalTarget(text: string): DomainName | undefined {
  const name = text.toLowerCase().replace(/\.$/, "");
  if (name === "" || name.length > 253 || parseIp(name) !== undefined) return undefined;
  return name.split(".").every((label) => /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/.test(label)) ? `${name}.` : undefined;
}

/** Endpoints' own names; several share a hostname where a slice says so. */
export function endpointNames(targets: readonly EndpointTarget[]): Map<DomainName, NameSource> {
  const names = new Map<DomainName, NameSource>();
  const shared = new Set<DomainName>();
  for (const target of targets) {
    if (names.has(target.name)) shared.add(target.name);
    else names.set(target.name, { kind: "endpoint", target });
  }
  for (const name of shared)
    names.set(name, {
      kind: "records",
      records: endpointRecords(targets.filter((t) => t.name === name)),
    });
  return names;
}

/** A Service that is its ready endpoints; without any it does not exist. */
export function headlessNames(names: Map<DomainName, NameSource>, targets: readonly EndpointTarget[], base: DomainName): void {
  const pairs = targets.flatMap((t) => t.ports.map((port) => ({ target: t.name, port: port.port, as: port })));
  const services = srvSets(pairs);
  if (targets.length > 0) names.set(base, made(addressSets(targets.map((t) => t.ip)).concat(services)));
  addPortNames(names, pairs, base, services);
}

/** `<topology zone>.pin|prefer._zone.<base>` for each zone that has targets; a zone may have dots. The names above exist without any. */
function addZonalNames(names: Map<DomainName, NameSource>, targets: readonly EndpointTarget[], base: DomainName): void {
  if (targets.length === 0) return;
  const zonal = targets.filter((t) => t.zone?.toLowerCase().split(".").every(isLabel) === true);
  const zones = Map.groupBy(zonal, (t) => t.zone?.toLowerCase() ?? "");
  for (const directive of ["pin", "prefer"]) {
    const above = `${directive}._zone.${base}`;
    if (above.length <= maxNameLength) names.set(above, made([]));
    for (const [zone, own] of zones) {
      const name = `${zone}.${above}`;
      const pairs = own.flatMap((t) => t.ports.map((port) => ({ target: t.name, port: port.port })));
      if (name.length <= maxNameLength) names.set(name, made([...addressSets(own.map((t) => t.ip)), ...srvSets(pairs)]));
    }
  }
}

export function made(sets: readonly RecordSet[]): NameSource {
  return { kind: "records", records: { sets } };
}

export interface NamedTarget extends SrvTarget {
  readonly as: TargetPort;
}

/** `_port._proto.<base>`; unnamed ports have no such name. `all` is what all of `pairs` have: the same records where there is one port. */
export function addPortNames(
  names: Map<DomainName, NameSource>,
  pairs: readonly NamedTarget[],
  base: DomainName,
  all: readonly RecordSet[] = srvSets(pairs),
): void {
  // endpoints of a slice have the same ports
  const owners = new Map<TargetPort, DomainName>();
  const groups = new Map<DomainName, NamedTarget[]>();
  for (const pair of pairs) {
    const owner = owners.get(pair.as) ?? portName(pair.as, base);
    owners.set(pair.as, owner);
    const group = groups.get(owner);
    if (group === undefined) groups.set(owner, [pair]);
    else group.push(pair);
  }
  for (const [owner, group] of groups) {
    if (owner !== "" && owner.length <= maxNameLength) names.set(owner, made(group.length === pairs.length ? all : srvSets(group)));
  }
}

/** Empty for a port without a name. */
function portName({ name, protocol }: TargetPort, base: DomainName): DomainName {
  return name === undefined || !isLabel(name) ? "" : `_${name}._${(protocol ?? "TCP").toLowerCase()}.${base}`;
}

function printName(service: Service): string {
  return `Service ${service.metadata?.namespace ?? ""}/${service.metadata?.name ?? ""}`;
}

function problemOf(service: Service, field: string, reason: string, message: string): Problem {
  const { name = "", namespace } = service.metadata ?? {};
  return { object: { kind: "Service", name, ...(namespace === undefined ? {} : { namespace }) }, field, reason, message };
}
