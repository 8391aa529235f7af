import { type FieldError, forbidden, invalid, notSupported, required, tooLong } from "../field-error.ts";
import type {
  HTTPIngressPath,
  Ingress,
  IngressBackend,
  IngressClass,
  IngressClassParametersReference,
  IngressRule,
} from "../types/networking-v1.generated.ts";
import { looksLikeIp, validateIp } from "./addresses.ts";
import { immutable } from "./metadata.ts";
import { dns1123Label, dns1123Subdomain, pathSegment, portName, portNumber, wildcardSubdomain } from "./names.ts";
import { validateHostname } from "./service-validation.ts";

const classAnnotation = "kubernetes.io/ingress.class";
const badSequences = ["//", "/./", "/../", "%2f", "%2F"];
const badSuffixes = ["/..", "/."];
const maxController = 250;

export function validateIngress(ingress: Ingress, old?: Ingress): readonly FieldError[] {
  const { spec = {}, metadata } = ingress;
  const errors: FieldError[] = [];
  if ((spec.rules ?? []).length === 0 && spec.defaultBackend === undefined) {
    errors.push(invalid("spec", null, "either `defaultBackend` or `rules` must be specified"));
  }
  if (spec.defaultBackend !== undefined) errors.push(...validateBackend("spec.defaultBackend", spec.defaultBackend));
  (spec.rules ?? []).forEach((rule, i) => {
    errors.push(...validateRule(`spec.rules[${i}]`, rule));
  });
  (spec.tls ?? []).forEach(({ hosts = [], secretName = "" }, i) => {
    hosts.forEach((host, j) => {
      errors.push(...hostErrors(`spec.tls[${i}].hosts[${j}]`, host));
    });
    if (secretName !== "") errors.push(...dns1123Subdomain(secretName).map((why) => invalid(`spec.tls[${i}].secretName`, secretName, why)));
  });
  const name = spec.ingressClassName;
  if (name !== undefined) errors.push(...dns1123Subdomain(name).map((why) => invalid("spec.ingressClassName", name, why)));
  const annotation = metadata?.annotations?.[classAnnotation];
  if (old === undefined && annotation !== undefined && name !== undefined && annotation !== name) {
    errors.push(invalid(`annotations.${classAnnotation}`, annotation, "must match `ingressClassName` when both are specified"));
  }
  return errors;
}

export function validateIngressStatus(ingress: Ingress): readonly FieldError[] {
  return (ingress.status?.loadBalancer?.ingress ?? []).flatMap(({ ip = "", hostname = "" }, i) => {
    const at = `status.loadBalancer.ingress[${i}]`;
    return [...(ip === "" ? [] : validateIp(`${at}.ip`, ip)), ...validateHostname(`${at}.hostname`, hostname)];
  });
}

export function validateIngressClass({ spec = {} }: IngressClass, old?: IngressClass): readonly FieldError[] {
  const { controller = "", parameters } = spec;
  return [
    ...(old === undefined ? [] : immutable("spec.controller", controller, old.spec?.controller ?? "")),
    ...(controller.length > maxController ? [tooLong("spec.controller", maxController)] : []),
    ...validateController(controller),
    ...(parameters === undefined ? [] : validateParameters("spec.parameters", parameters)),
  ];
}

function validateController(controller: string): readonly FieldError[] {
  const field = "spec.controller";
  if (controller === "") return [required(field)];
  const slash = controller.indexOf("/");
  const host = controller.slice(0, Math.max(slash, 0));
  const path = controller.slice(slash + 1);
  if (slash < 1 || path === "") return [invalid(field, controller, 'must be a domain-prefixed path (such as "acme.io/foo")')];
  const errors = dns1123Subdomain(host).map((why) => invalid(field, host, why));
  const expression = "[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+";
  if (!new RegExp(`^${expression}$`).test(path))
    errors.push(invalid(field, path, `Invalid path (regex used for validation is '${expression}')`));
  return errors;
}

function validateParameters(at: string, parameters: IngressClassParametersReference): readonly FieldError[] {
  const errors = [...validateReference(at, parameters)];
  const { scope, namespace } = parameters;
  if (scope === undefined) errors.push(required(`${at}.scope`));
  else if (scope !== "Cluster" && scope !== "Namespace") errors.push(notSupported(`${at}.scope`, scope, ["Cluster", "Namespace"]));
  else if (scope === "Cluster") {
    if (namespace !== undefined) errors.push(forbidden(`${at}.namespace`, "`parameters.scope` is set to 'Cluster'"));
  } else if (namespace === undefined) errors.push(required(`${at}.namespace`, "`parameters.scope` is set to 'Namespace'"));
  else errors.push(...dns1123Label(namespace).map((why) => invalid(`${at}.namespace`, namespace, why)));
  return errors;
}

function validateReference(
  at: string,
  { apiGroup, kind, name }: { readonly apiGroup?: string; readonly kind: string; readonly name: string },
): readonly FieldError[] {
  return [
    ...(apiGroup === undefined ? [] : dns1123Subdomain(apiGroup).map((why) => invalid(`${at}.apiGroup`, apiGroup, why))),
    ...(kind === "" ? [required(`${at}.kind`)] : pathSegment(kind).map((why) => invalid(`${at}.kind`, kind, why))),
    ...(name === "" ? [required(`${at}.name`)] : pathSegment(name).map((why) => invalid(`${at}.name`, name, why))),
  ];
}

function validateRule(at: string, { host = "", http }: IngressRule): readonly FieldError[] {
  const errors: FieldError[] = [];
  if (host !== "") {
    if (looksLikeIp(host)) errors.push(invalid(`${at}.host`, host, "must be a DNS name, not an IP address"));
    errors.push(...hostErrors(`${at}.host`, host));
  }
  if (http === undefined) return errors;
  const paths = http.paths ?? [];
  if (paths.length === 0) errors.push(required(`${at}.http.paths`));
  return [...errors, ...paths.flatMap((path, i) => validatePath(`${at}.http.paths[${i}]`, path))];
}

function hostErrors(field: string, host: string): readonly FieldError[] {
  const check = host.includes("*") ? wildcardSubdomain : dns1123Subdomain;
  return check(host).map((why) => invalid(field, host, why));
}

function validatePath(at: string, { pathType, path = "", backend }: HTTPIngressPath): readonly FieldError[] {
  if (pathType === undefined) return [required(`${at}.pathType`, "pathType must be specified")];
  const errors: FieldError[] = [];
  switch (pathType) {
    case "Exact":
    case "Prefix":
      if (!path.startsWith("/")) errors.push(invalid(`${at}.path`, path, "must be an absolute path"));
      for (const bad of badSequences) if (path.includes(bad)) errors.push(invalid(`${at}.path`, path, `must not contain '${bad}'`));
      for (const bad of badSuffixes) if (path.endsWith(bad)) errors.push(invalid(`${at}.path`, path, `cannot end with '${bad}'`));
      break;
    case "ImplementationSpecific":
      if (path !== "" && !path.startsWith("/")) errors.push(invalid(`${at}.path`, path, "must be an absolute path"));
      break;
    default:
      errors.push(notSupported(`${at}.pathType`, pathType, ["Exact", "ImplementationSpecific", "Prefix"]));
  }
  return [...errors, ...validateBackend(`${at}.backend`, backend)];
}

function validateBackend(at: string, { service, resource }: IngressBackend): readonly FieldError[] {
  if (resource !== undefined && service !== undefined) return [invalid(at, "", "cannot set both resource and service backends")];
  if (resource !== undefined) return validateReference(`${at}.resource`, resource);
  if (service === undefined) return [invalid(at, "", "resource or service backend is required")];
  const errors: FieldError[] = [];
  if (service.name === "") errors.push(required(`${at}.service.name`));
  else errors.push(...dns1123Label(service.name).map((why) => invalid(`${at}.service.name`, service.name, why)));
  const { name = "", number = 0 } = service.port ?? {};
  if (name !== "" && number !== 0) errors.push(invalid(at, "", "cannot set both port name & port number"));
  else if (name !== "") errors.push(...portName(name).map((why) => invalid(`${at}.service.port.name`, name, why)));
  else if (number !== 0) errors.push(...portNumber(number).map((why) => invalid(`${at}.service.port.number`, number, why)));
  else errors.push(required(at, "port name or number is required"));
  return errors;
}
