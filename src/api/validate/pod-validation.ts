import { type FieldError, forbidden, invalid, notSupported, required } from "../field-error.ts";
import { type Draft, draftOf, semanticEqual } from "../json-value.ts";
import type { Container, Pod, PodDNSConfig, PodSecurityContext, PodSpec, Toleration } from "../types/core-v1.generated.ts";
import { validateIp } from "./addresses.ts";
import { validateContainers } from "./container-validation.ts";
import { validateLabels } from "./metadata.ts";
import { dns1123Label, dns1123Subdomain, inRange, qualifiedName } from "./names.ts";
import { validateAffinity, validateSpread, validateTolerations } from "./scheduling-validation.ts";
import { validateVolumes } from "./volume-validation.ts";

const max32 = 2 ** 31 - 1;
const dnsPolicies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
const restartPolicies = ["Always", "OnFailure", "Never"];
const maxNameservers = 3;
const maxSearches = 32;
const maxSearchCharacters = 2048;
const changeable = [
  "`spec.containers[*].image`",
  "`spec.initContainers[*].image`",
  "`spec.activeDeadlineSeconds`",
  "`spec.tolerations` (only additions to existing tolerations)",
  "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
];

export function validatePod({ spec }: Pod): readonly FieldError[] {
  const given = spec ?? { containers: [] };
  return [
    ...validatePodSpec(given, "spec", "pod"),
    ...(given.serviceAccountName ? [] : tokenErrors(given)),
    ...((given.ephemeralContainers ?? []).length > 0 ? [forbidden("spec.ephemeralContainers", "cannot be set on create")] : []),
    ...(given.nodeName && (given.schedulingGates ?? []).length > 0
      ? [forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared")]
      : []),
  ];
}

/** A pod spec, of a pod itself or inside a template. */
export function validatePodSpec(spec: PodSpec, at: string, of: "pod" | "template"): readonly FieldError[] {
  const errors: FieldError[] = [];
  if (spec.terminationGracePeriodSeconds === undefined) errors.push(required(`${at}.terminationGracePeriodSeconds`));
  const volumes = validateVolumes(spec.volumes ?? [], `${at}.volumes`);
  errors.push(...volumes.errors, ...validateContainers(spec, at, volumes.names));
  if (spec.hostNetwork === true) errors.push(...hostNetworkErrors(spec, at, of));
  errors.push(...choice(`${at}.restartPolicy`, spec.restartPolicy, restartPolicies));
  errors.push(...choice(`${at}.dnsPolicy`, spec.dnsPolicy, dnsPolicies));
  errors.push(...validateLabels(spec.nodeSelector, `${at}.nodeSelector`));
  errors.push(...securityErrors(spec.securityContext ?? {}, `${at}.securityContext`));
  if (spec.affinity !== undefined) errors.push(...validateAffinity(spec.affinity, `${at}.affinity`));
  errors.push(...validateDnsConfig(spec.dnsConfig, spec.dnsPolicy, `${at}.dnsConfig`));
  (spec.readinessGates ?? []).forEach(({ conditionType }, i) => {
    errors.push(...qualifiedName(conditionType).map((why) => invalid(`${at}.readinessGates[${i}].conditionType`, conditionType, why)));
  });
  errors.push(...validateSpread(spec.topologySpreadConstraints ?? [], `${at}.topologySpreadConstraints`));
  const names = { serviceAccountName: dns1123Subdomain, nodeName: dns1123Subdomain } as const;
  for (const [name, check] of Object.entries(names)) errors.push(...textErrors(spec, name as "nodeName", at, check));
  const deadline = spec.activeDeadlineSeconds;
  if (deadline !== undefined)
    errors.push(...inRange(deadline, 1, max32).map((why) => invalid(`${at}.activeDeadlineSeconds`, deadline, why)));
  errors.push(...textErrors(spec, "hostname", at, dns1123Label), ...textErrors(spec, "subdomain", at, dns1123Label));
  errors.push(...validateTolerations(spec.tolerations ?? [], `${at}.tolerations`));
  (spec.hostAliases ?? []).forEach(({ ip, hostnames = [] }, i) => {
    errors.push(...validateIp(`${at}.hostAliases[${i}].ip`, ip));
    hostnames.forEach((name, j) => {
      errors.push(...dns1123Subdomain(name).map((why) => invalid(`${at}.hostAliases[${i}].hostnames[${j}]`, name, why)));
    });
  });
  errors.push(
    ...textErrors(spec, "priorityClassName", at, dns1123Subdomain),
    ...textErrors(spec, "runtimeClassName", at, dns1123Subdomain),
  );
  if (spec.preemptionPolicy !== undefined && spec.preemptionPolicy !== "PreemptLowerPriority" && spec.preemptionPolicy !== "Never") {
    errors.push(notSupported(`${at}.preemptionPolicy`, spec.preemptionPolicy, ["PreemptLowerPriority", "Never"]));
  }
  return errors;
}

/** What may change in a pod that exists: images, deadlines downwards, more tolerations. */
export function validatePodUpdate(pod: Pod, old: Pod): readonly FieldError[] {
  const spec = pod.spec ?? { containers: [] };
  const before = old.spec ?? { containers: [] };
  const errors: FieldError[] = [...validatePodSpec(spec, "spec", "pod"), ...(spec.serviceAccountName ? [] : tokenErrors(spec))];
  for (const list of ["containers", "initContainers"] as const) {
    const changed = containerChange(spec[list] ?? [], before[list] ?? [], `spec.${list}`);
    errors.push(...changed.errors);
    if (changed.stop) return errors;
  }
  const deadline = spec.activeDeadlineSeconds;
  if (deadline === undefined && before.activeDeadlineSeconds !== undefined) {
    errors.push(invalid("spec.activeDeadlineSeconds", undefined, "must not update from a positive integer to nil value"));
  } else if (deadline !== undefined && before.activeDeadlineSeconds !== undefined && before.activeDeadlineSeconds < deadline) {
    return [...errors, invalid("spec.activeDeadlineSeconds", deadline, "must be less than or equal to previous value")];
  }
  errors.push(...tolerationChange(spec.tolerations ?? [], before.tolerations ?? []));
  const gates = (before.schedulingGates ?? []).map((gate) => gate.name);
  for (const gate of spec.schedulingGates ?? []) {
    if (!gates.includes(gate.name))
      errors.push(forbidden("spec.schedulingGates", "only deletion is allowed, but found new scheduling gate".concat(` '${gate.name}'`)));
  }
  if (!semanticEqual(unchangeable(spec, before), before)) {
    errors.push(forbidden("spec", `pod updates may not change fields other than ${changeable.join(",")}${firstDifference(spec, before)}`));
  }
  return errors;
}

function textErrors(
  spec: PodSpec,
  name: "nodeName" | "serviceAccountName" | "hostname" | "subdomain" | "priorityClassName" | "runtimeClassName",
  at: string,
  check: (text: string) => readonly string[],
): readonly FieldError[] {
  const text = spec[name] ?? "";
  return text === "" ? [] : check(text).map((why) => invalid(`${at}.${name}`, text, why));
}

function choice(field: string, value: string | undefined, supported: readonly string[]): readonly FieldError[] {
  if ((value ?? "") === "") return [required(field)];
  return supported.includes(value ?? "") ? [] : [notSupported(field, value ?? "", supported)];
}

function hostNetworkErrors(spec: PodSpec, at: string, of: "pod" | "template"): readonly FieldError[] {
  return (spec.containers ?? []).flatMap((container, i) =>
    (container.ports ?? []).flatMap(({ hostPort = 0, containerPort }, j) => {
      const free = of === "template" && hostPort === 0;
      return free || hostPort === containerPort
        ? []
        : [invalid(`${at}.containers[${i}].ports[${j}].hostPort`, hostPort, "must match `containerPort` when `hostNetwork` is true")];
    }),
  );
}

function securityErrors(context: PodSecurityContext, at: string): readonly FieldError[] {
  const errors: FieldError[] = [];
  for (const name of ["fsGroup", "runAsUser", "runAsGroup"] as const) {
    const id = context[name];
    if (id !== undefined) errors.push(...inRange(id, 0, max32).map((why) => invalid(`${at}.${name}`, id, why)));
  }
  (context.supplementalGroups ?? []).forEach((id, i) => {
    errors.push(...inRange(id, 0, max32).map((why) => invalid(`${at}.supplementalGroups[${i}]`, id, why)));
  });
  return errors;
}

function tokenErrors(spec: PodSpec): readonly FieldError[] {
  return (spec.volumes ?? []).flatMap((volume, i) =>
    (volume.projected?.sources ?? []).flatMap((source, j) =>
      source.serviceAccountToken === undefined
        ? []
        : [
            forbidden(
              `spec.volumes[${i}].projected.sources[${j}].serviceAccountToken`,
              "must not be specified when serviceAccountName is not set",
            ),
          ],
    ),
  );
}

function validateDnsConfig(config: PodDNSConfig | undefined, policy: string | undefined, at: string): readonly FieldError[] {
  const { nameservers = [], searches = [], options = [] } = config ?? {};
  if (policy === "None") {
    if (config === undefined) return [required(at, "must provide `dnsConfig` when `dnsPolicy` is None")];
    if (nameservers.length === 0) {
      return [required(`${at}.nameservers`, "must provide at least one DNS nameserver when `dnsPolicy` is None")];
    }
  }
  const errors: FieldError[] = [];
  if (nameservers.length > maxNameservers) {
    errors.push(invalid(`${at}.nameservers`, nameservers, `must not have more than ${maxNameservers} nameservers`));
  }
  nameservers.forEach((ip, i) => {
    errors.push(...validateIp(`${at}.nameservers[${i}]`, ip));
  });
  if (searches.length > maxSearches)
    errors.push(invalid(`${at}.searches`, searches, `must not have more than ${maxSearches} search paths`));
  if (searches.join(" ").length > maxSearchCharacters) {
    const why = `must not have more than ${maxSearchCharacters} characters (including spaces) in the search list`;
    errors.push(invalid(`${at}.searches`, searches, why));
  }
  searches.forEach((search, i) => {
    const plain = search.replace(/\.$/, "");
    // An underscore may begin a label, or stand inside one: _tcp.example.com
    const relaxed = plain.replaceAll(/(^|\.)_/g, "$1").replaceAll("_", "-");
    if (search !== "." && dns1123Subdomain(relaxed).length > 0) {
      errors.push(...dns1123Subdomain(relaxed).map((why) => invalid(`${at}.searches[${i}]`, plain, underscored(why))));
    }
  });
  options.forEach(({ name = "" }, i) => {
    if (name === "") errors.push(required(`${at}.options[${i}]`, "must not be empty"));
  });
  return errors;
}

function underscored(why: string): string {
  const label = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
  return why
    .replace("characters, '-' or '.',", "characters, '_', '-' or '.',")
    .replace(/is '[^']*'\)$/, () => `is '${label}(\\.${label})*')`);
}

function containerChange(
  containers: readonly Container[],
  before: readonly Container[],
  at: string,
): { readonly stop: boolean; readonly errors: readonly FieldError[] } {
  if (containers.length !== before.length) return { stop: true, errors: [forbidden(at, "pod updates may not add or remove containers")] };
  const errors = containers.flatMap(({ image = "" }, i) => {
    if (image === "") return [required(`${at}[${i}].image`)];
    return image.trim() === image ? [] : [invalid(`${at}[${i}].image`, image, "must not have leading or trailing whitespace")];
  });
  return { stop: false, errors };
}

function tolerationChange(tolerations: readonly Toleration[], before: readonly Toleration[]): readonly FieldError[] {
  const plain = ({ tolerationSeconds: _, ...rest }: Toleration): Toleration => rest;
  const kept = before.every((old) => tolerations.some((now) => semanticEqual(plain(now), plain(old))));
  if (!kept) return [forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")];
  return validateTolerations(tolerations, "spec.tolerations");
}

/** The spec with all that may change put back to what it was. */
function unchangeable(spec: PodSpec, before: PodSpec): PodSpec {
  const out = draftOf(spec) as Draft<PodSpec>;
  for (const list of ["containers", "initContainers"] as const) {
    (out[list] ?? []).forEach((container, i) => {
      const image = before[list]?.[i]?.image;
      if (image === undefined) delete container.image;
      else container.image = image;
    });
  }
  for (const name of ["activeDeadlineSeconds", "tolerations", "schedulingGates"] as const) {
    const value = before[name];
    if (value === undefined) delete out[name];
    else Object.assign(out, { [name]: value });
  }
  if ((before.terminationGracePeriodSeconds ?? 0) < 0 && out.terminationGracePeriodSeconds === 1) {
    Object.assign(out, { terminationGracePeriodSeconds: before.terminationGracePeriodSeconds });
  }
  return out;
}

/** Names the fields that changed: Kubernetes prints a difference of the whole spec there. */
function firstDifference(spec: PodSpec, before: PodSpec): string {
  const now: Readonly<Record<string, unknown>> = { ...unchangeable(spec, before) };
  const was: Readonly<Record<string, unknown>> = { ...before };
  const names = [...new Set([...Object.keys(now), ...Object.keys(was)])].filter((name) => !semanticEqual(now[name], was[name]));
  return `\n  changed: ${names.map((name) => `spec.${name}`).join(", ")}`;
}
