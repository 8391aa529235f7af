import type { Pod } from "../../api/types/core-v1.generated.ts";
import type { Condition } from "../../api/types/meta-v1.generated.ts";
import type { PodDisruptionBudget } from "../../api/types/policy-v1.generated.ts";
import { resources } from "../../client/resources.ts";
import { resolveIntOrPercent } from "../int-or-percent.ts";
import type { Outcome } from "../outcome.ts";
import { isPodReady, isPodTerminal, printTime, timeOf } from "../pod-state.ts";
import { statusPatch } from "../status-patch.ts";

/** An eviction that was allowed is held against the budget until its pod is gone, for so long at most. */
const disruptionTimeoutMs = 2 * 60_000;

export interface DisruptionInput {
  readonly budget: PodDisruptionBudget;
  /** The pods its selector selects. */
  readonly pods: readonly Pod[];
  /** The sizes of the pods' controllers together; undefined when one cannot be told. */
  readonly wanted: number | undefined;
  readonly now: number;
}

/** How many pods may be evicted now; the API's eviction subresource counts it down. */
export function reconcileBudget(input: DisruptionInput): Outcome {
  const { budget, now } = input;
  const pods = input.pods.filter((p) => !isPodTerminal(p));
  const { expected, desired, problem } = targetOf(input, pods.length);
  const disrupted = stillDisrupted(budget, pods, now);
  const healthy = pods.filter(
    (p) => p.metadata?.deletionTimestamp === undefined && isPodReady(p) && disrupted[p.metadata?.name ?? ""] === undefined,
  ).length;
  const allowed = problem !== undefined || expected <= 0 ? 0 : Math.max(0, healthy - desired);
  const status = {
    observedGeneration: budget.metadata?.generation ?? 0,
    disruptionsAllowed: allowed,
    currentHealthy: healthy,
    desiredHealthy: desired,
    expectedPods: expected,
    ...(Object.keys(disrupted).length === 0 ? {} : { disruptedPods: disrupted }),
    conditions: [conditionOf(budget, allowed, problem, now)],
  };
  const patch = statusPatch(resources.podDisruptionBudgets, budget, status);
  const ends = Object.values(disrupted).map((t) => timeOf(t) + disruptionTimeoutMs - now);
  return { writes: patch === undefined ? [] : [patch], ...(ends.length === 0 ? {} : { againAfterMs: Math.max(1, Math.min(...ends)) }) };
}

function targetOf(input: DisruptionInput, count: number): { expected: number; desired: number; problem?: string } {
  const { minAvailable, maxUnavailable } = input.budget.spec ?? {};
  // Percentages and maxUnavailable are of what the controllers want, not of what happens to be there.
  const scaled = maxUnavailable !== undefined || typeof minAvailable === "string";
  if (!scaled) return { expected: count, desired: typeof minAvailable === "number" ? minAvailable : 0 };
  if (input.wanted === undefined) {
    return { expected: count, desired: 0, problem: "the pods have no controller with a size: use minAvailable as a number" };
  }
  const expected = input.wanted;
  if (maxUnavailable !== undefined) {
    const most = resolveIntOrPercent(maxUnavailable, expected, "up") ?? 0;
    return { expected, desired: Math.max(0, expected - most) };
  }
  return { expected, desired: resolveIntOrPercent(minAvailable, expected, "up") ?? 0 };
}

function stillDisrupted(budget: PodDisruptionBudget, pods: readonly Pod[], now: number): Record<string, string> {
  const still: Record<string, string> = {};
  for (const [name, at] of Object.entries(budget.status?.disruptedPods ?? {})) {
    const pod = pods.find((p) => p.metadata?.name === name);
    if (pod !== undefined && pod.metadata?.deletionTimestamp === undefined && timeOf(at) + disruptionTimeoutMs > now) still[name] = at;
  }
  return still;
}

function conditionOf(budget: PodDisruptionBudget, allowed: number, problem: string | undefined, now: number): Condition {
  const status = allowed > 0 ? "True" : "False";
  const reason = problem !== undefined ? "SyncFailed" : allowed > 0 ? "SufficientPods" : "InsufficientPods";
  const known = budget.status?.conditions?.find((c) => c.type === "DisruptionAllowed");
  return {
    type: "DisruptionAllowed",
    status,
    observedGeneration: budget.metadata?.generation ?? 0,
    lastTransitionTime: known?.status === status ? known.lastTransitionTime : printTime(now),
    reason,
    message: problem ?? "",
  };
}
