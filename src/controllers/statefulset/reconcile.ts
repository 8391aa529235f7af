import type { ControllerRevision, StatefulSet, StatefulSetStatus } from "../../api/types/apps-v1.generated.ts";
import type { Pod } from "../../api/types/core-v1.generated.ts";
import { resources } from "../../client/resources.ts";
import { resolveIntOrPercent } from "../int-or-percent.ts";
import type { Outcome, Write } from "../outcome.ts";
import { referenceTo } from "../owner.ts";
import { availableInMs, isPodReady, isPodTerminal } from "../pod-state.ts";
import { currentRevision, surplusRevisions } from "../revisions.ts";
import { statusPatch } from "../status-patch.ts";
import { claimsOf, firstOrdinal, memberOf, missingIdentity, ordinalOf, revisionNameOf } from "./identity.ts";

export interface StatefulSetInput {
  readonly set: StatefulSet;
  /** The pods it controls and selects. */
  readonly pods: readonly Pod[];
  readonly revisions: readonly ControllerRevision[];
  readonly revisionNamed: (name: string) => ControllerRevision | undefined;
  readonly hasClaim: (name: string) => boolean;
  readonly now: number;
}

interface Plan {
  readonly set: StatefulSet;
  readonly ordered: boolean;
  readonly current: ControllerRevision;
  readonly update: ControllerRevision;
  /** By ordinal, within the wanted range. */
  readonly members: ReadonlyMap<number, Pod>;
  /** Beyond the range, highest ordinal first. */
  readonly condemned: readonly Pod[];
  readonly input: StatefulSetInput;
}

/** The next steps towards the wanted members: one at a time when ordered, all at once when Parallel. */
export function reconcileStatefulSet(input: StatefulSetInput): Outcome {
  const { set } = input;
  const template = set.spec?.template ?? {};
  const revisions = currentRevision({
    of: resources.statefulSets,
    owner: set,
    template,
    existing: input.revisions,
    named: input.revisionNamed,
    collisionCount: set.status?.collisionCount,
  });
  const { update } = revisions;
  if (update === undefined) {
    // Made now, or its name is taken; either comes back here.
    const counted = { replicas: 0, availableReplicas: 0, ...set.status, collisionCount: revisions.collisionCount };
    const patch = statusPatch(resources.statefulSets, set, counted);
    return { writes: [...revisions.writes, ...(patch === undefined ? [] : [patch])] };
  }
  const current = input.revisions.find((r) => r.metadata?.name === set.status?.currentRevision) ?? update;
  const plan = planOf(input, current, update);
  const steps = set.metadata?.deletionTimestamp === undefined ? stepsOf(plan) : [];
  const status = statusOf(plan, revisions.collisionCount);
  const patch = statusPatch(resources.statefulSets, set, status);
  const live = new Set([status.currentRevision, status.updateRevision, ...input.pods.map(revisionNameOf)]);
  const history = surplusRevisions(input.revisions, (r) => live.has(r.metadata?.name), set.spec?.revisionHistoryLimit ?? 10);
  const writes = [...revisions.writes, ...(patch === undefined ? [] : [patch]), ...steps, ...history];
  return { writes, againAfterMs: nextAvailable(input) };
}

function planOf(input: StatefulSetInput, current: ControllerRevision, update: ControllerRevision): Plan {
  const { set } = input;
  const start = firstOrdinal(set);
  const end = start + (set.spec?.replicas ?? 1);
  const members = new Map<number, Pod>();
  const condemned: { readonly ordinal: number; readonly pod: Pod }[] = [];
  for (const pod of input.pods) {
    const ordinal = ordinalOf(set, pod);
    if (ordinal === undefined) continue;
    if (ordinal >= start && ordinal < end) members.set(ordinal, pod);
    else condemned.push({ ordinal, pod });
  }
  condemned.sort((a, b) => b.ordinal - a.ordinal);
  const ordered = set.spec?.podManagementPolicy !== "Parallel";
  return { set, ordered, current, update, members, condemned: condemned.map((c) => c.pod), input };
}

function stepsOf(plan: Plan): readonly Write[] {
  const created = creationSteps(plan);
  if (created.stop) return created.writes;
  const removed = removalSteps(plan);
  if (removed.stop) return [...created.writes, ...removed.writes];
  return [...created.writes, ...removed.writes, ...updateSteps(plan)];
}

interface Steps {
  readonly writes: readonly Write[];
  /** Later steps have to wait. */
  readonly stop: boolean;
}

function creationSteps(plan: Plan): Steps {
  const { set, ordered, input } = plan;
  const writes: Write[] = [];
  const start = firstOrdinal(set);
  for (let ordinal = start; ordinal < start + (set.spec?.replicas ?? 1); ordinal++) {
    const pod = plan.members.get(ordinal);
    if (pod === undefined) {
      writes.push(...creation(plan, ordinal));
      if (ordered) return { writes, stop: true };
      continue;
    }
    if (isPodTerminal(pod) && pod.metadata?.deletionTimestamp === undefined) {
      // Its name is needed for the one that takes its place.
      writes.push(
        event(set, "Warning", "RecreatingFailedPod", `StatefulSet ${nameOf(set)} is recreating failed Pod ${pod.metadata?.name}`),
      );
      writes.push({ kind: "delete", of: resources.pods, object: pod });
      if (ordered) return { writes, stop: true };
      continue;
    }
    if (ordered && !isHealthy(pod, set, input.now)) return { writes, stop: true };
    const labels = missingIdentity(pod, ordinal);
    if (labels !== undefined) {
      const at = { namespace: pod.metadata?.namespace, name: pod.metadata?.name ?? "" };
      writes.push({ kind: "patch", of: resources.pods, at, patch: { type: "merge", body: { metadata: { labels } } } });
    }
  }
  return { writes, stop: false };
}

function creation(plan: Plan, ordinal: number): readonly Write[] {
  const { set, input } = plan;
  const claims = claimsOf(set, ordinal).filter((c) => !input.hasClaim(c.metadata?.name ?? ""));
  const pod = memberOf(set, ordinal, revisionFor(plan, ordinal));
  return [
    ...claims.map((object): Write => ({ kind: "create", of: resources.persistentVolumeClaims, object })),
    { kind: "create", of: resources.pods, object: pod },
    event(set, "Normal", "SuccessfulCreate", `create Pod ${pod.metadata?.name} in StatefulSet ${nameOf(set)} successful`),
  ];
}

/** Below the partition members keep the revision they had, also when they are made anew. */
function revisionFor(plan: Plan, ordinal: number): ControllerRevision {
  const { set } = plan;
  if (set.spec?.updateStrategy?.type === "OnDelete") return plan.update;
  const partition = set.spec?.updateStrategy?.rollingUpdate?.partition;
  const kept = partition ?? set.status?.currentReplicas ?? 0;
  return ordinal < firstOrdinal(set) + kept ? plan.current : plan.update;
}

function removalSteps(plan: Plan): Steps {
  const { set, ordered, input } = plan;
  const writes: Write[] = [];
  const sick = plan.condemned.filter((pod) => !isHealthy(pod, set, input.now));
  for (const pod of plan.condemned) {
    if (pod.metadata?.deletionTimestamp !== undefined) {
      if (ordered) return { writes, stop: true };
      continue;
    }
    // In order, nobody goes while one before him is unwell: it may need him to get well.
    if (ordered && sick.includes(pod) && pod !== sick.at(-1)) return { writes, stop: true };
    writes.push(...deletion(set, pod));
    if (ordered) return { writes, stop: true };
  }
  return { writes, stop: false };
}

function deletion(set: StatefulSet, pod: Pod): readonly Write[] {
  return [
    { kind: "delete", of: resources.pods, object: pod },
    event(set, "Normal", "SuccessfulDelete", `delete Pod ${pod.metadata?.name} in StatefulSet ${nameOf(set)} successful`),
  ];
}

/** Members of an older revision go from the highest ordinal down to the partition, each after the one before is well again. */
function updateSteps(plan: Plan): readonly Write[] {
  const { set, input } = plan;
  if (set.spec?.updateStrategy?.type === "OnDelete") return [];
  const replicas = set.spec?.replicas ?? 1;
  const rolling = set.spec?.updateStrategy?.rollingUpdate;
  const most = Math.max(1, resolveIntOrPercent(rolling?.maxUnavailable ?? 1, replicas, "up") ?? 1);
  const first = firstOrdinal(set) + (rolling?.partition ?? 0);
  // A member that is not even there is missing as well.
  let missing = replicas - [...plan.members.values()].filter((p) => isHealthy(p, set, input.now)).length;
  const writes: Write[] = [];
  for (let ordinal = firstOrdinal(set) + replicas - 1; ordinal >= first; ordinal--) {
    const pod = plan.members.get(ordinal);
    if (pod === undefined) continue;
    const outdated = revisionNameOf(pod) !== plan.update.metadata?.name;
    const sick = !isHealthy(pod, set, input.now);
    if (outdated && pod.metadata?.deletionTimestamp === undefined) {
      // A sick one costs nothing more; a well one may go only while few are missing.
      if (!sick && missing >= most) return writes;
      writes.push(...deletion(set, pod));
      if (!sick) missing++;
      if (missing >= most) return writes;
    } else if (sick && missing >= most) return writes;
  }
  return writes;
}

function isHealthy(pod: Pod, set: StatefulSet, now: number): boolean {
  if (pod.metadata?.deletionTimestamp !== undefined || pod.status?.phase !== "Running") return false;
  return availableInMs(pod, set.spec?.minReadySeconds ?? 0, now) === 0;
}

function statusOf(plan: Plan, collisionCount: number | undefined): StatefulSetStatus {
  const { set, input } = plan;
  const current = plan.current.metadata?.name ?? "";
  const update = plan.update.metadata?.name ?? "";
  const minReady = set.spec?.minReadySeconds ?? 0;
  const all = input.pods.filter((p) => ordinalOf(set, p) !== undefined && p.status?.phase !== undefined);
  const living = all.filter((p) => p.metadata?.deletionTimestamp === undefined);
  const running = all.filter((p) => p.status?.phase === "Running");
  const ready = running.filter(isPodReady).length;
  const updated = living.filter((p) => revisionNameOf(p) === update).length;
  const replicas = set.spec?.replicas ?? 1;
  // Once all members are of the new revision and well, it is the current one.
  const done =
    set.spec?.updateStrategy?.type !== "OnDelete" &&
    updated === replicas &&
    ready === replicas &&
    all.length === replicas &&
    living.length === replicas;
  return {
    observedGeneration: set.metadata?.generation ?? 0,
    replicas: all.length,
    readyReplicas: ready,
    availableReplicas: running.filter((p) => availableInMs(p, minReady, input.now) === 0).length,
    currentReplicas: done ? updated : living.filter((p) => revisionNameOf(p) === current).length,
    updatedReplicas: updated,
    currentRevision: done ? update : current,
    updateRevision: update,
    ...(collisionCount === undefined ? {} : { collisionCount }),
    ...(set.status?.conditions === undefined ? {} : { conditions: set.status.conditions }),
  };
}

function nextAvailable(input: StatefulSetInput): number | undefined {
  const minReady = input.set.spec?.minReadySeconds ?? 0;
  const waits = input.pods.map((p) => availableInMs(p, minReady, input.now)).filter((ms) => ms !== undefined && ms > 0) as number[];
  return waits.length === 0 ? undefined : Math.min(...waits);
}

function event(set: StatefulSet, type: "Normal" | "Warning", reason: string, message: string): Write {
  return { kind: "event", note: { regarding: referenceTo(resources.statefulSets, set), type, reason, message } };
}

function nameOf(set: StatefulSet): string {
  return set.metadata?.name ?? "";
}
