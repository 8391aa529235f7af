import type { Node, Service } from "../../src/api/types/core-v1.generated.ts";
import type { EndpointSlice } from "../../src/api/types/discovery-v1.generated.ts";
import { type Kind, objectKey, type SnapshotKinds } from "../../src/snapshot/cluster-snapshot.ts";
import type { SnapshotStore } from "../../src/snapshot/snapshot-store.ts";

type ServiceSpec = NonNullable<Service["spec"]>;

export function makeService(name: string, spec: ServiceSpec, more: Omit<Service, "spec"> = {}): Service {
  return {
    apiVersion: "v1",
    kind: "Service",
    ...more,
    metadata: { namespace: "test", name, ...more.metadata },
    spec: { type: "ClusterIP", ports: [{ port: 80, protocol: "TCP" }], ...spec },
  };
}

export interface SliceEndpoint {
  readonly ip: string;
  readonly node?: string;
  readonly ready?: boolean;
  readonly serving?: boolean;
  readonly terminating?: boolean;
  readonly zones?: readonly string[];
  readonly nodes?: readonly string[];
  readonly pod?: string;
  readonly hostname?: string;
  readonly zone?: string;
}

/** Endpoints are addresses, or say more. Ports default to the unnamed TCP port 8080. */
export function makeSlice(
  service: string,
  endpoints: readonly (string | SliceEndpoint)[],
  more: { readonly name?: string; readonly ports?: EndpointSlice["ports"]; readonly namespace?: string } = {},
): EndpointSlice {
  const list = endpoints.map((e): SliceEndpoint => (typeof e === "string" ? { ip: e } : e));
  const v6 = list[0]?.ip.includes(":") ?? false;
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      namespace: more.namespace ?? "test",
      name: more.name ?? `${service}-${v6 ? 6 : 4}`,
      labels: { "kubernetes.io/service-name": service },
    },
    addressType: v6 ? "IPv6" : "IPv4",
    endpoints: list.map((e) => ({
      addresses: [e.ip],
      conditions: {
        ready: e.ready ?? !(e.terminating ?? false),
        serving: e.serving ?? e.ready ?? true,
        terminating: e.terminating ?? false,
      },
      ...(e.node === undefined ? {} : { nodeName: e.node }),
      ...(e.hostname === undefined ? {} : { hostname: e.hostname }),
      ...(e.zone === undefined ? {} : { zone: e.zone }),
      ...(e.pod === undefined ? {} : { targetRef: { kind: "Pod", name: e.pod } }),
      ...(e.zones === undefined && e.nodes === undefined
        ? {}
        : {
            hints: {
              ...(e.zones === undefined ? {} : { forZones: e.zones.map((name) => ({ name })) }),
              ...(e.nodes === undefined ? {} : { forNodes: e.nodes.map((name) => ({ name })) }),
            },
          }),
    })),
    ports: more.ports ?? [{ name: "", protocol: "TCP", port: 8080 }],
  };
}

export function makeNode(
  name: string,
  addresses: readonly string[],
  podCIDRs: readonly string[],
  labels: Readonly<Record<string, string>> = {},
): Node {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels },
    spec: { podCIDRs: [...podCIDRs] },
    status: { addresses: addresses.map((address) => ({ type: "InternalIP", address })) },
  };
}

type AnyObject = SnapshotKinds[Kind] & { readonly kind?: string };

/** Puts objects into a store as first lists do, so that all kinds the rules need are synced. */
export function fillStore(store: SnapshotStore, objects: readonly AnyObject[]): void {
  for (const kind of ["Node", "ServiceCIDR", "EndpointSlice", "Service"] as const) {
    store.replace(kind, objects.filter((o) => o.kind === kind) as never);
  }
}

export function put<K extends Kind>(store: SnapshotStore, kind: K, object: SnapshotKinds[K], resourceVersion = "1"): void {
  store.apply(kind, objectKey(object), object, resourceVersion);
}
