import type { Pod } from "../../api/types/core-v1.generated.ts";
import type { Clock } from "../../base/clock.ts";
import { resources } from "../../client/resources.ts";
import { objectKey } from "../../snapshot/cluster-snapshot.ts";
import { candidatesOf, claim } from "../claim.ts";
import type { Controller } from "../controller.ts";
import { nothingToDo } from "../outcome.ts";
import { controllerOf, ownerKey, referenceTo } from "../owner.ts";
import { isPodActive } from "../pod-state.ts";
import { matchesLabels } from "../selection.ts";
import type { Views } from "../views.ts";
import { reconcileReplicaSet } from "./reconcile.ts";

export function replicaSets(views: Views, deps: { readonly clock: Clock; readonly random: () => number }): Controller {
  const sets = views.of(resources.replicaSets);
  const pods = views.of(resources.pods);
  /** Creations that were refused, by key; told in the status, forgotten when one succeeds. */
  const refused = new Map<string, { readonly reason: "FailedCreate"; readonly message: string }>();
  return {
    name: "replicaset-controller",
    needs: [sets, pods],
    wire(add) {
      const addOwner = (pod: Pod | undefined): void => {
        if (pod === undefined) return;
        const owner = ownerKey(pod, "ReplicaSet");
        if (owner !== undefined) add(owner);
        else if (controllerOf(pod) === undefined) {
          for (const rs of sets.byIndex("namespace", pod.metadata?.namespace ?? "")) {
            if (matchesLabels(rs.spec?.selector, pod.metadata?.labels)) add(objectKey(rs));
          }
        }
      };
      return [
        sets.onChange((c) => {
          if (c.after === undefined) refused.delete(c.key);
          add(c.key);
        }),
        pods.onChange((c) => {
          addOwner(c.after);
          if (c.before !== undefined && controllerOf(c.before)?.uid !== (c.after && controllerOf(c.after)?.uid)) addOwner(c.before);
        }),
      ];
    },
    *keys() {
      for (const rs of sets.list()) yield objectKey(rs);
    },
    reconcile(key) {
      const rs = sets.get(key);
      if (rs === undefined) return nothingToDo;
      const { owned, writes } = claim({
        owner: rs,
        ownerResource: resources.replicaSets,
        selector: rs.spec?.selector,
        candidates: candidatesOf(rs, pods),
        of: resources.pods,
      });
      const siblings = siblingsByNode(views, key);
      const outcome = reconcileReplicaSet({
        replicaSet: rs,
        pods: owned,
        rank: (pod) => siblings().get(pod.spec?.nodeName ?? "") ?? 0,
        now: deps.clock.now(),
        random: deps.random,
        failure: refused.get(key),
      });
      return {
        ...outcome,
        writes: [...writes, ...outcome.writes],
        succeeded: () => refused.delete(key),
        failed: (message) => {
          refused.set(key, { reason: "FailedCreate", message });
          const regarding = referenceTo(resources.replicaSets, rs);
          return { regarding, type: "Warning", reason: "FailedCreate", message: `Error creating: ${message}` };
        },
      };
    },
  };
}

/** Active pods of all ReplicaSets of the same owner, counted by node, when asked. */
function siblingsByNode(views: Views, key: string): () => ReadonlyMap<string, number> {
  let counts: Map<string, number> | undefined;
  return () => {
    if (counts !== undefined) return counts;
    counts = new Map();
    const sets = views.of(resources.replicaSets);
    const rs = sets.get(key);
    const owner = rs === undefined ? undefined : controllerOf(rs);
    const family = owner === undefined ? (rs === undefined ? [] : [rs]) : sets.byIndex("controller", owner.uid);
    for (const set of family) {
      for (const pod of views.of(resources.pods).byIndex("controller", set.metadata?.uid ?? "")) {
        const node = pod.spec?.nodeName ?? "";
        if (isPodActive(pod)) counts.set(node, (counts.get(node) ?? 0) + 1);
      }
    }
    return counts;
  };
}
