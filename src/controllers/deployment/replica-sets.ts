import { isRecord, semanticEqual } from "../../api/json-value.ts";
import type { Deployment, ReplicaSet } from "../../api/types/apps-v1.generated.ts";
import type { PodTemplateSpec } from "../../api/types/core-v1.generated.ts";
import { resolveIntOrPercent } from "../int-or-percent.ts";

export const revisionAnnotation = "deployment.kubernetes.io/revision";
export const revisionHistoryAnnotation = "deployment.kubernetes.io/revision-history";
export const desiredAnnotation = "deployment.kubernetes.io/desired-replicas";
export const maxReplicasAnnotation = "deployment.kubernetes.io/max-replicas";
export const templateHashLabel = "pod-template-hash";

/** Annotations of a Deployment that its ReplicaSets do not share. */
const notCopied: ReadonlySet<string> = new Set([
  "kubectl.kubernetes.io/last-applied-configuration",
  revisionAnnotation,
  revisionHistoryAnnotation,
  desiredAnnotation,
  maxReplicasAnnotation,
  "deprecated.deployment.rollback.to",
]);

export function desiredReplicas(d: Deployment): number {
  return d.spec?.replicas ?? 1;
}

export function replicasOf(rs: ReplicaSet): number {
  return rs.spec?.replicas ?? 1;
}

export function sumReplicas(sets: readonly ReplicaSet[]): number {
  return sets.reduce((n, rs) => n + replicasOf(rs), 0);
}

/** Revisions count in 64 bits, as in Kubernetes: an adopted ReplicaSet may bring any. 0 where there is none, or no such number. */
export function revisionOf(o: { readonly metadata?: { readonly annotations?: Readonly<Record<string, string>> } }): bigint {
  const text = o.metadata?.annotations?.[revisionAnnotation] ?? "";
  if (!/^[+-]?\d{1,19}$/.test(text)) return 0n;
  const revision = BigInt(text.replace("+", ""));
  return BigInt.asIntN(64, revision) === revision ? revision : 0n;
}

/** The revision of a template that is newer than all of these. */
export function nextRevision(old: readonly ReplicaSet[]): bigint {
  const last = [...old].sort(byRevision).at(-1);
  return (last === undefined ? 0n : revisionOf(last)) + 1n;
}

/** Oldest revision first. */
export function byRevision(a: ReplicaSet, b: ReplicaSet): number {
  return Number(revisionOf(a) - revisionOf(b));
}

/** maxSurge and maxUnavailable as numbers. Both zero would stand still, so then one pod may be missing. */
export function limitsOf(d: Deployment): { readonly surge: number; readonly unavailable: number } {
  const replicas = desiredReplicas(d);
  if (d.spec?.strategy?.type === "Recreate") return { surge: 0, unavailable: 0 };
  const rolling = d.spec?.strategy?.rollingUpdate;
  const surge = resolveIntOrPercent(rolling?.maxSurge ?? "25%", replicas, "up") ?? 0;
  const unavailable = resolveIntOrPercent(rolling?.maxUnavailable ?? "25%", replicas, "down") ?? 0;
  if (surge === 0 && unavailable === 0) return { surge, unavailable: 1 };
  return { surge, unavailable: Math.min(unavailable, replicas) };
}

export function sameTemplate(a: PodTemplateSpec | undefined, b: PodTemplateSpec | undefined): boolean {
  return semanticEqual(withoutHash(a), withoutHash(b));
}

function withoutHash(template: PodTemplateSpec | undefined): unknown {
  const labels = template?.metadata?.labels;
  if (labels === undefined || !Object.hasOwn(labels, templateHashLabel)) return template;
  const { [templateHashLabel]: _, ...rest } = labels;
  return { ...template, metadata: { ...template?.metadata, labels: rest } };
}

/** The ReplicaSet of the Deployment's template as it is now: the oldest, should there be several. */
export function findNew(d: Deployment, sets: readonly ReplicaSet[]): ReplicaSet | undefined {
  return sets.filter((rs) => sameTemplate(rs.spec?.template, d.spec?.template)).sort(byAge)[0];
}

/** Oldest first. */
export function byAge(a: ReplicaSet, b: ReplicaSet): number {
  const x = a.metadata?.creationTimestamp ?? "";
  const y = b.metadata?.creationTimestamp ?? "";
  if (x !== y) return x < y ? -1 : 1;
  return (a.metadata?.name ?? "") < (b.metadata?.name ?? "") ? -1 : 1;
}

/** The annotations a ReplicaSet of this revision should have. Coming back to an older template adds the revision it had to its history. */
export function annotationsFor(d: Deployment, rs: ReplicaSet | undefined, revision: bigint): Record<string, string> {
  const annotations: Record<string, string> = { ...rs?.metadata?.annotations };
  for (const [key, value] of Object.entries(d.metadata?.annotations ?? {})) if (!notCopied.has(key)) annotations[key] = value;
  const had = rs === undefined ? 0n : revisionOf(rs);
  if (had < revision) {
    annotations[revisionAnnotation] = String(revision);
    if (had > 0n) {
      const history = (annotations[revisionHistoryAnnotation] ?? "").split(",").filter((r) => r !== "");
      annotations[revisionHistoryAnnotation] = [...history.filter((r) => r !== String(had)), String(had)].join(",");
    }
  }
  // The size of an existing one is told where it is changed, so that a scale in between is not missed.
  if (rs === undefined) Object.assign(annotations, sizeAnnotations(desiredReplicas(d), limitsOf(d).surge));
  return annotations;
}

export function sizeAnnotations(desired: number, surge: number): Record<string, string> {
  return { [desiredAnnotation]: String(desired), [maxReplicasAnnotation]: String(desired + (desired > 0 ? surge : 0)) };
}

/** A number that an annotation holds. */
export function numberAnnotation(rs: ReplicaSet, name: string): number | undefined {
  const annotations: unknown = rs.metadata?.annotations;
  const text = isRecord(annotations) ? annotations[name] : undefined;
  const n = typeof text === "string" ? Number(text) : Number.NaN;
  return Number.isSafeInteger(n) ? n : undefined;
}
