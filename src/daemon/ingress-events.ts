import type { ObjectReference } from "../api/types/core-v1.generated.ts";
import type { ObjectMeta } from "../api/types/meta-v1.generated.ts";
import type { Ingress } from "../api/types/networking-v1.generated.ts";
import type { EventRecorder } from "../client/events.ts";
import { type ObjectKey, objectKey } from "../snapshot/cluster-snapshot.ts";
import type { Problem } from "../snapshot/problem.ts";

export interface SyncEvents {
  readonly record: EventRecorder["record"];
  /** The generation of each Ingress that was told of; kept from call to call. */
  readonly synced: Map<ObjectKey, number>;
  readonly problems: readonly Problem[];
}

/** No object has this generation. */
const untold = -1;

/**
 * An Event on each Ingress that is served for the first time, or in another form: how many paths it has, and how much is wrong
 * with it. One that has addresses already was told of by an earlier process.
 */
export function recordSyncs(ingresses: readonly Ingress[], { record, synced, problems }: SyncEvents): void {
  const wrong = new Map<ObjectKey, number>();
  for (const { object } of problems) {
    if (object.kind !== "Ingress") continue;
    const key = `${object.namespace ?? ""}/${object.name}`;
    wrong.set(key, (wrong.get(key) ?? 0) + 1);
  }
  const there = new Set<ObjectKey>();
  for (const ingress of ingresses) {
    const key = objectKey(ingress);
    const generation = ingress.metadata?.generation ?? 0;
    there.add(key);
    const known = synced.get(key) ?? ((ingress.status?.loadBalancer?.ingress ?? []).length > 0 ? generation : undefined);
    const told = known === generation || record(syncEvent(ingress, wrong.get(key) ?? 0));
    // what was not taken is still to be told of, whatever addresses it has by then
    synced.set(key, told ? generation : untold);
  }
  for (const key of synced.keys()) if (!there.has(key)) synced.delete(key);
}

function syncEvent({ metadata, spec }: Ingress, problems: number): Parameters<EventRecorder["record"]>[0] {
  const paths = (spec?.rules ?? []).reduce((n, r) => n + (r.http?.paths ?? []).length, 0);
  const found = `${paths === 1 ? "one path" : `${paths} paths`}${spec?.defaultBackend === undefined ? "" : " and a default backend"}`;
  const wrong = problems === 1 ? "one problem, which a Warning tells" : `${problems} problems, each told by a Warning`;
  return {
    regarding: ingressReference(metadata),
    type: "Normal",
    reason: "Sync",
    // what has problems may be shut
    message: problems === 0 ? `served with ${found}` : `${found}; ${wrong}`,
    shared: true,
  };
}

/** With its uid: `kubectl describe` asks by that. */
export function ingressReference({ namespace, name, uid }: ObjectMeta = {}): ObjectReference {
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "Ingress",
    ...(namespace === undefined ? {} : { namespace }),
    ...(name === undefined ? {} : { name }),
    ...(uid === undefined ? {} : { uid }),
  };
}
