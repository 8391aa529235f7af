import type { Service } from "../../src/api/types/core-v1.generated.ts";
import type { EndpointSlice } from "../../src/api/types/discovery-v1.generated.ts";
import type { Random } from "./random.ts";
import { labAddresses, labPodCidrs } from "./rules-lab.ts";
import { makeNode, makeService, makeSlice } from "./rules-objects.ts";

const servicePorts = [
  { name: "t", port: 80, protocol: "TCP" },
  { name: "u", port: 80, protocol: "UDP" },
];
const endpointPorts = servicePorts.map((p) => ({ ...p, port: 8080 }));

/** What never changes while everything else does: an endpoint's address each, and one for all pods that remembers its clients. */
export const keptAddress = "10.96.0.20";
export const stickyAddress = "10.96.0.21";
export function keptObjects() {
  return [
    makeNode("a", [labAddresses.a[4], labAddresses.a[6]], labPodCidrs.a),
    makeService("kept", { clusterIP: keptAddress, ports: servicePorts }),
    makeSlice("kept", [labAddresses.a1[4]], { ports: endpointPorts }),
    makeService("sticky", { clusterIP: stickyAddress, sessionAffinity: "ClientIP", ports: servicePorts }),
    makeSlice(
      "sticky",
      (["a1", "a2", "b1", "b2"] as const).map((pod) => labAddresses[pod][4]),
      { ports: endpointPorts },
    ),
  ] as const;
}

/** Said to each: not every backend's default. */
export const nodePortAddresses = "primary";

export const churned = 100;

/** Service `i` of those that come and go, in one of its shapes. */
export function churnService(i: number, random: Random): Service {
  return makeService(`s${i}`, {
    clusterIP: `10.96.2.${i}`,
    sessionAffinity: random.below(3) === 0 ? "ClientIP" : "None",
    ports: servicePorts,
    ...(random.below(4) === 0 ? { type: "NodePort", ports: servicePorts.map((p) => ({ ...p, nodePort: 31_000 + i })) } : {}),
  });
}

export function churnSlice(i: number, random: Random): EndpointSlice {
  const first = random.below(200);
  const ips = Array.from({ length: random.below(8) }, (_, n) => `10.244.2.${20 + ((first + n) % 200)}`);
  return { ...makeSlice(`s${i}`, ips, { name: `s${i}-4`, ports: endpointPorts }), addressType: "IPv4" };
}
