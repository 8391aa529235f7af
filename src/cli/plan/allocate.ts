import type { Service } from "../../api/types/core-v1.generated.ts";
import type { RolledOut } from "./rollout.ts";
import type { StandIns } from "./stand-ins.ts";
import type { World } from "./world.ts";

/** New Services with what the API server will give them: addresses by stand-ins; node ports and load balancer addresses are only named. */
export function allocate(before: World, after: World, standIns: StandIns): RolledOut {
  const world = new Map(after);
  const remarks: string[] = [];
  for (const [key, object] of after) {
    if (object.kind !== "Service" || before.get(key) === object) continue;
    const service: Service = object.value;
    const spec = service.spec ?? {};
    if (spec.type === "ExternalName") continue;
    const withPorts = spec.type === "NodePort" || spec.type === "LoadBalancer";
    const lacking = withPorts && spec.allocateLoadBalancerNodePorts !== false ? (spec.ports ?? []).filter((p) => !p.nodePort) : [];
    if (lacking.length > 0)
      remarks.push(
        `${key}: ${lacking.length === 1 ? "a node port is" : `${lacking.length} node ports are`} given when it is applied; rules for ${lacking.length === 1 ? "it" : "them"} come then`,
      );
    if (spec.type === "LoadBalancer" && (service.status?.loadBalancer?.ingress ?? []).length === 0)
      remarks.push(`${key}: its load balancer address is given later; rules for it come then`);
    if ((spec.clusterIP ?? "") !== "" || (spec.clusterIPs ?? []).length > 0) {
      if (spec.clusterIP !== undefined && spec.clusterIPs === undefined)
        world.set(key, { ...object, value: { ...object.value, spec: { ...spec, clusterIPs: [spec.clusterIP] } } });
      continue;
    }
    const name = `${object.namespace ?? ""}/${object.name}`;
    const families = (spec.ipFamilies ?? ["IPv4"]).map((f): "IPv4" | "IPv6" => (f === "IPv6" ? "IPv6" : "IPv4"));
    const clusterIPs = families.map((f) =>
      standIns.address(f, families.length > 1 ? `cluster IP of ${name} ${f}` : `cluster IP of ${name}`),
    );
    remarks.push(`${key}: its cluster IP is given when it is created`);
    world.set(key, {
      ...object,
      value: { ...object.value, spec: { ...spec, clusterIP: clusterIPs[0] ?? "", clusterIPs, ipFamilies: families } },
    });
  }
  return { world, remarks };
}
