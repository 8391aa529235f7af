import type { Service } from "../../src/api/types/core-v1.generated.ts";
import type { EndpointPort, EndpointSlice } from "../../src/api/types/discovery-v1.generated.ts";
import { type Ip, ipFamily, parseIp } from "../../src/base/ip.ts";
import { type Batch, type ObjectKey, type Snapshot, serviceOfSlice } from "../../src/snapshot/cluster-snapshot.ts";
import type { Derivation } from "../../src/snapshot/derivation.ts";
import type { Compiled, Problem } from "../../src/snapshot/problem.ts";
import type { DomainName } from "../wire/name.ts";
import type { RecordData, ResourceRecord } from "../wire/record.ts";
import { classIn } from "../wire/record-type.ts";
import { endpointLabel } from "./endpoint-name.ts";
import type { NameRecords, RecordSet } from "./record-delta.ts";

/** What one Service puts into DNS. */
export interface ServiceNames {
  readonly names: ReadonlyMap<DomainName, NameRecords>;
  /** Who may be the PTR of an address. */
  readonly claims: readonly PointerClaim[];
}

/** A Service's wish to be what an address is called. */
export interface PointerClaim {
  readonly ip: Ip;
  readonly target: DomainName;
  readonly from: "cluster-ip" | "endpoint";
}

/** Of which zone the names are, and how long clients may keep them. */
export interface ServiceNamesConfig {
  /** Canonical: `cluster.local.`. */
  readonly zone: DomainName;
  /** Seconds. */
  readonly ttl: number;
}

/** Service key → its names. */
export function serviceNamesDerivation(config: ServiceNamesConfig): Derivation<ObjectKey, ServiceNames> {
  return {
    affected: affectedServices,
    compute: (snapshot, key) => compileServiceNames(config, snapshot, key),
  };
}

function affectedServices(batch: Batch): Iterable<ObjectKey> {
  const keys = new Set<ObjectKey>(batch.dirty.get("Service"));
  for (const slice of batch.dirty.get("EndpointSlice") ?? []) {
    for (const snapshot of [batch.before, batch.after]) {
      const object = snapshot.tables.EndpointSlice.get(slice);
      const service = object === undefined ? undefined : serviceOfSlice(object);
      if (service !== undefined) keys.add(service);
    }
  }
  return keys;
}

/** One address of one ready endpoint, with the ports of its slice. */
interface Target {
  readonly name: DomainName;
  readonly ip: Ip;
  readonly ports: readonly EndpointPort[];
}

interface SrvPort {
  readonly name?: string;
  readonly protocol?: string;
  readonly port: number;
}

function compileServiceNames(config: ServiceNamesConfig, snapshot: Snapshot, key: ObjectKey): Compiled<ServiceNames | undefined> {
  const service = snapshot.tables.Service.get(key);
  if (service === undefined) return { plan: undefined, problems: [] };
  const problems: Problem[] = [];
  const refuse = (field: string, reason: string, message: string): void => {
    problems.push({ object: serviceRef(service), field, reason, message });
  };
  const { name = "", namespace = "" } = service.metadata ?? {};
  if (!isLabel(name) || !isLabel(namespace)) {
    refuse(
      "metadata.name",
      "InvalidName",
      `Service ${namespace}/${name} has no DNS name: name and namespace must be labels of a-z, 0-9 and -, 63 at most`,
    );
    return { plan: undefined, problems };
  }
  const base = `${name}.${namespace}.svc.${config.zone}`;

  if (service.spec?.type === "ExternalName") {
    const target = externalTarget(service.spec.externalName ?? "");
    if (target === undefined) {
      refuse(
        "spec.externalName",
        "InvalidExternalName",
        `Service ${namespace}/${name} has no DNS name: ${JSON.stringify(service.spec.externalName ?? "")} is not a host name; an address needs a selectorless Service with an EndpointSlice`,
      );
      return { plan: undefined, problems };
    }
    const names = new Map([[base, { sets: [{ data: [{ kind: "CNAME", target } as const] }] }]]);
    return { plan: { names, claims: [] }, problems };
  }

  const clusterIps = clusterIpsOf(service);
  const headless = clusterIps === "headless";
  const targets = endpointTargets(snapshot, key, base);
  const names = new Map<DomainName, NameRecords>();
  const claims: PointerClaim[] = [];

  for (const [owner, own] of groupByName(targets)) {
    const srv = srvSet(
      own.flatMap((t) => slicePorts(t).map((p) => ({ target: t, port: p.port }))),
      config.ttl,
    );
    names.set(owner, { sets: [...addressSets(own.map((t) => t.ip)), ...srv] });
  }
  for (const t of targets) claims.push({ ip: t.ip, target: t.name, from: "endpoint" });

  if (headless) {
    const pairs = targets.flatMap((t) => slicePorts(t).map((p) => ({ target: t, port: p })));
    if (targets.length > 0) {
      const srv = srvSet(
        pairs.map(({ target, port }) => ({ target, port: port.port })),
        config.ttl,
      );
      names.set(base, { sets: [...addressSets(targets.map((t) => t.ip)), ...srv] });
    }
    for (const [owner, group] of groupByPortName(pairs, base)) {
      names.set(owner, {
        sets: srvSet(
          group.map(({ target, port }) => ({ target, port: port.port })),
          config.ttl,
        ),
      });
    }
    return { plan: { names, claims }, problems };
  }

  const own = clusterIps.flatMap((text) => {
    const ip = parseIp(text);
    if (ip === undefined) {
      refuse("spec.clusterIPs", "InvalidAddress", `Service ${namespace}/${name}: ${JSON.stringify(text)} is not an IP address`);
      return [];
    }
    return [ip];
  });
  // Not yet allocated, or none that is an address: the Service has no name, but its endpoints have.
  if (own.length > 0) {
    const self = own.map((ip): Target => ({ name: base, ip, ports: [] }));
    const ports = (service.spec?.ports ?? []) as readonly SrvPort[];
    const pairs = ports.flatMap((port) => self.map((target) => ({ target, port })));
    names.set(base, {
      sets: [
        ...addressSets(own),
        ...srvSet(
          pairs.map(({ target, port }) => ({ target, port: port.port })),
          config.ttl,
        ),
      ],
    });
    for (const [owner, group] of groupByPortName(pairs, base)) {
      names.set(owner, {
        sets: srvSet(
          group.map(({ target, port }) => ({ target, port: port.port })),
          config.ttl,
        ),
      });
    }
    for (const ip of own) claims.push({ ip, target: base, from: "cluster-ip" });
  }
  return { plan: { names, claims }, problems };
}

function clusterIpsOf(service: Service): readonly string[] | "headless" {
  const { clusterIP, clusterIPs } = service.spec ?? {};
  if (clusterIP === "None" || clusterIPs?.[0] === "None") return "headless";
  const list = clusterIPs !== undefined && clusterIPs.length > 0 ? clusterIPs : [clusterIP ?? ""];
  return list.filter((ip) => ip !== "");
}

/** Ready endpoints, each address once for a name; by slice name, then in the slice's order. `ready` absent means ready. */
function endpointTargets(snapshot: Snapshot, service: ObjectKey, base: DomainName): readonly Target[] {
  const slices = Array.from(snapshot.slicesByService.get(service)?.entries() ?? []);
  slices.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  const targets = new Map<string, Target>();
  for (const [, slice] of slices) {
    for (const target of sliceTargets(slice, base)) {
      const id = `${target.name} ${target.ip}`;
      const known = targets.get(id);
      targets.set(id, known === undefined ? target : { ...known, ports: mergePorts(known.ports, target.ports) });
    }
  }
  return Array.from(targets.values());
}

function sliceTargets(slice: EndpointSlice, base: DomainName): readonly Target[] {
  if (slice.addressType === "FQDN") return [];
  return (slice.endpoints ?? []).flatMap((endpoint) => {
    if (endpoint.conditions?.ready === false) return [];
    // further addresses of one endpoint have no meaning (discovery/v1), but names for all of them do no harm
    return (endpoint.addresses ?? []).flatMap((text): Target[] => {
      const ip = parseIp(text);
      if (ip === undefined) return [];
      const label = endpointLabel(endpoint.hostname, ip);
      return isLabel(label) ? [{ name: `${label}.${base}`, ip, ports: slice.ports ?? [] }] : [];
    });
  });
}

function mergePorts(a: readonly EndpointPort[], b: readonly EndpointPort[]): readonly EndpointPort[] {
  const more = b.filter((p) => !a.some((q) => q.port === p.port && q.name === p.name && q.protocol === p.protocol));
  return more.length === 0 ? a : [...a, ...more];
}

function slicePorts(target: Target): readonly SrvPort[] {
  return target.ports.flatMap((p) => (p.port === undefined ? [] : [{ ...p, port: p.port }]));
}

function groupByName(targets: readonly Target[]): ReadonlyMap<DomainName, readonly Target[]> {
  return Map.groupBy(targets, (t) => t.name);
}

interface PortPair {
  readonly target: Target;
  readonly port: SrvPort;
}

/** `_port._proto.<base>` → its pairs; unnamed ports have no such name. */
function groupByPortName(pairs: readonly PortPair[], base: DomainName): ReadonlyMap<DomainName, readonly PortPair[]> {
  const named = pairs.filter(({ port }) => port.name !== undefined && isLabel(port.name));
  return Map.groupBy(named, ({ port }) => `_${port.name}._${(port.protocol ?? "TCP").toLowerCase()}.${base}`);
}

/** A and AAAA, each address once. */
function addressSets(ips: readonly Ip[]): readonly RecordSet[] {
  const sets: RecordSet[] = [];
  for (const kind of ["A", "AAAA"] as const) {
    const own = new Set(ips.filter((ip) => (ipFamily(ip) === 4) === (kind === "A")));
    if (own.size > 0) sets.push({ data: Array.from(own, (ip): RecordData => ({ kind, ip })) });
  }
  return sets;
}

/**
 * One record per target name and port, whose weights share 100 over all addresses behind them (at least 1 each, as CoreDNS has
 * it), and each target's addresses as additional records.
 */
function srvSet(pairs: readonly { readonly target: Target; readonly port: number }[], ttl: number): readonly RecordSet[] {
  if (pairs.length === 0) return [];
  const weight = Math.max(1, Math.floor(100 / pairs.length));
  const data = new Map<string, RecordData>();
  const additional = new Map<string, ResourceRecord>();
  for (const { target, port } of pairs) {
    data.set(`${target.name} ${port}`, { kind: "SRV", priority: 0, weight, port, target: target.name });
    additional.set(`${target.name} ${target.ip}`, {
      name: target.name,
      class: classIn,
      ttl,
      data: { kind: ipFamily(target.ip) === 4 ? "A" : "AAAA", ip: target.ip },
    });
  }
  return [{ data: Array.from(data.values()), additional: Array.from(additional.values()) }];
}

/** A host name with its last dot; undefined for addresses and impossible names. */
function externalTarget(text: string): DomainName | undefined {
  const name = text.toLowerCase().replace(/\.$/, "");
  if (name === "" || name.length > 253 || parseIp(name) !== undefined) return undefined;
  return name.split(".").every((label) => /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/.test(label)) ? `${name}.` : undefined;
}

function isLabel(text: string): boolean {
  return /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(text);
}

function serviceRef(service: Service): Problem["object"] {
  const { name = "", namespace } = service.metadata ?? {};
  return { kind: "Service", name, ...(namespace === undefined ? {} : { namespace }) };
}
