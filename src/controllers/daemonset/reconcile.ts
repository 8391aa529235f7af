import type { ControllerRevision, DaemonSet, DaemonSetStatus } from "../../api/types/apps-v1.generated.ts";
import type { Node, Pod } from "../../api/types/core-v1.generated.ts";
import { resources } from "../../client/resources.ts";
import { resolveIntOrPercent } from "../int-or-percent.ts";
import type { Outcome, Write } from "../outcome.ts";
import { referenceTo } from "../owner.ts";
import { availableInMs, isPodReady, timeOf } from "../pod-state.ts";
import { nameSuffix } from "../pod-template.ts";
import { currentRevision, revisionHashLabel, surplusRevisions } from "../revisions.ts";
import { statusPatch } from "../status-patch.ts";
import { daemonPod, nodeOfDaemonPod, placementOn } from "./placement.ts";

export interface DaemonSetInput {
  readonly set: DaemonSet;
  readonly nodes: readonly Node[];
  /** The pods it controls and selects. */
  readonly pods: readonly Pod[];
  readonly revisions: readonly ControllerRevision[];
  readonly revisionNamed: (name: string) => ControllerRevision | undefined;
  readonly now: number;
  readonly random: () => number;
}

interface OnNode {
  readonly name: string;
  readonly run: boolean;
  readonly stay: boolean;
  /** Not asked to end, oldest first. */
  readonly living: readonly Pod[];
  readonly ending: readonly Pod[];
}

/** One pod on every node that should have one; a new template replaces them, few at a time. */
export function reconcileDaemonSet(input: DaemonSetInput): Outcome {
  const { set } = input;
  const revisions = currentRevision({
    of: resources.daemonSets,
    owner: set,
    template: set.spec?.template ?? {},
    existing: input.revisions,
    named: input.revisionNamed,
    collisionCount: set.status?.collisionCount,
  });
  const { update } = revisions;
  if (update === undefined) {
    const patch = statusPatch(resources.daemonSets, set, {
      ...statusOf(input, nodesOf(input), ""),
      collisionCount: revisions.collisionCount,
    });
    return { writes: [...revisions.writes, ...(patch === undefined || revisions.writes.length > 0 ? [] : [patch])] };
  }
  const hash = update.metadata?.labels?.[revisionHashLabel] ?? "";
  const nodes = nodesOf(input);
  const going = set.metadata?.deletionTimestamp !== undefined;
  const steps = going ? [] : [...placing(input, nodes, hash), ...rolling(input, nodes, hash)];
  const patch = statusPatch(resources.daemonSets, set, {
    ...statusOf(input, nodes, hash),
    ...(revisions.collisionCount === undefined ? {} : { collisionCount: revisions.collisionCount }),
  });
  const live = new Set(input.pods.map((p) => p.metadata?.labels?.[revisionHashLabel]));
  const history = surplusRevisions(
    input.revisions,
    (r) => r === update || live.has(r.metadata?.labels?.[revisionHashLabel]),
    set.spec?.revisionHistoryLimit ?? 10,
  );
  const minReady = set.spec?.minReadySeconds ?? 0;
  const waits = input.pods.map((p) => availableInMs(p, minReady, input.now)).filter((ms) => ms !== undefined && ms > 0) as number[];
  const writes = [...revisions.writes, ...(patch === undefined ? [] : [patch]), ...steps, ...history];
  return { writes, ...(waits.length === 0 ? {} : { againAfterMs: Math.min(...waits) }) };
}

function nodesOf(input: DaemonSetInput): readonly OnNode[] {
  const byNode = new Map<string, Pod[]>();
  for (const pod of input.pods) {
    const node = nodeOfDaemonPod(pod);
    const known = byNode.get(node);
    if (known === undefined) byNode.set(node, [pod]);
    else known.push(pod);
  }
  return input.nodes.map((node) => {
    const name = node.metadata?.name ?? "";
    const pods = byNode.get(name) ?? [];
    const living = pods.filter((p) => p.metadata?.deletionTimestamp === undefined);
    living.sort((a, b) => timeOf(a.metadata?.creationTimestamp) - timeOf(b.metadata?.creationTimestamp));
    return { name, ...placementOn(input.set, node), living, ending: pods.filter((p) => p.metadata?.deletionTimestamp !== undefined) };
  });
}

/** Pods where one is missing; none where none may be; one where there are several, failed ones anew. */
function placing(input: DaemonSetInput, nodes: readonly OnNode[], hash: string): readonly Write[] {
  const { set } = input;
  const made: Pod[] = [];
  const removed: Pod[] = [];
  const told: Write[] = [];
  const surging = limitsOf(set, nodes).surge > 0;
  for (const node of nodes) {
    const ended = node.living.filter((p) => p.status?.phase === "Failed" || p.status?.phase === "Succeeded");
    const running = node.living.filter((p) => !ended.includes(p));
    for (const pod of ended) {
      removed.push(pod);
      if (pod.status?.phase !== "Failed") continue;
      told.push(
        event(set, "Warning", "FailedDaemonPod", `Found failed daemon pod ${printPod(pod)} on node ${node.name}, will try to kill it`),
      );
    }
    if (!node.stay) removed.push(...running);
    // The next one waits for the end of the one before: they could want the same host port.
    else if (node.run && node.living.length === 0 && node.ending.length === 0)
      made.push(daemonPod(set, node.name, hash, nameSuffix(input.random)));
    else if (running.length > 1) removed.push(...surplusOf(running, hash, surging));
  }
  return [...told, ...creations(set, made), ...deletions(set, removed)];
}

/** All but the oldest; while surging, all but the oldest of the old and of the new template. */
function surplusOf(running: readonly Pod[], hash: string, surging: boolean): readonly Pod[] {
  if (!surging) return running.slice(1);
  const isNew = (p: Pod): boolean => p.metadata?.labels?.[revisionHashLabel] === hash;
  return [...running.filter(isNew).slice(1), ...running.filter((p) => !isNew(p)).slice(1)];
}

function rolling(input: DaemonSetInput, nodes: readonly OnNode[], hash: string): readonly Write[] {
  const { set, now } = input;
  if (set.spec?.updateStrategy?.type === "OnDelete") return [];
  const minReady = set.spec?.minReadySeconds ?? 0;
  const isNew = (p: Pod): boolean => p.metadata?.labels?.[revisionHashLabel] === hash;
  const isAvailable = (p: Pod): boolean => availableInMs(p, minReady, now) === 0;
  const { unavailable, surge } = limitsOf(set, nodes);
  const wanted = nodes.filter((n) => n.run);
  if (surge > 0) return surgeSteps({ input, nodes: wanted, hash, surge, isNew, isAvailable });
  // Where an old and a new one are, one is about to go: until then the node counts as missing and is left alone.
  const settled = wanted.filter((n) => !(n.living.some(isNew) && n.living.some((p) => !isNew(p))));
  let missing = wanted.length - settled.filter((n) => n.living.some(isAvailable)).length;
  const removed: Pod[] = [];
  // Those that serve nobody go first and cost nothing.
  for (const node of settled) removed.push(...node.living.filter((p) => !isNew(p) && !isAvailable(p)));
  for (const node of settled) {
    const old = node.living.filter((p) => !isNew(p) && isAvailable(p));
    if (old.length === 0 || missing >= unavailable) continue;
    removed.push(...old);
    missing++;
  }
  return deletions(set, removed);
}

function surgeSteps(o: {
  readonly input: DaemonSetInput;
  readonly nodes: readonly OnNode[];
  readonly hash: string;
  readonly surge: number;
  readonly isNew: (p: Pod) => boolean;
  readonly isAvailable: (p: Pod) => boolean;
}): readonly Write[] {
  const made: Pod[] = [];
  const removed: Pod[] = [];
  let surging = o.nodes.filter((n) => n.living.some(o.isNew) && n.living.some((p) => !o.isNew(p))).length;
  for (const node of o.nodes) {
    const old = node.living.filter((p) => !o.isNew(p));
    if (old.length === 0) continue;
    const fresh = node.living.find(o.isNew);
    if (fresh !== undefined) {
      if (o.isAvailable(fresh)) removed.push(...old);
    } else if (!old.some(o.isAvailable)) removed.push(...old);
    else if (surging < o.surge) {
      made.push(daemonPod(o.input.set, node.name, o.hash, nameSuffix(o.input.random)));
      surging++;
    }
  }
  return [...creations(o.input.set, made), ...deletions(o.input.set, removed)];
}

function limitsOf(set: DaemonSet, nodes: readonly OnNode[]): { readonly unavailable: number; readonly surge: number } {
  const desired = nodes.filter((n) => n.run).length;
  const rolling = set.spec?.updateStrategy?.rollingUpdate;
  const surge = resolveIntOrPercent(rolling?.maxSurge ?? 0, desired, "up") ?? 0;
  const unavailable = resolveIntOrPercent(rolling?.maxUnavailable ?? 1, desired, "up") ?? 1;
  return { surge, unavailable: surge === 0 ? Math.max(1, unavailable) : unavailable };
}

function statusOf(input: DaemonSetInput, nodes: readonly OnNode[], hash: string): DaemonSetStatus {
  const { set, now } = input;
  const minReady = set.spec?.minReadySeconds ?? 0;
  const desired = nodes.filter((n) => n.run);
  const scheduled = desired.filter((n) => n.living.length > 0);
  const available = scheduled.filter((n) => n.living.some((p) => availableInMs(p, minReady, now) === 0)).length;
  return {
    desiredNumberScheduled: desired.length,
    currentNumberScheduled: scheduled.length,
    numberMisscheduled: nodes.filter((n) => !n.run && n.living.length > 0).length,
    numberReady: scheduled.filter((n) => n.living.some(isPodReady)).length,
    updatedNumberScheduled: scheduled.filter((n) => n.living.some((p) => p.metadata?.labels?.[revisionHashLabel] === hash)).length,
    numberAvailable: available,
    numberUnavailable: desired.length - available,
    observedGeneration: set.metadata?.generation ?? 0,
  };
}

function creations(set: DaemonSet, pods: readonly Pod[]): readonly Write[] {
  if (pods.length === 0) return [];
  const writes = pods.map((object): Write => ({ kind: "create", of: resources.pods, object }));
  const told = pods.map((p) => event(set, "Normal", "SuccessfulCreate", `Created pod: ${p.metadata?.name}`));
  return [{ kind: "parallel", writes, slowStart: true }, ...told];
}

function deletions(set: DaemonSet, pods: readonly Pod[]): readonly Write[] {
  if (pods.length === 0) return [];
  const writes = pods.map((object): Write => ({ kind: "delete", of: resources.pods, object }));
  const told = pods.map((p) => event(set, "Normal", "SuccessfulDelete", `Deleted pod: ${p.metadata?.name}`));
  return [{ kind: "parallel", writes, slowStart: false }, ...told];
}

function event(set: DaemonSet, type: "Normal" | "Warning", reason: string, message: string): Write {
  return { kind: "event", note: { regarding: referenceTo(resources.daemonSets, set), type, reason, message } };
}

function printPod(pod: Pod): string {
  return `${pod.metadata?.namespace}/${pod.metadata?.name}`;
}
