import { semanticEqual } from "../../api/json-value.ts";
import type { Endpoint, EndpointPort, EndpointSlice } from "../../api/types/discovery-v1.generated.ts";

/** As kube-controller-manager's --max-endpoints-per-slice. */
export const maxEndpointsPerSlice = 100;

export interface EndpointGroup {
  readonly ports: readonly EndpointPort[];
  /** By the uid of the pod, or another key that `endpointKey` finds again in a slice. */
  readonly endpoints: ReadonlyMap<string, Endpoint>;
}

/** A slice to be written; `slice` is the one to replace, or undefined for a new one. */
export interface Slot {
  readonly slice: EndpointSlice | undefined;
  readonly ports: readonly EndpointPort[];
  readonly endpoints: readonly Endpoint[];
}

export interface Packing {
  /** Only slices that must be written. */
  readonly slots: readonly Slot[];
  readonly surplus: readonly EndpointSlice[];
}

interface Draft {
  slice: EndpointSlice | undefined;
  readonly ports: readonly EndpointPort[];
  endpoints: Endpoint[];
  dirty: boolean;
}

/** What an endpoint is known by across slices: its pod, else its address. */
export function endpointKey(endpoint: Endpoint): string {
  return endpoint.targetRef?.uid ?? endpoint.addresses?.[0] ?? "";
}

/**
 * Distributes groups over slices of one address type with as few writes as may be. `current` says whether a slice's
 * metadata is as it should be; others are written even if their endpoints are right.
 */
export function packEndpoints(
  groups: readonly EndpointGroup[],
  existing: readonly EndpointSlice[],
  current: (slice: EndpointSlice) => boolean,
  keyOf: (endpoint: Endpoint) => string = endpointKey,
): Packing {
  const byPorts = new Map<string, EndpointSlice[]>();
  for (const slice of existing) {
    const key = portsKey(slice.ports ?? []);
    const known = byPorts.get(key);
    if (known === undefined) byPorts.set(key, [slice]);
    else known.push(slice);
  }
  const drafts: Draft[] = [];
  for (const group of groups) {
    const key = portsKey(group.ports);
    drafts.push(...packGroup(group, byPorts.get(key) ?? [], current, keyOf));
    byPorts.delete(key);
  }
  const surplus = [...byPorts.values()].flat();
  for (const draft of drafts) if (draft.endpoints.length === 0 && draft.slice !== undefined) surplus.push(draft.slice);
  const kept = drafts.filter((d) => d.endpoints.length > 0);
  if (kept.length === 0) kept.push(placeholder(surplus, current));
  // A slice that would go is better rewritten than replaced: one event for readers, not two.
  for (const draft of kept) {
    if (draft.slice === undefined && surplus.length > 0) draft.slice = surplus.shift();
  }
  return { slots: kept.filter((d) => d.dirty), surplus };
}

function packGroup(
  group: EndpointGroup,
  slices: readonly EndpointSlice[],
  current: (slice: EndpointSlice) => boolean,
  keyOf: (endpoint: Endpoint) => string,
): Draft[] {
  const rest = new Map(group.endpoints);
  const drafts = slices.map((slice): Draft => {
    let dirty = !current(slice) || !semanticEqual(slice.ports, group.ports);
    const endpoints: Endpoint[] = [];
    for (const old of slice.endpoints ?? []) {
      const key = keyOf(old);
      const now = rest.get(key);
      rest.delete(key);
      if (now === undefined || endpoints.length >= maxEndpointsPerSlice) {
        if (now !== undefined) rest.set(key, now);
        dirty = true;
        continue;
      }
      const same = semanticEqual(old, now);
      if (!same) dirty = true;
      endpoints.push(same ? old : now);
    }
    return { slice, ports: group.ports, endpoints, dirty };
  });
  const waiting = [...rest.values()];
  const room = (d: Draft): number => maxEndpointsPerSlice - d.endpoints.length;
  const fill = (d: Draft): void => {
    const taken = waiting.splice(0, room(d));
    if (taken.length === 0) return;
    d.endpoints.push(...taken);
    d.dirty = true;
  };
  // First those that are written anyway, fullest first; then one that takes all the rest; then new ones.
  for (const d of drafts.filter((x) => x.dirty).sort((a, b) => room(a) - room(b))) fill(d);
  if (waiting.length > 0) {
    const fits = drafts.filter((d) => !d.dirty && room(d) >= waiting.length).sort((a, b) => room(a) - room(b))[0];
    if (fits !== undefined) fill(fits);
  }
  while (waiting.length > 0) {
    const fresh: Draft = { slice: undefined, ports: group.ports, endpoints: [], dirty: true };
    fill(fresh);
    drafts.push(fresh);
  }
  return drafts;
}

/** An empty slice without ports: one that is there already, or any that would go, or a new one. */
function placeholder(surplus: EndpointSlice[], current: (slice: EndpointSlice) => boolean): Draft {
  const isEmpty = (s: EndpointSlice): boolean => (s.endpoints ?? []).length === 0 && (s.ports ?? []).length === 0 && current(s);
  const index = surplus.findIndex(isEmpty);
  if (index >= 0) {
    const [slice] = surplus.splice(index, 1);
    return { slice, ports: [], endpoints: [], dirty: false };
  }
  return { slice: surplus.shift(), ports: [], endpoints: [], dirty: true };
}

function portsKey(ports: readonly EndpointPort[]): string {
  return ports
    .map((p) => `${p.name ?? ""} ${p.port ?? ""} ${p.protocol ?? "TCP"} ${p.appProtocol ?? ""}`)
    .sort()
    .join(",");
}
