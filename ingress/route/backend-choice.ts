import { cookieValue, headerValue } from "./request-head.ts";
import type { BackendOverride, Forwarding, Pool, PoolId, WeightedBackend } from "./route.ts";
import { valueMatches } from "./value-match.ts";

/** Pools by id, as a route table has them. */
export interface Pools {
  get(id: PoolId): Pool | undefined;
}

/**
 * The backends that share this request: those of the first override that holds, else the route's own; stand-ins in the
 * place of pools without endpoints.
 */
export function backendsFor(action: Forwarding, headers: readonly string[], pools: Pools): readonly WeightedBackend[] {
  const chosen = chosenBackends(action, headers);
  if (!chosen.some(hasStandIn)) return chosen;
  const replaced = (b: WeightedBackend): boolean => b.standIn !== undefined && (pools.get(b.pool)?.endpoints.length ?? 0) === 0;
  if (!chosen.some(replaced)) return chosen;
  const shares = new Map<PoolId, WeightedBackend>();
  for (const { pool, weight, terms, standIn = pool } of chosen.map((b) => (replaced(b) ? b : { ...b, standIn: b.pool }))) {
    const same = shares.get(standIn);
    if (same !== undefined) shares.set(standIn, { ...same, weight: same.weight + weight });
    else shares.set(standIn, { pool: standIn, weight, ...(standIn !== pool || terms === undefined ? {} : { terms }) });
  }
  return [...shares.values()];
}

function hasStandIn(b: WeightedBackend): boolean {
  return b.standIn !== undefined;
}

function chosenBackends(action: Forwarding, headers: readonly string[]): readonly WeightedBackend[] {
  return overrideFor(action, headers)?.backends ?? action.backends;
}

/** The first whose condition holds. */
export function overrideFor(action: Pick<Forwarding, "overrides">, headers: readonly string[]): BackendOverride | undefined {
  for (const override of action.overrides) {
    const { name } = override.match;
    const value = override.on === "header" ? headerValue(headers, name) : cookieValue(headers, name);
    if (valueMatches(override.match, value)) return override;
  }
  return undefined;
}

/** One of them by weight; `random` is in [0, 1). `undefined` when no weight is above 0. */
export function pickBackend(backends: readonly WeightedBackend[], random: number): WeightedBackend | undefined {
  if (backends.length === 1) return (backends[0]?.weight ?? 0) > 0 ? backends[0] : undefined;
  let total = 0;
  for (const b of backends) total += b.weight;
  let at = random * total;
  for (const b of backends) {
    if (at < b.weight) return b;
    at -= b.weight;
  }
  return undefined;
}
