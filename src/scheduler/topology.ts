import { matchesNodeAffinity } from "../api/node-affinity.ts";
import { labelSelectorOf, matchesSelector } from "../api/selector.ts";
import type { Pod, PodAffinityTerm, TopologySpreadConstraint } from "../api/types/core-v1.generated.ts";
import type { NodeInfo } from "./node-info.ts";

/** What filters and scores know beside the node itself. */
export interface ClusterView {
  readonly nodes: readonly NodeInfo[];
  readonly namespaceLabels: (name: string) => Readonly<Record<string, string>> | undefined;
}

/** The value of a node's topology label; undefined where it has none. */
export function domainOf(node: NodeInfo, key: string): string | undefined {
  return node.node.metadata?.labels?.[key];
}

/** Whether `other` is a pod that a term of `pod` speaks of. */
export function termSelects(term: PodAffinityTerm, pod: Pod, other: Pod, view: ClusterView): boolean {
  const own = pod.metadata?.namespace ?? "";
  const theirs = other.metadata?.namespace ?? "";
  const named = term.namespaces ?? [];
  const inNamespace =
    named.includes(theirs) ||
    (term.namespaceSelector !== undefined && matchesSelector(labelSelectorOf(term.namespaceSelector), view.namespaceLabels(theirs))) ||
    (named.length === 0 && term.namespaceSelector === undefined && theirs === own);
  if (!inNamespace) return false;
  const keys = [...(term.matchLabelKeys ?? [])];
  if (!keys.every((k) => pod.metadata?.labels?.[k] === other.metadata?.labels?.[k])) return false;
  return matchesSelector(labelSelectorOf(term.labelSelector), other.metadata?.labels);
}

/** Domains of the term's topology that hold at least one pod it selects, with how many. */
export function domainsWith(term: PodAffinityTerm, pod: Pod, view: ClusterView): ReadonlyMap<string, number> {
  const domains = new Map<string, number>();
  for (const node of view.nodes) {
    const domain = domainOf(node, term.topologyKey);
    if (domain === undefined) continue;
    const count = node.pods.filter((other) => termSelects(term, pod, other, view)).length;
    if (count > 0) domains.set(domain, (domains.get(domain) ?? 0) + count);
  }
  return domains;
}

/** Required affinity: each term has a match in the node's domain, or none anywhere while the pod matches its own term (it is the first). */
export function affinityHolds(pod: Pod, node: NodeInfo, view: ClusterView): boolean {
  const terms = pod.spec?.affinity?.podAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
  return terms.every((term) => {
    const domain = domainOf(node, term.topologyKey);
    if (domain === undefined) return false;
    const domains = domainsWith(term, pod, view);
    return domains.has(domain) || (domains.size === 0 && termSelects(term, pod, pod, view));
  });
}

export function antiAffinityHolds(pod: Pod, node: NodeInfo, view: ClusterView): boolean {
  const terms = pod.spec?.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
  return terms.every((term) => {
    const domain = domainOf(node, term.topologyKey);
    return domain === undefined || !domainsWith(term, pod, view).has(domain);
  });
}

/** No pod that is there already refuses this one near it. */
export function isAccepted(pod: Pod, node: NodeInfo, view: ClusterView): boolean {
  for (const other of view.nodes) {
    for (const there of other.pods) {
      for (const term of there.spec?.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []) {
        const domain = domainOf(other, term.topologyKey);
        if (domain !== undefined && domain === domainOf(node, term.topologyKey) && termSelects(term, there, pod, view)) return false;
      }
    }
  }
  return true;
}

export type SpreadFit = "fits" | "skewed" | "unlabelled";

/** Whether the node keeps the difference between the fullest and the emptiest domain within maxSkew. */
export function spreadFit(c: TopologySpreadConstraint, pod: Pod, node: NodeInfo, view: ClusterView): SpreadFit {
  const own = domainOf(node, c.topologyKey);
  if (own === undefined) return "unlabelled";
  const counts = spreadCounts(c, pod, view);
  const self = matchesSelector(labelSelectorOf(c.labelSelector), pod.metadata?.labels) ? 1 : 0;
  // Fewer domains than minDomains: an empty one is thought to exist.
  const fewest = counts.size < (c.minDomains ?? 1) ? 0 : Math.min(...counts.values());
  return (counts.get(own) ?? 0) + self - fewest <= c.maxSkew ? "fits" : "skewed";
}

/** Matching pods by domain, over the nodes the pod could be on by its node affinity. */
export function spreadCounts(c: TopologySpreadConstraint, pod: Pod, view: ClusterView): ReadonlyMap<string, number> {
  const selector = labelSelectorOf(c.labelSelector);
  const keys = c.matchLabelKeys ?? [];
  const counts = new Map<string, number>();
  for (const node of view.nodes) {
    const domain = domainOf(node, c.topologyKey);
    if (domain === undefined || (c.nodeAffinityPolicy !== "Ignore" && !matchesNodeAffinity(pod.spec ?? {}, node.node))) continue;
    const found = node.pods.filter(
      (p) =>
        p.metadata?.namespace === pod.metadata?.namespace &&
        p.metadata?.deletionTimestamp === undefined &&
        matchesSelector(selector, p.metadata?.labels) &&
        keys.every((k) => p.metadata?.labels?.[k] === pod.metadata?.labels?.[k]),
    );
    counts.set(domain, (counts.get(domain) ?? 0) + found.length);
  }
  return counts;
}
