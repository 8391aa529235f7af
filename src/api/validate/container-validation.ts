import { duplicate, type FieldError, forbidden, invalid, notSupported, required } from "../field-error.ts";
import { compareQuantity, quantityNanos } from "../quantity.ts";
import type { Container, ContainerPort, PodSpec, ResourceRequirements, SecurityContext } from "../types/core-v1.generated.ts";
import { validateEnvironment, validateEnvironmentFrom } from "./environment-validation.ts";
import { dns1123Label, inRange, portName, portNumber, qualifiedName } from "./names.ts";
import { validateLifecycle, validateProbes } from "./probe-validation.ts";
import { protocols } from "./service-validation.ts";
import { validateMounts } from "./volume-validation.ts";

const restartPolicies = ["Always", "Never", "OnFailure"];
const pullPolicies = ["Always", "IfNotPresent", "Never"];
const messagePolicies = ["File", "FallbackToLogsOnError"];
const containerResources = new Set(["cpu", "memory", "ephemeral-storage"]);
const standardResources = new Set([
  ...containerResources,
  ...["cpu", "memory", "ephemeral-storage", "storage"].map((name) => `requests.${name}`),
  ...["cpu", "memory", "ephemeral-storage"].map((name) => `limits.${name}`),
  "pods",
  "services",
  "replicationcontrollers",
  "resourcequotas",
  "secrets",
  "configmaps",
  "persistentvolumeclaims",
  "storage",
  "services.nodeports",
  "services.loadbalancers",
]);
const maxId = 2 ** 31 - 1;

/** The containers and init containers of a pod. `volumes` are the names that may be mounted. */
export function validateContainers(spec: PodSpec, at: string, volumes: ReadonlySet<string>): readonly FieldError[] {
  const { containers = [], initContainers = [], terminationGracePeriodSeconds: grace } = spec;
  const errors: FieldError[] = [];
  if (containers.length === 0) errors.push(required(`${at}.containers`));
  containers.forEach((container, i) => {
    const field = `${at}.containers[${i}]`;
    errors.push(...validateContainer(container, field, volumes));
    if (containers.slice(0, i).some((other) => other.name === container.name)) errors.push(duplicate(`${field}.name`, container.name));
    if (container.lifecycle !== undefined) errors.push(...validateLifecycle(container.lifecycle, `${field}.lifecycle`, grace));
    errors.push(...validateProbes(container, field, grace));
    const policy = container.restartPolicy;
    if (policy !== undefined && !restartPolicies.includes(policy))
      errors.push(notSupported(`${field}.restartPolicy`, policy, restartPolicies));
  });
  errors.push(...validateHostPorts(containers, `${at}.containers`));
  initContainers.forEach((container, i) => {
    errors.push(...validateInitContainer(container, i, spec, `${at}.initContainers`, volumes));
  });
  return errors;
}

function validateInitContainer(
  container: Container,
  i: number,
  spec: PodSpec,
  list: string,
  volumes: ReadonlySet<string>,
): readonly FieldError[] {
  const at = `${list}[${i}]`;
  const errors: FieldError[] = [...validateContainer(container, at, volumes)];
  const policy = container.restartPolicy;
  if (policy !== undefined && !restartPolicies.includes(policy)) errors.push(notSupported(`${at}.restartPolicy`, policy, restartPolicies));
  const others = [...(spec.containers ?? []), ...(spec.initContainers ?? []).slice(0, i)];
  if (others.some((other) => other.name === container.name)) errors.push(duplicate(`${at}.name`, container.name));
  errors.push(...validateHostPorts([container], list));
  const { lifecycle, livenessProbe, readinessProbe, startupProbe } = container;
  if (policy === "Always") {
    if (lifecycle !== undefined) errors.push(...validateLifecycle(lifecycle, `${at}.lifecycle`, spec.terminationGracePeriodSeconds));
    return [...errors, ...validateProbes(container, at, spec.terminationGracePeriodSeconds)];
  }
  for (const [name, value] of Object.entries({ lifecycle, livenessProbe, readinessProbe, startupProbe })) {
    if (value !== undefined) errors.push(forbidden(`${at}.${name}`, "may not be set for init containers without restartPolicy=Always"));
  }
  return errors;
}

function validateContainer(container: Container, at: string, volumes: ReadonlySet<string>): readonly FieldError[] {
  const { name, image = "", terminationMessagePolicy = "", imagePullPolicy = "" } = container;
  const errors: FieldError[] = [];
  if (name === "") errors.push(required(`${at}.name`));
  else errors.push(...dns1123Label(name).map((why) => invalid(`${at}.name`, name, why)));
  if (image === "") errors.push(required(`${at}.image`));
  if (!messagePolicies.includes(terminationMessagePolicy)) {
    errors.push(choice(`${at}.terminationMessagePolicy`, terminationMessagePolicy, messagePolicies));
  }
  errors.push(...validatePorts(container.ports ?? [], `${at}.ports`));
  errors.push(...validateEnvironment(container.env ?? [], `${at}.env`));
  errors.push(...validateEnvironmentFrom(container.envFrom ?? [], `${at}.envFrom`));
  errors.push(...validateMounts(container, volumes, `${at}.volumeMounts`));
  if (!pullPolicies.includes(imagePullPolicy)) errors.push(choice(`${at}.imagePullPolicy`, imagePullPolicy, pullPolicies));
  errors.push(...validateResources(container.resources ?? {}, `${at}.resources`));
  if (container.securityContext !== undefined) errors.push(...validateSecurity(container.securityContext, `${at}.securityContext`));
  return errors;
}

function choice(field: string, value: string, supported: readonly string[]): FieldError {
  return value === "" ? required(field) : notSupported(field, value, supported);
}

function validatePorts(ports: readonly ContainerPort[], at: string): readonly FieldError[] {
  const names = new Set<string>();
  return ports.flatMap(({ name = "", containerPort, hostPort = 0, protocol = "" }, i) => {
    const field = `${at}[${i}]`;
    const errors: FieldError[] = [];
    if (name !== "") {
      const wrong = portName(name).map((why) => invalid(`${field}.name`, name, why));
      if (wrong.length === 0 && names.has(name)) errors.push(duplicate(`${field}.name`, name));
      errors.push(...wrong);
      names.add(name);
    }
    if (containerPort === 0) errors.push(required(`${field}.containerPort`));
    else errors.push(...portNumber(containerPort).map((why) => invalid(`${field}.containerPort`, containerPort, why)));
    if (hostPort !== 0) errors.push(...portNumber(hostPort).map((why) => invalid(`${field}.hostPort`, hostPort, why)));
    if (!protocols.includes(protocol)) errors.push(choice(`${field}.protocol`, protocol, protocols));
    return errors;
  });
}

function validateHostPorts(containers: readonly Container[], at: string): readonly FieldError[] {
  const seen = new Set<string>();
  return containers.flatMap((container, i) =>
    (container.ports ?? []).flatMap(({ hostPort = 0, hostIP = "", protocol = "" }, j) => {
      const key = `${protocol}/${hostIP}/${hostPort}`;
      if (hostPort === 0) return [];
      if (seen.has(key)) return [duplicate(`${at}[${i}].ports[${j}].hostPort`, key)];
      seen.add(key);
      return [];
    }),
  );
}

function validateResources({ limits = {}, requests = {} }: ResourceRequirements, at: string): readonly FieldError[] {
  const errors: FieldError[] = [];
  for (const [name, amount] of Object.entries(limits)) {
    errors.push(...resourceName(name, `${at}.limits[${name}]`), ...resourceAmount(name, amount, `${at}.limits[${name}]`));
  }
  for (const [name, amount] of Object.entries(requests)) {
    errors.push(...resourceName(name, `${at}.requests[${name}]`), ...resourceAmount(name, amount, `${at}.requests[${name}]`));
    const limit = limits[name];
    const overcommit = !name.includes("/") && !name.startsWith("hugepages-");
    if (limit !== undefined) {
      if (!overcommit && compareQuantity(amount, limit) !== 0) {
        errors.push(invalid(`${at}.requests`, amount, `must be equal to ${name} limit of ${limit}`));
      } else if (compareQuantity(amount, limit) > 0) {
        errors.push(invalid(`${at}.requests`, amount, `must be less than or equal to ${name} limit of ${limit}`));
      }
    } else if (!overcommit) errors.push(required(`${at}.limits`, "Limit must be set for non overcommitable resources"));
  }
  return errors;
}

function resourceName(name: string, field: string): readonly FieldError[] {
  const errors = qualifiedName(name).map((why) => invalid(field, name, why));
  if (errors.length > 0 || name.includes("/") || name.startsWith("hugepages-")) return errors;
  if (!standardResources.has(name)) errors.push(invalid(field, name, "must be a standard resource type or fully qualified"));
  if (!containerResources.has(name)) errors.push(invalid(field, name, "must be a standard resource for containers"));
  return errors;
}

function resourceAmount(name: string, amount: string, field: string): readonly FieldError[] {
  const nanos = quantityNanos(amount) ?? 0n;
  if (nanos < 0n) return [invalid(field, amount, "must be greater than or equal to 0")];
  return name.includes("/") && nanos % 1_000_000_000n !== 0n ? [invalid(field, amount, "must be an integer")] : [];
}

function validateSecurity(context: SecurityContext, at: string): readonly FieldError[] {
  const errors: FieldError[] = [];
  for (const name of ["runAsUser", "runAsGroup"] as const) {
    const id = context[name];
    if (id !== undefined) errors.push(...inRange(id, 0, maxId).map((why) => invalid(`${at}.${name}`, id, why)));
  }
  if (context.procMount !== undefined && context.procMount !== "Default" && context.procMount !== "Unmasked") {
    errors.push(notSupported(`${at}.procMount`, context.procMount, ["Default", "Unmasked"]));
  }
  if (context.allowPrivilegeEscalation === false) {
    if (context.privileged === true)
      errors.push(invalid(at, context, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"));
    if (context.capabilities?.add?.includes("CAP_SYS_ADMIN") === true) {
      errors.push(invalid(at, context, "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"));
    }
  }
  return errors;
}
