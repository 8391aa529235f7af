import type { Pod } from "../api/types/core-v1.generated.ts";
import { refusals } from "./filter.ts";
import { bestNode } from "./score.ts";
import type { ClusterView } from "./topology.ts";

export type Decision =
  | { readonly kind: "bind"; readonly node: string }
  /** `message` as kube-scheduler words it: `0/3 nodes are available: 3 Insufficient cpu.` */
  | { readonly kind: "none"; readonly message: string };

/** Where a pod goes. */
export function schedule(pod: Pod, view: ClusterView): Decision {
  const reasons = new Map<string, number>();
  const possible = view.nodes.filter((node) => {
    const refused = refusals(pod, node, view);
    for (const reason of refused) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    return refused.length === 0;
  });
  if (possible.length > 0) return { kind: "bind", node: bestNode(pod, possible, view).name };
  if (view.nodes.length === 0) return { kind: "none", message: "no nodes available to schedule pods" };
  const counted = [...reasons].map(([reason, n]) => `${n} ${reason}`).sort();
  return { kind: "none", message: `0/${view.nodes.length} nodes are available: ${counted.join(", ")}.` };
}
