import type { Draft } from "../../api/json-value.ts";
import type { Service, ServicePort, ServiceSpec } from "../../api/types/core-v1.generated.ts";
import { needsClusterIps } from "./ip-families.ts";
import { hasNodePorts, needsHealthPort } from "./service-addresses.ts";

/**
 * Makes a Service that was sent comparable with what is stored: the old and the new field for cluster IPs agree, and an
 * update that leaves out what was allocated keeps it, as a client does that sends its own file again.
 */
export function completeService(service: Draft<Service>, old: Service | undefined): void {
  const { spec } = service;
  if (spec === undefined) return;
  alignClusterIps(spec, old?.spec);
  if (old?.spec !== undefined) keepAllocated(spec, old.spec);
}

/** `clusterIP` is the first of `clusterIPs`; a client that knows only the one has not changed the other. */
function alignClusterIps(spec: Draft<ServiceSpec>, old: ServiceSpec | undefined): void {
  const { clusterIP = "", clusterIPs = [] } = spec;
  if (clusterIP !== "" && clusterIPs.length === 0)
    spec.clusterIPs = old?.clusterIP === clusterIP ? [...(old.clusterIPs ?? [clusterIP])] : [clusterIP];
  if (old === undefined || clusterIPs.length === 0 || clusterIPs.join() !== (old.clusterIPs ?? []).join()) return;
  if (clusterIP === "" && (old.clusterIP ?? "") !== "") delete spec.clusterIPs;
  else if (clusterIP !== old.clusterIP) spec.clusterIPs = [clusterIP];
}

function keepAllocated(spec: Draft<ServiceSpec>, old: ServiceSpec): void {
  if (needsClusterIps(old) && needsClusterIps(spec)) {
    if ((spec.clusterIP ?? "") === "" && (spec.clusterIPs?.[0] ?? "") === "") {
      if (old.clusterIP !== undefined) spec.clusterIP = old.clusterIP;
      if (old.clusterIPs !== undefined) spec.clusterIPs = [...old.clusterIPs];
    } else if (spec.clusterIPs === undefined && spec.clusterIP === old.clusterIP && old.clusterIPs !== undefined) {
      spec.clusterIPs = [...old.clusterIPs];
    }
  }
  if (hasNodePorts(old) && hasNodePorts(spec)) keepNodePorts(spec.ports ?? [], old.ports ?? []);
  if (needsHealthPort(old) && needsHealthPort(spec) && (spec.healthCheckNodePort ?? 0) === 0 && old.healthCheckNodePort !== undefined) {
    spec.healthCheckNodePort = old.healthCheckNodePort;
  }
}

function keepNodePorts(ports: Draft<ServicePort>[], old: readonly ServicePort[]): void {
  const id = (p: ServicePort): string => `${p.protocol ?? "TCP"}/${p.port}`;
  const before = new Map(old.map((p) => [id(p), p.nodePort]));
  const asked = new Set(ports.map((p) => p.nodePort ?? 0));
  for (const port of ports) {
    const kept = before.get(id(port));
    if ((port.nodePort ?? 0) === 0 && kept !== undefined && !asked.has(kept)) port.nodePort = kept;
  }
}
