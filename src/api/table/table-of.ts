import { eventToCore } from "../event-view.ts";
import { isRecord, type JsonObject } from "../json-value.ts";
import { qualifiedKind, type Resource } from "../scheme.ts";
import type { Table, TableRow } from "../types/meta-v1.generated.ts";
import { age } from "./age.ts";
import { type Layout, layout } from "./column.ts";
import { configMapLayout, eventLayout, leaseLayout, namespaceLayout, nodeLayout, secretLayout, serviceAccountLayout } from "./core-rows.ts";
import {
  endpointSliceLayout,
  endpointsLayout,
  ingressClassLayout,
  ingressLayout,
  ipAddressLayout,
  serviceCidrLayout,
  serviceImportLayout,
  serviceLayout,
} from "./network-rows.ts";
import { podLayout } from "./pod-row.ts";
import {
  controllerRevisionLayout,
  daemonSetLayout,
  deploymentLayout,
  podDisruptionBudgetLayout,
  replicaSetLayout,
  scaleLayout,
  statefulSetLayout,
} from "./workload-rows.ts";

export interface TableChoice {
  /** What each row carries of its object: nothing, its metadata (the default), or all. */
  readonly includeObject?: "None" | "Metadata" | "Object";
}

const layouts: Readonly<Record<string, Layout>> = {
  ConfigMap: configMapLayout,
  Endpoints: endpointsLayout,
  Event: eventLayout,
  "Event.events.k8s.io": { columns: eventLayout.columns, cells: (o, now) => eventLayout.cells(isRecord(o) ? eventToCore(o) : {}, now) },
  Namespace: namespaceLayout,
  Node: nodeLayout,
  Pod: podLayout,
  Secret: secretLayout,
  ServiceAccount: serviceAccountLayout,
  Service: serviceLayout,
  "ControllerRevision.apps": controllerRevisionLayout,
  "DaemonSet.apps": daemonSetLayout,
  "Deployment.apps": deploymentLayout,
  "ReplicaSet.apps": replicaSetLayout,
  "StatefulSet.apps": statefulSetLayout,
  "Scale.autoscaling": scaleLayout,
  "Lease.coordination.k8s.io": leaseLayout,
  "EndpointSlice.discovery.k8s.io": endpointSliceLayout,
  "ServiceImport.multicluster.x-k8s.io": serviceImportLayout,
  "IngressClass.networking.k8s.io": ingressClassLayout,
  "Ingress.networking.k8s.io": ingressLayout,
  "IPAddress.networking.k8s.io": ipAddressLayout,
  "ServiceCIDR.networking.k8s.io": serviceCidrLayout,
  "PodDisruptionBudget.policy": podDisruptionBudgetLayout,
};

const plain = layout<JsonObject>(["Name", "Age"], (o, now) => {
  const metadata = isRecord(o["metadata"]) ? o["metadata"] : {};
  const { name, creationTimestamp } = metadata;
  return [typeof name === "string" ? name : "", age(typeof creationTimestamp === "string" ? creationTimestamp : undefined, now)];
});

/**
 * What `kubectl get` shows: the kind's columns, those for `-o wide` with priority 1, and a row an object. `now` in
 * milliseconds since 1970. The list's own metadata (resourceVersion, continue) is for the caller to add.
 */
export function tableOf(
  resource: Pick<Resource, "group" | "kind">,
  objects: readonly unknown[],
  now: number,
  choice: TableChoice = {},
): Table {
  const chosen = layouts[qualifiedKind(resource)] ?? plain;
  return {
    kind: "Table",
    apiVersion: "meta.k8s.io/v1",
    metadata: {},
    columnDefinitions: chosen.columns,
    rows: objects.map((object) => rowOf(chosen, object, now, choice)),
  };
}

function rowOf(chosen: Layout, object: unknown, now: number, { includeObject = "Metadata" }: TableChoice): TableRow {
  const conditions = chosen.conditions?.(object) ?? [];
  return {
    cells: chosen.cells(object, now),
    ...(conditions.length === 0 ? {} : { conditions }),
    ...(includeObject === "None" ? {} : { object: includeObject === "Object" ? object : metadataOnly(object) }),
  };
}

/** The object as far as lists of names need it. */
export function metadataOnly(object: unknown): JsonObject {
  const metadata = isRecord(object) ? object["metadata"] : undefined;
  return { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata: isRecord(metadata) ? metadata : {} };
}
