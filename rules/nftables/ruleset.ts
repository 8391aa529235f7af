import { Map as PersistentMap } from "immutable";
import { type Cidr, printCidr } from "../../src/base/cidr.ts";
import { type Ip, type IpFamily, ipFamily } from "../../src/base/ip.ts";
import type { Delta } from "../../src/snapshot/derivation.ts";
import type { Compiled, Problem } from "../../src/snapshot/problem.ts";
import { printServicePort } from "../model/service-port.ts";
import type { Frontend, FrontendKey, Pool } from "../plan/frontend.ts";
import { widest } from "../plan/service-plan.ts";
import { elementsOf, type PlacedFrontend, placeSlots, type Slots, sharedElements } from "./place.ts";
import { largestPool, skeletonSizeFor } from "./size-class.ts";
import { type SkeletonOptions, skeletonChains, skeletonElements, skeletonSets } from "./skeleton.ts";
import { type Element, elementId, type Table } from "./statement.ts";

/** Slots and ids that a table in the kernel already has; what is not named there is allocated anew. */
export interface Adopted {
  readonly slots: Slots;
  readonly localSlots: Slots;
  readonly affinityId?: number;
  readonly affinityLocalId?: number;
}

interface AffinityIds {
  readonly id: number;
  readonly localId: number;
  readonly users: number;
}

/** The program of one table: the plan compiled for nftables in one family, with every allocation it made. Immutable. */
export interface Ruleset {
  readonly family: IpFamily;
  readonly table: string;
  readonly skeleton: SkeletonOptions;
  readonly frontends: PersistentMap<FrontendKey, PlacedFrontend>;
  /** Elements that several frontends ask for, with how many do. */
  readonly shared: PersistentMap<string, { readonly element: Element; readonly users: number }>;
  readonly affinityIds: PersistentMap<string, AffinityIds>;
  readonly nextAffinityId: number;
  /** Addresses of the node and the cluster: node port addresses, pod ranges, Service ranges, local DNS. */
  readonly surroundings: readonly Element[];
  readonly adopted: ReadonlyMap<FrontendKey, Adopted>;
}

export interface Surroundings {
  readonly nodePortIps: readonly Ip[];
  readonly podCidrs: readonly Cidr[];
  readonly serviceCidrs: readonly Cidr[];
  readonly localDnsIps: readonly Ip[];
}

export function emptyRuleset(
  family: IpFamily,
  table: string,
  skeleton: SkeletonOptions,
  adopted: ReadonlyMap<FrontendKey, Adopted> = new Map(),
): Ruleset {
  let nextAffinityId = 1;
  for (const { affinityId = 0, affinityLocalId = 0 } of adopted.values()) {
    nextAffinityId = Math.max(nextAffinityId, affinityId + 1, affinityLocalId + 1);
  }
  return {
    family,
    table,
    skeleton,
    frontends: PersistentMap(),
    shared: PersistentMap(),
    affinityIds: PersistentMap(),
    nextAffinityId,
    surroundings: [],
    adopted,
  };
}

/** The ruleset after a change of frontends; other families' are skipped. Cost is by the change. */
export function compileFrontends(changed: Delta<FrontendKey, Frontend>["changed"], before: Ruleset): Compiled<Ruleset> {
  const problems: Problem[] = [];
  let { skeleton, affinityIds, nextAffinityId } = before;
  const shared = before.shared.asMutable();
  const frontends = before.frontends.asMutable();
  const share = (element: Element, users: number): void => {
    const id = elementId(element);
    const now = (shared.get(id)?.users ?? 0) + users;
    if (now > 0) shared.set(id, { element, users: now });
    else shared.delete(id);
  };
  const releaseIds = (owner: string): void => {
    const ids = affinityIds.get(owner);
    if (ids === undefined) return;
    affinityIds = ids.users === 1 ? affinityIds.delete(owner) : affinityIds.set(owner, { ...ids, users: ids.users - 1 });
  };
  const idsInKernel = adoptedIds(changed, before);
  for (const [key, change] of changed) {
    if ((change.after ?? change.before)?.family !== before.family) continue;
    const old = frontends.get(key);
    const adopted = old === undefined ? before.adopted.get(key) : undefined;
    if (change.after === undefined) {
      frontends.delete(key);
    } else {
      const frontend = limited(change.after, problems);
      const action = frontend.action;
      const balanced = action.kind === "balance" ? action : undefined;
      const sticky = balanced?.affinitySeconds !== undefined;
      const slots = placeSlots(old?.slots ?? adopted?.slots ?? [], balanced?.pool, sticky);
      const localSlots = placeSlots(old?.localSlots ?? adopted?.localSlots ?? [], balanced?.localPool, sticky);
      const size = skeletonSizeFor(Math.max(slots.length, localSlots.length));
      if (size > skeleton.largestClass) skeleton = { ...skeleton, largestClass: size };
      if (balanced?.affinitySeconds === undefined) {
        frontends.set(key, { frontend, slots, localSlots });
      } else {
        const seconds = balanced.affinitySeconds;
        if (!skeleton.affinityTimeouts.includes(seconds)) {
          skeleton = { ...skeleton, affinityTimeouts: [...skeleton.affinityTimeouts, seconds] };
        }
        const owner = affinityOwner(frontend);
        let ids = affinityIds.get(owner);
        if (ids === undefined) {
          const had = idsInKernel.get(owner);
          ids = { id: had?.id ?? nextAffinityId++, localId: had?.localId ?? nextAffinityId++, users: 0 };
        }
        affinityIds = affinityIds.set(owner, { ...ids, users: ids.users + 1 });
        const variant = 1 + skeleton.affinityTimeouts.indexOf(seconds);
        frontends.set(key, { frontend, slots, localSlots, affinity: { variant, id: ids.id, localId: ids.localId } });
      }
    }
    // what the old one shared is given up after the new one took its share, so that nothing both need goes away between
    const placed = frontends.get(key);
    if (placed !== undefined) for (const element of sharedElements(placed)) share(element, 1);
    if (old !== undefined) for (const element of sharedElements(old)) share(element, -1);
    if (old?.affinity !== undefined) releaseIds(affinityOwner(old.frontend));
  }
  return {
    plan: { ...before, skeleton, frontends: frontends.asImmutable(), shared: shared.asImmutable(), affinityIds, nextAffinityId },
    problems,
  };
}

/** The ruleset with other surroundings: addresses of the node, ranges of pods and Services. */
export function compileSurroundings(s: Surroundings, before: Ruleset): Ruleset {
  const { family } = before;
  const ips = (set: string, list: readonly Ip[]): readonly Element[] =>
    [...new Set(list)].filter((ip) => ipFamily(ip) === family).map((ip) => ({ set, key: [ip] }));
  const ranges = (set: string, list: readonly Cidr[]): readonly Element[] =>
    widest(list.filter((c) => c.family === family)).map((c) => ({ set, key: [printCidr(c)] }));
  const podCidrs = ranges("pod-cidrs", s.podCidrs);
  const surroundings = [
    ...(before.skeleton.nodePorts === "listed" ? ips("nodeport-ips", s.nodePortIps) : []),
    ...podCidrs,
    ...ranges("service-cidrs", s.serviceCidrs),
    ...ips("local-dns-ips", s.localDnsIps),
  ];
  const untracked = surroundings.some((e) => e.set === "local-dns-ips");
  return { ...before, skeleton: { ...before.skeleton, knowsPods: podCidrs.length > 0, untracked }, surroundings };
}

/** All that the table holds, skeleton included. */
export function tableOf(r: Ruleset): Table {
  const elements: Element[] = [...skeletonElements(r.skeleton), ...r.surroundings];
  for (const { element } of r.shared.values()) elements.push(element);
  for (const placed of r.frontends.values()) elements.push(...elementsOf(placed));
  const order = skeletonSets(r.family).map((set) => set.name);
  // one command per set: stable by set, in the order of the sets
  elements.sort((a, b) => order.indexOf(a.set) - order.indexOf(b.set));
  return { family: r.family, name: r.table, sets: skeletonSets(r.family), chains: skeletonChains(r.family, r.skeleton), elements };
}

/** The ids that the kernel has for ServicePorts: any of their frontends may name them. An id goes to one owner only. */
function adoptedIds(
  changed: Delta<FrontendKey, Frontend>["changed"],
  { adopted }: Ruleset,
): ReadonlyMap<string, { readonly id?: number; readonly localId?: number }> {
  const found = new Map<string, { id?: number; localId?: number }>();
  if (adopted.size === 0) return found;
  const ownerOf = new Map<number, string>();
  const claim = (id: number | undefined, owner: string): id is number => {
    if (id === undefined || (ownerOf.get(id) ?? owner) !== owner) return false;
    ownerOf.set(id, owner);
    return true;
  };
  for (const [key, { after }] of changed) {
    const had = after === undefined ? undefined : adopted.get(key);
    if (after === undefined || had === undefined) continue;
    const owner = affinityOwner(after);
    const ids = found.get(owner) ?? {};
    if (claim(had.affinityId, owner)) ids.id ??= had.affinityId;
    if (claim(had.affinityLocalId, owner)) ids.localId ??= had.affinityLocalId;
    found.set(owner, ids);
  }
  return found;
}

function affinityOwner(frontend: Frontend): string {
  return `${printServicePort(frontend.owner)}/${frontend.protocol}`;
}

function limited(frontend: Frontend, problems: Problem[]): Frontend {
  const { action, owner } = frontend;
  if (action.kind !== "balance" || Math.max(action.pool.members.length, action.localPool?.members.length ?? 0) <= largestPool)
    return frontend;
  const cut = (pool: Pool): Pool => ({ ...pool, members: pool.members.slice(0, largestPool) });
  problems.push({
    object: { kind: "Service", namespace: owner.namespace, name: owner.name },
    field: "spec.ports",
    reason: "TooManyEndpoints",
    message: `${frontend.key} has more than ${largestPool} endpoints; those beyond get no new connections`,
  });
  return {
    ...frontend,
    action: { ...action, pool: cut(action.pool), ...(action.localPool === undefined ? {} : { localPool: cut(action.localPool) }) },
  };
}
