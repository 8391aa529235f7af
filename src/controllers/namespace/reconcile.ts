import type { Namespace, NamespaceCondition } from "../../api/types/core-v1.generated.ts";
import { resources } from "../../client/resources.ts";
import { nothingToDo, type Outcome } from "../outcome.ts";
import { printTime } from "../pod-state.ts";
import { statusPatch } from "../status-patch.ts";

/** What is left in a namespace after its content was asked to go. */
export interface Remaining {
  /** `pods.`, `deployments.apps` → how many. */
  readonly counts: ReadonlyMap<string, number>;
  /** Finalizer → how many objects wait for it. */
  readonly finalizers: ReadonlyMap<string, number>;
  /** Kinds that could not be deleted or listed, with why. */
  readonly failures: readonly string[];
}

const finalizer = "kubernetes";
/** Pods take their grace period; nothing announces the last object's end for kinds that are not watched. */
const againMs = 500;

export function isGoing(namespace: Namespace): boolean {
  return namespace.metadata?.deletionTimestamp !== undefined && (namespace.spec?.finalizers ?? []).includes(finalizer);
}

/** Lets a namespace go once nothing is left in it, and says until then what it waits for. */
export function reconcileNamespace(namespace: Namespace, remaining: Remaining, now: number): Outcome {
  if (!isGoing(namespace)) return nothingToDo;
  if (remaining.counts.size === 0 && remaining.failures.length === 0) {
    const finalizers = (namespace.spec?.finalizers ?? []).filter((f) => f !== finalizer);
    const object = { ...namespace, spec: { ...namespace.spec, finalizers } } as Namespace;
    return { writes: [{ kind: "update", of: resources.namespaces, object, subresource: "finalize" }] };
  }
  const status = { ...namespace.status, phase: "Terminating", conditions: conditionsOf(namespace, remaining, now) };
  const patch = statusPatch(resources.namespaces, namespace, status);
  return { writes: patch === undefined ? [] : [patch], againAfterMs: againMs };
}

function conditionsOf(namespace: Namespace, r: Remaining, now: number): readonly NamespaceCondition[] {
  const list = (table: ReadonlyMap<string, number>, word: string): string =>
    [...table]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, n]) => `${name} ${word} ${n} resource instances`)
      .join(", ");
  const wanted: readonly (readonly [type: string, on: boolean, reason: string, message: string, off: readonly [string, string]])[] = [
    [
      "NamespaceDeletionContentFailure",
      r.failures.length > 0,
      "ContentDeletionFailed",
      `Failed to delete all resource types, ${r.failures.length} remaining: ${r.failures.join(", ")}`,
      ["ContentDeleted", "All content successfully deleted, may be waiting on finalization"],
    ],
    [
      "NamespaceContentRemaining",
      r.counts.size > 0,
      "SomeResourcesRemain",
      `Some resources are remaining: ${list(r.counts, "has")}`,
      ["ContentRemoved", "All content successfully removed"],
    ],
    [
      "NamespaceFinalizersRemaining",
      r.finalizers.size > 0,
      "SomeFinalizersRemain",
      `Some content in the namespace has finalizers remaining: ${list(r.finalizers, "in")}`,
      ["ContentHasNoFinalizers", "All content-preserving finalizers finished"],
    ],
  ];
  return wanted.map(([type, on, reason, message, [offReason, offMessage]]) => {
    const next = on ? { status: "True", reason, message } : { status: "False", reason: offReason, message: offMessage };
    const known = namespace.status?.conditions?.find((c) => c.type === type);
    const lastTransitionTime = known?.status === next.status ? (known.lastTransitionTime ?? printTime(now)) : printTime(now);
    return { type, ...next, lastTransitionTime };
  });
}
