import type { Node, Pod } from "../../api/types/core-v1.generated.ts";
import { resources } from "../../client/resources.ts";
import { nothingToDo, type Outcome, type Write } from "../outcome.ts";
import { isPodTerminal } from "../pod-state.ts";

/** A node that is missing may only be registering again. */
export const quarantineMs = 40_000;
const outOfService = "node.kubernetes.io/out-of-service";

export interface PodGcInput {
  readonly pod: Pod;
  readonly node: Node | undefined;
  /** How long its node has been missing, as far as known here. */
  readonly missingMs: number;
}

/** Removes pods that no node will ever end: their node is gone or given up, or they never had one. */
export function reconcileStrayPod({ pod, node, missingMs }: PodGcInput): Outcome {
  const nodeName = pod.spec?.nodeName ?? "";
  const going = pod.metadata?.deletionTimestamp !== undefined;
  if (nodeName === "") return going ? { writes: [end(pod)] } : nothingToDo;
  if (node === undefined) {
    if (missingMs < quarantineMs) return { writes: [], againAfterMs: quarantineMs - missingMs };
    return { writes: [...fail(pod, nodeName), end(pod)] };
  }
  const givenUp = node.spec?.taints?.some((t) => t.key === outOfService) === true && !isReady(node);
  return going && givenUp ? { writes: [...fail(pod, nodeName), end(pod)] } : nothingToDo;
}

function isReady(node: Node): boolean {
  return node.status?.conditions?.some((c) => c.type === "Ready" && c.status === "True") === true;
}

function fail(pod: Pod, node: string): readonly Write[] {
  if (isPodTerminal(pod)) return [];
  const { namespace, name, uid } = pod.metadata ?? {};
  const message = `its node ${node} is gone`;
  const body = { metadata: { uid }, status: { phase: "Failed", reason: "NodeLost", message } };
  return [
    { kind: "patch", of: resources.pods, at: { namespace, name: name ?? "" }, subresource: "status", patch: { type: "merge", body } },
  ];
}

function end(pod: Pod): Write {
  return { kind: "delete", of: resources.pods, object: pod, gracePeriodSeconds: 0 };
}

/** The oldest ended pods beyond the limit: they are kept for people to look at, but not for ever. */
export function surplusEndedPods(pods: readonly Pod[], limit: number): readonly Pod[] {
  const ended = pods.filter(isPodTerminal);
  if (ended.length <= limit) return [];
  ended.sort((a, b) => ((a.metadata?.creationTimestamp ?? "") < (b.metadata?.creationTimestamp ?? "") ? -1 : 1));
  return ended.slice(0, ended.length - limit);
}
