import fc from "fast-check";
import { parseCidr } from "../../src/base/cidr.ts";
import type { IpFamily } from "../../src/base/ip.ts";
import type { SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import { makeNode, makeService, makeSlice, put } from "./rules-objects.ts";

// a small world of random objects, so that Services clash, share endpoints and come back
export const serviceNames = ["s0", "s1", "s2", "s3"] as const;
export const address = (family: IpFamily, v4: string, v6: string, n: number): string => (family === 4 ? `${v4}${n}` : `${v6}${n}`);
export const clusterIp = (family: IpFamily, n: number): string => address(family, "10.96.0.", "fd96::", n);
export const podIp = (family: IpFamily, n: number): string =>
  address(family, n < 4 ? "10.244.1." : "10.244.2.", n < 4 ? "fd44:1::" : "fd44:2::", n);
export const outerIp = (family: IpFamily, n: number): string => address(family, "198.51.100.", "fd98::", n);
export const nodeIp = (family: IpFamily): string => address(family, "192.0.2.", "fd02::", 1);

interface ServiceShape {
  readonly ip: number;
  readonly type: "ClusterIP" | "NodePort" | "LoadBalancer";
  readonly externalLocal: boolean;
  readonly internalLocal: boolean;
  readonly sticky: number | undefined;
  readonly nodePort: number;
  readonly outer: number;
  readonly ranges: readonly string[];
  readonly proxied: boolean;
  readonly ignored: boolean;
  readonly age: number;
  readonly port: number;
  readonly udp: boolean;
}
export const serviceShape: fc.Arbitrary<ServiceShape> = fc.record({
  ip: fc.integer({ min: 1, max: 3 }),
  type: fc.constantFrom("ClusterIP", "NodePort", "LoadBalancer"),
  externalLocal: fc.boolean(),
  internalLocal: fc.boolean(),
  sticky: fc.constantFrom(undefined, undefined, 60, 10800),
  nodePort: fc.integer({ min: 30000, max: 30002 }),
  outer: fc.integer({ min: 1, max: 2 }),
  ranges: fc.subarray(["203.0.113.0/24", "203.0.113.7/32", "0.0.0.0/0", "192.0.2.0/24", "fd02::/64", "nonsense"]),
  proxied: fc.boolean(),
  ignored: fc.constantFrom(false, false, false, true),
  age: fc.integer({ min: 1, max: 3 }),
  port: fc.constantFrom(80, 81),
  udp: fc.boolean(),
});
interface EndpointShape {
  readonly pod: number;
  readonly state: "ready" | "draining" | "gone" | "unready";
  readonly zone: string | undefined;
}
const endpointShape: fc.Arbitrary<EndpointShape> = fc.record({
  pod: fc.integer({ min: 1, max: 7 }),
  state: fc.constantFrom("ready", "ready", "draining", "gone", "unready"),
  zone: fc.constantFrom(undefined, "east", "west"),
});

export type Step =
  | { readonly do: "service"; readonly name: string; readonly shape: ServiceShape | undefined }
  | {
      readonly do: "slice";
      readonly name: string;
      readonly part: number;
      readonly family: IpFamily;
      readonly endpoints: readonly EndpointShape[] | undefined;
    }
  | { readonly do: "node"; readonly zone: string; readonly pods: boolean };
const name = fc.constantFrom(...serviceNames);
export const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant("service" as const), name, shape: fc.option(serviceShape, { nil: undefined, freq: 4 }) }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant("slice" as const),
      name,
      part: fc.integer({ min: 0, max: 1 }),
      family: fc.constantFrom<IpFamily>(4, 6),
      endpoints: fc.option(fc.array(endpointShape, { maxLength: 5 }), { nil: undefined, freq: 5 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("node" as const), zone: fc.constantFrom("east", "west"), pods: fc.boolean() }) },
);

let version = 0;
/** Makes one step in a store. */
export function take(store: SnapshotStore, s: Step): void {
  const rv = String(++version);
  if (s.do === "node") {
    put(
      store,
      "Node",
      makeNode("n", [nodeIp(4), nodeIp(6)], s.pods ? ["10.244.1.0/24", "fd44:1::/64"] : [], { "topology.kubernetes.io/zone": s.zone }),
      rv,
    );
  } else if (s.do === "service") {
    const { shape } = s;
    if (shape === undefined) {
      store.apply("Service", `test/${s.name}`, undefined, rv);
      return;
    }
    const families: readonly IpFamily[] = [4, 6];
    const service = makeService(
      s.name,
      {
        type: shape.type,
        clusterIP: clusterIp(4, shape.ip),
        clusterIPs: families.map((f) => clusterIp(f, shape.ip)),
        externalTrafficPolicy: shape.externalLocal ? "Local" : "Cluster",
        internalTrafficPolicy: shape.internalLocal ? "Local" : "Cluster",
        externalIPs: shape.outer === 1 ? [outerIp(4, 9)] : [],
        loadBalancerSourceRanges: shape.ranges,
        ports: [
          {
            name: "p",
            port: shape.port,
            protocol: shape.udp ? "UDP" : "TCP",
            ...(shape.type === "ClusterIP" ? {} : { nodePort: shape.nodePort }),
          },
        ],
        ...(shape.sticky === undefined
          ? {}
          : { sessionAffinity: "ClientIP", sessionAffinityConfig: { clientIP: { timeoutSeconds: shape.sticky } } }),
      },
      {
        metadata: {
          creationTimestamp: `2026-01-0${shape.age}T00:00:00Z`,
          labels: shape.ignored ? { "service.kubernetes.io/service-proxy-name": "other" } : {},
        },
        status: {
          loadBalancer: { ingress: families.map((f) => ({ ip: outerIp(f, shape.outer), ipMode: shape.proxied ? "Proxy" : "VIP" })) },
        },
      },
    );
    put(store, "Service", service, rv);
  } else {
    const key = `${s.name}-${s.family}-${s.part}`;
    if (s.endpoints === undefined) {
      store.apply("EndpointSlice", `test/${key}`, undefined, rv);
      return;
    }
    const endpoints = s.endpoints.map((e) => ({
      ip: podIp(s.family, e.pod),
      node: e.pod < 4 ? "n" : "m",
      ready: e.state === "ready",
      serving: e.state === "ready" || e.state === "draining",
      terminating: e.state === "draining" || e.state === "gone",
      ...(e.zone === undefined ? {} : { zones: [e.zone] }),
    }));
    const ports = ["TCP", "UDP"].map((protocol) => ({ name: "p", protocol, port: 8080 }));
    const slice = makeSlice(s.name, endpoints, { name: key, ports });
    put(store, "EndpointSlice", { ...slice, addressType: s.family === 4 ? "IPv4" : "IPv6" }, rv);
  }
}

/** What the node of the world is amid. */
export const surroundings = {
  nodePortIps: [nodeIp(4), nodeIp(6)],
  podCidrs: ["10.244.1.0/24", "fd44:1::/64"].flatMap((c) => parseCidr(c) ?? []),
  serviceCidrs: ["10.96.0.0/16", "fd96::/112"].flatMap((c) => parseCidr(c) ?? []),
  localDnsIps: [],
};
