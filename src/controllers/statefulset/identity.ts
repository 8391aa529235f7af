import { semanticEqual } from "../../api/json-value.ts";
import type { ControllerRevision, StatefulSet } from "../../api/types/apps-v1.generated.ts";
import type { PersistentVolumeClaim, Pod, PodTemplateSpec, Volume } from "../../api/types/core-v1.generated.ts";
import { resources } from "../../client/resources.ts";
import { controllerRef } from "../owner.ts";
import { revisionHashLabel, templateOf } from "../revisions.ts";

const podNameLabel = "statefulset.kubernetes.io/pod-name";
const podIndexLabel = "apps.kubernetes.io/pod-index";

export function firstOrdinal(set: StatefulSet): number {
  return set.spec?.ordinals?.start ?? 0;
}

/** The number at the end of a member's name; undefined for pods that are none of its members. */
export function ordinalOf(set: StatefulSet, pod: Pod): number | undefined {
  const prefix = `${set.metadata?.name ?? ""}-`;
  const name = pod.metadata?.name ?? "";
  const digits = name.startsWith(prefix) ? name.slice(prefix.length) : "";
  return /^(0|[1-9]\d*)$/.test(digits) ? Number(digits) : undefined;
}

export function revisionNameOf(pod: Pod): string {
  return pod.metadata?.labels?.[revisionHashLabel] ?? "";
}

/** The member of an ordinal, made from a revision: its name is its host name, and its volumes follow it. */
export function memberOf(set: StatefulSet, ordinal: number, revision: ControllerRevision): Pod {
  const template: PodTemplateSpec = templateOf(revision) ?? set.spec?.template ?? {};
  const name = `${set.metadata?.name ?? ""}-${ordinal}`;
  const { annotations, finalizers } = template.metadata ?? {};
  return {
    metadata: {
      namespace: set.metadata?.namespace ?? "",
      name,
      labels: { ...template.metadata?.labels, ...identityLabels(name, ordinal), [revisionHashLabel]: revision.metadata?.name ?? "" },
      ...(annotations === undefined ? {} : { annotations }),
      ...(finalizers === undefined ? {} : { finalizers }),
      ownerReferences: [controllerRef(resources.statefulSets, set)],
    },
    spec: {
      ...template.spec,
      hostname: name,
      subdomain: set.spec?.serviceName ?? "",
      ...volumesOf(set, name, template),
    },
  };
}

function identityLabels(name: string, ordinal: number): Record<string, string> {
  return { [podNameLabel]: name, [podIndexLabel]: String(ordinal) };
}

/** What must be put right in a member's labels; undefined when nothing. */
export function missingIdentity(pod: Pod, ordinal: number): Record<string, string> | undefined {
  const wanted = identityLabels(pod.metadata?.name ?? "", ordinal);
  return semanticEqual({ ...pod.metadata?.labels, ...wanted }, pod.metadata?.labels) ? undefined : wanted;
}

function volumesOf(set: StatefulSet, pod: string, template: PodTemplateSpec): { readonly volumes?: readonly Volume[] } {
  const claims = (set.spec?.volumeClaimTemplates ?? []).map((c) => c.metadata?.name ?? "");
  const others = (template.spec?.volumes ?? []).filter((v) => !claims.includes(v.name));
  const own = claims.map((name) => ({ name, persistentVolumeClaim: { claimName: `${name}-${pod}` } }));
  return own.length + others.length === 0 ? {} : { volumes: [...own, ...others] };
}

/** The claims of a member; they outlive it. */
export function claimsOf(set: StatefulSet, ordinal: number): readonly PersistentVolumeClaim[] {
  const pod = `${set.metadata?.name ?? ""}-${ordinal}`;
  return (set.spec?.volumeClaimTemplates ?? []).map((claim) => ({
    metadata: {
      namespace: set.metadata?.namespace ?? "",
      name: `${claim.metadata?.name ?? ""}-${pod}`,
      labels: { ...claim.metadata?.labels, ...set.spec?.selector?.matchLabels },
      ...(claim.metadata?.annotations === undefined ? {} : { annotations: claim.metadata.annotations }),
    },
    ...(claim.spec === undefined ? {} : { spec: claim.spec }),
  }));
}
