import type { Cidr } from "../../base/cidr.ts";
import { resources } from "../../client/resources.ts";
import type { Controller } from "../controller.ts";
import { nothingToDo } from "../outcome.ts";
import type { Views } from "../views.ts";
import { type NodeMask, reconcileNodeRanges } from "./reconcile.ts";

export function nodeIpam(views: Views, clusterCidrs: readonly Cidr[], mask: NodeMask): Controller {
  const nodes = views.of(resources.nodes);
  return {
    name: "node-ipam-controller",
    // Two nodes at once could choose the same range.
    workers: 1,
    needs: [nodes],
    wire: (add) => [nodes.onChange((c) => add(c.key))],
    *keys() {
      for (const node of nodes.list()) yield node.metadata?.name ?? "";
    },
    reconcile(key) {
      const node = nodes.get(key);
      if (node === undefined) return nothingToDo;
      return reconcileNodeRanges(
        node,
        [...nodes.list()].filter((n) => n !== node),
        clusterCidrs,
        mask,
      );
    },
  };
}
