import { hostPortsOf, portsClash } from "../api/host-port.ts";
import { matchesNodeAffinity } from "../api/node-affinity.ts";
import { podRequests } from "../api/pod-requests.ts";
import { tolerates, untoleratedTaint } from "../api/toleration.ts";
import type { Pod } from "../api/types/core-v1.generated.ts";
import type { NodeInfo } from "./node-info.ts";
import { affinityHolds, antiAffinityHolds, type ClusterView, isAccepted, spreadFit } from "./topology.ts";

type Filter = (pod: Pod, node: NodeInfo, view: ClusterView) => readonly string[];

const unschedulableTaint = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" };

/** In kube-scheduler's order, cheap ones first: a node is asked only until one refuses. */
const filters: readonly Filter[] = [
  (pod, { node }) =>
    node.spec?.unschedulable === true && pod.spec?.tolerations?.some((t) => tolerates(t, unschedulableTaint)) !== true
      ? ["node(s) were unschedulable"]
      : [],
  (pod, node) => {
    const wanted = pod.spec?.nodeName ?? "";
    return wanted === "" || wanted === node.name ? [] : ["node(s) didn't match the requested node name"];
  },
  (pod, { node }) => {
    const taint = untoleratedTaint(node.spec?.taints, pod.spec?.tolerations, ["NoSchedule", "NoExecute"]);
    return taint === undefined ? [] : [`node(s) had untolerated taint {${taint.key}: ${taint.value ?? ""}}`];
  },
  (pod, { node }) => (matchesNodeAffinity(pod.spec ?? {}, node) ? [] : ["node(s) didn't match Pod's node affinity/selector"]),
  (pod, node) => {
    const clash = hostPortsOf(pod).some((p) => node.hostPorts.some((q) => portsClash(p, q)));
    return clash ? ["node(s) didn't have free ports for the requested pod ports"] : [];
  },
  resourceFilter,
  (pod, node, view) => {
    const constraints = (pod.spec?.topologySpreadConstraints ?? []).filter((c) => c.whenUnsatisfiable === "DoNotSchedule");
    for (const c of constraints) {
      const fit = spreadFit(c, pod, node, view);
      if (fit === "unlabelled") return ["node(s) didn't match pod topology spread constraints (missing required label)"];
      if (fit === "skewed") return ["node(s) didn't match pod topology spread constraints"];
    }
    return [];
  },
  (pod, node, view) => {
    if (!affinityHolds(pod, node, view)) return ["node(s) didn't match pod affinity rules"];
    if (!antiAffinityHolds(pod, node, view)) return ["node(s) didn't match pod anti-affinity rules"];
    return isAccepted(pod, node, view) ? [] : ["node(s) didn't satisfy existing pods anti-affinity rules"];
  },
];

function resourceFilter(pod: Pod, node: NodeInfo): readonly string[] {
  const reasons: string[] = [];
  const most = node.allocatable.get("pods");
  if (most !== undefined && node.pods.length + 1 > most) reasons.push("Too many pods");
  for (const [name, amount] of podRequests(pod.spec)) {
    if (amount > 0 && amount > (node.allocatable.get(name) ?? 0) - (node.requested.get(name) ?? 0)) reasons.push(`Insufficient ${name}`);
  }
  return reasons;
}

/** Why a pod may not be on a node, in kube-scheduler's words; empty when it may. */
export function refusals(pod: Pod, node: NodeInfo, view: ClusterView): readonly string[] {
  for (const filter of filters) {
    const reasons = filter(pod, node, view);
    if (reasons.length > 0) return reasons;
  }
  return [];
}
