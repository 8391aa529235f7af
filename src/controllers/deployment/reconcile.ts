import { semanticEqual } from "../../api/json-value.ts";
import type { Deployment, DeploymentCondition, ReplicaSet } from "../../api/types/apps-v1.generated.ts";
import type { Pod } from "../../api/types/core-v1.generated.ts";
import { resources } from "../../client/resources.ts";
import type { Outcome, Write } from "../outcome.ts";
import { controllerRef, isControlledBy, referenceTo } from "../owner.ts";
import { isPodTerminal } from "../pod-state.ts";
import { contentHash } from "../pod-template.ts";
import { statusPatch } from "../status-patch.ts";
import {
  annotationsFor,
  byRevision,
  desiredReplicas,
  findNew,
  limitsOf,
  nextRevision,
  replicasOf,
  revisionAnnotation,
  sameTemplate,
  sizeAnnotations,
  templateHashLabel,
} from "./replica-sets.ts";
import { isScaling, newSetSize, rolledDownSizes, type Sizes, scaledSizes } from "./scaling.ts";
import { deploymentStatus, isComplete } from "./status.ts";

export interface DeploymentInput {
  readonly deployment: Deployment;
  /** The ReplicaSets it controls and selects. */
  readonly sets: readonly ReplicaSet[];
  /** Any ReplicaSet of the namespace, whoever owns it: a name may be taken. */
  readonly setNamed: (name: string) => ReplicaSet | undefined;
  readonly podsOf: (rs: ReplicaSet) => readonly Pod[];
  readonly now: number;
  /** Why the ReplicaSet could not be made last time. */
  readonly failure?: string | undefined;
}

interface NewSet {
  readonly set: ReplicaSet | undefined;
  readonly writes: readonly Write[];
  readonly progress?: Omit<DeploymentCondition, "type"> | undefined;
  readonly collisionCount: number | undefined;
}

/** One step of a Deployment towards its template and size. Every step changes objects that bring it here again. */
export function reconcileDeployment(input: DeploymentInput): Outcome {
  const { deployment: d, sets } = input;
  if (isEmptySelector(d)) return refuseAll(input);
  const found = findNew(d, sets);
  const old = sets.filter((rs) => rs !== found);
  if (d.metadata?.deletionTimestamp !== undefined) return finish(input, known(d, found), old, []);
  const paused = d.spec?.paused === true;
  if (paused || isScaling(d, sets)) {
    const kept = paused ? { ...known(d, found), progress: pauseCondition(d) } : known(d, found);
    return finish(input, withRevision(input, kept, old), old, resize(d, scaledSizes(d, found, old)));
  }
  return d.spec?.strategy?.type === "Recreate" ? recreate(input, found, old) : rollingUpdate(input, found, old);
}

function rollingUpdate(input: DeploymentInput, found: ReplicaSet | undefined, old: readonly ReplicaSet[]): Outcome {
  const { deployment: d } = input;
  const next = ensureNewSet(input, found, old);
  if (found === undefined) return finish(input, next, old, []);
  const size = replicasOf(found);
  const target = size > desiredReplicas(d) ? desiredReplicas(d) : newSetSize(d, [...old, found], size);
  if (target !== size) return finish(input, next, old, resize(d, new Map([[found, target]])));
  return finish(input, next, old, resize(d, rolledDownSizes(d, found, old)));
}

function recreate(input: DeploymentInput, found: ReplicaSet | undefined, old: readonly ReplicaSet[]): Outcome {
  const { deployment: d } = input;
  const active = old.filter((rs) => replicasOf(rs) > 0);
  const wait = (writes: readonly Write[]): Outcome => finish(input, withRevision(input, known(d, found), old), old, writes);
  if (active.length > 0) return wait(resize(d, new Map(active.map((rs) => [rs, 0]))));
  // Not one old pod may still run beside the first new one.
  if (old.some((rs) => input.podsOf(rs).some((p) => !isPodTerminal(p)))) return wait([]);
  const next = ensureNewSet(input, found, old);
  if (found === undefined || replicasOf(found) === desiredReplicas(d)) return finish(input, next, old, []);
  return finish(input, next, old, resize(d, new Map([[found, desiredReplicas(d)]])));
}

function known(d: Deployment, set: ReplicaSet | undefined): NewSet {
  return { set, writes: [], collisionCount: d.status?.collisionCount };
}

/** Brings revision and annotations of the new ReplicaSet up to date, and the Deployment's own revision. */
function withRevision(input: DeploymentInput, next: NewSet, old: readonly ReplicaSet[]): NewSet {
  const { deployment: d } = input;
  const { set } = next;
  if (set === undefined) return next;
  const revision = nextRevision(old);
  const annotations = annotationsFor(d, set, revision);
  const minReadySeconds = d.spec?.minReadySeconds ?? 0;
  const writes = [...next.writes];
  if (!semanticEqual(set.metadata?.annotations, annotations) || (set.spec?.minReadySeconds ?? 0) !== minReadySeconds) {
    const body = { metadata: { annotations }, spec: { minReadySeconds } };
    writes.push({ kind: "patch", of: resources.replicaSets, at: nameOf(set), patch: { type: "merge", body } });
  }
  return { ...next, writes: [...writes, ...deploymentRevision(d, annotations[revisionAnnotation] ?? String(revision))] };
}

function deploymentRevision(d: Deployment, revision: string): readonly Write[] {
  if (d.metadata?.annotations?.[revisionAnnotation] === revision) return [];
  const body = { metadata: { annotations: { [revisionAnnotation]: revision } } };
  return [{ kind: "patch", of: resources.deployments, at: nameOf(d), patch: { type: "merge", body } }];
}

function ensureNewSet(input: DeploymentInput, found: ReplicaSet | undefined, old: readonly ReplicaSet[]): NewSet {
  const { deployment: d } = input;
  if (found !== undefined) {
    const first = d.status?.conditions?.some((c) => c.type === "Progressing") !== true;
    const message = `Found new replica set "${found.metadata?.name}"`;
    const progress = first ? { status: "True", reason: "FoundNewReplicaSet", message } : undefined;
    return withRevision(input, { ...known(d, found), progress }, old);
  }
  const collisions = d.status?.collisionCount ?? 0;
  const hash = contentHash(d.spec?.template, collisions);
  const name = `${d.metadata?.name ?? ""}-${hash}`;
  const taken = input.setNamed(name);
  // The name belongs to something else: another hash next time. A set of ours that is only not claimed yet is waited for.
  if (taken !== undefined && !(isControlledBy(taken, d) && sameTemplate(taken.spec?.template, d.spec?.template))) {
    return { set: undefined, writes: [], collisionCount: collisions + 1 };
  }
  if (taken !== undefined) return known(d, undefined);
  const revision = nextRevision(old);
  const replicas = newSetSize(d, old, 0);
  const labels = { ...d.spec?.template.metadata?.labels, [templateHashLabel]: hash };
  const set: ReplicaSet = {
    metadata: {
      namespace: d.metadata?.namespace ?? "",
      name,
      labels,
      annotations: annotationsFor(d, undefined, revision),
      ownerReferences: [controllerRef(resources.deployments, d)],
    },
    spec: {
      replicas,
      minReadySeconds: d.spec?.minReadySeconds ?? 0,
      selector: { ...d.spec?.selector, matchLabels: { ...d.spec?.selector?.matchLabels, [templateHashLabel]: hash } },
      template: { ...d.spec?.template, metadata: { ...d.spec?.template.metadata, labels } },
    },
  };
  const writes: Write[] = [{ kind: "create", of: resources.replicaSets, object: set }];
  if (replicas > 0) writes.push(scalingEvent(d, name, 0, replicas));
  writes.push(...deploymentRevision(d, String(revision)));
  const progress =
    input.failure === undefined
      ? { status: "True", reason: "NewReplicaSetCreated", message: `Created new replica set "${name}"` }
      : { status: "False", reason: "ReplicaSetCreateError", message: `Failed to create new replica set "${name}": ${input.failure}` };
  return { set: undefined, writes, progress, collisionCount: d.status?.collisionCount };
}

function resize(d: Deployment, sizes: Sizes): readonly Write[] {
  const writes: Write[] = [];
  const { surge } = limitsOf(d);
  for (const [rs, size] of sizes) {
    const annotations = sizeAnnotations(desiredReplicas(d), surge);
    const changed = size !== replicasOf(rs);
    if (!changed && semanticEqual({ ...rs.metadata?.annotations, ...annotations }, rs.metadata?.annotations)) continue;
    const body = { metadata: { annotations }, spec: { replicas: size } };
    writes.push({ kind: "patch", of: resources.replicaSets, at: nameOf(rs), patch: { type: "merge", body } });
    if (changed) writes.push(scalingEvent(d, rs.metadata?.name ?? "", replicasOf(rs), size));
  }
  return writes;
}

function scalingEvent(d: Deployment, set: string, from: number, to: number): Write {
  const message = `Scaled ${to > from ? "up" : "down"} replica set ${set} from ${from} to ${to}`;
  return {
    kind: "event",
    note: { regarding: referenceTo(resources.deployments, d), type: "Normal", reason: "ScalingReplicaSet", message },
  };
}

/** Old ReplicaSets beyond revisionHistoryLimit, once the rollout is done. */
function cleanUp(d: Deployment, old: readonly ReplicaSet[]): readonly Write[] {
  const limit = d.spec?.revisionHistoryLimit ?? 10;
  const idle = old.filter(
    (rs) =>
      replicasOf(rs) === 0 &&
      (rs.status?.replicas ?? 0) === 0 &&
      (rs.status?.observedGeneration ?? 0) >= (rs.metadata?.generation ?? 0) &&
      rs.metadata?.deletionTimestamp === undefined,
  );
  return idle
    .sort(byRevision)
    .slice(0, Math.max(0, idle.length - limit))
    .map((object) => ({ kind: "delete", of: resources.replicaSets, object }));
}

function finish(input: DeploymentInput, next: NewSet, old: readonly ReplicaSet[], writes: readonly Write[]): Outcome {
  const { deployment: d, now } = input;
  const { collisionCount, set: newSet } = next;
  const progress = next.progress ?? resumeCondition(d);
  const { status, againAfterMs } = deploymentStatus({ deployment: d, newSet, oldSets: old, now, collisionCount, progress });
  const patch = statusPatch(resources.deployments, d, status);
  const done = d.metadata?.deletionTimestamp === undefined && (d.spec?.paused === true || isComplete(d, status));
  const steps = [...next.writes, ...writes, ...(done ? cleanUp(d, old) : [])];
  const told = patch === undefined ? [] : [patch];
  // A refusal must be told before it is met again.
  return { writes: input.failure === undefined ? [...steps, ...told] : [...told, ...steps], againAfterMs };
}

function pauseCondition(d: Deployment): NewSet["progress"] {
  const current = d.status?.conditions?.find((c) => c.type === "Progressing");
  if (d.spec?.progressDeadlineSeconds === undefined || current?.reason === "ProgressDeadlineExceeded") return undefined;
  return { status: "Unknown", reason: "DeploymentPaused", message: "Deployment is paused" };
}

function resumeCondition(d: Deployment): NewSet["progress"] {
  const current = d.status?.conditions?.find((c) => c.type === "Progressing");
  if (d.spec?.paused === true || current?.reason !== "DeploymentPaused") return undefined;
  return { status: "Unknown", reason: "DeploymentResumed", message: "Deployment is resumed" };
}

function isEmptySelector(d: Deployment): boolean {
  const { matchLabels, matchExpressions } = d.spec?.selector ?? {};
  return Object.keys(matchLabels ?? {}).length === 0 && (matchExpressions ?? []).length === 0;
}

function refuseAll({ deployment: d }: DeploymentInput): Outcome {
  const message = "This deployment is selecting all pods. A non-empty selector is required.";
  const note = { regarding: referenceTo(resources.deployments, d), type: "Warning" as const, reason: "SelectingAll", message };
  const patch = statusPatch(resources.deployments, d, { ...d.status, observedGeneration: d.metadata?.generation ?? 0 });
  return { writes: [{ kind: "event", note }, ...(patch === undefined ? [] : [patch])] };
}

function nameOf(o: Deployment | ReplicaSet): { readonly namespace: string; readonly name: string } {
  return { namespace: o.metadata?.namespace ?? "", name: o.metadata?.name ?? "" };
}
