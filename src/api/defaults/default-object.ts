import { type Draft, draftOf, isRecord, type JsonObject } from "../json-value.ts";
import type { Resource } from "../scheme.ts";
import type { DaemonSet, Deployment, ReplicaSet, StatefulSet } from "../types/apps-v1.generated.ts";
import type { Endpoints, Namespace, Node, Pod, Secret, Service } from "../types/core-v1.generated.ts";
import type { EndpointSlice } from "../types/discovery-v1.generated.ts";
import type { IngressClass } from "../types/networking-v1.generated.ts";
import { defaultPod } from "./pod-defaults.ts";
import { defaultService } from "./service-defaults.ts";
import { defaultDaemonSet, defaultDeployment, defaultReplicaSet, defaultStatefulSet } from "./workload-defaults.ts";

/**
 * The object with every default filled in that Kubernetes' API server fills in. Give it what `checkStructure` gave:
 * types are trusted. The argument is not changed; defaulting twice changes nothing more.
 */
export function defaultObject(resource: Pick<Resource, "group" | "kind">, object: unknown): JsonObject {
  if (!isRecord(object)) return {};
  const draft = draftOf(object) as unknown as JsonObject;
  const fill = defaulters[`${resource.group}/${resource.kind}`];
  fill?.(draft);
  return draft;
}

const defaulters: Readonly<Record<string, (object: JsonObject) => void>> = {
  "/Pod": of<Pod>(defaultPod),
  "/Service": of<Service>(defaultService),
  "/Namespace": of<Namespace>(defaultNamespace),
  "/Node": of<Node>(defaultNode),
  "/Secret": of<Secret>(defaultSecret),
  "/Endpoints": of<Endpoints>(defaultEndpoints),
  "apps/Deployment": of<Deployment>(defaultDeployment),
  "apps/ReplicaSet": of<ReplicaSet>(defaultReplicaSet),
  "apps/StatefulSet": of<StatefulSet>(defaultStatefulSet),
  "apps/DaemonSet": of<DaemonSet>(defaultDaemonSet),
  "discovery.k8s.io/EndpointSlice": of<EndpointSlice>(defaultEndpointSlice),
  "networking.k8s.io/IngressClass": of<IngressClass>(defaultIngressClass),
};

/** The table above knows which type stands behind which kind; `checkStructure` has made it true. */
function of<T>(fill: (object: Draft<T>) => void): (object: JsonObject) => void {
  return (object) => fill(object as Draft<T>);
}

function defaultNamespace(namespace: Draft<Namespace>): void {
  const name = namespace.metadata?.name ?? "";
  if (namespace.metadata !== undefined && name !== "") {
    namespace.metadata.labels = { ...namespace.metadata.labels, "kubernetes.io/metadata.name": name };
  }
  namespace.status = { ...namespace.status, phase: namespace.status?.phase || "Active" };
}

function defaultNode({ spec, status }: Draft<Node>): void {
  // The old field and the first of the new ones are the same range; the old one wins where they differ.
  if (spec?.podCIDR && spec.podCIDRs?.[0] !== spec.podCIDR) spec.podCIDRs = [spec.podCIDR];
  else if (spec?.podCIDRs?.[0]) spec.podCIDR = spec.podCIDRs[0];
  if (status?.capacity !== undefined) status.allocatable ??= { ...status.capacity };
}

/** `stringData` is for writing only: it is folded into data, base64, and wins over it. */
function defaultSecret(secret: Draft<Secret>): void {
  secret.type ||= "Opaque";
  if (secret.stringData === undefined) return;
  const data = { ...secret.data };
  for (const [key, text] of Object.entries(secret.stringData)) data[key] = Buffer.from(text, "utf8").toString("base64");
  if (Object.keys(data).length > 0) secret.data = data;
  delete secret.stringData;
}

function defaultEndpoints(endpoints: Draft<Endpoints>): void {
  for (const subset of endpoints.subsets ?? []) for (const port of subset.ports ?? []) port.protocol ||= "TCP";
}

function defaultEndpointSlice(slice: Draft<EndpointSlice>): void {
  for (const port of slice.ports ?? []) {
    port.name ??= "";
    port.protocol ??= "TCP";
  }
}

function defaultIngressClass({ spec }: Draft<IngressClass>): void {
  if (spec?.parameters !== undefined) spec.parameters.scope ??= "Cluster";
}
