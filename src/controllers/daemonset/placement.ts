import { matchesNodeAffinity } from "../../api/node-affinity.ts";
import { untoleratedTaint } from "../../api/toleration.ts";
import type { DaemonSet } from "../../api/types/apps-v1.generated.ts";
import type { Node, Pod, PodSpec, Toleration } from "../../api/types/core-v1.generated.ts";
import { resources } from "../../client/resources.ts";
import { podFromTemplate } from "../pod-template.ts";
import { revisionHashLabel } from "../revisions.ts";

/** What every daemon pod puts up with: it belongs on its node in any state of the node. */
const daemonTolerations: readonly Toleration[] = [
  { key: "node.kubernetes.io/not-ready", operator: "Exists", effect: "NoExecute" },
  { key: "node.kubernetes.io/unreachable", operator: "Exists", effect: "NoExecute" },
  { key: "node.kubernetes.io/disk-pressure", operator: "Exists", effect: "NoSchedule" },
  { key: "node.kubernetes.io/memory-pressure", operator: "Exists", effect: "NoSchedule" },
  { key: "node.kubernetes.io/pid-pressure", operator: "Exists", effect: "NoSchedule" },
  { key: "node.kubernetes.io/unschedulable", operator: "Exists", effect: "NoSchedule" },
];
const hostNetworkToleration: Toleration = { key: "node.kubernetes.io/network-unavailable", operator: "Exists", effect: "NoSchedule" };

export interface Placement {
  /** A pod should be made there. */
  readonly run: boolean;
  /** One that is there may stay. */
  readonly stay: boolean;
}

export function placementOn(set: DaemonSet, node: Node): Placement {
  const spec = set.spec?.template.spec ?? {};
  const wanted = spec.nodeName ?? "";
  if ((wanted !== "" && wanted !== node.metadata?.name) || !matchesNodeAffinity(spec, node)) return { run: false, stay: false };
  const tolerations = tolerationsOf(spec);
  const taints = node.spec?.taints;
  if (untoleratedTaint(taints, tolerations, ["NoSchedule", "NoExecute"]) === undefined) return { run: true, stay: true };
  return { run: false, stay: untoleratedTaint(taints, tolerations, ["NoExecute"]) === undefined };
}

function tolerationsOf(spec: PodSpec): readonly Toleration[] {
  const added = spec.hostNetwork === true ? [...daemonTolerations, hostNetworkToleration] : daemonTolerations;
  const own = spec.tolerations ?? [];
  return [...own, ...added.filter((a) => !own.some((t) => t.key === a.key && t.operator === a.operator && t.effect === a.effect))];
}

/** A pod that only one node can take: the scheduler places it by its affinity. */
export function daemonPod(set: DaemonSet, node: string, hash: string, suffix: string): Pod {
  const pod = podFromTemplate(set.spec?.template, resources.daemonSets, set, suffix);
  const spec = pod.spec ?? {};
  return {
    ...pod,
    metadata: { ...pod.metadata, labels: { ...pod.metadata?.labels, [revisionHashLabel]: hash } },
    spec: { ...spec, tolerations: tolerationsOf(spec), affinity: onNode(spec, node) },
  };
}

/** The template's own required terms have chosen the node already; this one replaces them. */
function onNode(spec: PodSpec, node: string): NonNullable<PodSpec["affinity"]> {
  const matchFields = [{ key: "metadata.name", operator: "In", values: [node] }];
  const nodeAffinity = {
    ...spec.affinity?.nodeAffinity,
    requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchFields }] },
  };
  return { ...spec.affinity, nodeAffinity };
}

/** The node a daemon pod is on or is meant for. */
export function nodeOfDaemonPod(pod: Pod): string {
  if ((pod.spec?.nodeName ?? "") !== "") return pod.spec?.nodeName ?? "";
  const terms = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  for (const term of terms) for (const f of term.matchFields ?? []) if (f.key === "metadata.name") return f.values?.[0] ?? "";
  return "";
}
