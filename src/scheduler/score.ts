import { matchesNodeTerm } from "../api/node-affinity.ts";
import { podRequests } from "../api/pod-requests.ts";
import { tolerates } from "../api/toleration.ts";
import type { Pod } from "../api/types/core-v1.generated.ts";
import { assumedRequests, type NodeInfo } from "./node-info.ts";
import { type ClusterView, domainOf, domainsWith, spreadCounts } from "./topology.ts";

type Score = (pod: Pod, nodes: readonly NodeInfo[], view: ClusterView) => readonly number[];

const hostnameLabel = "kubernetes.io/hostname";
const zoneLabel = "topology.kubernetes.io/zone";

/** Each gives 0–100 a node, more is better; weights as kube-scheduler has them. */
const scores: readonly (readonly [weight: number, score: Score])[] = [
  [3, (pod, nodes) => least(nodes.map((n) => intolerable(pod, n)))],
  [2, (pod, nodes) => most(nodes.map((n) => affinityWeight(pod, n)))],
  [2, spread],
  [2, (pod, nodes, view) => most(podAffinityWeights(pod, nodes, view))],
  [1, (pod, nodes) => nodes.map((n) => freeShare(pod, n))],
  [1, (pod, nodes) => nodes.map((n) => balance(pod, n))],
];

/** The node with the highest sum; the first by name among equals. `nodes` are those no filter refused, at least one. */
export function bestNode(pod: Pod, nodes: readonly NodeInfo[], view: ClusterView): NodeInfo {
  const totals = nodes.map(() => 0);
  for (const [weight, score] of scores) {
    for (const [i, value] of score(pod, nodes, view).entries()) totals[i] = (totals[i] ?? 0) + weight * value;
  }
  let best = 0;
  for (let i = 1; i < nodes.length; i++) {
    const difference = (totals[i] ?? 0) - (totals[best] ?? 0);
    if (difference > 0 || (difference === 0 && (nodes[i]?.name ?? "") < (nodes[best]?.name ?? ""))) best = i;
  }
  const node = nodes[best];
  if (node === undefined) throw new Error("no node to choose from");
  return node;
}

/** The more, the better: the largest gets 100. */
function most(values: readonly number[]): readonly number[] {
  const low = Math.min(...values);
  const high = Math.max(...values);
  return values.map((v) => (high === low ? 0 : (100 * (v - low)) / (high - low)));
}

/** The fewer, the better: none gets 100. */
function least(values: readonly number[]): readonly number[] {
  const high = Math.max(...values);
  return values.map((v) => (high === 0 ? 100 : 100 - (100 * v) / high));
}

function intolerable(pod: Pod, { node }: NodeInfo): number {
  const soft = (node.spec?.taints ?? []).filter((t) => t.effect === "PreferNoSchedule");
  return soft.filter((taint) => pod.spec?.tolerations?.some((t) => tolerates(t, taint)) !== true).length;
}

function affinityWeight(pod: Pod, { node }: NodeInfo): number {
  const terms = pod.spec?.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
  return terms.reduce((sum, t) => sum + (t.preference !== undefined && matchesNodeTerm(t.preference, node) ? t.weight : 0), 0);
}

/** Soft constraints, or by default siblings (pods of the same controller) over nodes and, with half the weight, zones. */
function spread(pod: Pod, nodes: readonly NodeInfo[], view: ClusterView): readonly number[] {
  const soft = (pod.spec?.topologySpreadConstraints ?? []).filter((c) => c.whenUnsatisfiable === "ScheduleAnyway");
  if (soft.length > 0) {
    const counts = soft.map((c) => ({ key: c.topologyKey, counts: spreadCounts(c, pod, view) }));
    return least(nodes.map((n) => counts.reduce((sum, c) => sum + (c.counts.get(domainOf(n, c.key) ?? "") ?? 0), 0)));
  }
  const owner = pod.metadata?.ownerReferences?.find((r) => r.controller === true)?.uid;
  if (owner === undefined) return nodes.map(() => 0);
  const isSibling = (p: Pod): boolean =>
    p.metadata?.deletionTimestamp === undefined &&
    p.metadata?.ownerReferences?.some((r) => r.controller === true && r.uid === owner) === true;
  const byZone = new Map<string, number>();
  const byNode = new Map<string, number>();
  for (const node of view.nodes) {
    const count = node.pods.filter(isSibling).length;
    byNode.set(node.name, count);
    const zone = domainOf(node, zoneLabel) ?? "";
    byZone.set(zone, (byZone.get(zone) ?? 0) + count);
  }
  return least(nodes.map((n) => (byNode.get(n.name) ?? 0) + (byZone.get(domainOf(n, zoneLabel) ?? "") ?? 0) / 2));
}

function podAffinityWeights(pod: Pod, nodes: readonly NodeInfo[], view: ClusterView): readonly number[] {
  const attracted = pod.spec?.affinity?.podAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
  const repelled = pod.spec?.affinity?.podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
  const terms = [...attracted, ...repelled.map((t) => ({ ...t, weight: -t.weight }))].map((t) => ({
    weight: t.weight,
    key: t.podAffinityTerm.topologyKey || hostnameLabel,
    domains: domainsWith(t.podAffinityTerm, pod, view),
  }));
  return nodes.map((n) => terms.reduce((sum, t) => sum + t.weight * (t.domains.get(domainOf(n, t.key) ?? "") ?? 0), 0));
}

function shares(pod: Pod, node: NodeInfo): readonly [cpu: number, memory: number] {
  const wanted = assumedRequests(podRequests(pod.spec));
  const share = (name: "cpu" | "memory"): number => {
    const all = node.allocatable.get(name) ?? 0;
    return all === 0 ? 1 : Math.min(1, (node.requestedOrAssumed[name] + wanted[name]) / all);
  };
  return [share("cpu"), share("memory")];
}

function freeShare(pod: Pod, node: NodeInfo): number {
  const [cpu, memory] = shares(pod, node);
  return 50 * (1 - cpu) + 50 * (1 - memory);
}

/** Cpu and memory used to the same degree leave room for any pod. */
function balance(pod: Pod, node: NodeInfo): number {
  const [cpu, memory] = shares(pod, node);
  return 100 * (1 - Math.abs(cpu - memory) / 2);
}
