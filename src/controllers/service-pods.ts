import type { Pod, Service, ServicePort } from "../api/types/core-v1.generated.ts";
import type { Lister } from "../client/informer.ts";
import { hasLabels } from "./selection.ts";
import { labelPair } from "./views.ts";

/** The pods a Service selects, found through its rarest label pair. */
export function podsOfService(service: Service, pods: Lister<Pod>): readonly Pod[] {
  const namespace = service.metadata?.namespace ?? "";
  const selector = service.spec?.selector ?? {};
  let rarest: string | undefined;
  let fewest = Number.POSITIVE_INFINITY;
  for (const [name, value] of Object.entries(selector)) {
    const pair = labelPair(namespace, name, value);
    const count = pods.count("label", pair);
    if (count < fewest) {
      fewest = count;
      rarest = pair;
    }
  }
  if (rarest === undefined) return [];
  return pods.byIndex("label", rarest).filter((pod) => hasLabels(pod.metadata?.labels, selector));
}

/** Keys of the Services that select pods with these labels. */
export function servicesOfPod(pod: Pod, services: Lister<Service>): readonly string[] {
  const namespace = pod.metadata?.namespace ?? "";
  const found: string[] = [];
  for (const [name, value] of Object.entries(pod.metadata?.labels ?? {})) {
    for (const service of services.byIndex("selector", labelPair(namespace, name, value))) {
      if (hasLabels(pod.metadata?.labels, service.spec?.selector ?? {})) found.push(`${namespace}/${service.metadata?.name ?? ""}`);
    }
  }
  return found;
}

/** The number behind a service port in one pod: a name is looked up among the containers' ports of the same protocol. */
export function targetPortOf(port: ServicePort, pod: Pod): number | undefined {
  const target = port.targetPort ?? port.port;
  if (typeof target === "number") return target === 0 ? port.port : target;
  const protocol = port.protocol ?? "TCP";
  const sidecars = (pod.spec?.initContainers ?? []).filter((c) => c.restartPolicy === "Always");
  for (const container of [...(pod.spec?.containers ?? []), ...sidecars]) {
    for (const p of container.ports ?? []) if (p.name === target && (p.protocol ?? "TCP") === protocol) return p.containerPort;
  }
  return undefined;
}

/** A pod's name within its Service's DNS, when it has asked for one there. */
export function hostnameInService(pod: Pod, service: Service): string | undefined {
  const { hostname, subdomain } = pod.spec ?? {};
  return hostname !== undefined && hostname !== "" && subdomain === service.metadata?.name ? hostname : undefined;
}

/** The pod's address in a family: the first one listed. */
export function podIp(pod: Pod, family: "IPv4" | "IPv6"): string | undefined {
  const ips = pod.status?.podIPs?.map((p) => p.ip) ?? (pod.status?.podIP === undefined ? [] : [pod.status.podIP]);
  return ips.find((ip) => ip !== undefined && ip !== "" && ip.includes(":") === (family === "IPv6"));
}

export function isHeadless(service: Service): boolean {
  return service.spec?.clusterIP === "None";
}

/** The families a Service has addresses in; before they are assigned, IPv4. */
export function familiesOf(service: Service): readonly ("IPv4" | "IPv6")[] {
  const families = (service.spec?.ipFamilies ?? []).filter((f) => f === "IPv4" || f === "IPv6");
  if (families.length > 0) return families;
  return [service.spec?.clusterIP?.includes(":") === true ? "IPv6" : "IPv4"];
}
