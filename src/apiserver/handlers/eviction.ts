import { isRecord } from "../../api/json-value.ts";
import { findResource } from "../../api/scheme.ts";
import { labelSelectorOf, matchesSelector } from "../../api/selector.ts";
import { ApiError, badRequest } from "../../api/status-error.ts";
import type { Pod } from "../../api/types/core-v1.generated.ts";
import type { DeleteOptions } from "../../api/types/meta-v1.generated.ts";
import type { Eviction, PodDisruptionBudget } from "../../api/types/policy-v1.generated.ts";
import { type Answer, json } from "../answer.ts";
import { readObject } from "../body.ts";
import { type Call, isDryRun } from "../call.ts";
import { keyOf } from "../registry.ts";
import { deleteObject } from "./delete.ts";

const evictionType = { group: "policy", version: "v1", kind: "Eviction", type: "io.k8s.api.policy.v1.Eviction" };

/** Deletes a pod unless a disruption budget has nothing left for it. */
export async function evict(call: Call): Promise<Answer> {
  const eviction = (await readObject(call, evictionType)) as unknown as Eviction;
  const { info, context, resource } = call;
  const name = eviction.metadata?.name ?? info.name;
  if (name !== info.name) throw badRequest(`name in URL does not match name in Eviction object: ${info.name} != ${name}`);
  const key = keyOf(info.namespace, info.name);
  const options: DeleteOptions = { ...eviction.deleteOptions };
  const dryRun = isDryRun("DeleteOptions", [...call.query.getAll("dryRun"), ...(options.dryRun ?? [])]);
  // One after the other: each counts the pods that the ones before have left.
  await context.turns.run(`evictions/${info.namespace}`, async () => {
    const pod = context.registry.find(resource, key)?.object as Pod | undefined;
    if (pod !== undefined && needsBudget(pod)) checkBudgets(call, pod);
    return deleteObject(context, resource, key, { ...options, ...(dryRun ? { dryRun: ["All"] } : {}) });
  });
  return json({ kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 }, 201);
}

/** What has ended, has not begun, or is going anyway disrupts nobody. */
function needsBudget(pod: Pod): boolean {
  const phase = pod.status?.phase ?? "Pending";
  return phase === "Running" && pod.metadata?.deletionTimestamp === undefined;
}

function checkBudgets(call: Call, pod: Pod): void {
  const { registry } = call.context;
  const budgets = findResource("policy", "v1", "poddisruptionbudgets");
  if (budgets === undefined) return;
  const matching = registry
    .all(budgets, call.info.namespace)
    .map((b) => b as PodDisruptionBudget)
    .filter((b) => b.spec?.selector !== undefined && matchesSelector(labelSelectorOf(b.spec.selector), pod.metadata?.labels));
  const [budget, second] = matching;
  if (second !== undefined) {
    throw new ApiError(
      500,
      "InternalError",
      "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
    );
  }
  if (budget === undefined) return;
  const pods = registry
    .all(call.resource, call.info.namespace)
    .map((p) => p as Pod)
    .filter(
      (p) => matchesSelector(labelSelectorOf(budget.spec?.selector), p.metadata?.labels) && p.metadata?.deletionTimestamp === undefined,
    );
  const healthy = pods.filter(isReady).length;
  const wanted = desiredHealthy(budget, pods.length);
  // A pod that is not ready disrupts nobody more, as long as the others are enough.
  if (!isReady(pod) && (budget.spec?.unhealthyPodEvictionPolicy === "AlwaysAllow" || (healthy >= wanted && wanted > 0))) return;
  if (healthy - wanted >= 1) return;
  const message = `The disruption budget ${budget.metadata?.name ?? ""} needs ${wanted} healthy pods and has ${healthy} currently`;
  throw new ApiError(429, "TooManyRequests", "Cannot evict pod as it would violate the pod's disruption budget.", {
    causes: [{ reason: "DisruptionBudget", message }],
  });
}

/** How many must stay healthy, of those there are. Percentages round up, as Kubernetes does. */
export function desiredHealthy(budget: PodDisruptionBudget, pods: number): number {
  const { minAvailable, maxUnavailable } = budget.spec ?? {};
  if (maxUnavailable !== undefined) return Math.max(0, pods - share(maxUnavailable, pods));
  return minAvailable === undefined ? 0 : share(minAvailable, pods);
}

function share(value: number | string, of: number): number {
  if (typeof value === "number") return value;
  return Math.ceil((Number.parseInt(value, 10) / 100) * of);
}

function isReady(pod: Pod): boolean {
  return (pod.status?.conditions ?? []).some((c) => isRecord(c) && c.type === "Ready" && c.status === "True");
}
