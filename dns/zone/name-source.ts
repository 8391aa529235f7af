import { unreachable } from "../../src/base/unreachable.ts";
import type { DomainName } from "../wire/name.ts";
import type { EndpointTarget } from "./endpoint-targets.ts";
import type { NameRecords } from "./record-delta.ts";
import { addressSets, sameRecords, srvSets } from "./record-sets.ts";

/**
 * What a name's records are made from. The tables hold these: a hundred thousand endpoints as records would take several
 * times the memory of the objects they come from. Records are made when a name is told to somebody.
 */
export type NameSource =
  | { readonly kind: "records"; readonly records: NameRecords }
  /** An endpoint's own name, which it shares with no other. */
  | { readonly kind: "endpoint"; readonly target: EndpointTarget }
  | { readonly kind: "pointer"; readonly targets: readonly DomainName[] };

export function recordsOf(source: NameSource): NameRecords {
  switch (source.kind) {
    case "records":
      return source.records;
    case "endpoint":
      return endpointRecords([source.target]);
    case "pointer":
      return { sets: [{ data: source.targets.map((target) => ({ kind: "PTR", target }) as const) }] };
    default:
      return unreachable(source);
  }
}

/** Of all endpoints that share one name. */
export function endpointRecords(own: readonly EndpointTarget[]): NameRecords {
  const pairs = own.flatMap((t) => t.ports.map(({ port }) => ({ target: t.name, port })));
  return { sets: [...addressSets(own.map((t) => t.ip)), ...srvSets(pairs)] };
}

/** True when both make the same records. */
export function sameSource(a: NameSource, b: NameSource): boolean {
  if (a === b) return true;
  if (a.kind === "records" && b.kind === "records") return sameRecords(a.records, b.records);
  if (a.kind === "endpoint" && b.kind === "endpoint") return sameEndpoint(a.target, b.target);
  if (a.kind === "pointer" && b.kind === "pointer") {
    return a.targets.length === b.targets.length && a.targets.every((t, i) => t === b.targets[i]);
  }
  return false;
}

function sameEndpoint(a: EndpointTarget, b: EndpointTarget): boolean {
  if (a === b) return true;
  // only the numbers of its ports are in an endpoint's own records
  const samePorts = a.ports === b.ports || (a.ports.length === b.ports.length && a.ports.every((p, i) => p.port === b.ports[i]?.port));
  return a.ip === b.ip && a.name === b.name && samePorts;
}
