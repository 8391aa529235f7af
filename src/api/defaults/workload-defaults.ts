import type { Draft } from "../json-value.ts";
import type { DaemonSet, Deployment, ReplicaSet, StatefulSet } from "../types/apps-v1.generated.ts";
import { defaultPodSpec } from "./pod-defaults.ts";

export function defaultDeployment({ spec }: Draft<Deployment>): void {
  if (spec === undefined) return;
  spec.replicas ??= 1;
  spec.strategy ??= {};
  const { strategy } = spec;
  strategy.type ||= "RollingUpdate";
  if (strategy.type === "RollingUpdate") {
    strategy.rollingUpdate ??= {};
    strategy.rollingUpdate.maxUnavailable ??= "25%";
    strategy.rollingUpdate.maxSurge ??= "25%";
  }
  spec.revisionHistoryLimit ??= 10;
  spec.progressDeadlineSeconds ??= 600;
  defaultTemplate(spec);
}

export function defaultReplicaSet({ spec }: Draft<ReplicaSet>): void {
  if (spec === undefined) return;
  spec.replicas ??= 1;
  defaultTemplate(spec);
}

export function defaultStatefulSet({ spec }: Draft<StatefulSet>): void {
  if (spec === undefined) return;
  spec.podManagementPolicy ||= "OrderedReady";
  spec.updateStrategy ??= {};
  const { updateStrategy } = spec;
  if ((updateStrategy.type ?? "") === "") {
    updateStrategy.type = "RollingUpdate";
    updateStrategy.rollingUpdate ??= {};
  }
  if (updateStrategy.type === "RollingUpdate" && updateStrategy.rollingUpdate !== undefined) updateStrategy.rollingUpdate.partition ??= 0;
  spec.persistentVolumeClaimRetentionPolicy ??= {};
  spec.persistentVolumeClaimRetentionPolicy.whenDeleted ||= "Retain";
  spec.persistentVolumeClaimRetentionPolicy.whenScaled ||= "Retain";
  spec.replicas ??= 1;
  spec.revisionHistoryLimit ??= 10;
  for (const claim of spec.volumeClaimTemplates ?? []) {
    claim.apiVersion ||= "v1";
    claim.kind ||= "PersistentVolumeClaim";
    claim.spec ??= {};
    claim.spec.volumeMode ??= "Filesystem";
    claim.status = { ...claim.status, phase: claim.status?.phase ?? "Pending" };
  }
  defaultTemplate(spec);
}

export function defaultDaemonSet({ spec }: Draft<DaemonSet>): void {
  if (spec === undefined) return;
  spec.updateStrategy ??= {};
  const { updateStrategy } = spec;
  updateStrategy.type ||= "RollingUpdate";
  if (updateStrategy.type === "RollingUpdate") {
    updateStrategy.rollingUpdate ??= {};
    updateStrategy.rollingUpdate.maxUnavailable ??= 1;
    updateStrategy.rollingUpdate.maxSurge ??= 0;
  }
  spec.revisionHistoryLimit ??= 10;
  defaultTemplate(spec);
}

function defaultTemplate(spec: { template?: Draft<NonNullable<NonNullable<Deployment["spec"]>["template"]>> }): void {
  if (spec.template?.spec !== undefined) defaultPodSpec(spec.template.spec);
}
