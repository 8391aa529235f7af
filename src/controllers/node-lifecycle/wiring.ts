import type { Lease } from "../../api/types/coordination-v1.generated.ts";
import type { Node } from "../../api/types/core-v1.generated.ts";
import type { Clock } from "../../base/clock.ts";
import { resources } from "../../client/resources.ts";
import type { Controller } from "../controller.ts";
import { nothingToDo } from "../outcome.ts";
import type { Views } from "../views.ts";
import { reconcileNode } from "./reconcile.ts";

const leaseNamespace = "kube-node-lease";

interface Seen {
  readonly sign: string;
  readonly at: number;
}

export function nodeLifecycle(views: Views, deps: { readonly clock: Clock }): Controller {
  const nodes = views.of(resources.nodes);
  const pods = views.of(resources.pods);
  const leases = views.of(resources.leases);
  /** The last sign of life of each node, and when it was first seen here. */
  const seen = new Map<string, Seen>();
  const note = (name: string, node: Node, lease: Lease | undefined): number => {
    const ready = node.status?.conditions?.find((c) => c.type === "Ready");
    const sign = `${lease?.spec?.renewTime ?? ""} ${ready?.status === "Unknown" ? "" : (ready?.lastHeartbeatTime ?? "")}`;
    const now = deps.clock.monotonic();
    const known = seen.get(name);
    // What this controller itself wrote is no sign of life.
    if (known === undefined || (sign !== known.sign && ready?.status !== "Unknown") || renewed(known.sign, sign))
      seen.set(name, { sign, at: now });
    return now - (seen.get(name)?.at ?? now);
  };
  return {
    name: "node-lifecycle-controller",
    needs: [nodes, pods, leases],
    wire: (add) => [
      nodes.onChange((c) => {
        if (c.after === undefined) seen.delete(c.key);
        add(c.key);
      }),
      leases.onChange((c) => {
        const { namespace, name } = (c.after ?? c.before)?.metadata ?? {};
        const node = name === undefined ? undefined : nodes.get(name);
        if (namespace !== leaseNamespace || node === undefined || name === undefined) return;
        // Heartbeats of a node that is well are only noted.
        note(name, node, c.after);
        if (!isReady(node)) add(name);
      }),
      // A pod that lands on a tainted node, or becomes ready there, is looked at as well.
      pods.onChange((c) => {
        const name = c.after?.spec?.nodeName ?? "";
        const node = nodes.get(name);
        if (node !== undefined && (!isReady(node) || node.spec?.taints?.some((t) => t.effect === "NoExecute") === true)) add(name);
      }),
    ],
    *keys() {
      for (const node of nodes.list()) yield node.metadata?.name ?? "";
    },
    reconcile(key) {
      const node = nodes.get(key);
      if (node === undefined) return nothingToDo;
      const silentMs = note(key, node, leases.get(`${leaseNamespace}/${key}`));
      return reconcileNode({ node, pods: pods.byIndex("node", key), silentMs, now: deps.clock.now() });
    },
  };
}

/** The lease's part of the sign moved on. */
function renewed(before: string, now: string): boolean {
  return before.split(" ")[0] !== now.split(" ")[0];
}

function isReady(node: Node): boolean {
  return node.status?.conditions?.some((c) => c.type === "Ready" && c.status === "True") === true;
}
