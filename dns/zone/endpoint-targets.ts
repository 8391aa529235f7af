import type { Map as PersistentMap } from "immutable";
import type { EndpointPort, EndpointSlice } from "../../src/api/types/discovery-v1.generated.ts";
import { type Ip, isPort, parseIp } from "../../src/base/ip.ts";
import type { ObjectKey, Snapshot } from "../../src/snapshot/cluster-snapshot.ts";
import type { KubernetesConfig } from "../config/zone-config.ts";
import type { DomainName } from "../wire/name.ts";
import { endpointLabel } from "./endpoint-name.ts";
import { isLabel, maxNameLength } from "./label.ts";

/** One address of one ready endpoint. There are many: it holds no more than what its records are made from. */
export interface EndpointTarget {
  /** The endpoint's own name below its Service's. */
  readonly name: DomainName;
  readonly ip: Ip;
  /** Of its slices. */
  readonly ports: readonly TargetPort[];
  /** Its topology zone; only where names of zones are wanted. */
  readonly zone?: string;
  /** An endpoint of a Service of other clusters. */
  readonly as?: "imported-endpoint";
}

/** A port of a slice or a Service that SRV records may be about. */
export interface TargetPort {
  readonly name?: string;
  readonly protocol?: string;
  readonly port: number;
}

/** Which slices an object's endpoints are in, and what they are called. */
export interface EndpointSource {
  readonly slicesOf: (snapshot: Snapshot, owner: ObjectKey) => PersistentMap<ObjectKey, EndpointSlice> | undefined;
  /** What an endpoint's label stands below; undefined for a slice whose endpoints have no name. */
  readonly baseOf: (slice: EndpointSlice, base: DomainName) => DomainName | undefined;
  readonly as?: "imported-endpoint";
}

const ofServices: EndpointSource = { slicesOf: (snapshot, key) => snapshot.slicesByService.get(key), baseOf: (_, base) => base };

/** Ready endpoints of an object whose name is `base`, each address once for a name; by slice name, then in the slice's order. */
export type EndpointTargets = (snapshot: Snapshot, owner: ObjectKey, base: DomainName) => readonly EndpointTarget[];

interface Compiled {
  readonly base: DomainName;
  readonly targets: readonly EndpointTarget[];
}

/**
 * Remembers what a slice gave last time, by the identity of the slice: objects of a snapshot never change, so that of a Service
 * with thousands of endpoints only the changed slice is compiled again.
 */
export function createEndpointTargets(config: KubernetesConfig, source: EndpointSource = ofServices): EndpointTargets {
  const compiled = new WeakMap<EndpointSlice, Compiled>();
  const targetsOf = (slice: EndpointSlice, base: DomainName): readonly EndpointTarget[] => {
    const known = compiled.get(slice);
    if (known?.base === base) return known.targets;
    const targets = compileSlice(config, source, slice, base);
    compiled.set(slice, { base, targets });
    return targets;
  };
  return (snapshot, owner, base) => {
    const slices = config.noEndpoints === true ? undefined : source.slicesOf(snapshot, owner);
    if (slices === undefined) return [];
    const only = slices.size === 1 ? slices.first() : undefined;
    if (only !== undefined) return targetsOf(only, base);
    const sorted = Array.from(slices.entries()).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    return distinct(sorted.flatMap(([, slice]) => targetsOf(slice, base)));
  };
}

/** `ready` absent means ready. */
function compileSlice(
  config: KubernetesConfig,
  { baseOf, as }: EndpointSource,
  slice: EndpointSlice,
  base: DomainName,
): readonly EndpointTarget[] {
  const below = slice.addressType === "FQDN" ? undefined : baseOf(slice, base);
  if (below === undefined) return [];
  const ports = srvPortsOf(slice);
  const imported = as === undefined ? undefined : { as };
  const targets: EndpointTarget[] = [];
  for (const endpoint of slice.endpoints ?? []) {
    if (endpoint.conditions?.ready === false) continue;
    const hostname = endpoint.hostname || (config.endpointPodNames === true ? endpoint.targetRef?.name : undefined);
    const zone = config.zonalNames === true ? endpoint.zone : undefined;
    for (const text of endpoint.addresses ?? []) {
      const ip = parseIp(text);
      const label = ip === undefined ? "" : endpointLabel(hostname, ip);
      const name = `${label}.${below}`;
      if (ip === undefined || !isLabel(label) || name.length > maxNameLength) continue;
      targets.push(zone === undefined ? { name, ip, ports, ...imported } : { name, ip, ports, zone, ...imported });
    }
  }
  // without the room that a list has that grew: these stay, one for each slice
  return distinct(targets.slice());
}

const noPorts: readonly EndpointPort[] = [];

/** Mostly all that the slice has, and its own list: nothing is copied for each slice. */
function srvPortsOf(slice: EndpointSlice): readonly TargetPort[] {
  const ports = slice.ports ?? noPorts;
  return ports.every(isSrvPort) ? ports : ports.filter(isSrvPort);
}

function isSrvPort(port: EndpointPort): port is EndpointPort & TargetPort {
  return isPort(port.port);
}

/** The same endpoint may stand in several slices, while it moves or with different ports. */
function distinct(all: readonly EndpointTarget[]): readonly EndpointTarget[] {
  // most slices are small and name nothing twice: seen without making anything
  if (all.length <= 8 && !all.some((t, i) => repeats(all, t, i))) return all;
  if (new Set(all.map((t) => t.name)).size === all.length) return all;
  const targets = new Map<string, EndpointTarget>();
  for (const target of all) {
    const id = `${target.ip} ${target.name}`;
    const known = targets.get(id);
    targets.set(id, known === undefined ? target : { ...known, ports: mergePorts(known.ports, target.ports) });
  }
  return targets.size === all.length ? all : Array.from(targets.values());
}

/** Whether one before the `i`th is of the same name and address as `t`. */
function repeats(all: readonly EndpointTarget[], t: EndpointTarget, i: number): boolean {
  for (let j = 0; j < i; j++) if (all[j]?.ip === t.ip && all[j]?.name === t.name) return true;
  return false;
}

function mergePorts(a: readonly TargetPort[], b: readonly TargetPort[]): readonly TargetPort[] {
  const more = b.filter((p) => !a.some((q) => q.port === p.port && q.name === p.name && q.protocol === p.protocol));
  return more.length === 0 ? a : [...a, ...more];
}
