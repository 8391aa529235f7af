import { draftOf, isRecord, type JsonObject, semanticEqual } from "./json-value.ts";
import { podQosClass } from "./pod-qos.ts";
import type { Resource } from "./scheme.ts";
import { dropTypeDependentFields } from "./service-type-change.ts";
import type { Pod, Service } from "./types/core-v1.generated.ts";

/** What the server decides about a new object. */
export interface CreateContext {
  /** RFC 3339, whole seconds. */
  readonly now: string;
  readonly uid: string;
  /** Of the request; empty for cluster-scoped kinds. */
  readonly namespace: string;
}

type Writable = Record<string, unknown>;
type Named = Pick<Resource, "group" | "kind" | "namespaced" | "subresources">;

/** Kinds whose generation the server counts. */
const counted = new Set([
  "Pod",
  "Deployment",
  "ReplicaSet",
  "StatefulSet",
  "DaemonSet",
  "Ingress",
  "IngressClass",
  "EndpointSlice",
  "PodDisruptionBudget",
  "ServiceImport",
]);
/** Kinds whose status may be given at creation. */
const statusOnCreate = new Set(["Node"]);

/** What is stored of a new object: the server's part of the metadata set, the status as it starts. The argument is not changed. */
export function prepareForCreate(resource: Named, object: JsonObject, context: CreateContext): JsonObject {
  const out: Writable = { ...object };
  const metadata: Writable = isRecord(out["metadata"]) ? { ...out["metadata"] } : {};
  for (const name of ["resourceVersion", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"])
    delete metadata[name];
  metadata["uid"] = context.uid;
  metadata["creationTimestamp"] = context.now;
  if (resource.namespaced && context.namespace !== "") metadata["namespace"] = context.namespace;
  if (!resource.namespaced) delete metadata["namespace"];
  if (counted.has(resource.kind)) metadata["generation"] = 1;
  out["metadata"] = metadata;
  if (hasStatus(resource) && !statusOnCreate.has(resource.kind)) out["status"] = firstStatus(resource, object);
  if (resource.kind === "Namespace") addNamespaceFinalizer(out);
  if (resource.kind === "DaemonSet") countTemplates(metadata, 1);
  if (resource.kind === "EndpointSlice") dropTopology(out);
  return out;
}

function firstPodStatus({ spec }: Pod): JsonObject {
  const status = { phase: "Pending", qosClass: podQosClass(spec ?? { containers: [] }) };
  if ((spec?.schedulingGates ?? []).length === 0) return status;
  const message = "Scheduling is blocked due to non-empty scheduling gates";
  const gated = {
    type: "PodScheduled",
    status: "False",
    reason: "SchedulingGated",
    message,
    lastProbeTime: null,
    lastTransitionTime: null,
  };
  return { ...status, conditions: [gated] };
}

function firstStatus(resource: Named, object: JsonObject): JsonObject {
  switch (resource.kind) {
    case "Pod":
      return firstPodStatus(object as Pod);
    case "Namespace":
      return { phase: "Active" };
    case "Service":
    case "Ingress":
      return { loadBalancer: {} };
    case "Deployment":
      return {};
    case "ReplicaSet":
      return { replicas: 0 };
    case "StatefulSet":
      return { replicas: 0, availableReplicas: 0 };
    case "DaemonSet":
      return { currentNumberScheduled: 0, numberMisscheduled: 0, desiredNumberScheduled: 0, numberReady: 0 };
    case "PodDisruptionBudget":
      return { disruptionsAllowed: 0, currentHealthy: 0, desiredHealthy: 0, expectedPods: 0 };
    default:
      return {};
  }
}

/** A namespace holds this finalizer in its spec until its content is gone. */
function addNamespaceFinalizer(namespace: Writable): void {
  const spec = isRecord(namespace["spec"]) ? namespace["spec"] : {};
  const finalizers = Array.isArray(spec["finalizers"]) ? (spec["finalizers"] as unknown[]) : [];
  namespace["spec"] = { ...spec, finalizers: finalizers.includes("kubernetes") ? finalizers : [...finalizers, "kubernetes"] };
}

/** A DaemonSet counts the changes of its template in an annotation, for clients of an older API. */
const templateGeneration = "deprecated.daemonset.template.generation";

function countTemplates(metadata: Writable, count: number): void {
  metadata["annotations"] = { ...(isRecord(metadata["annotations"]) ? metadata["annotations"] : {}), [templateGeneration]: String(count) };
}

/** Topology by labels cannot be written through this version of the API. */
function dropTopology(slice: Writable): void {
  if (!Array.isArray(slice["endpoints"])) return;
  slice["endpoints"] = slice["endpoints"].map((endpoint: unknown) => {
    if (!isRecord(endpoint)) return endpoint;
    const { deprecatedTopology: _, ...rest } = endpoint;
    return rest;
  });
}

/**
 * What is stored when `object` replaces `old`: what the server owns is carried over, the status is kept (or, for the
 * status subresource, everything else), and the generation counts changes of the spec. Neither argument is changed.
 */
export function prepareForUpdate(resource: Named, object: JsonObject, old: JsonObject, subresource = ""): JsonObject {
  const out = draftOf(object) as Writable;
  const before = isRecord(old["metadata"]) ? old["metadata"] : {};
  const metadata: Writable = isRecord(out["metadata"]) ? { ...out["metadata"] } : {};
  for (const name of [
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "namespace",
    "selfLink",
    "generateName",
  ]) {
    if (before[name] === undefined) {
      if (name !== "generateName") delete metadata[name];
    } else if (name !== "generateName" || metadata[name] === undefined) metadata[name] = before[name];
  }
  out["metadata"] = metadata;
  switch (subresource) {
    case "status":
      keepAllButStatus(resource, out, old);
      break;
    case "ephemeralcontainers":
      keepAllButEphemeral(out, old);
      break;
    default:
      if (hasStatus(resource)) keep(out, old, "status");
      if (resource.kind === "Namespace" && subresource !== "finalize") keepNamespaceFinalizers(out, old);
  }
  if (resource.kind === "DaemonSet" && subresource === "") {
    const annotations = isRecord(before["annotations"]) ? before["annotations"] : {};
    const count = Number(annotations[templateGeneration] ?? 0);
    const changed = !semanticEqual(templateOf(out), templateOf(old));
    countTemplates(metadata, changed ? count + 1 : count);
  }
  if (resource.kind === "EndpointSlice") dropTopology(out);
  if (resource.kind === "Service" && subresource === "")
    return bumped(resource, dropTypeDependentFields(out as Service, old as Service) as JsonObject, old);
  return subresource === "status" ? out : bumped(resource, out, old);
}

function templateOf(object: JsonObject): unknown {
  return isRecord(object["spec"]) ? object["spec"]["template"] : undefined;
}

function hasStatus(resource: Named): boolean {
  return resource.subresources.some((s) => s.name === "status");
}

function keep(out: Writable, old: JsonObject, name: string): void {
  if (old[name] === undefined) delete out[name];
  else out[name] = old[name];
}

function keepAllButStatus(resource: Named, out: Writable, old: JsonObject): void {
  for (const name of Object.keys({ ...out, ...old }))
    if (name !== "metadata" && name !== "status" && name !== "apiVersion" && name !== "kind") keep(out, old, name);
  const metadata = out["metadata"] as Writable;
  const before = isRecord(old["metadata"]) ? old["metadata"] : {};
  if (resource.kind === "Deployment") keep(metadata, before, "labels");
  if (resource.kind !== "Pod") return;
  keep(metadata, before, "ownerReferences");
  const status: Writable = isRecord(out["status"]) ? { ...out["status"] } : {};
  const oldStatus = isRecord(old["status"]) ? old["status"] : {};
  for (const name of ["qosClass", "observedGeneration"])
    if (status[name] === undefined && oldStatus[name] !== undefined) status[name] = oldStatus[name];
  out["status"] = status;
}

function keepAllButEphemeral(out: Writable, old: JsonObject): void {
  const asked = isRecord(out["spec"]) ? out["spec"]["ephemeralContainers"] : undefined;
  for (const name of Object.keys({ ...out, ...old })) if (name !== "metadata") keep(out, old, name);
  const spec: Writable = isRecord(old["spec"]) ? { ...old["spec"] } : {};
  if (asked === undefined) delete spec["ephemeralContainers"];
  else spec["ephemeralContainers"] = asked;
  out["spec"] = spec;
}

function keepNamespaceFinalizers(out: Writable, old: JsonObject): void {
  const before = isRecord(old["spec"]) ? old["spec"]["finalizers"] : undefined;
  out["spec"] = { ...(isRecord(out["spec"]) ? out["spec"] : {}), ...(before === undefined ? {} : { finalizers: before }) };
}

function bumped(resource: Named, object: JsonObject, old: JsonObject): JsonObject {
  if (!counted.has(resource.kind) || !isRecord(object["metadata"])) return object;
  const before = isRecord(old["metadata"]) ? old["metadata"] : {};
  const generation = typeof before["generation"] === "number" ? before["generation"] : 0;
  const changed = contentChanged(resource, object, old, before);
  if (!changed && generation === 0) return object;
  return { ...object, metadata: { ...object["metadata"], generation: changed ? generation + 1 : generation } };
}

function contentChanged(resource: Named, object: JsonObject, old: JsonObject, before: JsonObject): boolean {
  const metadata = object["metadata"] as JsonObject;
  if (resource.kind === "EndpointSlice") {
    return (
      ["endpoints", "ports", "addressType"].some((name) => !semanticEqual(object[name], old[name])) ||
      !semanticEqual(metadata["labels"], before["labels"])
    );
  }
  if (resource.kind === "Deployment" && !semanticEqual(metadata["annotations"], before["annotations"])) return true;
  return !semanticEqual(object["spec"], old["spec"]);
}
