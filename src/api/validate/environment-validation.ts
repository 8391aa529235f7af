import { type FieldError, invalid, notSupported, required } from "../field-error.ts";
import type { EnvFromSource, EnvVar, ObjectFieldSelector, ResourceFieldSelector } from "../types/core-v1.generated.ts";
import { configMapKey, dns1123Subdomain, environmentName, qualifiedName } from "./names.ts";

const environmentFields = [
  "metadata.name",
  "metadata.namespace",
  "metadata.uid",
  "spec.nodeName",
  "spec.serviceAccountName",
  "status.hostIP",
  "status.hostIPs",
  "status.podIP",
  "status.podIPs",
];
/** Fields that can be named in a reference at all; another one is no field label. */
const knownFields = new Set([
  ...environmentFields,
  "metadata.annotations",
  "metadata.labels",
  "spec.host",
  "spec.restartPolicy",
  "spec.schedulerName",
  "status.phase",
]);
const containerResources = [
  "limits.cpu",
  "limits.ephemeral-storage",
  "limits.memory",
  "requests.cpu",
  "requests.ephemeral-storage",
  "requests.memory",
];

export function validateEnvironment(variables: readonly EnvVar[], at: string): readonly FieldError[] {
  return variables.flatMap((variable, i) => {
    const field = `${at}[${i}]`;
    const { name, valueFrom } = variable;
    const errors: FieldError[] =
      name === "" ? [required(`${field}.name`)] : environmentName(name).map((why) => invalid(`${field}.name`, name, why));
    return valueFrom === undefined ? errors : [...errors, ...validateSource(variable, `${field}.valueFrom`)];
  });
}

export function validateEnvironmentFrom(sources: readonly EnvFromSource[], at: string): readonly FieldError[] {
  return sources.flatMap(({ prefix = "", configMapRef, secretRef }, i) => {
    const field = `${at}[${i}]`;
    const errors: FieldError[] = prefix === "" ? [] : environmentName(prefix).map((why) => invalid(`${field}.prefix`, prefix, why));
    if (configMapRef !== undefined) errors.push(...nameErrors(configMapRef.name, `${field}.configMapRef.name`));
    if (secretRef !== undefined) errors.push(...nameErrors(secretRef.name, `${field}.secretRef.name`));
    if (configMapRef === undefined && secretRef === undefined)
      errors.push(invalid(at, "", "must specify one of: `configMapRef` or `secretRef`"));
    if (configMapRef !== undefined && secretRef !== undefined)
      errors.push(invalid(at, "", "may not have more than one field specified at a time"));
    return errors;
  });
}

/** A field of the pod named by path; `allowed` are those without a subscript. */
export function validateFieldReference(reference: ObjectFieldSelector, allowed: readonly string[], at: string): readonly FieldError[] {
  const { fieldPath, apiVersion = "" } = reference;
  if (apiVersion === "") return [required(`${at}.apiVersion`)];
  if (fieldPath === "") return [required(`${at}.fieldPath`)];
  const opens = fieldPath.endsWith("']") ? fieldPath.indexOf("['") : -1;
  const path = opens < 0 ? fieldPath : fieldPath.slice(0, opens);
  const byKey = path === "metadata.annotations" || path === "metadata.labels";
  const cannot = (why: string): readonly FieldError[] => [
    invalid(`${at}.fieldPath`, fieldPath, `error converting fieldPath: field label ${why}: ${fieldPath}`),
  ];
  if (opens >= 0 && !byKey) return cannot("does not support subscript");
  if (opens < 0) {
    if (!knownFields.has(path)) return cannot("not supported");
    const named = path === "spec.host" ? "spec.nodeName" : path; // its old name
    return allowed.includes(named) ? [] : [notSupported(`${at}.fieldPath`, named, allowed)];
  }
  const subscript = fieldPath.slice(opens + 2, -2);
  const key = path === "metadata.annotations" ? subscript.toLowerCase() : subscript;
  return qualifiedName(key).map((why) => invalid(at, key, why));
}

export function validateResourceReference({ resource }: ResourceFieldSelector, at: string): readonly FieldError[] {
  if (resource === "") return [required(`${at}.resource`)];
  if (containerResources.includes(resource) || /^(limits|requests)\.hugepages-/.test(resource)) return [];
  return [notSupported(`${at}.resource`, resource, containerResources)];
}

function validateSource(variable: EnvVar, at: string): readonly FieldError[] {
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef } = variable.valueFrom ?? {};
  const errors: FieldError[] = [];
  if (fieldRef !== undefined) errors.push(...validateFieldReference(fieldRef, environmentFields, `${at}.fieldRef`));
  if (resourceFieldRef !== undefined) errors.push(...validateResourceReference(resourceFieldRef, `${at}.resourceFieldRef`));
  if (configMapKeyRef !== undefined) errors.push(...keyErrors(configMapKeyRef, `${at}.configMapKeyRef`));
  if (secretKeyRef !== undefined) errors.push(...keyErrors(secretKeyRef, `${at}.secretKeyRef`));
  const sources = Object.keys(variable.valueFrom ?? {}).length;
  if (sources === 0) {
    const names = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
    errors.push(invalid(at, "", `must specify one of: ${names}`));
  } else if ((variable.value ?? "") !== "") errors.push(invalid(at, "", "may not be specified when `value` is not empty"));
  else if (sources > 1) errors.push(invalid(at, "", "may not have more than one field specified at a time"));
  return errors;
}

function keyErrors({ name = "", key }: { readonly name?: string; readonly key: string }, at: string): readonly FieldError[] {
  return [
    ...nameErrors(name, `${at}.name`, true),
    ...(key === "" ? [required(`${at}.key`)] : configMapKey(key).map((why) => invalid(`${at}.key`, key, why))),
  ];
}

function nameErrors(name: string | undefined, field: string, emptyToo = false): readonly FieldError[] {
  if ((name ?? "") === "" && !emptyToo) return [required(field)];
  return dns1123Subdomain(name ?? "").map((why) => invalid(field, name ?? "", why));
}
