import { Map as PersistentMap } from "immutable";
import type { ConfigMap, Namespace, Node, Pod, Secret, Service } from "../api/types/core-v1.generated.ts";
import type { EndpointSlice } from "../api/types/discovery-v1.generated.ts";
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
];

/** An immutable view of the API's objects. Two snapshots share all that did not change. */
export interface Snapshot {
  readonly tables: { readonly [K in Kind]: PersistentMap<ObjectKey, SnapshotKinds[K]> };
  /** Service key → its slices by slice key, from the label `kubernetes.io/service-name`. */
  readonly slicesByService: PersistentMap<ObjectKey, PersistentMap<ObjectKey, EndpointSlice>>;
}

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
  },
  slicesByService: PersistentMap(),
};

/** The key of an object by its metadata. */
export function objectKey(o: { readonly metadata?: { readonly namespace?: string; readonly name?: string } }): ObjectKey {
  const { namespace, name } = o.metadata ?? {};
  return namespace === undefined || namespace === "" ? (name ?? "") : `${namespace}/${name ?? ""}`;
}

/** The Service a slice belongs to, or undefined for a slice without the label. */
export function serviceOfSlice(slice: EndpointSlice): ObjectKey | undefined {
  const name = slice.metadata?.labels?.[serviceNameLabel];
  return name === undefined ? undefined : `${slice.metadata?.namespace ?? ""}/${name}`;
}
