import type { ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet } from "../api/types/apps-v1.generated.ts";
import type { Lease } from "../api/types/coordination-v1.generated.ts";
import type {
  ConfigMap,
  Endpoints,
  Event,
  Namespace,
  Node,
  PersistentVolumeClaim,
  Pod,
  Secret,
  Service,
  ServiceAccount,
} from "../api/types/core-v1.generated.ts";
import type { EndpointSlice } from "../api/types/discovery-v1.generated.ts";
import type { ServiceImport } from "../api/types/multicluster-v1alpha1.generated.ts";
import type { Ingress, IngressClass, ServiceCIDR } from "../api/types/networking-v1.generated.ts";
import type { PodDisruptionBudget } from "../api/types/policy-v1.generated.ts";
import type { ResourceOf } from "./resource.ts";

function row<T>(apiVersion: string, plural: string, kind: string, scope: "namespaced" | "cluster" = "namespaced"): ResourceOf<T> {
  const [group, version] = apiVersion.includes("/") ? (apiVersion.split("/") as [string, string]) : ["", apiVersion];
  return { group, version, plural, kind, namespaced: scope === "namespaced" };
}

/** The built-in resources that fairway's own code reads and writes, with the types of their objects. */
export const resources = {
  configMaps: row<ConfigMap>("v1", "configmaps", "ConfigMap"),
  controllerRevisions: row<ControllerRevision>("apps/v1", "controllerrevisions", "ControllerRevision"),
  daemonSets: row<DaemonSet>("apps/v1", "daemonsets", "DaemonSet"),
  deployments: row<Deployment>("apps/v1", "deployments", "Deployment"),
  endpoints: row<Endpoints>("v1", "endpoints", "Endpoints"),
  endpointSlices: row<EndpointSlice>("discovery.k8s.io/v1", "endpointslices", "EndpointSlice"),
  events: row<Event>("v1", "events", "Event"),
  ingressClasses: row<IngressClass>("networking.k8s.io/v1", "ingressclasses", "IngressClass", "cluster"),
  ingresses: row<Ingress>("networking.k8s.io/v1", "ingresses", "Ingress"),
  leases: row<Lease>("coordination.k8s.io/v1", "leases", "Lease"),
  namespaces: row<Namespace>("v1", "namespaces", "Namespace", "cluster"),
  nodes: row<Node>("v1", "nodes", "Node", "cluster"),
  persistentVolumeClaims: row<PersistentVolumeClaim>("v1", "persistentvolumeclaims", "PersistentVolumeClaim"),
  podDisruptionBudgets: row<PodDisruptionBudget>("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget"),
  pods: row<Pod>("v1", "pods", "Pod"),
  replicaSets: row<ReplicaSet>("apps/v1", "replicasets", "ReplicaSet"),
  secrets: row<Secret>("v1", "secrets", "Secret"),
  serviceAccounts: row<ServiceAccount>("v1", "serviceaccounts", "ServiceAccount"),
  serviceCidrs: row<ServiceCIDR>("networking.k8s.io/v1", "servicecidrs", "ServiceCIDR", "cluster"),
  serviceImports: row<ServiceImport>("multicluster.x-k8s.io/v1alpha1", "serviceimports", "ServiceImport"),
  services: row<Service>("v1", "services", "Service"),
  statefulSets: row<StatefulSet>("apps/v1", "statefulsets", "StatefulSet"),
} as const;
