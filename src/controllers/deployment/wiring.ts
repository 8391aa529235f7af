import type { ReplicaSet } from "../../api/types/apps-v1.generated.ts";
import type { Clock } from "../../base/clock.ts";
import { resources } from "../../client/resources.ts";
import { objectKey } from "../../snapshot/cluster-snapshot.ts";
import { candidatesOf, claim } from "../claim.ts";
import type { Controller } from "../controller.ts";
import { nothingToDo } from "../outcome.ts";
import { controllerOf, ownerKey, referenceTo } from "../owner.ts";
import { matchesLabels } from "../selection.ts";
import type { Views } from "../views.ts";
import { reconcileDeployment } from "./reconcile.ts";

export function deployments(views: Views, deps: { readonly clock: Clock }): Controller {
  const objects = views.of(resources.deployments);
  const sets = views.of(resources.replicaSets);
  const pods = views.of(resources.pods);
  const refused = new Map<string, string>();
  return {
    name: "deployment-controller",
    needs: [objects, sets, pods],
    wire(add) {
      const addOwner = (rs: ReplicaSet | undefined): void => {
        if (rs === undefined) return;
        const owner = ownerKey(rs, "Deployment");
        if (owner !== undefined) add(owner);
        else if (controllerOf(rs) === undefined) {
          for (const d of objects.byIndex("namespace", rs.metadata?.namespace ?? "")) {
            if (matchesLabels(d.spec?.selector, rs.metadata?.labels)) add(objectKey(d));
          }
        }
      };
      return [
        objects.onChange((c) => {
          if (c.after === undefined) refused.delete(c.key);
          add(c.key);
        }),
        sets.onChange((c) => {
          addOwner(c.after);
          if (c.before !== undefined && controllerOf(c.before)?.uid !== (c.after && controllerOf(c.after)?.uid)) addOwner(c.before);
        }),
        // Recreate waits for the last old pod.
        pods.onChange((c) => {
          const set = c.after === undefined && c.before !== undefined ? ownerKey(c.before, "ReplicaSet") : undefined;
          if (set !== undefined) addOwner(sets.get(set));
        }),
      ];
    },
    *keys() {
      for (const d of objects.list()) yield objectKey(d);
    },
    reconcile(key) {
      const d = objects.get(key);
      if (d === undefined) return nothingToDo;
      const { owned, writes } = claim({
        owner: d,
        ownerResource: resources.deployments,
        selector: d.spec?.selector,
        candidates: candidatesOf(d, sets),
        of: resources.replicaSets,
      });
      const outcome = reconcileDeployment({
        deployment: d,
        sets: owned,
        setNamed: (name) => sets.get(`${d.metadata?.namespace ?? ""}/${name}`),
        podsOf: (rs) => pods.byIndex("controller", rs.metadata?.uid ?? ""),
        now: deps.clock.now(),
        failure: refused.get(key),
      });
      return {
        ...outcome,
        writes: [...writes, ...outcome.writes],
        succeeded: () => refused.delete(key),
        failed(message) {
          refused.set(key, message);
          const regarding = referenceTo(resources.deployments, d);
          return { regarding, type: "Warning", reason: "ReplicaSetCreateError", message };
        },
      };
    },
  };
}
