import { isDeepStrictEqual } from "node:util";
import type { BackendOverride, BackendTerms, Forwarding, PoolId, WeightedBackend } from "../route/route.ts";
import { present } from "./annotation-values.ts";
import type { IngressOptions } from "./annotations.ts";
import type { Canary } from "./canary-annotations.ts";

/** A rule's backend, or that of a canary which joins it. */
export interface RuleBackend {
  readonly pool: PoolId;
  readonly options: IngressOptions;
  readonly standIn?: PoolId | undefined;
}

/** Which backends share a rule's requests, and how each chooses its endpoint: header before cookie before weight, weights as shares of 100. */
export function sharedBackends(
  main: RuleBackend,
  canaries: readonly RuleBackend[],
): Pick<Forwarding, "backends" | "overrides"> & BackendTerms {
  const { pool, standIn } = main;
  const terms = termsOf(main.options, canaries.some(isLegacy));
  const backends: WeightedBackend[] = [];
  const headers: BackendOverride[] = [];
  const cookies: BackendOverride[] = [];
  let rest = 100;
  for (const claimed of canaries) {
    const { canary } = claimed.options;
    if (canary === undefined) continue;
    const share = (canary.weight / canary.weightTotal) * 100;
    const backend = { pool: claimed.pool, standIn: pool, ...canaryTerms(claimed, terms) };
    const taken = canary.matchAll ? sharedBetween(pool, { ...backend, weight: share }) : [{ ...backend, weight: 1 }];
    headers.push(...headerOverrides(canary, pool, taken));
    if (canary.cookie !== undefined) cookies.push(...alwaysNever("cookie", canary.cookie, pool, taken));
    if (canary.matchAll) continue;
    const weight = Math.min(rest, share);
    rest -= weight;
    backends.push({ ...backend, weight });
  }
  const own = { pool, weight: rest, ...present("standIn", standIn) };
  return { backends: [own, ...backends.filter((b) => b.weight > 0)], overrides: [...headers, ...cookies], ...terms };
}

function termsOf({ forwarding, affinity }: IngressOptions, ignoredByWeights: boolean): BackendTerms {
  return {
    balance: forwarding.balance,
    ...present("hash", forwarding.hash),
    ...(affinity === undefined ? {} : { affinity: { ...affinity, ...(ignoredByWeights ? { ignoredByWeights } : {}) } }),
  };
}

/** A canary balances as itself says, as at ingress-nginx; its clients are bound as the main's, or by its own cookie (legacy). */
function canaryTerms(canary: RuleBackend, main: BackendTerms): Pick<WeightedBackend, "terms"> {
  const { affinity: own, ...balance } = termsOf(canary.options, true);
  const terms = { ...balance, ...present("affinity", isLegacy(canary) ? own : main.affinity) };
  return isDeepStrictEqual(terms, main) ? {} : { terms };
}

function isLegacy({ options }: RuleBackend): boolean {
  return options.canary?.ignoresAffinity === true;
}

/** Header and weight together: of what the header chooses, the canary gets its share. */
function sharedBetween(main: PoolId, canary: WeightedBackend): readonly WeightedBackend[] {
  return [{ pool: main, weight: 100 - canary.weight }, canary].filter((b) => b.weight > 0);
}

function headerOverrides(c: Canary, main: PoolId, backends: readonly WeightedBackend[]): readonly BackendOverride[] {
  const { header: name, headerValue, headerPattern } = c;
  if (name === undefined) return [];
  if (headerValue !== undefined) return [{ on: "header", match: { name, value: { kind: "exact", text: headerValue } }, backends }];
  if (headerPattern !== undefined) return [{ on: "header", match: { name, value: { kind: "regex", pattern: headerPattern } }, backends }];
  return alwaysNever("header", name, main, backends);
}

function alwaysNever(
  on: "header" | "cookie",
  name: string,
  main: PoolId,
  backends: readonly WeightedBackend[],
): readonly BackendOverride[] {
  return [
    { on, match: { name, value: { kind: "exact", text: "always" } }, backends },
    { on, match: { name, value: { kind: "exact", text: "never" } }, backends: [{ pool: main, weight: 1 }] },
  ];
}
