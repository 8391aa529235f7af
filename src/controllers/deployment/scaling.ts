import type { Deployment, ReplicaSet } from "../../api/types/apps-v1.generated.ts";
import {
  byAge,
  desiredAnnotation,
  desiredReplicas,
  limitsOf,
  maxReplicasAnnotation,
  numberAnnotation,
  replicasOf,
  sumReplicas,
} from "./replica-sets.ts";

/** Which ReplicaSet gets which size. Those not named keep theirs. */
export type Sizes = ReadonlyMap<ReplicaSet, number>;

/** The Deployment's size was changed since its active ReplicaSets were sized. */
export function isScaling(d: Deployment, sets: readonly ReplicaSet[]): boolean {
  const active = sets.filter((rs) => replicasOf(rs) > 0);
  // Recreate has one active version at most; should there be more, its own steps end that.
  if (active.length > 1 && d.spec?.strategy?.type === "Recreate") return false;
  return active.some((rs) => {
    const desired = numberAnnotation(rs, desiredAnnotation);
    return desired !== undefined && desired !== desiredReplicas(d);
  });
}

/**
 * Sizes after a scale in the middle of a rollout, or while paused: every active ReplicaSet takes its share, so that no
 * version gains by it. With one active ReplicaSet it takes all.
 */
export function scaledSizes(d: Deployment, newSet: ReplicaSet | undefined, oldSets: readonly ReplicaSet[]): Sizes {
  const all = [...oldSets, ...(newSet === undefined ? [] : [newSet])];
  const active = all.filter((rs) => replicasOf(rs) > 0);
  if (active.length <= 1) {
    const only = active[0] ?? newSet ?? [...oldSets].sort(byAge).at(-1);
    return only === undefined ? new Map() : new Map([[only, desiredReplicas(d)]]);
  }
  if (newSet !== undefined && isSaturated(d, newSet)) {
    return new Map(oldSets.filter((rs) => replicasOf(rs) > 0).map((rs) => [rs, 0]));
  }
  return proportionalSizes(d, active);
}

/** All the new ReplicaSet is to have is there and available. */
function isSaturated(d: Deployment, rs: ReplicaSet): boolean {
  const desired = desiredReplicas(d);
  return (
    replicasOf(rs) === desired && numberAnnotation(rs, desiredAnnotation) === desired && (rs.status?.availableReplicas ?? 0) === desired
  );
}

function proportionalSizes(d: Deployment, active: readonly ReplicaSet[]): Sizes {
  const { surge } = limitsOf(d);
  const desired = desiredReplicas(d);
  const allowed = desired > 0 ? desired + surge : 0;
  const toAdd = allowed - sumReplicas(active);
  // Growing, the largest and newest first; shrinking, the largest and oldest first: what rounding leaves goes there.
  const sorted = [...active].sort((a, b) => replicasOf(b) - replicasOf(a) || (toAdd > 0 ? byAge(b, a) : byAge(a, b)));
  const sizes = new Map<ReplicaSet, number>();
  let added = 0;
  for (const rs of sorted) {
    const share = toAdd === 0 ? 0 : limitShare(fraction(rs, d, surge), toAdd - added, toAdd);
    sizes.set(rs, replicasOf(rs) + share);
    added += share;
  }
  const [first] = sorted;
  if (first !== undefined && toAdd !== 0) sizes.set(first, Math.max(0, (sizes.get(first) ?? 0) + toAdd - added));
  return sizes;
}

function limitShare(share: number, room: number, toAdd: number): number {
  return toAdd > 0 ? Math.min(share, room) : Math.max(share, room);
}

function fraction(rs: ReplicaSet, d: Deployment, surge: number): number {
  const desired = desiredReplicas(d);
  if (desired === 0) return -replicasOf(rs);
  const before = numberAnnotation(rs, maxReplicasAnnotation) ?? d.status?.replicas ?? 0;
  if (before === 0) return 0;
  return Math.round((replicasOf(rs) * (desired + surge)) / before) - replicasOf(rs);
}

/** The size a rolling update lets the new ReplicaSet have now. */
export function newSetSize(d: Deployment, all: readonly ReplicaSet[], newSize: number): number {
  const desired = desiredReplicas(d);
  if (d.spec?.strategy?.type === "Recreate") return desired;
  const { surge } = limitsOf(d);
  const room = desired + surge - sumReplicas(all);
  if (room <= 0) return newSize;
  return newSize + Math.min(room, desired - newSize);
}

/**
 * How far old ReplicaSets may shrink now: first pods that do not serve anyway, then as many as leave enough available
 * ones. Old ones first.
 */
export function rolledDownSizes(d: Deployment, newSet: ReplicaSet, oldSets: readonly ReplicaSet[]): Sizes {
  const sizes = new Map<ReplicaSet, number>();
  const active = oldSets.filter((rs) => replicasOf(rs) > 0).sort(byAge);
  if (active.length === 0) return sizes;
  const minAvailable = desiredReplicas(d) - limitsOf(d).unavailable;
  const newUnavailable = replicasOf(newSet) - (newSet.status?.availableReplicas ?? 0);
  const maxDown = sumReplicas([...active, newSet]) - minAvailable - newUnavailable;
  if (maxDown <= 0) return sizes;

  let cleaned = 0;
  for (const rs of active) {
    const sick = Math.max(0, replicasOf(rs) - (rs.status?.availableReplicas ?? 0));
    const down = Math.min(maxDown - cleaned, sick);
    if (down <= 0) continue;
    sizes.set(rs, replicasOf(rs) - down);
    cleaned += down;
  }

  const available = [...active, newSet].reduce((n, rs) => n + (rs.status?.availableReplicas ?? 0), 0);
  let rest = available - minAvailable;
  for (const rs of active) {
    if (rest <= 0) break;
    const size = sizes.get(rs) ?? replicasOf(rs);
    const down = Math.min(size, rest);
    if (down <= 0) continue;
    sizes.set(rs, size - down);
    rest -= down;
  }
  return sizes;
}
