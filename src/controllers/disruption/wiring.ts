import type { Pod } from "../../api/types/core-v1.generated.ts";
import type { Clock } from "../../base/clock.ts";
import { resources } from "../../client/resources.ts";
import { objectKey } from "../../snapshot/cluster-snapshot.ts";
import type { Controller } from "../controller.ts";
import { nothingToDo } from "../outcome.ts";
import { controllerOf } from "../owner.ts";
import { matchesLabels } from "../selection.ts";
import type { Views } from "../views.ts";
import { reconcileBudget } from "./reconcile.ts";

export function disruptionBudgets(views: Views, deps: { readonly clock: Clock }): Controller {
  const budgets = views.of(resources.podDisruptionBudgets);
  const pods = views.of(resources.pods);
  const sizes = sizesOf(views);
  return {
    name: "disruption-controller",
    needs: [budgets, pods, ...sizes.needs],
    wire(add) {
      const addBudgets = (pod: Pod | undefined): void => {
        if (pod === undefined) return;
        for (const b of budgets.byIndex("namespace", pod.metadata?.namespace ?? "")) {
          if (matchesLabels(b.spec?.selector, pod.metadata?.labels)) add(objectKey(b));
        }
      };
      const addNamespace = (namespace: string): void => {
        for (const b of budgets.byIndex("namespace", namespace)) add(objectKey(b));
      };
      return [
        budgets.onChange((c) => add(c.key)),
        pods.onChange((c) => {
          addBudgets(c.after ?? c.before);
          if (c.before !== undefined && c.after !== undefined && c.before.metadata?.labels !== c.after.metadata?.labels)
            addBudgets(c.before);
        }),
        ...sizes.wire(addNamespace),
      ];
    },
    *keys() {
      for (const b of budgets.list()) yield objectKey(b);
    },
    reconcile(key) {
      const budget = budgets.get(key);
      if (budget === undefined) return nothingToDo;
      const selected = pods
        .byIndex("namespace", budget.metadata?.namespace ?? "")
        .filter((p) => matchesLabels(budget.spec?.selector, p.metadata?.labels));
      return reconcileBudget({ budget, pods: selected, wanted: sizes.wanted(selected), now: deps.clock.now() });
    },
  };
}

interface Sizes {
  readonly needs: readonly { readonly ready: Promise<void> }[];
  wire(add: (namespace: string) => void): readonly (() => void)[];
  /** How many pods the controllers of these want together; undefined when one has none. */
  wanted(pods: readonly Pod[]): number | undefined;
}

function sizesOf(views: Views): Sizes {
  const deployments = views.of(resources.deployments);
  const replicaSets = views.of(resources.replicaSets);
  const statefulSets = views.of(resources.statefulSets);
  const size = (pod: Pod): readonly [uid: string, replicas: number] | undefined => {
    const ref = controllerOf(pod);
    const key = `${pod.metadata?.namespace ?? ""}/${ref?.name ?? ""}`;
    if (ref?.kind === "StatefulSet") {
      const set = statefulSets.get(key);
      return set?.metadata?.uid === ref.uid ? [ref.uid, set.spec?.replicas ?? 1] : undefined;
    }
    const set = ref?.kind === "ReplicaSet" ? replicaSets.get(key) : undefined;
    if (set === undefined || set.metadata?.uid !== ref?.uid) return undefined;
    const owner = controllerOf(set);
    const deployment = owner?.kind === "Deployment" ? deployments.get(`${pod.metadata?.namespace ?? ""}/${owner.name}`) : undefined;
    if (deployment !== undefined && deployment.metadata?.uid === owner?.uid) return [owner?.uid ?? "", deployment.spec?.replicas ?? 1];
    return [ref?.uid ?? "", set.spec?.replicas ?? 1];
  };
  return {
    needs: [deployments, replicaSets, statefulSets],
    wire: (add) =>
      [deployments, replicaSets, statefulSets].map((view) =>
        view.onChange((c) => {
          const before = c.before?.spec?.replicas;
          if (before !== c.after?.spec?.replicas) add((c.after ?? c.before)?.metadata?.namespace ?? "");
        }),
      ),
    wanted(pods) {
      const sizes = new Map<string, number>();
      for (const pod of pods) {
        const found = size(pod);
        if (found === undefined) return undefined;
        sizes.set(found[0], found[1]);
      }
      return [...sizes.values()].reduce((sum, n) => sum + n, 0);
    },
  };
}
