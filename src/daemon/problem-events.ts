import type { ObjectReference } from "../api/types/core-v1.generated.ts";
import type { EventRecorder } from "../client/events.ts";
import type { Kind } from "../snapshot/cluster-snapshot.ts";
import { type ObjectRef, type Problem, printObjectRef } from "../snapshot/problem.ts";
import type { SnapshotStore } from "../snapshot/snapshot-store.ts";

const apiVersions: Partial<Record<string, string>> = {
  Service: "v1",
  Node: "v1",
  Secret: "v1",
  ConfigMap: "v1",
  Namespace: "v1",
  EndpointSlice: "discovery.k8s.io/v1",
  Ingress: "networking.k8s.io/v1",
  IngressClass: "networking.k8s.io/v1",
  ServiceCIDR: "networking.k8s.io/v1",
  ServiceImport: "multicluster.x-k8s.io/v1alpha1",
};

export interface ProblemEvents {
  readonly store: SnapshotStore;
  readonly record: EventRecorder["record"];
  /** What was recorded and is still so; kept from call to call. */
  readonly reported: Set<string>;
}

/**
 * Records each problem as an Event on its object when it begins. Another process that finds the same writes the same Event.
 * Of more problems at once than the recorder takes, the rest is recorded the next time.
 */
export function recordProblems(problems: readonly Problem[], { store, record, reported }: ProblemEvents): void {
  const now = new Set<string>();
  for (const p of problems) {
    const key = `${printObjectRef(p.object)}\n${p.reason}\n${p.field}\n${p.message}`;
    now.add(key);
    if (reported.has(key)) continue;
    const taken = record({
      regarding: referenceTo(p.object, store),
      type: "Warning",
      reason: p.reason,
      message: p.field === "" ? p.message : `${p.field}: ${p.message}`,
      shared: true,
    });
    if (taken) reported.add(key);
  }
  for (const key of reported) if (!now.has(key)) reported.delete(key);
}

/** With its uid, where the object is known: `kubectl describe` asks by that. */
export function referenceTo({ kind, namespace, name }: ObjectRef, store: SnapshotStore): ObjectReference {
  const uid = store.current.tables[kind as Kind]?.get(namespace === undefined ? name : `${namespace}/${name}`)?.metadata?.uid;
  return {
    kind,
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(uid === undefined ? {} : { uid }),
    ...(apiVersions[kind] === undefined ? {} : { apiVersion: apiVersions[kind] }),
  };
}
