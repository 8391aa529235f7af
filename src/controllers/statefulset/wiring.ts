import type { Clock } from "../../base/clock.ts";
import { resources } from "../../client/resources.ts";
import { objectKey } from "../../snapshot/cluster-snapshot.ts";
import { candidatesOf, claim } from "../claim.ts";
import type { Controller } from "../controller.ts";
import { nothingToDo } from "../outcome.ts";
import { referenceTo } from "../owner.ts";
import { ownersOf } from "../pod-owner-wiring.ts";
import type { Views } from "../views.ts";
import { reconcileStatefulSet } from "./reconcile.ts";

export function statefulSets(views: Views, deps: { readonly clock: Clock }): Controller {
  const sets = views.of(resources.statefulSets);
  const pods = views.of(resources.pods);
  const revisions = views.of(resources.controllerRevisions);
  return {
    name: "statefulset-controller",
    needs: [sets, pods, revisions],
    wire: (add) => [
      sets.onChange((c) => add(c.key)),
      pods.onChange(ownersOf("StatefulSet", sets, add)),
      revisions.onChange(ownersOf("StatefulSet", sets, add)),
    ],
    *keys() {
      for (const set of sets.list()) yield objectKey(set);
    },
    reconcile(key) {
      const set = sets.get(key);
      if (set === undefined) return nothingToDo;
      const owner = { owner: set, ownerResource: resources.statefulSets, selector: set.spec?.selector };
      const own = claim({ ...owner, candidates: candidatesOf(set, pods), of: resources.pods });
      const history = claim({ ...owner, candidates: candidatesOf(set, revisions), of: resources.controllerRevisions });
      const namespace = set.metadata?.namespace ?? "";
      // Claims are looked at only by sets that have some: not every server stores them.
      const claims = (set.spec?.volumeClaimTemplates ?? []).length === 0 ? undefined : views.of(resources.persistentVolumeClaims);
      const outcome = reconcileStatefulSet({
        set,
        pods: own.owned,
        revisions: history.owned,
        revisionNamed: (name) => revisions.get(`${namespace}/${name}`),
        hasClaim: (name) => claims?.get(`${namespace}/${name}`) !== undefined,
        now: deps.clock.now(),
      });
      return {
        ...outcome,
        writes: [...own.writes, ...history.writes, ...outcome.writes],
        failed: (message) => ({ regarding: referenceTo(resources.statefulSets, set), type: "Warning", reason: "FailedCreate", message }),
      };
    },
  };
}
