import { semanticEqual } from "../../api/json-value.ts";
import { tolerates } from "../../api/toleration.ts";
import type { Node, NodeCondition, Pod, Taint } from "../../api/types/core-v1.generated.ts";
import { resources } from "../../client/resources.ts";
import type { Outcome, Write } from "../outcome.ts";
import { referenceTo } from "../owner.ts";
import { isPodTerminal, podCondition, printTime, timeOf } from "../pod-state.ts";

/** A node that has not been heard of for so long is Unknown. */
export const nodeGraceMs = 40_000;

const notReady = "node.kubernetes.io/not-ready";
const unreachable = "node.kubernetes.io/unreachable";
const unschedulable = "node.kubernetes.io/unschedulable";

/** Conditions of a node that keep new pods away, by the status that does. */
const pressures: readonly (readonly [type: string, status: string, key: string])[] = [
  ["MemoryPressure", "True", "node.kubernetes.io/memory-pressure"],
  ["DiskPressure", "True", "node.kubernetes.io/disk-pressure"],
  ["PIDPressure", "True", "node.kubernetes.io/pid-pressure"],
  ["NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"],
];
/** What a node's agent reports; all of it is unknown when the agent is. */
const reported = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"] as const;
const managedKeys: ReadonlySet<string> = new Set([notReady, unreachable, unschedulable, ...pressures.map(([, , key]) => key)]);

export interface NodeInput {
  readonly node: Node;
  readonly pods: readonly Pod[];
  /** Since its last sign of life was first seen here: clocks of machines are not compared. */
  readonly silentMs: number;
  readonly now: number;
}

/** A silent node becomes Unknown and tainted, its pods not ready; pods that do not tolerate that are deleted in time. */
export function reconcileNode(input: NodeInput): Outcome {
  const { node, pods, silentMs, now } = input;
  const writes: Write[] = [];
  const silent = silentMs >= nodeGraceMs;
  const conditions = silent ? unknownConditions(node, now) : (node.status?.conditions ?? []);
  const at = { name: node.metadata?.name ?? "" };
  if (!semanticEqual(conditions, node.status?.conditions)) {
    const body = { metadata: { resourceVersion: node.metadata?.resourceVersion }, status: { conditions } };
    writes.push({ kind: "patch", of: resources.nodes, at, subresource: "status", patch: { type: "merge", body } });
    writes.push(event(node, "NodeNotReady", `Node ${at.name} status is now: NodeNotReady`));
    // What follows from it is for the next look, which sees the node as it is then.
    return { writes };
  }
  const ready = conditions.find((c) => c.type === "Ready");
  const taints = taintsOf(node, conditions, now);
  if (!sameTaints(node.spec?.taints ?? [], taints)) {
    // Only if nobody else changed them meanwhile: the list is replaced whole.
    const body = { metadata: { resourceVersion: node.metadata?.resourceVersion }, spec: { taints: taints.length === 0 ? null : taints } };
    writes.push({ kind: "patch", of: resources.nodes, at, patch: { type: "merge", body } });
  }
  if (ready !== undefined && ready.status !== "True") writes.push(...pods.flatMap((p) => markNotReady(p, now)));
  const evictions = evictionsOf(taints, pods, now);
  writes.push(...evictions.writes);
  const waits = [evictions.againAfterMs, silent ? undefined : nodeGraceMs - silentMs].filter((ms) => ms !== undefined);
  return { writes, ...(waits.length === 0 ? {} : { againAfterMs: Math.max(1, Math.min(...waits)) }) };
}

function unknownConditions(node: Node, now: number): readonly NodeCondition[] {
  const known = node.status?.conditions ?? [];
  const message = "The node's agent stopped posting node status.";
  const missing = known.some((c) => c.type === "Ready") ? [] : [{ type: "Ready", status: "" }];
  return [...known, ...missing].map((c) => {
    if (!reported.some((type) => type === c.type) || c.status === "Unknown") return c;
    return { ...c, status: "Unknown", reason: "NodeStatusUnknown", message, lastTransitionTime: printTime(now) };
  });
}

/** The taints a node should have: others' stay as they are, ours follow from its conditions and its cordon. */
function taintsOf(node: Node, conditions: readonly NodeCondition[], now: number): readonly Taint[] {
  const current = node.spec?.taints ?? [];
  const wanted: Taint[] = [];
  const want = (key: string, effect: string): void => {
    const known = current.find((t) => t.key === key && t.effect === effect);
    wanted.push(known ?? { key, effect, timeAdded: printTime(now) });
  };
  const ready = conditions.find((c) => c.type === "Ready");
  if (ready !== undefined && ready.status !== "True") {
    const key = ready.status === "Unknown" ? unreachable : notReady;
    want(key, "NoSchedule");
    want(key, "NoExecute");
  }
  for (const [type, status, key] of pressures) {
    if (conditions.some((c) => c.type === type && c.status === status)) want(key, "NoSchedule");
  }
  if (node.spec?.unschedulable === true) want(unschedulable, "NoSchedule");
  return [...current.filter((t) => !managedKeys.has(t.key)), ...wanted];
}

function sameTaints(a: readonly Taint[], b: readonly Taint[]): boolean {
  const text = (taints: readonly Taint[]): string =>
    taints
      .map((t) => `${t.key}=${t.value ?? ""}:${t.effect}`)
      .sort()
      .join();
  return text(a) === text(b);
}

/** Nobody on the node can say so any more: without it, traffic would still go there. */
function markNotReady(pod: Pod, now: number): readonly Write[] {
  const ready = podCondition(pod, "Ready");
  if (ready?.status !== "True") return [];
  const conditions = (pod.status?.conditions ?? []).map((c) =>
    c === ready ? { ...c, status: "False", lastTransitionTime: printTime(now), reason: "NodeNotReady" } : c,
  );
  const { namespace, name, uid, resourceVersion } = pod.metadata ?? {};
  const body = { metadata: { uid, resourceVersion }, status: { conditions } };
  return [
    { kind: "patch", of: resources.pods, at: { namespace, name: name ?? "" }, subresource: "status", patch: { type: "merge", body } },
  ];
}

/** Pods that do not tolerate a NoExecute taint go at once, those that do for a while after that while. */
function evictionsOf(
  taints: readonly Taint[],
  pods: readonly Pod[],
  now: number,
): { readonly writes: readonly Write[]; readonly againAfterMs: number | undefined } {
  const active = taints.filter((t) => t.effect === "NoExecute");
  const writes: Write[] = [];
  let next: number | undefined;
  for (const pod of active.length === 0 ? [] : pods) {
    if (pod.metadata?.deletionTimestamp !== undefined || isPodTerminal(pod)) continue;
    const at = Math.min(...active.map((taint) => endOf(taint, pod, now)));
    if (at <= now) writes.push(eviction(pod), { kind: "delete", of: resources.pods, object: pod });
    else if (Number.isFinite(at)) next = Math.min(next ?? at, at);
  }
  return { writes, againAfterMs: next === undefined ? undefined : next - now };
}

/** When a pod has to leave because of a taint. */
function endOf(taint: Taint, pod: Pod, now: number): number {
  const matching = (pod.spec?.tolerations ?? []).filter((t) => tolerates(t, taint));
  if (matching.length === 0) return 0;
  const seconds = matching.map((t) => t.tolerationSeconds).filter((s) => s !== undefined);
  if (seconds.length === 0) return Number.POSITIVE_INFINITY;
  return (timeOf(taint.timeAdded) || now) + Math.max(0, Math.min(...seconds)) * 1000;
}

function eviction(pod: Pod): Write {
  const message = `Marking for deletion Pod ${pod.metadata?.namespace}/${pod.metadata?.name}`;
  return { kind: "event", note: { regarding: referenceTo(resources.pods, pod), type: "Normal", reason: "TaintManagerEviction", message } };
}

function event(node: Node, reason: string, message: string): Write {
  return { kind: "event", note: { regarding: referenceTo(resources.nodes, node), type: "Normal", reason, message } };
}
