import type { EndpointPort, EndpointSlice } from "../../src/api/types/discovery-v1.generated.ts";
import { type Ip, parseIp } from "../../src/base/ip.ts";
import type { ObjectKey, Snapshot } from "../../src/snapshot/cluster-snapshot.ts";
import type { DomainName } from "../wire/name.ts";
import { endpointLabel } from "./endpoint-name.ts";
import { isLabel } from "./label.ts";
import type { PointerClaim } from "./pointer-names.ts";
import type { NameRecords } from "./record-delta.ts";
import { addressSets, srvSets } from "./record-sets.ts";

/** One address of one ready endpoint. */
export interface EndpointTarget {
  /** The endpoint's own name below its Service's. */
  readonly name: DomainName;
  readonly ip: Ip;
  /** Of its slices. */
  readonly ports: readonly TargetPort[];
  /** What its name has when no other endpoint shares it. */
  readonly records: NameRecords;
  readonly claim: PointerClaim;
}

/** A port of a slice or a Service that SRV records may be about. */
export interface TargetPort {
  readonly name?: string;
  readonly protocol?: string;
  readonly port: number;
}

/**
 * Ready endpoints of a Service whose name is `base`, each address once for a name; by slice name, then in the slice's order.
 * `ready` absent means ready.
 */
export function endpointTargets(snapshot: Snapshot, service: ObjectKey, base: DomainName, ttl: number): readonly EndpointTarget[] {
  const slices = Array.from(snapshot.slicesByService.get(service)?.entries() ?? []);
  if (slices.length === 1) return slices[0] === undefined ? [] : distinct(targetsOf(slices[0][1], base, ttl), ttl);
  slices.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return distinct(
    slices.flatMap(([, slice]) => targetsOf(slice, base, ttl)),
    ttl,
  );
}

interface Compiled {
  readonly base: DomainName;
  readonly ttl: number;
  readonly targets: readonly EndpointTarget[];
}

/**
 * What a slice gave last time, by the identity of the slice: objects of a snapshot never change, so that of a Service with
 * thousands of endpoints only the changed slice is compiled again.
 */
const compiledSlices = new WeakMap<EndpointSlice, Compiled>();

function targetsOf(slice: EndpointSlice, base: DomainName, ttl: number): readonly EndpointTarget[] {
  const known = compiledSlices.get(slice);
  if (known !== undefined && known.base === base && known.ttl === ttl) return known.targets;
  const targets = compileSlice(slice, base, ttl);
  compiledSlices.set(slice, { base, ttl, targets });
  return targets;
}

function compileSlice(slice: EndpointSlice, base: DomainName, ttl: number): readonly EndpointTarget[] {
  if (slice.addressType === "FQDN") return [];
  const ports = (slice.ports ?? []).flatMap(srvPort);
  return (slice.endpoints ?? []).flatMap((endpoint) => {
    if (endpoint.conditions?.ready === false) return [];
    return (endpoint.addresses ?? []).flatMap((text): EndpointTarget[] => {
      const ip = parseIp(text);
      if (ip === undefined) return [];
      const label = endpointLabel(endpoint.hostname, ip);
      return isLabel(label) ? [makeTarget(`${label}.${base}`, ip, ports, ttl)] : [];
    });
  });
}

function srvPort(port: EndpointPort): readonly TargetPort[] {
  return port.port === undefined ? [] : [{ ...port, port: port.port }];
}

function makeTarget(name: DomainName, ip: Ip, ports: readonly TargetPort[], ttl: number): EndpointTarget {
  const srv = srvSets(
    ports.map(({ port }) => ({ target: name, ip, port })),
    ttl,
  );
  return {
    name,
    ip,
    ports,
    records: { sets: [...addressSets([ip]), ...srv] },
    claim: { id: `${ip} ${name}`, ip, target: name, from: "endpoint" },
  };
}

/** The same endpoint may stand in several slices, while it moves or with different ports. */
function distinct(all: readonly EndpointTarget[], ttl: number): readonly EndpointTarget[] {
  const targets = new Map<string, EndpointTarget>();
  for (const target of all) {
    const known = targets.get(target.claim.id);
    targets.set(target.claim.id, known === undefined ? target : withPorts(known, target.ports, ttl));
  }
  return targets.size === all.length ? all : Array.from(targets.values());
}

function withPorts(target: EndpointTarget, ports: readonly TargetPort[], ttl: number): EndpointTarget {
  const more = ports.filter((p) => !target.ports.some((q) => q.port === p.port && q.name === p.name && q.protocol === p.protocol));
  return more.length === 0 ? target : makeTarget(target.name, target.ip, [...target.ports, ...more], ttl);
}
