import { Map as PersistentMap } from "immutable";
import type { ConfigMap, Namespace, Node, Pod, Secret, Service } from "../api/types/core-v1.generated.ts";
import type { EndpointSlice } from "../api/types/discovery-v1.generated.ts";
import type { ServiceImport } from "../api/types/multicluster-v1alpha1.generated.ts";
import type { Ingress, IngressClass, ServiceCIDR } from "../api/types/networking-v1.generated.ts";

/** `namespace/name`, or `name` for cluster-scoped kinds. */
export type ObjectKey = string;

/** The kinds that dataplanes read. */
export interface SnapshotKinds {
  readonly Service: Service;
  readonly EndpointSlice: EndpointSlice;
  readonly Node: Node;
  readonly ServiceCIDR: ServiceCIDR;
  readonly Namespace: Namespace;
  readonly Pod: Pod;
  readonly Ingress: Ingress;
  readonly IngressClass: IngressClass;
  readonly Secret: Secret;
  readonly ConfigMap: ConfigMap;
  readonly ServiceImport: ServiceImport;
}
export type Kind = keyof SnapshotKinds;
export const snapshotKinds: readonly Kind[] = [
  "Service",
  "EndpointSlice",
  "Node",
  "ServiceCIDR",
  "Namespace",
  "Pod",
  "Ingress",
  "IngressClass",
  "Secret",
  "ConfigMap",
  "ServiceImport",
];

/** An immutable view of the API's objects. Two snapshots share all that did not change. */
export interface Snapshot {
  readonly tables: { readonly [K in Kind]: PersistentMap<ObjectKey, SnapshotKinds[K]> };
  /** Service key → its slices by slice key, from the label `kubernetes.io/service-name`. */
  readonly slicesByService: SliceIndex;
  /** ServiceImport key → the slices of all clusters, from the label `multicluster.kubernetes.io/service-name`. */
  readonly slicesByImport: SliceIndex;
}

/** Slices by slice key, by what they belong to. */
export type SliceIndex = PersistentMap<ObjectKey, PersistentMap<ObjectKey, EndpointSlice>>;

/** Why a batch happened: which object, at which revision. */
export interface Cause {
  readonly kind: Kind;
  readonly key: ObjectKey;
  readonly resourceVersion: string;
}

/** All that changed between two snapshots, keyed. A key is dirty also when its object was only replaced by an equal one. */
export interface Batch {
  readonly before: Snapshot;
  readonly after: Snapshot;
  readonly dirty: ReadonlyMap<Kind, ReadonlySet<ObjectKey>>;
  readonly causes: readonly Cause[];
}

export const serviceNameLabel = "kubernetes.io/service-name";
export const importNameLabel = "multicluster.kubernetes.io/service-name";

export const emptySnapshot: Snapshot = {
  tables: {
    Service: PersistentMap(),
    EndpointSlice: PersistentMap(),
    Node: PersistentMap(),
    ServiceCIDR: PersistentMap(),
    Namespace: PersistentMap(),
    Pod: PersistentMap(),
    Ingress: PersistentMap(),
    IngressClass: PersistentMap(),
    Secret: PersistentMap(),
    ConfigMap: PersistentMap(),
    ServiceImport: PersistentMap(),
  },
  slicesByService: PersistentMap(),
  slicesByImport: PersistentMap(),
};

/** The key of an object by its metadata. */
export function objectKey(o: { readonly metadata?: { readonly namespace?: string; readonly name?: string } }): ObjectKey {
  const { namespace, name } = o.metadata ?? {};
  return namespace === undefined || namespace === "" ? (name ?? "") : `${namespace}/${name ?? ""}`;
}

/** The Service a slice belongs to, or undefined for a slice without the label. */
export function serviceOfSlice(slice: EndpointSlice): ObjectKey | undefined {
  return ownerOf(slice, serviceNameLabel);
}

/** Services that a batch changes, by themselves or by a slice that is, or was, theirs. */
export function changedServices(batch: Batch): Set<ObjectKey> {
  const keys = new Set<ObjectKey>(batch.dirty.get("Service"));
  for (const slice of batch.dirty.get("EndpointSlice") ?? []) {
    const before = batch.before.tables.EndpointSlice.get(slice);
    const after = batch.after.tables.EndpointSlice.get(slice);
    const owner = before === undefined ? undefined : serviceOfSlice(before);
    if (owner !== undefined) keys.add(owner);
    const now = after === undefined || after === before ? undefined : serviceOfSlice(after);
    if (now !== undefined) keys.add(now);
  }
  return keys;
}

/** The ServiceImport a slice belongs to, or undefined for a slice of this cluster alone. */
export function importOfSlice(slice: EndpointSlice): ObjectKey | undefined {
  return ownerOf(slice, importNameLabel);
}

function ownerOf(slice: EndpointSlice, label: string): ObjectKey | undefined {
  const name = slice.metadata?.labels?.[label];
  return name === undefined ? undefined : `${slice.metadata?.namespace ?? ""}/${name}`;
}
