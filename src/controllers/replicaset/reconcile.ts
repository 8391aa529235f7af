import type { ReplicaSet, ReplicaSetCondition, ReplicaSetStatus } from "../../api/types/apps-v1.generated.ts";
import type { Pod } from "../../api/types/core-v1.generated.ts";
import { resources } from "../../client/resources.ts";
import type { Outcome, Write } from "../outcome.ts";
import { referenceTo } from "../owner.ts";
import { availableInMs, isPodActive, isPodReady, isPodTerminal, printTime } from "../pod-state.ts";
import { nameSuffix, podFromTemplate } from "../pod-template.ts";
import { hasLabels } from "../selection.ts";
import { statusPatch } from "../status-patch.ts";
import { podsToDelete } from "./deletion-order.ts";

/** At most so many pods are made or deleted before the next look. */
const burst = 500;

export interface ReplicaSetInput {
  readonly replicaSet: ReplicaSet;
  /** The pods it controls and selects, whatever their state. */
  readonly pods: readonly Pod[];
  /** How many pods of the same Deployment are on a pod's node: the fuller node loses first. */
  readonly rank: (pod: Pod) => number;
  readonly now: number;
  readonly random: () => number;
  /** Why pods could not be made last time; it becomes the condition ReplicaFailure. */
  readonly failure?: { readonly reason: "FailedCreate" | "FailedDelete"; readonly message: string } | undefined;
}

/** Makes or deletes pods until there are as many as asked for, and says how many there are. */
export function reconcileReplicaSet(input: ReplicaSetInput): Outcome {
  const { replicaSet: rs } = input;
  const active = input.pods.filter(isPodActive);
  const wanted = rs.spec?.replicas ?? 1;
  const writes: Write[] = [];
  const status = statusPatch(resources.replicaSets, rs, statusOf(input, active));
  if (rs.metadata?.deletionTimestamp === undefined) {
    if (active.length < wanted) writes.push(creations(input, Math.min(burst, wanted - active.length)));
    if (active.length > wanted) {
      const surplus = podsToDelete(active, Math.min(burst, active.length - wanted), input.rank, input.now);
      writes.push(deletions(rs, surplus));
    }
  }
  // The status goes first: it is true already, and creations may take long or fail.
  if (status !== undefined) writes.unshift(status);
  const minReady = rs.spec?.minReadySeconds ?? 0;
  const waits = active.map((p) => availableInMs(p, minReady, input.now)).filter((ms) => ms !== undefined && ms > 0) as number[];
  return { writes, ...(waits.length === 0 ? {} : { againAfterMs: Math.min(...waits) }) };
}

function creations(input: ReplicaSetInput, count: number): Write {
  const { replicaSet: rs } = input;
  const made: Write[] = [];
  const told: Write[] = [];
  for (let i = 0; i < count; i++) {
    const pod = podFromTemplate(rs.spec?.template, resources.replicaSets, rs, nameSuffix(input.random));
    made.push({ kind: "create", of: resources.pods, object: pod });
    told.push(event(rs, "SuccessfulCreate", `Created pod: ${pod.metadata?.name}`));
  }
  return inOrder([{ kind: "parallel", writes: made, slowStart: true }, ...told]);
}

function deletions(rs: ReplicaSet, pods: readonly Pod[]): Write {
  const deleted = pods.map((object): Write => ({ kind: "delete", of: resources.pods, object }));
  const told = pods.map((p) => event(rs, "SuccessfulDelete", `Deleted pod: ${p.metadata?.name}`));
  return inOrder([{ kind: "parallel", writes: deleted, slowStart: false }, ...told]);
}

function inOrder(writes: readonly Write[]): Write {
  return { kind: "sequence", writes };
}

function event(rs: ReplicaSet, reason: string, message: string): Write {
  return { kind: "event", note: { regarding: referenceTo(resources.replicaSets, rs), type: "Normal", reason, message } };
}

function statusOf(input: ReplicaSetInput, active: readonly Pod[]): ReplicaSetStatus {
  const { replicaSet: rs, now } = input;
  const labels = rs.spec?.template?.metadata?.labels ?? {};
  const minReady = rs.spec?.minReadySeconds ?? 0;
  const terminating = input.pods.filter((p) => p.metadata?.deletionTimestamp !== undefined && !isPodTerminal(p)).length;
  const conditions = conditionsOf(rs, input.failure, now);
  return {
    replicas: active.length,
    fullyLabeledReplicas: active.filter((p) => hasLabels(p.metadata?.labels, labels)).length,
    readyReplicas: active.filter(isPodReady).length,
    availableReplicas: active.filter((p) => availableInMs(p, minReady, now) === 0).length,
    terminatingReplicas: terminating,
    observedGeneration: rs.metadata?.generation ?? 0,
    ...(conditions.length === 0 ? {} : { conditions }),
  };
}

function conditionsOf(rs: ReplicaSet, failure: ReplicaSetInput["failure"], now: number): readonly ReplicaSetCondition[] {
  const others = (rs.status?.conditions ?? []).filter((c) => c.type !== "ReplicaFailure");
  if (failure === undefined) return others;
  const known = rs.status?.conditions?.find((c) => c.type === "ReplicaFailure");
  const lastTransitionTime = known?.status === "True" ? (known.lastTransitionTime ?? printTime(now)) : printTime(now);
  return [...others, { type: "ReplicaFailure", status: "True", lastTransitionTime, reason: failure.reason, message: failure.message }];
}
