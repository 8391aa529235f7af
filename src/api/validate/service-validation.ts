import { isExternallyAccessible } from "../defaults/service-defaults.ts";
import { duplicate, type FieldError, forbidden, invalid, notSupported, required } from "../field-error.ts";
import type { Service, ServicePort, ServiceSpec } from "../types/core-v1.generated.ts";
import { familyOf, validateCidr, validateEndpointIp, validateIp } from "./addresses.ts";
import { validateLabels } from "./metadata.ts";
import { dns1123Label, dns1123Subdomain, portName, portNumber, qualifiedName } from "./names.ts";

export const protocols: readonly string[] = ["SCTP", "TCP", "UDP"];
const types: readonly string[] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const maxAffinitySeconds = 86_400;
const sourceRangesAnnotation = "service.beta.kubernetes.io/load-balancer-source-ranges";
const loadBalancerOnly = "may only be used when `type` is 'LoadBalancer'";

/** The spec of a Service; with `old` also that what was allocated stays. */
export function validateService(service: Service, old?: Service): readonly FieldError[] {
  const { spec = {} } = service;
  return [
    ...(old === undefined ? [] : validateChange(spec, old.spec ?? {})),
    ...validateType(spec),
    ...(spec.ports ?? []).flatMap((port, i) => validatePort(port, i, spec.ports ?? [])),
    ...validateLabels(spec.selector, "spec.selector"),
    ...validateAffinity(spec),
    ...validateClusterIps(spec, old?.spec?.clusterIPs ?? []),
    ...(spec.externalIPs ?? []).flatMap((ip, i) => {
      const field = `spec.externalIPs[${i}]`;
      const errors = validateIp(field, ip, old?.spec?.externalIPs ?? []);
      return errors.length > 0 ? errors : validateEndpointIp(field, ip);
    }),
    ...(types.includes(spec.type ?? "") ? [] : [notSupported("spec.type", spec.type ?? "", types)]),
    ...validateNodePorts(spec),
    ...validateDuplicatePorts(spec.ports ?? []),
    ...validateLoadBalancer(service, old),
    ...validateTrafficPolicies(spec),
  ];
}

/** The status of a Service: addresses of load balancers. */
export function validateServiceStatus(service: Service): readonly FieldError[] {
  const ingress = service.status?.loadBalancer?.ingress ?? [];
  if (service.spec?.type !== "LoadBalancer") {
    return ingress.length === 0 ? [] : [forbidden("status.loadBalancer.ingress", "may only be used when `spec.type` is 'LoadBalancer'")];
  }
  return ingress.flatMap((entry, i) => {
    const at = `status.loadBalancer.ingress[${i}]`;
    const { ip = "", hostname = "", ipMode } = entry;
    const errors: FieldError[] = ip === "" ? [] : [...validateIp(`${at}.ip`, ip)];
    if (ipMode === undefined) {
      if (ip !== "") errors.push(required(`${at}.ipMode`, "must be specified when `ip` is set"));
    } else if (ip === "") errors.push(forbidden(`${at}.ipMode`, "may not be specified when `ip` is not set"));
    else if (ipMode !== "VIP" && ipMode !== "Proxy") errors.push(notSupported(`${at}.ipMode`, ipMode, ["Proxy", "VIP"]));
    return [...errors, ...validateHostname(`${at}.hostname`, hostname)];
  });
}

/** The host name a load balancer is known by. */
export function validateHostname(field: string, hostname: string): readonly FieldError[] {
  if (hostname === "") return [];
  return [
    ...dns1123Subdomain(hostname).map((why) => invalid(field, hostname, why)),
    ...(familyOf(hostname) === undefined ? [] : [invalid(field, hostname, "must be a DNS name, not an IP address")]),
  ];
}

export function isHeadless(spec: ServiceSpec): boolean {
  return spec.clusterIPs?.length === 1 && spec.clusterIPs[0] === "None";
}

/** A port by number or by name, as in targetPort and in probes. */
export function validatePortReference(field: string, port: number | string | undefined): readonly FieldError[] {
  if (typeof port === "string") return portName(port).map((why) => invalid(field, port, why));
  return portNumber(port ?? 0).map((why) => invalid(field, port ?? 0, why));
}

function validateType(spec: ServiceSpec): readonly FieldError[] {
  const errors: FieldError[] = [];
  const headless = isHeadless(spec);
  if ((spec.ports ?? []).length === 0 && !headless && spec.type !== "ExternalName") errors.push(required("spec.ports"));
  if (headless && (spec.type === "LoadBalancer" || spec.type === "NodePort")) {
    errors.push(invalid("spec.clusterIPs[0]", "None", `may not be set to 'None' for ${spec.type} services`));
  }
  if (spec.type !== "ExternalName") return errors;
  const why = "may not be set for ExternalName services";
  if ((spec.clusterIPs ?? []).length > 0) errors.push(forbidden("spec.clusterIPs", why));
  if ((spec.ipFamilies ?? []).length > 0) errors.push(forbidden("spec.ipFamilies", why));
  if (spec.ipFamilyPolicy !== undefined) errors.push(forbidden("spec.ipFamilyPolicy", why));
  const name = (spec.externalName ?? "").replace(/\.$/, "");
  if (name === "") errors.push(required("spec.externalName"));
  else errors.push(...dns1123Subdomain(name).map((why2) => invalid("spec.externalName", name, why2)));
  return errors;
}

function validatePort(port: ServicePort, i: number, all: readonly ServicePort[]): readonly FieldError[] {
  const at = `spec.ports[${i}]`;
  const errors: FieldError[] = [];
  const { name = "", protocol = "", appProtocol } = port;
  if (name === "") {
    if (all.length > 1) errors.push(required(`${at}.name`));
  } else {
    errors.push(...dns1123Label(name).map((why) => invalid(`${at}.name`, name, why)));
    if (all.slice(0, i).some((other) => other.name === name)) errors.push(duplicate(`${at}.name`, name));
  }
  errors.push(...portNumber(port.port).map((why) => invalid(`${at}.port`, port.port, why)));
  if (protocol === "") errors.push(required(`${at}.protocol`));
  else if (!protocols.includes(protocol)) errors.push(notSupported(`${at}.protocol`, protocol, protocols));
  errors.push(...validatePortReference(`${at}.targetPort`, port.targetPort));
  if (appProtocol !== undefined) errors.push(...qualifiedName(appProtocol).map((why) => invalid(`${at}.appProtocol`, appProtocol, why)));
  return errors;
}

function validateAffinity(spec: ServiceSpec): readonly FieldError[] {
  const affinity = spec.sessionAffinity ?? "";
  const config = spec.sessionAffinityConfig;
  const at = "spec.sessionAffinityConfig";
  if (affinity === "") return [required("spec.sessionAffinity")];
  if (affinity === "None") return config === undefined ? [] : [forbidden(at, "must not be set when session affinity is None")];
  if (affinity !== "ClientIP") return [notSupported("spec.sessionAffinity", affinity, ["ClientIP", "None"])];
  const seconds = config?.clientIP?.timeoutSeconds;
  if (seconds === undefined) return [required(`${at}.clientIP.timeoutSeconds`, "when session affinity type is ClientIP")];
  if (seconds > 0 && seconds <= maxAffinitySeconds) return [];
  return [invalid(`${at}.clientIP.timeoutSeconds`, seconds, `must be greater than 0 and less than ${maxAffinitySeconds}`)];
}

function validateClusterIps(spec: ServiceSpec, kept: readonly string[]): readonly FieldError[] {
  if (spec.type === "ExternalName") return [];
  const errors: FieldError[] = [];
  const { clusterIP = "", clusterIPs = [], ipFamilies = [], ipFamilyPolicy } = spec;
  if (clusterIP === "") {
    if (clusterIPs.length > 0) errors.push(invalid("spec.clusterIPs", clusterIPs, "must be empty when `clusterIP` is not specified"));
  } else if (clusterIPs.length === 0) errors.push(required("spec.clusterIPs"));
  else if (clusterIPs[0] !== clusterIP) errors.push(invalid("spec.clusterIPs", clusterIPs, "first value must match `clusterIP`"));
  ipFamilies.forEach((family, i) => {
    if (family !== "IPv4" && family !== "IPv6") errors.push(notSupported(`spec.ipFamilies[${i}]`, family, ["IPv4", "IPv6"]));
    if (ipFamilies.indexOf(family) < i) errors.push(duplicate(`spec.ipFamilies[${i}]`, family));
  });
  const policies = ["PreferDualStack", "RequireDualStack", "SingleStack"];
  if (ipFamilyPolicy !== undefined && !policies.includes(ipFamilyPolicy))
    errors.push(notSupported("spec.ipFamilyPolicy", ipFamilyPolicy, policies));
  const wrong: FieldError[] = [];
  clusterIPs.forEach((ip, i) => {
    if (i === 0 && ip === "None") {
      if (clusterIPs.length > 1) wrong.push(invalid("spec.clusterIPs", clusterIPs, "'None' must be the first and only value"));
    } else wrong.push(...validateIp(`spec.clusterIPs[${i}]`, ip, kept));
  });
  errors.push(...wrong);
  if (clusterIPs.length > 2) errors.push(invalid("spec.clusterIPs", clusterIPs, "may only hold up to 2 values"));
  if (wrong.length > 0) return errors;
  const families = clusterIPs.map(familyOf);
  if (clusterIPs.length > 1 && new Set(families).size < 2) {
    errors.push(invalid("spec.clusterIPs", clusterIPs, "may specify no more than one IP for each IP family"));
  }
  if (isHeadless(spec)) return errors;
  clusterIPs.forEach((ip, i) => {
    const family = ipFamilies[i];
    if (family !== undefined && (family === "IPv4" || family === "IPv6") && family !== `IPv${families[i]}`) {
      errors.push(invalid(`spec.clusterIPs[${i}]`, ip, `expected an ${family} value as indicated by \`ipFamilies[${i}]\``));
    }
  });
  return errors;
}

function validateNodePorts(spec: ServiceSpec): readonly FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  (spec.ports ?? []).forEach((port, i) => {
    if (!port.nodePort) return;
    const field = `spec.ports[${i}].nodePort`;
    if (spec.type === "ClusterIP") errors.push(forbidden(field, "may not be used when `type` is 'ClusterIP'"));
  });
  (spec.ports ?? []).forEach((port, i) => {
    if (!port.nodePort) return;
    const key = `${port.protocol}/${port.nodePort}`;
    if (seen.has(key)) errors.push(duplicate(`spec.ports[${i}].nodePort`, port.nodePort));
    seen.add(key);
  });
  return errors;
}

function validateDuplicatePorts(ports: readonly ServicePort[]): readonly FieldError[] {
  const seen = new Set<string>();
  return ports.flatMap((port, i) => {
    const key = `${port.protocol}/${port.port}`;
    if (!seen.has(key)) {
      seen.add(key);
      return [];
    }
    const value = { Name: "", Protocol: port.protocol ?? "", AppProtocol: null, Port: port.port, TargetPort: 0, NodePort: 0 };
    return [duplicate(`spec.ports[${i}]`, value)];
  });
}

function validateLoadBalancer({ spec = {}, metadata }: Service, old: Service | undefined): readonly FieldError[] {
  const errors: FieldError[] = [];
  const isLoadBalancer = spec.type === "LoadBalancer";
  const ranges = spec.loadBalancerSourceRanges ?? [];
  const annotation = metadata?.annotations?.[sourceRangesAnnotation];
  if (ranges.length > 0) {
    if (!isLoadBalancer) errors.push(forbidden("spec.LoadBalancerSourceRanges", loadBalancerOnly));
    const kept = (old?.spec?.loadBalancerSourceRanges ?? []).map((range) => range.trim());
    ranges.forEach((range, i) => {
      errors.push(...validateCidr(`spec.LoadBalancerSourceRanges[${i}]`, range.trim(), kept));
    });
  } else if (annotation !== undefined) {
    const field = `metadata.annotations[${sourceRangesAnnotation}]`;
    if (!isLoadBalancer) errors.push(forbidden(field, loadBalancerOnly));
    if (old?.metadata?.annotations?.[sourceRangesAnnotation] !== annotation && annotation.trim() !== "") {
      for (const range of annotation.trim().split(",")) errors.push(...validateCidr(field, range.trim()));
    }
  }
  if (spec.allocateLoadBalancerNodePorts !== undefined && !isLoadBalancer) {
    errors.push(forbidden("spec.allocateLoadBalancerNodePorts", loadBalancerOnly));
  }
  if (isLoadBalancer && spec.allocateLoadBalancerNodePorts === undefined) errors.push(required("allocateLoadBalancerNodePorts"));
  const loadBalancerClass = spec.loadBalancerClass;
  if (loadBalancerClass === undefined) return errors;
  if (!isLoadBalancer) errors.push(forbidden("spec.loadBalancerClass", loadBalancerOnly));
  else errors.push(...qualifiedName(loadBalancerClass).map((why) => invalid("spec.loadBalancerClass", loadBalancerClass, why)));
  return errors;
}

function validateTrafficPolicies(spec: ServiceSpec): readonly FieldError[] {
  const errors: FieldError[] = [];
  const external = spec.externalTrafficPolicy ?? "";
  const internal = spec.internalTrafficPolicy;
  const policies = ["Cluster", "Local"];
  if (!isExternallyAccessible(spec)) {
    if (external !== "") errors.push(invalid("spec.externalTrafficPolicy", external, "may only be set for externally-accessible services"));
  } else if (external === "") errors.push(required("spec.externalTrafficPolicy"));
  else if (!policies.includes(external)) errors.push(notSupported("spec.externalTrafficPolicy", external, policies));
  if (!needsHealthCheck(spec) && spec.healthCheckNodePort) {
    const why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
    errors.push(invalid("spec.healthCheckNodePort", spec.healthCheckNodePort, why));
  } else if (spec.healthCheckNodePort) {
    const port = spec.healthCheckNodePort;
    errors.push(...portNumber(port).map((why) => invalid("spec.healthCheckNodePort", port, why)));
  }
  if (internal === undefined) {
    if (spec.type !== "ExternalName" && types.includes(spec.type ?? "")) errors.push(required("spec.internalTrafficPolicy"));
  } else if (!policies.includes(internal)) errors.push(notSupported("spec.internalTrafficPolicy", internal, policies));
  const distributions = ["PreferClose", "PreferSameZone", "PreferSameNode"];
  if (spec.trafficDistribution !== undefined && !distributions.includes(spec.trafficDistribution)) {
    errors.push(notSupported("spec.trafficDistribution", spec.trafficDistribution, distributions));
  }
  return errors;
}

function needsHealthCheck(spec: ServiceSpec): boolean {
  return spec.type === "LoadBalancer" && spec.externalTrafficPolicy === "Local";
}

/** What was allocated once stays: addresses and families may be added or released, the first ones never change. */
function validateChange(spec: ServiceSpec, old: ServiceSpec): readonly FieldError[] {
  const errors: FieldError[] = [];
  if (spec.type !== "ExternalName" && old.type !== "ExternalName") {
    const now = { ips: spec.clusterIPs ?? [], families: spec.ipFamilies ?? [], headless: isHeadless(spec) };
    const before = { ips: old.clusterIPs ?? [], families: old.ipFamilies ?? [], headless: isHeadless(old) };
    if (!(now.headless && before.headless)) errors.push(...clusterIpChange(now.ips, before.ips, spec.ipFamilyPolicy));
    if (!now.headless && !before.headless) errors.push(...familyChange(now.families, before.families, spec));
  }
  if (spec.type === "LoadBalancer" && old.type === "LoadBalancer" && spec.loadBalancerClass !== old.loadBalancerClass) {
    errors.push(invalid("spec.loadBalancerClass", spec.loadBalancerClass, "may not change once set"));
  }
  if (needsHealthCheck(spec) && needsHealthCheck(old) && (spec.healthCheckNodePort ?? 0) !== (old.healthCheckNodePort ?? 0)) {
    errors.push(forbidden("spec.healthCheckNodePort", "field is immutable"));
  }
  return errors;
}

function clusterIpChange(ips: readonly string[], before: readonly string[], policy: string | undefined): readonly FieldError[] {
  const changed = (i: number): FieldError => invalid(`spec.clusterIPs[${i}]`, ips, "may not change once set");
  if (ips.length === before.length) return before.flatMap((ip, i) => (ip === ips[i] ? [] : [changed(i)]));
  const errors: FieldError[] = [];
  if (before.length > ips.length && ips.length === 0)
    errors.push(invalid("spec.clusterIPs[0]", null, "primary clusterIP can not be unset"));
  if (before.length > 0 && ips.length > 0 && ips[0] !== before[0]) errors.push(changed(0));
  if (before.length > ips.length && ips.length === 1 && policy !== "SingleStack") {
    errors.push(invalid("spec.ipFamilyPolicy", policy, "must be set to 'SingleStack' when releasing the secondary clusterIP"));
  }
  return errors;
}

function familyChange(families: readonly string[], before: readonly string[], spec: ServiceSpec): readonly FieldError[] {
  const field = "spec.ipFamilies[0]";
  if (families.length === before.length) {
    return before.flatMap((family, i) => (family === families[i] ? [] : [invalid(field, families, "may not change once set")]));
  }
  const errors: FieldError[] = [];
  const released = before.length > families.length;
  if (released && (spec.clusterIPs ?? []).length === 0)
    errors.push(invalid(field, families.length === 0 ? null : families, "primary ipFamily can not be unset"));
  if (before.length > 0 && families.length > 0 && families[0] !== before[0]) {
    errors.push(invalid(field, spec.clusterIPs ?? null, "may not change once set"));
  }
  if (released && families.length === 1 && spec.ipFamilyPolicy !== "SingleStack") {
    errors.push(invalid("spec.ipFamilyPolicy", spec.ipFamilyPolicy, "must be set to 'SingleStack' when releasing the secondary ipFamily"));
  }
  return errors;
}
