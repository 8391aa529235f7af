import { Map as PersistentMap } from "immutable";
import { type Cidr, printCidr } from "../../src/base/cidr.ts";
import { type Ip, type IpFamily, ipFamily } from "../../src/base/ip.ts";
import type { Delta } from "../../src/snapshot/derivation.ts";
import type { Compiled, Problem } from "../../src/snapshot/problem.ts";
import { balanceProblem } from "../plan/balance.ts";
import type { BalancePolicy, Frontend, FrontendKey, Pool } from "../plan/frontend.ts";
import { widest } from "../plan/service-plan.ts";
import type { Surroundings } from "../plan/surroundings.ts";
import { elementsOf, type PlacedFrontend, placeSlots, type Slots, sharedElements } from "./place.ts";
import { hashOf, hashSlots } from "./shares.ts";
import { largestPool, skeletonSizeFor } from "./size-class.ts";
import { type SkeletonOptions, type SlotHash, skeletonChains, skeletonElements, skeletonSets, withHash } from "./skeleton.ts";
import { type Element, elementId, type Table } from "./statement.ts";

/** Slots and ids that a table in the kernel already has; what is not named there is allocated anew. */
export interface Adopted {
  readonly slots: Slots;
  readonly localSlots: Slots;
  readonly affinityId?: number;
  readonly affinityLocalId?: number;
}

/** A pool with session affinity: a client is remembered by id and slot, so all frontends of the pool have the same ones. */
interface StickyPool {
  readonly id: number;
  readonly slots: Slots;
  /** Frontends that balance over it. */
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
  /** By pool and by the part of the slots it has (`stickyKey`). */
  readonly stickyPools: PersistentMap<string, StickyPool>;
  readonly nextAffinityId: number;
  /** What is not done as a frontend wants it. */
  readonly limits: PersistentMap<FrontendKey, readonly Problem[]>;
  /** Addresses of the node and the cluster: node port addresses, pod ranges, Service ranges, local DNS. */
  readonly surroundings: readonly Element[];
  /** For the first compilation only, which has all frontends. */
  readonly adopted: ReadonlyMap<FrontendKey, Adopted>;
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
    stickyPools: PersistentMap(),
    nextAffinityId,
    limits: PersistentMap(),
    surroundings: [],
    adopted,
  };
}

/** The ruleset after a change of frontends; other families' are skipped. Cost is by the change. */
export function compileFrontends(changed: Changed, before: Ruleset): Compiled<Ruleset> {
  // of two families most changes are of one: the other's ruleset stays the very same, which says that nothing of it differs
  if (before.adopted.size === 0 && !hasFamily(changed, before.family)) return { plan: before, problems: [] };
  let { limits } = before;
  let { skeleton, stickyPools, nextAffinityId } = before;
  const shared = before.shared.asMutable();
  const frontends = before.frontends.asMutable();
  const share = (element: Element, users: number): void => {
    const id = elementId(element);
    const now = (shared.get(id)?.users ?? 0) + users;
    if (now > 0) shared.set(id, { element, users: now });
    else shared.delete(id);
  };
  const standing = adoptedPools(changed, before);
  /** The pool with its slots brought up to date, counted once more. */
  const stick = (pool: Pool, part: Part): StickyPool => {
    const key = stickyKey(pool, part);
    const known = stickyPools.get(key);
    const found = known ?? standing.get(key);
    const next = {
      id: found?.id ?? nextAffinityId++,
      slots: placeSlots(found?.slots ?? [], pool, true),
      users: (known?.users ?? 0) + 1,
    };
    stickyPools = stickyPools.set(key, next);
    return next;
  };
  const unstick = (pool: Pool | undefined, part: Part): void => {
    if (pool === undefined) return;
    const key = stickyKey(pool, part);
    const known = stickyPools.get(key);
    if (known === undefined) return;
    stickyPools = known.users === 1 ? stickyPools.delete(key) : stickyPools.set(key, { ...known, users: known.users - 1 });
  };
  // a pool's slots are the same at all of its frontends
  const hashed = new Map<Pool, Slots>();
  const hash = (pool: Pool, by: SlotHash): Slots => {
    const hashes = withHash(skeleton.hashes, by);
    if (hashes !== skeleton.hashes) skeleton = { ...skeleton, hashes };
    const slots = hashed.get(pool) ?? hashSlots(pool.members, by.size);
    hashed.set(pool, slots);
    return slots;
  };
  for (const [key, change] of changed) {
    if (familyOf(change) !== before.family) continue;
    const old = frontends.get(key);
    const adopted = old === undefined ? before.adopted.get(key) : undefined;
    if (change.after === undefined) {
      frontends.delete(key);
      limits = limits.delete(key);
    } else {
      const problems: Problem[] = [];
      const frontend = limited(change.after, problems);
      if (problems.length > 0) limits = limits.set(key, problems);
      else limits = limits.delete(key);
      const balanced = frontend.action.kind === "balance" ? frontend.action : undefined;
      let placed: PlacedFrontend;
      const by = balanced?.affinitySeconds === undefined && balanced !== undefined ? hashOf(balanced.pool) : undefined;
      if (balanced !== undefined && by !== undefined) {
        const localBy = balanced.localPool === undefined ? undefined : hashOf(balanced.localPool);
        placed = {
          frontend,
          slots: hash(balanced.pool, by),
          hash: by,
          localSlots: balanced.localPool === undefined || localBy === undefined ? [] : hash(balanced.localPool, localBy),
          ...(localBy === undefined ? {} : { localHash: localBy }),
        };
      } else if (balanced?.affinitySeconds === undefined) {
        placed = {
          frontend,
          slots: placeSlots(old?.slots ?? adopted?.slots ?? [], balanced?.pool, false),
          localSlots: placeSlots(old?.localSlots ?? adopted?.localSlots ?? [], balanced?.localPool, false),
        };
      } else {
        const seconds = balanced.affinitySeconds;
        if (!skeleton.affinityTimeouts.includes(seconds)) {
          skeleton = { ...skeleton, affinityTimeouts: [...skeleton.affinityTimeouts, seconds] };
        }
        const variant = 1 + skeleton.affinityTimeouts.indexOf(seconds);
        const all = stick(balanced.pool, "all");
        const local = balanced.localPool === undefined ? undefined : stick(balanced.localPool, "local");
        placed = {
          frontend,
          slots: all.slots,
          localSlots: local?.slots ?? [],
          affinity: { variant, id: all.id, ...(local === undefined ? {} : { localId: local.id }) },
        };
      }
      const drawn = by === undefined ? Math.max(placed.slots.length, placed.localSlots.length) : 0;
      const size = skeletonSizeFor(drawn);
      if (size > skeleton.largestClass) skeleton = { ...skeleton, largestClass: size };
      frontends.set(key, placed);
    }
    // what the old one shared is given up after the new one took its share, so that nothing both need goes away between
    const placed = frontends.get(key);
    if (placed !== undefined) for (const element of sharedElements(placed)) share(element, 1);
    if (old !== undefined) for (const element of sharedElements(old)) share(element, -1);
    if (old?.affinity !== undefined && old.frontend.action.kind === "balance") {
      unstick(old.frontend.action.pool, "all");
      unstick(old.frontend.action.localPool, "local");
    }
  }
  const problems = limits === before.limits ? [] : [...changed.keys()].flatMap((key) => limits.get(key) ?? []);
  return {
    plan: {
      ...before,
      skeleton,
      limits,
      frontends: frontends.asImmutable(),
      shared: shared.asImmutable(),
      stickyPools,
      nextAffinityId,
      adopted: changed.size > 0 ? new Map() : before.adopted,
    },
    problems,
  };
}

type Changed = Delta<FrontendKey, Frontend>["changed"];

function hasFamily(changed: Changed, family: IpFamily): boolean {
  for (const change of changed.values()) if (familyOf(change) === family) return true;
  return false;
}

function familyOf({ before, after }: { readonly before?: Frontend; readonly after?: Frontend }): IpFamily | undefined {
  return (after ?? before)?.family;
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

const supported: readonly BalancePolicy[] = ["random", "source-hash", "maglev"];

/** A pool's slots begin at 0, or where the local ones do: a remembered slot means something in one of the two only. */
type Part = "all" | "local";

function stickyKey(pool: Pool, part: Part): string {
  return `${part} ${pool.id}`;
}

/** Ids and slots that the kernel has for pools: any of their frontends may name them. An id goes to one pool only. */
function adoptedPools(changed: Changed, { adopted }: Ruleset): ReadonlyMap<string, { readonly id: number; readonly slots: Slots }> {
  const found = new Map<string, { readonly id: number; readonly slots: Slots }>();
  if (adopted.size === 0) return found;
  const taken = new Set<number>();
  const claim = (key: string, id: number | undefined, slots: Slots): void => {
    if (id === undefined || taken.has(id) || found.has(key)) return;
    taken.add(id);
    found.set(key, { id, slots });
  };
  for (const [key, { after }] of changed) {
    const had = adopted.get(key);
    if (had === undefined || after?.action.kind !== "balance") continue;
    claim(stickyKey(after.action.pool, "all"), had.affinityId, had.slots);
    if (after.action.localPool !== undefined) claim(stickyKey(after.action.localPool, "local"), had.affinityLocalId, had.localSlots);
  }
  return found;
}

function limited(frontend: Frontend, problems: Problem[]): Frontend {
  const { action, owner } = frontend;
  const unsupported = balanceProblem(frontend, "nftables", supported, "random");
  if (unsupported !== undefined) problems.push(unsupported);
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
