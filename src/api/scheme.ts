/** A path below an object with verbs of its own. `kind` (with group and version) is what it takes or gives when that is not the parent. */
export interface Subresource {
  readonly name: string;
  readonly kind?: string;
  readonly group?: string;
  readonly version?: string;
  readonly verbs: readonly string[];
}

/** One kind that the API serves: its names, where it lives and what may be done with it. */
export interface Resource {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  /** Its key in the generated table of types. */
  readonly type: string;
  readonly verbs: readonly string[];
  readonly subresources: readonly Subresource[];
  readonly fieldSelectors: readonly string[];
}

interface Declared {
  readonly short?: readonly string[];
  readonly categories?: readonly string[];
  readonly cluster?: true;
  readonly without?: readonly string[];
  readonly subresources?: readonly Subresource[];
  readonly fields?: readonly string[];
  /** Default v1. */
  readonly version?: string;
}

const allVerbs: readonly string[] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const getAndWrite: readonly string[] = ["get", "patch", "update"];
const proxyVerbs: readonly string[] = ["create", "delete", "get", "patch", "update"];
const status: Subresource = { name: "status", verbs: getAndWrite };
const scale: Subresource = { name: "scale", kind: "Scale", group: "autoscaling", version: "v1", verbs: getAndWrite };
const core = (name: string, kind: string, verbs: readonly string[]): Subresource => ({ name, kind, group: "", version: "v1", verbs });

const eventFields: readonly string[] = [
  "involvedObject.kind",
  "involvedObject.namespace",
  "involvedObject.name",
  "involvedObject.uid",
  "involvedObject.apiVersion",
  "involvedObject.resourceVersion",
  "involvedObject.fieldPath",
  "reason",
  "reportingComponent",
  "source",
  "type",
];

const regardingFields: readonly string[] = [
  "reason",
  "regarding.kind",
  "regarding.namespace",
  "regarding.name",
  "regarding.uid",
  "regarding.apiVersion",
  "regarding.resourceVersion",
  "regarding.fieldPath",
  "reportingController",
  "type",
];

/** Every resource, in the order discovery lists them: by group, then by plural name. */
export const resources: readonly Resource[] = [
  declare("", "ConfigMap", "configmaps", { short: ["cm"] }),
  declare("", "Endpoints", "endpoints", { short: ["ep"] }),
  declare("", "Event", "events", { short: ["ev"], fields: eventFields }),
  declare("", "Namespace", "namespaces", {
    short: ["ns"],
    cluster: true,
    without: ["deletecollection"],
    subresources: [{ name: "finalize", verbs: ["update"] }, status],
    fields: ["status.phase"],
  }),
  declare("", "Node", "nodes", {
    short: ["no"],
    cluster: true,
    subresources: [core("proxy", "NodeProxyOptions", proxyVerbs), status],
    fields: ["spec.unschedulable"],
  }),
  declare("", "Pod", "pods", {
    short: ["po"],
    categories: ["all"],
    subresources: [
      core("attach", "PodAttachOptions", ["create", "get"]),
      core("binding", "Binding", ["create"]),
      { name: "ephemeralcontainers", verbs: getAndWrite },
      { name: "eviction", kind: "Eviction", group: "policy", version: "v1", verbs: ["create"] },
      core("exec", "PodExecOptions", ["create", "get"]),
      { name: "log", verbs: ["get"] },
      core("portforward", "PodPortForwardOptions", ["create", "get"]),
      core("proxy", "PodProxyOptions", proxyVerbs),
      status,
    ],
    fields: [
      "spec.nodeName",
      "spec.restartPolicy",
      "spec.schedulerName",
      "spec.serviceAccountName",
      "spec.hostNetwork",
      "status.phase",
      "status.podIP",
      "status.podIPs",
      "status.nominatedNodeName",
    ],
  }),
  declare("", "Secret", "secrets", { fields: ["type"] }),
  declare("", "ServiceAccount", "serviceaccounts", {
    short: ["sa"],
    subresources: [{ name: "token", kind: "TokenRequest", group: "authentication.k8s.io", version: "v1", verbs: ["create"] }],
  }),
  declare("", "Service", "services", {
    short: ["svc"],
    categories: ["all"],
    subresources: [core("proxy", "ServiceProxyOptions", proxyVerbs), status],
    fields: ["spec.clusterIP", "spec.type"],
  }),
  declare("apps", "ControllerRevision", "controllerrevisions"),
  declare("apps", "DaemonSet", "daemonsets", { short: ["ds"], categories: ["all"], subresources: [status] }),
  declare("apps", "Deployment", "deployments", { short: ["deploy"], categories: ["all"], subresources: [scale, status] }),
  declare("apps", "ReplicaSet", "replicasets", {
    short: ["rs"],
    categories: ["all"],
    subresources: [scale, status],
    fields: ["status.replicas"],
  }),
  declare("apps", "StatefulSet", "statefulsets", { short: ["sts"], categories: ["all"], subresources: [scale, status] }),
  declare("coordination.k8s.io", "Lease", "leases"),
  declare("discovery.k8s.io", "EndpointSlice", "endpointslices"),
  declare("events.k8s.io", "Event", "events", { short: ["ev"], fields: regardingFields }),
  declare("multicluster.x-k8s.io", "ServiceImport", "serviceimports", {
    version: "v1alpha1",
    short: ["svcim", "svcimport"],
    subresources: [status],
  }),
  declare("networking.k8s.io", "IngressClass", "ingressclasses", { cluster: true }),
  declare("networking.k8s.io", "Ingress", "ingresses", { short: ["ing"], subresources: [status] }),
  declare("networking.k8s.io", "IPAddress", "ipaddresses", {
    short: ["ip"],
    cluster: true,
    fields: ["spec.parentRef.group", "spec.parentRef.resource", "spec.parentRef.namespace", "spec.parentRef.name"],
  }),
  declare("networking.k8s.io", "ServiceCIDR", "servicecidrs", { cluster: true, subresources: [status] }),
  declare("policy", "PodDisruptionBudget", "poddisruptionbudgets", { short: ["pdb"], subresources: [status] }),
];

const byPlural = new Map(resources.map((r) => [`${r.group}/${r.version}/${r.plural}`, r]));
const byKind = new Map(resources.map((r) => [`${apiVersionOf(r)}/${r.kind}`, r]));

export function findResource(group: string, version: string, plural: string): Resource | undefined {
  return byPlural.get(`${group}/${version}/${plural}`);
}

/** `apiVersion` as objects carry it: `v1`, `apps/v1`. */
export function resourceOfKind(apiVersion: string, kind: string): Resource | undefined {
  return byKind.get(`${apiVersion}/${kind}`);
}

/** `v1` for the core group, else `group/version`. */
export function apiVersionOf(resource: { readonly group: string; readonly version: string }): string {
  return resource.group === "" ? resource.version : `${resource.group}/${resource.version}`;
}

/** `deployments.apps`, `pods`: how messages name a resource. */
export function qualifiedName(resource: { readonly group: string; readonly plural: string }): string {
  return resource.group === "" ? resource.plural : `${resource.plural}.${resource.group}`;
}

/** `Deployment.apps`, `Pod`: how messages name a kind. */
export function qualifiedKind(resource: { readonly group: string; readonly kind: string }): string {
  return resource.group === "" ? resource.kind : `${resource.kind}.${resource.group}`;
}

function declare(group: string, kind: string, plural: string, d: Declared = {}): Resource {
  const folder = group === "" ? "core" : (group.split(".")[0] ?? group);
  const version = d.version ?? "v1";
  const namespaced = d.cluster !== true;
  return {
    group,
    version,
    kind,
    plural,
    singular: kind.toLowerCase(),
    shortNames: d.short ?? [],
    categories: d.categories ?? [],
    namespaced,
    type: `${group.endsWith(".x-k8s.io") ? "io.x-k8s" : "io.k8s.api"}.${folder}.${version}.${kind}`,
    verbs: allVerbs.filter((v) => d.without?.includes(v) !== true),
    subresources: d.subresources ?? [],
    fieldSelectors: ["metadata.name", ...(namespaced ? ["metadata.namespace"] : []), ...(d.fields ?? [])],
  };
}
