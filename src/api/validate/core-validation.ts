import { parseCidr } from "../../base/cidr.ts";
import { duplicate, type FieldError, forbidden, invalid, notSupported, required, tooLong } from "../field-error.ts";
import { jsonEqual } from "../json-value.ts";
import { compareQuantity } from "../quantity.ts";
import type { Lease } from "../types/coordination-v1.generated.ts";
import type { ConfigMap, Event, Namespace, Node, Secret, Taint } from "../types/core-v1.generated.ts";
import type { IPAddress, ServiceCIDR, ServiceCIDRSpec } from "../types/networking-v1.generated.ts";
import { validateCanonicalCidr, validateCidr } from "./addresses.ts";
import { immutable } from "./metadata.ts";
import { configMapKey, dns1123Subdomain, labelValue, pathSegment, qualifiedName } from "./names.ts";
import { taintEffects } from "./scheduling-validation.ts";

const maxDataBytes = 1024 * 1024;
const immutableWhenSet = "field is immutable when `immutable` is set";
const accountAnnotation = "kubernetes.io/service-account.name";

export function validateNamespace({ spec }: Namespace): readonly FieldError[] {
  return (spec?.finalizers ?? []).flatMap((name) => [
    ...qualifiedName(name).map((why) => invalid("spec.finalizers", name, why)),
    ...(name.includes("/") || name === "kubernetes"
      ? []
      : [invalid("spec.finalizers", name, "name is neither a standard finalizer name nor is it fully qualified")]),
  ]);
}

export function validateNamespaceStatus({ metadata, status }: Namespace): readonly FieldError[] {
  const phase = status?.phase ?? "";
  const deleted = metadata?.deletionTimestamp !== undefined;
  if (phase === (deleted ? "Terminating" : "Active")) return [];
  const why = deleted
    ? "may only be 'Terminating' if `deletionTimestamp` is not empty"
    : "may only be 'Active' if `deletionTimestamp` is empty";
  return [invalid("status.Phase", phase, why)];
}

export function validateConfigMap(map: ConfigMap, old?: ConfigMap): readonly FieldError[] {
  const errors: FieldError[] = [];
  if (old?.immutable === true) {
    if (map.immutable !== true) errors.push(forbidden("immutable", immutableWhenSet));
    if (!jsonEqual(map.data ?? {}, old.data ?? {})) errors.push(forbidden("data", immutableWhenSet));
    if (!jsonEqual(map.binaryData ?? {}, old.binaryData ?? {})) errors.push(forbidden("binaryData", immutableWhenSet));
  }
  let bytes = 0;
  for (const [key, value] of Object.entries(map.data ?? {})) {
    errors.push(...configMapKey(key).map((why) => invalid(`data[${key}]`, key, why)));
    if (Object.hasOwn(map.binaryData ?? {}, key)) errors.push(invalid(`data[${key}]`, key, "duplicate of key present in binaryData"));
    bytes += Buffer.byteLength(value);
  }
  for (const [key, value] of Object.entries(map.binaryData ?? {})) {
    errors.push(...configMapKey(key).map((why) => invalid(`binaryData[${key}]`, key, why)));
    bytes += decodedLength(value);
  }
  return bytes > maxDataBytes ? [...errors, tooLong("", maxDataBytes)] : errors;
}

export function validateSecret(secret: Secret, old?: Secret): readonly FieldError[] {
  const errors: FieldError[] = [];
  const data = secret.data ?? {};
  if (old !== undefined) errors.push(...immutable("type", secret.type ?? "", old.type ?? ""));
  if (old?.immutable === true) {
    if (secret.immutable !== true) errors.push(forbidden("immutable", immutableWhenSet));
    if (!jsonEqual(data, old.data ?? {})) errors.push(forbidden("data", immutableWhenSet));
  }
  let bytes = 0;
  for (const [key, value] of Object.entries(data)) {
    errors.push(...configMapKey(key).map((why) => invalid(`data[${key}]`, key, why)));
    bytes += decodedLength(value);
  }
  if (bytes > maxDataBytes) errors.push(tooLong("data", maxDataBytes));
  const needs = (...keys: readonly string[]): readonly FieldError[] =>
    keys.filter((key) => !Object.hasOwn(data, key)).map((key) => required(`data[${key}]`));
  switch (secret.type) {
    case "kubernetes.io/service-account-token":
      if ((secret.metadata?.annotations?.[accountAnnotation] ?? "") === "")
        errors.push(required(`metadata.annotations[${accountAnnotation}]`));
      break;
    case "kubernetes.io/dockercfg":
      errors.push(...needs(".dockercfg"), ...jsonErrors(".dockercfg", data[".dockercfg"]));
      break;
    case "kubernetes.io/dockerconfigjson":
      errors.push(...needs(".dockerconfigjson"), ...jsonErrors(".dockerconfigjson", data[".dockerconfigjson"]));
      break;
    case "kubernetes.io/basic-auth":
      if (needs("username", "password").length === 2) errors.push(...needs("username", "password"));
      break;
    case "kubernetes.io/ssh-auth":
      if ((data["ssh-privatekey"] ?? "") === "") errors.push(required("data[ssh-privatekey]"));
      break;
    case "kubernetes.io/tls":
      errors.push(...needs("tls.crt", "tls.key"));
      break;
  }
  return errors;
}

export function validateNode(node: Node, old?: Node): readonly FieldError[] {
  const { spec = {} } = node;
  const errors: FieldError[] = [];
  const cidrs = spec.podCIDRs ?? [];
  if (old !== undefined) {
    const kept = old.spec?.podCIDRs ?? [];
    if (kept.length > 0 && !jsonEqual(cidrs, kept)) {
      errors.push(forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid'));
    }
    if (old.spec?.providerID && old.spec.providerID !== spec.providerID) {
      errors.push(forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid'));
    }
  }
  errors.push(...validateTaints(spec.taints ?? []));
  errors.push(...validateNodeResources(node));
  cidrs.forEach((cidr, i) => {
    errors.push(...validateCidr(`spec.podCIDRs[${i}]`, cidr));
  });
  if (cidrs.length < 2) return errors;
  const families = cidrs.map((cidr) => parseCidr(cidr)?.family);
  const bad = families.indexOf(undefined);
  if (bad >= 0) {
    const why = `failed to check with dual stack with error:invalid CIDR[${bad}]: <nil> (invalid CIDR address: ${cidrs[bad]})`;
    errors.push({ type: "Internal", field: "spec.podCIDRs", detail: `invalid PodCIDRs. ${why}` });
  }
  if (cidrs.length > 2 || bad >= 0 || new Set(families).size < 2) {
    errors.push(invalid("spec.podCIDRs", cidrs, "may specify no more than one CIDR for each IP family"));
  }
  return errors;
}

export function validateNodeStatus(node: Node): readonly FieldError[] {
  const addresses = (node.status?.addresses ?? []).map(({ type, address }) => ({ Type: type, Address: address }));
  const repeated = addresses.flatMap((address, i) =>
    addresses.slice(0, i).some((other) => jsonEqual(other, address)) ? [duplicate(`status.addresses[${i}]`, address)] : [],
  );
  return [...validateNodeResources(node), ...repeated];
}

function validateNodeResources({ status }: Node): readonly FieldError[] {
  return (["capacity", "allocatable"] as const).flatMap((list) =>
    Object.entries(status?.[list] ?? {}).flatMap(([name, amount]) =>
      compareQuantity(amount, "0") < 0 ? [invalid(`status.${list}.${name}`, amount, "must be greater than or equal to 0")] : [],
    ),
  );
}

/** An Event as it is stored; `group` is the one the request came by: events.k8s.io is strict where the core group is not. */
export function validateEvent(event: Event, old: Event | undefined, group: string): readonly FieldError[] {
  const errors: FieldError[] = [];
  const namespace = event.metadata?.namespace ?? "";
  const about = event.involvedObject?.namespace ?? "";
  const reporter = group === "" ? "reportingComponent" : "reportingController";
  const mismatch = invalid("involvedObject.namespace", about, "does not match event.namespace");
  if (event.eventTime === undefined || event.eventTime === null) {
    if (about === "" ? namespace !== "" && namespace !== "default" : namespace !== about) errors.push(mismatch);
  } else {
    if (about === "" && namespace !== "default" && namespace !== "kube-system") errors.push(mismatch);
    const component = event.reportingComponent ?? "";
    if (component === "") errors.push(required(reporter));
    errors.push(...qualifiedName(component).map((why) => invalid(reporter, component, why)));
    errors.push(...bounded("reportingInstance", event.reportingInstance, 128), ...bounded("action", event.action, 128));
    errors.push(...bounded("reason", event.reason, 128));
    if ((event.message ?? "").length > 1024) errors.push(invalid("message", "", "can have at most 1024 characters"));
  }
  errors.push(...dns1123Subdomain(namespace).map((why) => invalid("namespace", namespace, why)));
  return group === "" ? errors : [...errors, ...strictEventErrors(event, old)];
}

export function validateLease({ spec = {} }: Lease): readonly FieldError[] {
  const errors: FieldError[] = [];
  const { leaseDurationSeconds: duration, leaseTransitions: transitions, strategy = "", preferredHolder = "" } = spec;
  if (duration !== undefined && duration <= 0) errors.push(invalid("spec.leaseDurationSeconds", duration, "must be greater than 0"));
  if (transitions !== undefined && transitions < 0) {
    errors.push(invalid("spec.leaseTransitions", transitions, "must be greater than or equal to 0"));
  }
  if (preferredHolder !== "" && strategy === "")
    errors.push(forbidden("spec.preferredHolder", "may only be specified if `strategy` is defined"));
  return errors;
}

export function validateServiceCidr({ spec = {} }: ServiceCIDR, old?: ServiceCIDR): readonly FieldError[] {
  if (old === undefined) return validateRanges(spec);
  const now = spec.cidrs ?? [];
  const before = old.spec?.cidrs ?? [];
  const changed = (i: number): readonly FieldError[] => immutable(`spec.cidrs[${i}]`, now[i], before[i]);
  if (now.length === before.length) return before.flatMap((_, i) => changed(i));
  // A second range may be added: that makes the cluster dual-stack.
  if (before.length === 1 && now.length === 2) return [...changed(0), ...validateRanges(spec)];
  return [invalid("spec.cidrs", now, "field is immutable")];
}

export function validateIpAddress({ spec }: IPAddress, old?: IPAddress): readonly FieldError[] {
  if (old !== undefined) return immutable("spec.parentRef", spec?.parentRef, old.spec?.parentRef);
  const parent = spec?.parentRef;
  if (parent === undefined) return [required("spec.parentRef")];
  const { group = "", resource = "", name = "", namespace = "" } = parent;
  const at = "spec.parentRef";
  return [
    ...(group === "" ? [] : dns1123Subdomain(group).map((why) => invalid(`${at}.group`, group, why))),
    ...(resource === "" ? [required(`${at}.resource`)] : pathSegment(resource).map((why) => invalid(`${at}.resource`, resource, why))),
    ...(name === "" ? [required(`${at}.name`)] : pathSegment(name).map((why) => invalid(`${at}.name`, name, why))),
    ...(namespace === "" ? [] : pathSegment(namespace).map((why) => invalid(`${at}.namespace`, namespace, why))),
  ];
}

function validateRanges(spec: ServiceCIDRSpec): readonly FieldError[] {
  const cidrs = spec.cidrs ?? [];
  const field = "spec.cidrs";
  if (cidrs.length === 0) return [required(field, "at least one CIDR required")];
  if (cidrs.length > 2) return [invalid(field, { CIDRs: cidrs }, "may only hold up to 2 values")];
  const errors = cidrs.flatMap((cidr, i) => validateCanonicalCidr(`${field}[${i}]`, cidr));
  const [first, second] = cidrs.map((cidr) => parseCidr(cidr)?.family);
  if (cidrs.length === 2 && first !== undefined && first === second) {
    errors.push(invalid(field, cidrs, "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"));
  }
  return errors;
}

function validateTaints(taints: readonly Taint[]): readonly FieldError[] {
  return taints.flatMap(({ key, value = "", effect }, i) => {
    const at = `metadata.taints[${i}]`;
    const errors: FieldError[] = qualifiedName(key).map((why) => invalid(`${at}.key`, key, why));
    const wrong = labelValue(value);
    if (wrong.length > 0) errors.push(invalid(`${at}.value`, value, wrong.join(";")));
    if (effect === "") errors.push(required(`${at}.effect`));
    else if (!taintEffects.includes(effect)) errors.push(notSupported(`${at}.effect`, effect, taintEffects));
    if (taints.slice(0, i).some((other) => other.key === key && other.effect === effect)) {
      const taint = { Key: key, Value: value, Effect: effect, TimeAdded: null };
      errors.push({ ...duplicate(at, taint), detail: "taints must be unique by key and effect pair" });
    }
    return errors;
  });
}

function strictEventErrors(event: Event, old: Event | undefined): readonly FieldError[] {
  const errors: FieldError[] = [];
  const series = event.series;
  if (series !== undefined && (old === undefined || !jsonEqual(series, old.series))) {
    if ((series.count ?? 0) < 2) errors.push(invalid("series.count", "", "should be at least 2"));
    if ((series.lastObservedTime ?? "") === "") errors.push(required("series.lastObservedTime"));
  }
  if (old !== undefined) {
    const names = [
      "reason",
      "message",
      "source",
      "firstTimestamp",
      "lastTimestamp",
      "count",
      "reason",
      "type",
      "eventTime",
      "action",
    ] as const;
    errors.push(...immutable("involvedObject", referenceAsGo(event.involvedObject), referenceAsGo(old.involvedObject)));
    for (const name of names) errors.push(...immutable(name, event[name] ?? "", old[name] ?? ""));
    errors.push(...immutable("related", event.related, old.related));
    errors.push(...immutable("reportingController", event.reportingComponent ?? "", old.reportingComponent ?? ""));
    errors.push(...immutable("reportingInstance", event.reportingInstance ?? "", old.reportingInstance ?? ""));
    return errors;
  }
  if (event.eventTime === undefined || event.eventTime === null) errors.push(required("eventTime"));
  if (event.type !== "Normal" && event.type !== "Warning") errors.push(invalid("type", "", `has invalid value: ${event.type ?? ""}`));
  for (const name of ["firstTimestamp", "lastTimestamp"] as const) if (event[name]) errors.push(invalid(name, "", "needs to be unset"));
  if (event.count) errors.push(invalid("count", "", "needs to be unset"));
  if (event.source?.component || event.source?.host) errors.push(invalid("source", "", "needs to be unset"));
  return errors;
}

/** As the message prints it: with Go's field names. */
function referenceAsGo(reference: Event["involvedObject"] | undefined): unknown {
  return {
    Kind: reference?.kind ?? "",
    Namespace: reference?.namespace ?? "",
    Name: reference?.name ?? "",
    UID: reference?.uid ?? "",
    APIVersion: reference?.apiVersion ?? "",
    ResourceVersion: reference?.resourceVersion ?? "",
    FieldPath: reference?.fieldPath ?? "",
  };
}

function bounded(field: string, value: string | undefined, max: number): readonly FieldError[] {
  if ((value ?? "") === "") return [required(field)];
  return (value ?? "").length > max ? [invalid(field, "", `can have at most ${max} characters`)] : [];
}

function jsonErrors(key: string, value: string | undefined): readonly FieldError[] {
  if (value === undefined) return [];
  try {
    JSON.parse(Buffer.from(value, "base64").toString("utf8"));
    return [];
  } catch (error) {
    return [invalid(`data[${key}]`, "<secret contents redacted>", error instanceof SyntaxError ? "invalid JSON" : "unreadable")];
  }
}

function decodedLength(base64: string): number {
  return Math.floor((base64.replace(/=+$/, "").length * 3) / 4);
}
