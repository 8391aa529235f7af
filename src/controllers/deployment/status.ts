import { jsonEqual } from "../../api/json-value.ts";
import type { Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet } from "../../api/types/apps-v1.generated.ts";
import { printTime, timeOf } from "../pod-state.ts";
import { desiredReplicas, limitsOf } from "./replica-sets.ts";

export interface StatusInput {
  readonly deployment: Deployment;
  readonly newSet: ReplicaSet | undefined;
  readonly oldSets: readonly ReplicaSet[];
  readonly now: number;
  readonly collisionCount: number | undefined;
  /** A condition that this reconcile itself brought about: a ReplicaSet found, made or refused, a pause. */
  readonly progress?: Omit<DeploymentCondition, "type"> | undefined;
}

export interface StatusResult {
  readonly status: DeploymentStatus;
  /** When the progress deadline will have passed, if nothing happens before. */
  readonly againAfterMs: number | undefined;
}

/** Counts and conditions, with the reasons and texts that `kubectl rollout status` and operators know. */
export function deploymentStatus(input: StatusInput): StatusResult {
  const { deployment: d, newSet, oldSets, now } = input;
  const all = newSet === undefined ? oldSets : [...oldSets, newSet];
  const sum = (field: (rs: ReplicaSet) => number | undefined, sets: readonly ReplicaSet[] = all): number =>
    sets.reduce((n, rs) => n + (field(rs) ?? 0), 0);
  const replicas = sum((rs) => rs.status?.replicas);
  const available = sum((rs) => rs.status?.availableReplicas);
  const counts = {
    observedGeneration: d.metadata?.generation ?? 0,
    replicas,
    updatedReplicas: newSet?.status?.replicas ?? 0,
    readyReplicas: sum((rs) => rs.status?.readyReplicas),
    availableReplicas: available,
    unavailableReplicas: Math.max(0, sum((rs) => rs.spec?.replicas ?? 1) - available),
    terminatingReplicas: sum((rs) => rs.status?.terminatingReplicas),
    ...(input.collisionCount === undefined ? {} : { collisionCount: input.collisionCount }),
  };
  const conditions = new Map((d.status?.conditions ?? []).map((c) => [c.type, c]));
  const set = (c: DeploymentCondition, touch = false): void => {
    const known = conditions.get(c.type);
    const same = known?.status === c.status && known?.reason === c.reason && known?.message === c.message;
    if (same && !touch) return;
    const stamp = printTime(now);
    const since = known !== undefined && known.status === c.status ? (known.lastTransitionTime ?? stamp) : stamp;
    conditions.set(c.type, { ...c, lastUpdateTime: stamp, lastTransitionTime: since });
  };
  const enough = available >= desiredReplicas(d) - limitsOf(d).unavailable;
  set(
    enough
      ? { type: "Available", status: "True", reason: "MinimumReplicasAvailable", message: "Deployment has minimum availability." }
      : {
          type: "Available",
          status: "False",
          reason: "MinimumReplicasUnavailable",
          message: "Deployment does not have minimum availability.",
        },
  );
  if (input.progress !== undefined) set({ type: "Progressing", ...input.progress });
  const againAfterMs = setProgress(input, counts, conditions, set);
  const failure = all.flatMap((rs) => rs.status?.conditions ?? []).find((c) => c.type === "ReplicaFailure");
  if (failure === undefined) conditions.delete("ReplicaFailure");
  else set({ type: "ReplicaFailure", status: failure.status ?? "True", reason: failure.reason ?? "", message: failure.message ?? "" });
  return { status: { ...counts, conditions: [...conditions.values()] }, againAfterMs };
}

type Counts = Pick<DeploymentStatus, "replicas" | "updatedReplicas" | "readyReplicas" | "availableReplicas">;

export function isComplete(d: Deployment, s: DeploymentStatus): boolean {
  const desired = desiredReplicas(d);
  return (
    (s.updatedReplicas ?? 0) === desired &&
    (s.replicas ?? 0) === desired &&
    (s.availableReplicas ?? 0) === desired &&
    (s.observedGeneration ?? 0) >= (d.metadata?.generation ?? 0)
  );
}

function setProgress(
  input: StatusInput,
  counts: Counts & DeploymentStatus,
  conditions: Map<string, DeploymentCondition>,
  set: (c: DeploymentCondition, touch?: boolean) => void,
): number | undefined {
  const { deployment: d, newSet, now } = input;
  const deadline = d.spec?.progressDeadlineSeconds;
  // The largest int32 means that there is no deadline.
  if (deadline === undefined || deadline === 2 ** 31 - 1) {
    conditions.delete("Progressing");
    return undefined;
  }
  const current = conditions.get("Progressing");
  if (counts.replicas === counts.updatedReplicas && current?.reason === "NewReplicaSetAvailable") return undefined;
  const subject = newSet === undefined ? `Deployment "${d.metadata?.name}"` : `ReplicaSet "${newSet.metadata?.name}"`;
  if (isComplete(d, counts)) {
    const message = `${subject} has successfully progressed.`;
    set({ type: "Progressing", status: "True", reason: "NewReplicaSetAvailable", message });
    return undefined;
  }
  if (d.spec?.paused === true) return undefined;
  if (hasProgressed(d.status ?? {}, counts)) {
    set({ type: "Progressing", status: "True", reason: "ReplicaSetUpdated", message: `${subject} is progressing.` }, true);
    return deadline * 1000;
  }
  if (current === undefined) return undefined;
  if (current.reason === "ProgressDeadlineExceeded") return undefined;
  const left = timeOf(current.lastUpdateTime ?? current.lastTransitionTime) + deadline * 1000 - now;
  if (left > 0) return left;
  set({ type: "Progressing", status: "False", reason: "ProgressDeadlineExceeded", message: `${subject} has timed out progressing.` });
  return undefined;
}

/** Something moved the right way since the last status. */
function hasProgressed(before: DeploymentStatus, now: Counts): boolean {
  const old = (s: Counts): number => (s.replicas ?? 0) - (s.updatedReplicas ?? 0);
  return (
    (now.updatedReplicas ?? 0) > (before.updatedReplicas ?? 0) ||
    old(now) < old(before) ||
    (now.readyReplicas ?? 0) > (before.readyReplicas ?? 0) ||
    (now.availableReplicas ?? 0) > (before.availableReplicas ?? 0)
  );
}

/** Whether two statuses say the same, leaving out when they said it. */
export function sameStatus(a: DeploymentStatus | undefined, b: DeploymentStatus): boolean {
  const bare = (s: DeploymentStatus): unknown => ({
    ...s,
    conditions: (s.conditions ?? []).map(({ lastUpdateTime: _u, lastTransitionTime: _t, ...c }) => c),
  });
  return a !== undefined && jsonEqual(bare(a), bare(b));
}
