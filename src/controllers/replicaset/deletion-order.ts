import type { Pod } from "../../api/types/core-v1.generated.ts";
import { isPodReady, podCondition, timeOf } from "../pod-state.ts";

const deletionCost = "controller.kubernetes.io/pod-deletion-cost";
const phases: Readonly<Record<string, number>> = { Pending: 0, Unknown: 1, Running: 2 };

/**
 * Which `count` pods a scale-down takes: those that serve least and whose end costs least. In order: without a node, not
 * yet running, not ready, lower deletion cost, more siblings on the node, ready for a shorter time (by powers of two, so
 * that small differences do not decide), more restarts, younger.
 */
export function podsToDelete(pods: readonly Pod[], count: number, rank: (pod: Pod) => number, now: number): readonly Pod[] {
  if (count >= pods.length) return pods;
  return pods
    .map((pod) => ({ pod, summary: summaryOf(pod, rank(pod), now) }))
    .sort((a, b) => compare(a.summary, b.summary))
    .slice(0, count)
    .map((x) => x.pod);
}

/** Smaller goes first. */
function summaryOf(pod: Pod, rank: number, now: number): readonly (number | string)[] {
  const ready = isPodReady(pod);
  const cost = Number(pod.metadata?.annotations?.[deletionCost] ?? 0);
  return [
    (pod.spec?.nodeName ?? "") === "" ? 0 : 1,
    phases[pod.status?.phase ?? "Pending"] ?? 2,
    ready ? 1 : 0,
    Number.isInteger(cost) ? cost : 0,
    -rank,
    ready ? age(timeOf(podCondition(pod, "Ready")?.lastTransitionTime), now) : 0,
    -restarts(pod),
    age(timeOf(pod.metadata?.creationTimestamp), now),
    // Names decide last, so that the same pods always give the same answer.
    pod.metadata?.name ?? "",
  ];
}

function age(at: number, now: number): number {
  return at === 0 ? -1 : Math.floor(Math.log2(Math.max(1, now - at)));
}

function restarts(pod: Pod): number {
  return Math.max(0, ...(pod.status?.containerStatuses ?? []).map((c) => c.restartCount ?? 0));
}

function compare(a: readonly (number | string)[], b: readonly (number | string)[]): number {
  for (const [i, x] of a.entries()) {
    const y = b[i] ?? 0;
    if (x !== y) return x < y ? -1 : 1;
  }
  return 0;
}
