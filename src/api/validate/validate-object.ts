import type { Cidr } from "../../base/cidr.ts";
import { eventToCore } from "../event-view.ts";
import type { FieldError } from "../field-error.ts";
import type { JsonObject } from "../json-value.ts";
import type { Resource } from "../scheme.ts";
import type { Event } from "../types/core-v1.generated.ts";
import type { Event as EventsEvent } from "../types/events-v1.generated.ts";
import type { ObjectMeta } from "../types/meta-v1.generated.ts";
import { validateCanonicalIp } from "./addresses.ts";
import {
  validateConfigMap,
  validateEvent,
  validateIpAddress,
  validateLease,
  validateNamespace,
  validateNamespaceStatus,
  validateNode,
  validateNodeStatus,
  validateSecret,
  validateServiceCidr,
} from "./core-validation.ts";
import { validateEndpointSlice, validateEndpoints } from "./endpoints-validation.ts";
import { validateIngress, validateIngressClass, validateIngressStatus } from "./ingress-validation.ts";
import { validateMetadata, validateMetadataUpdate } from "./metadata.ts";
import { dns1123Label, dns1123Subdomain, pathSegment, type TextCheck } from "./names.ts";
import { validatePod, validatePodUpdate } from "./pod-validation.ts";
import { validateServiceImport } from "./service-import-validation.ts";
import { validateService, validateServiceStatus } from "./service-validation.ts";
import {
  validateBudgetStatus,
  validateDaemonSetStatus,
  validateDeploymentStatus,
  validatePodStatus,
  validateReplicaSetStatus,
  validateStatefulSetStatus,
} from "./status-validation.ts";
import {
  validateControllerRevision,
  validateDaemonSet,
  validateDeployment,
  validatePodDisruptionBudget,
  validateReplicaSet,
  validateStatefulSet,
} from "./workload-validation.ts";

export interface ValidationOptions {
  /** Endpoint addresses in this part of 127.0.0.0/8 are accepted: where pods live in plain mode. */
  readonly loopback?: Cidr;
  /** The subresource an update came by: `status` checks the status only. */
  readonly subresource?: string;
}

type Named = Pick<Resource, "group" | "kind" | "namespaced">;
type Rule = (object: never, old: never, options: ValidationOptions) => readonly FieldError[];

/** Per kind: what is checked beside the metadata. The kinds' types are made true by `checkStructure`. */
const rules: Readonly<Record<string, Rule>> = {
  "/Pod": ((pod, old) => (old === undefined ? validatePod(pod) : validatePodUpdate(pod, old))) satisfies Rule,
  "/Service": validateService satisfies Rule,
  "/Namespace": validateNamespace satisfies Rule,
  "/Node": validateNode satisfies Rule,
  "/ConfigMap": validateConfigMap satisfies Rule,
  "/Secret": validateSecret satisfies Rule,
  "/Endpoints": ((object, old, options) => validateEndpoints(object, old, options.loopback)) satisfies Rule,
  "/Event": ((object, old) => validateEvent(object, old, "")) satisfies Rule,
  "events.k8s.io/Event": validateEventsGroup satisfies Rule,
  "apps/Deployment": validateDeployment satisfies Rule,
  "apps/ReplicaSet": validateReplicaSet satisfies Rule,
  "apps/StatefulSet": validateStatefulSet satisfies Rule,
  "apps/DaemonSet": validateDaemonSet satisfies Rule,
  "apps/ControllerRevision": validateControllerRevision satisfies Rule,
  "policy/PodDisruptionBudget": validatePodDisruptionBudget satisfies Rule,
  "coordination.k8s.io/Lease": validateLease satisfies Rule,
  "discovery.k8s.io/EndpointSlice": ((object, old, options) => validateEndpointSlice(object, old, options.loopback)) satisfies Rule,
  "multicluster.x-k8s.io/ServiceImport": validateServiceImport satisfies Rule,
  "networking.k8s.io/Ingress": validateIngress satisfies Rule,
  "networking.k8s.io/IngressClass": validateIngressClass satisfies Rule,
  "networking.k8s.io/ServiceCIDR": validateServiceCidr satisfies Rule,
  "networking.k8s.io/IPAddress": validateIpAddress satisfies Rule,
};

const statusRules: Readonly<Record<string, Rule>> = {
  "/Pod": validatePodStatus satisfies Rule,
  "/Service": validateServiceStatus satisfies Rule,
  "/Namespace": validateNamespaceStatus satisfies Rule,
  "/Node": validateNodeStatus satisfies Rule,
  "networking.k8s.io/Ingress": validateIngressStatus satisfies Rule,
  "apps/Deployment": validateDeploymentStatus satisfies Rule,
  "apps/ReplicaSet": validateReplicaSetStatus satisfies Rule,
  "apps/StatefulSet": validateStatefulSetStatus satisfies Rule,
  "apps/DaemonSet": validateDaemonSetStatus satisfies Rule,
  "policy/PodDisruptionBudget": validateBudgetStatus satisfies Rule,
};

/** What is wrong with a new object, defaulted and prepared; empty when it may be stored. */
export function validateCreate(resource: Named, object: JsonObject, options: ValidationOptions = {}): readonly FieldError[] {
  return [
    ...validateMetadata(metadataOf(object), { name: nameRule(resource), namespaced: resource.namespaced }),
    ...applied(rules, resource, object, undefined, options),
  ];
}

/** What is wrong with an object that is to replace `old`, both defaulted and prepared. */
export function validateUpdate(
  resource: Named,
  object: JsonObject,
  old: JsonObject,
  options: ValidationOptions = {},
): readonly FieldError[] {
  return [
    ...validateMetadataUpdate(metadataOf(object), metadataOf(old)),
    ...applied(options.subresource === "status" ? statusRules : rules, resource, object, old, options),
  ];
}

function applied(
  table: Readonly<Record<string, Rule>>,
  resource: Named,
  object: JsonObject,
  old: JsonObject | undefined,
  options: ValidationOptions,
): readonly FieldError[] {
  const rule = table[`${resource.group}/${resource.kind}`];
  return rule?.(object as never, old as never, options) ?? [];
}

function validateEventsGroup(event: EventsEvent, old: EventsEvent | undefined): readonly FieldError[] {
  const core = (object: EventsEvent): Event => eventToCore({ ...object }) as unknown as Event;
  return validateEvent(core(event), old === undefined ? undefined : core(old), "events.k8s.io");
}

function nameRule({ kind, group }: Named): TextCheck {
  switch (kind) {
    case "Namespace":
    case "Service":
    case "StatefulSet":
      return dns1123Label;
    case "IPAddress":
      return (name) => validateCanonicalIp("", name).map((error) => error.detail);
    case "PodDisruptionBudget":
      return pathSegment;
    case "Event":
      return group === "" ? () => [] : dns1123Subdomain;
    default:
      return dns1123Subdomain;
  }
}

function metadataOf(object: JsonObject): ObjectMeta {
  return (object["metadata"] ?? {}) as ObjectMeta;
}
