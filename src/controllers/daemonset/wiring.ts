import type { Node } from "../../api/types/core-v1.generated.ts";
import type { Clock } from "../../base/clock.ts";
import { resources } from "../../client/resources.ts";
import { objectKey } from "../../snapshot/cluster-snapshot.ts";
import { candidatesOf, claim } from "../claim.ts";
import type { Controller } from "../controller.ts";
import { nothingToDo } from "../outcome.ts";
import { referenceTo } from "../owner.ts";
import { ownersOf } from "../pod-owner-wiring.ts";
import type { Views } from "../views.ts";
import { reconcileDaemonSet } from "./reconcile.ts";

export function daemonSets(views: Views, deps: { readonly clock: Clock; readonly random: () => number }): Controller {
  const sets = views.of(resources.daemonSets);
  const pods = views.of(resources.pods);
  const nodes = views.of(resources.nodes);
  const revisions = views.of(resources.controllerRevisions);
  return {
    name: "daemonset-controller",
    needs: [sets, pods, nodes, revisions],
    wire: (add) => [
      sets.onChange((c) => add(c.key)),
      pods.onChange(ownersOf("DaemonSet", sets, add)),
      revisions.onChange(ownersOf("DaemonSet", sets, add)),
      nodes.onChange((c) => {
        if (!changesPlacement(c.before, c.after)) return;
        for (const set of sets.list()) add(objectKey(set));
      }),
    ],
    *keys() {
      for (const set of sets.list()) yield objectKey(set);
    },
    reconcile(key) {
      const set = sets.get(key);
      if (set === undefined) return nothingToDo;
      const owner = { owner: set, ownerResource: resources.daemonSets, selector: set.spec?.selector };
      const own = claim({ ...owner, candidates: candidatesOf(set, pods), of: resources.pods });
      const history = claim({ ...owner, candidates: candidatesOf(set, revisions), of: resources.controllerRevisions });
      const outcome = reconcileDaemonSet({
        set,
        nodes: [...nodes.list()],
        pods: own.owned,
        revisions: history.owned,
        revisionNamed: (name) => revisions.get(`${set.metadata?.namespace ?? ""}/${name}`),
        now: deps.clock.now(),
        random: deps.random,
      });
      return {
        ...outcome,
        writes: [...own.writes, ...history.writes, ...outcome.writes],
        failed: (message) => ({ regarding: referenceTo(resources.daemonSets, set), type: "Warning", reason: "FailedCreate", message }),
      };
    },
  };
}

/** Heartbeats do not change where daemons belong. */
function changesPlacement(before: Node | undefined, after: Node | undefined): boolean {
  if (before === undefined || after === undefined) return true;
  const text = (n: Node): string => JSON.stringify([n.metadata?.labels, n.spec?.taints, n.spec?.unschedulable]);
  return text(before) !== text(after);
}
