import type { Kind, SnapshotKinds } from "../snapshot/cluster-snapshot.ts";
import type { ResourceOf } from "./resource.ts";
import { resources } from "./resources.ts";

/** Where the objects of a snapshot come from. */
export const resourceOfKind: { readonly [K in Kind]: ResourceOf<SnapshotKinds[K]> } = {
  Service: resources.services,
  EndpointSlice: resources.endpointSlices,
  Node: resources.nodes,
  ServiceCIDR: resources.serviceCidrs,
  Namespace: resources.namespaces,
  Pod: resources.pods,
  Ingress: resources.ingresses,
  IngressClass: resources.ingressClasses,
  Secret: resources.secrets,
  ConfigMap: resources.configMaps,
  ServiceImport: resources.serviceImports,
};
