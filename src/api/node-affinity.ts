import type { Node, NodeSelectorRequirement, NodeSelectorTerm, PodSpec } from "./types/core-v1.generated.ts";

/** Whether a pod may be on a node as far as its nodeSelector and required node affinity go. */
export function matchesNodeAffinity(spec: Pick<PodSpec, "nodeSelector" | "affinity">, node: Node): boolean {
  const labels = node.metadata?.labels;
  for (const [key, value] of Object.entries(spec.nodeSelector ?? {})) if (labels?.[key] !== value) return false;
  const required = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return required === undefined || (required.nodeSelectorTerms ?? []).some((term) => matchesNodeTerm(term, node));
}

/** All of a term's conditions hold; a term without any matches no node. */
export function matchesNodeTerm(term: NodeSelectorTerm, node: Node): boolean {
  const expressions = term.matchExpressions ?? [];
  const fields = term.matchFields ?? [];
  if (expressions.length === 0 && fields.length === 0) return false;
  return (
    expressions.every((r) => holds(r, node.metadata?.labels?.[r.key])) &&
    fields.every((r) => r.key === "metadata.name" && holds(r, node.metadata?.name))
  );
}

function holds(r: NodeSelectorRequirement, value: string | undefined): boolean {
  const values = r.values ?? [];
  switch (r.operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
    case "Gt":
    case "Lt": {
      const [a, b] = [Number(value), Number(values[0])];
      return value !== undefined && Number.isInteger(a) && Number.isInteger(b) && (r.operator === "Gt" ? a > b : a < b);
    }
    default:
      return false;
  }
}
