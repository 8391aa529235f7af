import type { Clock } from "../../base/clock.ts";
import { resources } from "../../client/resources.ts";
import { objectKey } from "../../snapshot/cluster-snapshot.ts";
import type { Controller } from "../controller.ts";
import { nothingToDo } from "../outcome.ts";
import type { Views } from "../views.ts";
import { reconcileStrayPod, surplusEndedPods } from "./reconcile.ts";

/** As kube-controller-manager's --terminated-pod-gc-threshold. */
const endedLimit = 12_500;
/** A key that no pod has: the count of ended pods. */
const endedKey = "ended";

export function podGarbageCollector(views: Views, deps: { readonly clock: Clock }): Controller {
  const pods = views.of(resources.pods);
  const nodes = views.of(resources.nodes);
  /** Since when a node that pods name has been missing. */
  const missing = new Map<string, number>();
  return {
    name: "pod-garbage-collector-controller",
    needs: [pods, nodes],
    workers: 4,
    wire: (add) => [
      pods.onChange(({ key, before, after }) => {
        if (after === undefined) return;
        const going = after.metadata?.deletionTimestamp !== undefined && before?.metadata?.deletionTimestamp === undefined;
        if (going || before === undefined || before.spec?.nodeName !== after.spec?.nodeName) add(key);
      }),
      nodes.onChange(({ key, before, after }) => {
        if (after !== undefined) missing.delete(key);
        const changed = before === undefined || after === undefined || before.spec?.taints !== after.spec?.taints;
        if (changed) for (const pod of pods.byIndex("node", key)) add(objectKey(pod));
      }),
    ],
    *keys() {
      for (const pod of pods.list()) yield objectKey(pod);
      yield endedKey;
    },
    reconcile(key) {
      if (key === endedKey) {
        const surplus = surplusEndedPods([...pods.list()], endedLimit);
        return { writes: surplus.map((object) => ({ kind: "delete", of: resources.pods, object, gracePeriodSeconds: 0 })) };
      }
      const pod = pods.get(key);
      if (pod === undefined) return nothingToDo;
      const name = pod.spec?.nodeName ?? "";
      const node = nodes.get(name);
      const now = deps.clock.monotonic();
      if (name !== "" && node === undefined && !missing.has(name)) missing.set(name, now);
      return reconcileStrayPod({ pod, node, missingMs: now - (missing.get(name) ?? now) });
    },
  };
}
