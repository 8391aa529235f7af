import { isReadableSelector, labelSelectorOf, printLabelSelector } from "../selector.ts";
import type { ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet } from "../types/apps-v1.generated.ts";
import type { Scale } from "../types/autoscaling-v1.generated.ts";
import type { PodTemplateSpec } from "../types/core-v1.generated.ts";
import type { LabelSelector } from "../types/meta-v1.generated.ts";
import type { PodDisruptionBudget } from "../types/policy-v1.generated.ts";
import { age } from "./age.ts";
import { layout } from "./column.ts";
import { printLabels } from "./network-rows.ts";

const wide = ["+Containers", "+Images", "+Selector"] as const;

export const deploymentLayout = layout<Deployment>(["Name", "Ready", "Up-to-date", "Available", "Age", ...wide], (d, now) => [
  d.metadata?.name ?? "",
  `${d.status?.readyReplicas ?? 0}/${d.spec?.replicas ?? 1}`,
  d.status?.updatedReplicas ?? 0,
  d.status?.availableReplicas ?? 0,
  age(d.metadata?.creationTimestamp, now),
  ...containerCells(d.spec?.template),
  printSelector(d.spec?.selector),
]);

export const replicaSetLayout = layout<ReplicaSet>(["Name", "Desired#", "Current#", "Ready#", "Age", ...wide], (r, now) => [
  r.metadata?.name ?? "",
  r.spec?.replicas ?? 1,
  r.status?.replicas ?? 0,
  r.status?.readyReplicas ?? 0,
  age(r.metadata?.creationTimestamp, now),
  ...containerCells(r.spec?.template),
  printSelector(r.spec?.selector),
]);

export const statefulSetLayout = layout<StatefulSet>(["Name", "Ready", "Age", "+Containers", "+Images"], (s, now) => [
  s.metadata?.name ?? "",
  `${s.status?.readyReplicas ?? 0}/${s.spec?.replicas ?? 1}`,
  age(s.metadata?.creationTimestamp, now),
  ...containerCells(s.spec?.template),
]);

export const daemonSetLayout = layout<DaemonSet>(
  ["Name", "Desired#", "Current#", "Ready#", "Up-to-date#", "Available#", "Node Selector", "Age", ...wide],
  (d, now) => [
    d.metadata?.name ?? "",
    d.status?.desiredNumberScheduled ?? 0,
    d.status?.currentNumberScheduled ?? 0,
    d.status?.numberReady ?? 0,
    d.status?.updatedNumberScheduled ?? 0,
    d.status?.numberAvailable ?? 0,
    printLabels(d.spec?.template?.spec?.nodeSelector),
    age(d.metadata?.creationTimestamp, now),
    ...containerCells(d.spec?.template),
    printSelector(d.spec?.selector),
  ],
);

export const scaleLayout = layout<Scale>(["Name", "Desired#", "Available#", "Age"], (s, now) => [
  s.metadata?.name ?? "",
  s.spec?.replicas ?? 0,
  s.status?.replicas ?? 0,
  age(s.metadata?.creationTimestamp, now),
]);

export const controllerRevisionLayout = layout<ControllerRevision>(["Name", "Controller", "Revision", "Age"], (r, now) => {
  const owner = r.metadata?.ownerReferences?.find((o) => o.controller === true);
  const group = owner?.apiVersion.includes("/") === true ? `.${owner.apiVersion.split("/")[0]}` : "";
  return [
    r.metadata?.name ?? "",
    owner === undefined ? "<none>" : `${owner.kind}${group}`.toLowerCase().concat("/", owner.name),
    r.revision,
    age(r.metadata?.creationTimestamp, now),
  ];
});

export const podDisruptionBudgetLayout = layout<PodDisruptionBudget>(
  ["Name", "Min Available", "Max Unavailable", "Allowed Disruptions#", "Age"],
  (b, now) => [
    b.metadata?.name ?? "",
    String(b.spec?.minAvailable ?? "N/A"),
    String(b.spec?.maxUnavailable ?? "N/A"),
    b.status?.disruptionsAllowed ?? 0,
    age(b.metadata?.creationTimestamp, now),
  ],
);

function containerCells(template: PodTemplateSpec | undefined): readonly [names: string, images: string] {
  const containers = template?.spec?.containers ?? [];
  return [containers.map((c) => c.name).join(","), containers.map((c) => c.image ?? "").join(",")];
}

function printSelector(selector: LabelSelector | undefined): string {
  if (selector !== undefined && !isReadableSelector(selector)) return "<error>";
  return (selector === undefined ? "" : printLabelSelector(labelSelectorOf(selector))) || "<none>";
}
