import { isExternallyAccessible } from "./defaults/service-defaults.ts";
import { type Draft, draftOf, jsonEqual } from "./json-value.ts";
import type { Service, ServiceSpec } from "./types/core-v1.generated.ts";

/**
 * A Service that changes its type keeps fields that its new type has no use for, when a client sends back what it read.
 * Those are dropped, unless the client changed them as well: then validation shall tell it.
 */
export function dropTypeDependentFields(service: Service, old: Service): Service {
  const out = draftOf(service) as Draft<Service>;
  const before = old.spec ?? {};
  const spec = out.spec;
  if (spec === undefined) return service;
  if (needsClusterIp(before) && !needsClusterIp(spec)) dropClusterIps(spec, before);
  if (needsNodePort(before) && !needsNodePort(spec) && jsonEqual(nodePorts(before), nodePorts(spec))) {
    for (const port of spec.ports ?? []) delete port.nodePort;
  }
  if (needsHealthCheckPort(before) && !needsHealthCheckPort(spec) && spec.healthCheckNodePort === before.healthCheckNodePort) {
    delete spec.healthCheckNodePort;
  }
  if (before.type === "LoadBalancer" && spec.type !== "LoadBalancer") {
    if (spec.allocateLoadBalancerNodePorts === before.allocateLoadBalancerNodePorts) delete spec.allocateLoadBalancerNodePorts;
    if (spec.loadBalancerClass === before.loadBalancerClass) delete spec.loadBalancerClass;
  }
  if (isExternallyAccessible(before) && !isExternallyAccessible(spec) && spec.externalTrafficPolicy === before.externalTrafficPolicy) {
    delete spec.externalTrafficPolicy;
  }
  if (spec.type !== "LoadBalancer" && out.status !== undefined) out.status.loadBalancer = {};
  return out;
}

function dropClusterIps(spec: Draft<ServiceSpec>, before: ServiceSpec): void {
  if (spec.clusterIP === before.clusterIP && jsonEqual(spec.clusterIPs, before.clusterIPs)) {
    delete spec.clusterIP;
    delete spec.clusterIPs;
  }
  if (jsonEqual(spec.ipFamilies, before.ipFamilies)) delete spec.ipFamilies;
  if (spec.ipFamilyPolicy === before.ipFamilyPolicy) delete spec.ipFamilyPolicy;
}

function needsClusterIp(spec: ServiceSpec): boolean {
  return spec.type !== "ExternalName";
}

function needsNodePort(spec: ServiceSpec): boolean {
  return spec.type === "NodePort" || spec.type === "LoadBalancer";
}

function needsHealthCheckPort(spec: ServiceSpec): boolean {
  return spec.type === "LoadBalancer" && spec.externalTrafficPolicy === "Local";
}

function nodePorts(spec: ServiceSpec): readonly number[] {
  return (spec.ports ?? []).map((port) => port.nodePort ?? 0);
}
