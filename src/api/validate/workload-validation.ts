import { type FieldError, forbidden, invalid, notSupported, required } from "../field-error.ts";
import { type Draft, draftOf, semanticEqual } from "../json-value.ts";
import { compareQuantity } from "../quantity.ts";
import { labelSelectorOf, matchesSelector } from "../selector.ts";
import type { ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet, StatefulSetSpec } from "../types/apps-v1.generated.ts";
import type { PersistentVolumeClaim, PodTemplateSpec } from "../types/core-v1.generated.ts";
import type { LabelSelector } from "../types/meta-v1.generated.ts";
import type { PodDisruptionBudget } from "../types/policy-v1.generated.ts";
import { immutable, validateAnnotations, validateLabelSelector, validateLabels } from "./metadata.ts";
import { dns1123Label } from "./names.ts";
import { amountOf, atMostAll, countOrPercent, nonNegative } from "./numbers.ts";
import { validatePodSpec } from "./pod-validation.ts";

interface Templated {
  readonly selector?: LabelSelector;
  readonly template?: PodTemplateSpec;
}

export function validateDeployment({ spec }: Deployment, old?: Deployment): readonly FieldError[] {
  if (spec === undefined) return [required("spec")];
  const errors: FieldError[] = [...nonNegative("spec.replicas", spec.replicas)];
  errors.push(...validateSelector(spec, "deployment"), ...validateTemplate(spec, "Deployment"));
  const { type = "", rollingUpdate } = spec.strategy ?? {};
  if (type === "Recreate") {
    if (rollingUpdate !== undefined)
      errors.push(forbidden("spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'"));
  } else if (type === "RollingUpdate") {
    const { maxUnavailable = 0, maxSurge = 0 } = rollingUpdate ?? {};
    const at = "spec.strategy.rollingUpdate";
    errors.push(...countOrPercent(`${at}.maxUnavailable`, maxUnavailable), ...countOrPercent(`${at}.maxSurge`, maxSurge));
    if (amountOf(maxUnavailable) === 0 && amountOf(maxSurge) === 0) {
      errors.push(invalid(`${at}.maxUnavailable`, maxUnavailable, "may not be 0 when `maxSurge` is 0"));
    }
    errors.push(...atMostAll(`${at}.maxUnavailable`, maxUnavailable));
  } else errors.push(notSupported("spec.strategy", strategyAsGo(type, rollingUpdate), ["Recreate", "RollingUpdate"]));
  const minReady = spec.minReadySeconds ?? 0;
  errors.push(...nonNegative("spec.minReadySeconds", minReady), ...nonNegative("spec.revisionHistoryLimit", spec.revisionHistoryLimit));
  const deadline = spec.progressDeadlineSeconds;
  if (deadline !== undefined) {
    errors.push(...nonNegative("spec.progressDeadlineSeconds", deadline));
    if (deadline <= minReady) errors.push(invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"));
  }
  return old === undefined ? errors : [...errors, ...immutable("spec.selector", spec.selector, old.spec?.selector)];
}

export function validateReplicaSet({ spec }: ReplicaSet, old?: ReplicaSet): readonly FieldError[] {
  if (spec === undefined) return [required("spec")];
  return [
    ...nonNegative("spec.replicas", spec.replicas),
    ...nonNegative("spec.minReadySeconds", spec.minReadySeconds),
    ...validateSelector(spec, "deployment"),
    ...validateTemplate(spec, "ReplicaSet"),
    ...(old === undefined ? [] : immutable("spec.selector", spec.selector, old.spec?.selector)),
  ];
}

export function validateDaemonSet({ spec }: DaemonSet, old?: DaemonSet): readonly FieldError[] {
  if (spec === undefined) return [required("spec")];
  const errors: FieldError[] = old === undefined ? [] : [...immutable("spec.selector", spec.selector, old.spec?.selector)];
  errors.push(...validateLabelSelector(spec.selector, "spec.selector"), ...mismatch(spec, false));
  if (spec.selector !== undefined && isEmptySelector(spec.selector)) {
    errors.push(invalid("spec.selector", spec.selector, "empty selector is invalid for daemonset"));
  }
  errors.push(...templateErrors(spec.template ?? {}), ...templateLimits(spec.template ?? {}, "DaemonSet"));
  errors.push(...nonNegative("spec.minReadySeconds", spec.minReadySeconds));
  const { type = "", rollingUpdate } = spec.updateStrategy ?? {};
  if (type === "RollingUpdate") {
    const at = "spec.updateStrategy.rollingUpdate";
    const { maxUnavailable = 0, maxSurge = 0 } = rollingUpdate ?? {};
    errors.push(...countOrPercent(`${at}.maxUnavailable`, maxUnavailable), ...countOrPercent(`${at}.maxSurge`, maxSurge));
    errors.push(...atMostAll(`${at}.maxUnavailable`, maxUnavailable), ...atMostAll(`${at}.maxSurge`, maxSurge));
    const unavailable = amountOf(maxUnavailable) !== 0;
    const surge = amountOf(maxSurge) !== 0;
    if (unavailable && surge) errors.push(invalid(`${at}.maxSurge`, maxSurge, "may not be set when maxUnavailable is non-zero"));
    if (!unavailable && !surge) errors.push(required(`${at}.maxUnavailable`, "cannot be 0 when maxSurge is 0"));
  } else if (type !== "OnDelete") {
    errors.push(notSupported("spec.updateStrategy", strategyAsGo(type, rollingUpdate), ["RollingUpdate", "OnDelete"]));
  }
  return [...errors, ...nonNegative("spec.revisionHistoryLimit", spec.revisionHistoryLimit)];
}

export function validateStatefulSet({ spec }: StatefulSet, old?: StatefulSet): readonly FieldError[] {
  if (spec === undefined) return [required("spec")];
  const errors: FieldError[] = [...validateOrdering(spec)];
  errors.push(...nonNegative("spec.replicas", spec.replicas), ...nonNegative("spec.minReadySeconds", spec.minReadySeconds));
  errors.push(...nonNegative("spec.ordinals.start", spec.ordinals?.start));
  const service = spec.serviceName ?? "";
  if (service !== "" && old === undefined) errors.push(...dns1123Label(service).map((why) => invalid("spec.serviceName", service, why)));
  errors.push(...validateSelector(spec, "statefulset"));
  errors.push(...validateClaims(old === undefined ? (spec.volumeClaimTemplates ?? []) : []));
  if (isReadable(spec.selector)) errors.push(...mismatch(spec, true), ...templateErrors(forMembers(spec)));
  else errors.push(invalid("spec.selector", spec.selector));
  errors.push(...templateLimits(spec.template ?? {}, "StatefulSet"));
  return old?.spec === undefined ? errors : [...errors, ...validateStatefulChange(spec, old.spec)];
}

export function validateControllerRevision(revision: ControllerRevision, old?: ControllerRevision): readonly FieldError[] {
  return [
    ...(revision.data === undefined ? [required("data", "data is mandatory")] : []),
    ...nonNegative("revision", revision.revision),
    ...(old === undefined ? [] : immutable("data", revision.data, old.data)),
  ];
}

export function validatePodDisruptionBudget({ spec = {} }: PodDisruptionBudget): readonly FieldError[] {
  const errors: FieldError[] = [];
  if (spec.minAvailable !== undefined && spec.maxUnavailable !== undefined) {
    errors.push(invalid("spec", budgetAsGo(spec), "minAvailable and maxUnavailable cannot be both set"));
  }
  for (const name of ["minAvailable", "maxUnavailable"] as const) {
    const value = spec[name];
    if (value !== undefined) errors.push(...countOrPercent(`spec.${name}`, value), ...atMostAll(`spec.${name}`, value));
  }
  errors.push(...validateLabelSelector(spec.selector, "spec.selector"));
  const policy = spec.unhealthyPodEvictionPolicy;
  if (policy !== undefined && policy !== "AlwaysAllow" && policy !== "IfHealthyBudget") {
    errors.push(notSupported("spec.unhealthyPodEvictionPolicy", policy, ["AlwaysAllow", "IfHealthyBudget"]));
  }
  return errors;
}

/** The value as the message prints it: with Go's field names. */
function budgetAsGo(spec: NonNullable<PodDisruptionBudget["spec"]>): unknown {
  return {
    MinAvailable: spec.minAvailable ?? null,
    Selector: spec.selector ?? null,
    MaxUnavailable: spec.maxUnavailable ?? null,
    UnhealthyPodEvictionPolicy: spec.unhealthyPodEvictionPolicy ?? null,
  };
}

interface RollingUpdate {
  readonly maxUnavailable?: number | string;
  readonly maxSurge?: number | string;
}

function strategyAsGo(type: string, update: RollingUpdate | undefined): unknown {
  const amounts = { MaxUnavailable: update?.maxUnavailable ?? 0, MaxSurge: update?.maxSurge ?? 0 };
  return { Type: type, RollingUpdate: update === undefined ? null : amounts };
}

function statefulStrategyAsGo(type: string, update: NonNullable<StatefulSetSpec["updateStrategy"]>["rollingUpdate"]) {
  const partition = { Partition: update?.partition ?? 0, MaxUnavailable: update?.maxUnavailable ?? null };
  return { Type: type, RollingUpdate: update === undefined ? null : partition } as const;
}

function validateSelector({ selector }: Templated, owner: string): readonly FieldError[] {
  if (selector === undefined) return [required("spec.selector")];
  const empty = isEmptySelector(selector) ? [invalid("spec.selector", selector, `empty selector is invalid for ${owner}`)] : [];
  return [...validateLabelSelector(selector, "spec.selector"), ...empty];
}

/** The template of a Deployment or a ReplicaSet, when its selector can be read. */
function validateTemplate(spec: Templated, owner: string): readonly FieldError[] {
  const { template = {} } = spec;
  if (!isReadable(spec.selector)) return [invalid("spec.selector", spec.selector, "invalid label selector")];
  return [...mismatch(spec, true), ...templateErrors(template), ...templateLimits(template, owner)];
}

function isReadable(selector: LabelSelector | undefined): boolean {
  return validateLabelSelector(selector, "").length === 0;
}

function mismatch({ selector, template }: Templated, unlessEmpty: boolean): readonly FieldError[] {
  if (!isReadable(selector) || (unlessEmpty && selector !== undefined && isEmptySelector(selector))) return [];
  const labels = template?.metadata?.labels;
  if (matchesSelector(labelSelectorOf(selector), labels)) return [];
  return [invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")];
}

function isEmptySelector({ matchLabels = {}, matchExpressions = [] }: LabelSelector): boolean {
  return Object.keys(matchLabels).length + matchExpressions.length === 0;
}

function templateErrors({ metadata, spec = { containers: [] } }: PodTemplateSpec): readonly FieldError[] {
  const ephemeral = (spec.ephemeralContainers ?? []).length > 0;
  return [
    ...validateLabels(metadata?.labels, "spec.template.labels"),
    ...validateAnnotations(metadata?.annotations, "spec.template.annotations"),
    ...validatePodSpec(spec, "spec.template.spec", "template"),
    ...(ephemeral ? [forbidden("spec.template.spec.ephemeralContainers", "ephemeral containers not allowed in pod template")] : []),
  ];
}

function templateLimits({ spec }: PodTemplateSpec, owner: string): readonly FieldError[] {
  const at = "spec.template.spec";
  const policy = spec?.restartPolicy ?? "";
  return [
    ...(policy === "Always" ? [] : [notSupported(`${at}.restartPolicy`, policy, ["Always"])]),
    ...(spec?.activeDeadlineSeconds === undefined
      ? []
      : [forbidden(`${at}.activeDeadlineSeconds`, `activeDeadlineSeconds in ${owner} is not Supported`)]),
  ];
}

function validateOrdering(spec: StatefulSetSpec): readonly FieldError[] {
  const errors: FieldError[] = [];
  const management = spec.podManagementPolicy ?? "";
  if (management === "") errors.push(required("spec.podManagementPolicy"));
  else if (management !== "OrderedReady" && management !== "Parallel") {
    errors.push(invalid("spec.podManagementPolicy", management, "must be 'OrderedReady' or 'Parallel'"));
  }
  const at = "spec.updateStrategy";
  const { type = "", rollingUpdate } = spec.updateStrategy ?? {};
  if (type === "") errors.push(required(at));
  else if (type === "OnDelete") {
    if (rollingUpdate !== undefined) {
      const value = statefulStrategyAsGo(type, rollingUpdate).RollingUpdate;
      errors.push(invalid(`${at}.rollingUpdate`, value, "only allowed for updateStrategy 'RollingUpdate'"));
    }
  } else if (type === "RollingUpdate") {
    errors.push(...nonNegative(`${at}.rollingUpdate.partition`, rollingUpdate?.partition));
    const maximum = rollingUpdate?.maxUnavailable;
    if (maximum !== undefined) {
      errors.push(...countOrPercent(`${at}.rollingUpdate.maxUnavailable`, maximum));
      if (amountOf(maximum) === 0) errors.push(invalid(`${at}.rollingUpdate.maxUnavailable`, maximum, "cannot be 0"));
      errors.push(...atMostAll(`${at}.rollingUpdate.maxUnavailable`, maximum));
    }
  } else errors.push(invalid(at, statefulStrategyAsGo(type, rollingUpdate), "must be 'RollingUpdate' or 'OnDelete'"));
  const policies = ["Delete", "Retain"];
  for (const name of ["whenDeleted", "whenScaled"] as const) {
    const policy = spec.persistentVolumeClaimRetentionPolicy?.[name] ?? "";
    if (!policies.includes(policy))
      errors.push(notSupported(`spec.persistentVolumeClaimRetentionPolicy.${name}`, policy, ["Retain", "Delete"]));
  }
  return errors;
}

/** Claims are not provided here, but those written for other clusters must be right all the same. */
function validateClaims(claims: readonly PersistentVolumeClaim[]): readonly FieldError[] {
  return claims.flatMap(({ metadata, spec = {} }, i) => {
    const at = `spec.volumeClaimTemplates[${i}]`;
    const { accessModes = [], resources } = spec;
    const errors: FieldError[] = [...validateLabels(metadata?.labels, `${at}.metadata.labels`)];
    if (accessModes.length === 0) errors.push(required(`${at}.spec.accessModes`, "at least 1 access mode is required"));
    for (const mode of accessModes) if (!claimModes.includes(mode)) errors.push(notSupported(`${at}.spec.accessModes`, mode, claimModes));
    const storage = resources?.requests?.["storage"];
    if (storage === undefined) errors.push(required(`${at}.spec.resources[storage]`));
    else if (compareQuantity(storage, "0") <= 0) {
      errors.push(invalid(`${at}.spec.resources[storage]`, storage, "must be greater than zero"));
    }
    return errors;
  });
}

const claimModes = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

/** The template as its members get it: host name and subdomain come from the set, volumes of its claims exist. */
function forMembers({ template, volumeClaimTemplates = [] }: StatefulSetSpec): PodTemplateSpec {
  const out = draftOf(template) as Draft<PodTemplateSpec>;
  if (out.spec === undefined) return template;
  delete out.spec.hostname;
  delete out.spec.subdomain;
  const claims = [...new Set(volumeClaimTemplates.map((claim) => claim.metadata?.name ?? ""))];
  const others = (out.spec.volumes ?? []).filter((volume) => !claims.includes(volume.name));
  if (claims.length > 0) out.spec.volumes = [...claims.map((name) => ({ name, persistentVolumeClaim: { claimName: name } })), ...others];
  return out;
}

const statefulChangeable = [
  "replicas",
  "template",
  "updateStrategy",
  "minReadySeconds",
  "ordinals",
  "revisionHistoryLimit",
  "persistentVolumeClaimRetentionPolicy",
] as const;

function validateStatefulChange(spec: StatefulSetSpec, old: StatefulSetSpec): readonly FieldError[] {
  const merged: Record<string, unknown> = { ...spec };
  for (const name of statefulChangeable) {
    if (old[name] === undefined) delete merged[name];
    else merged[name] = old[name];
  }
  if (semanticEqual(merged, old)) return [];
  const fields =
    "'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds'";
  return [forbidden("spec", `updates to statefulset spec for fields other than ${fields} are forbidden`)];
}
