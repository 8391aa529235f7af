import fc from "fast-check";
import type { Surroundings } from "../../rules/plan/surroundings.ts";
import { parseCidr } from "../../src/base/cidr.ts";
import type { IpFamily } from "../../src/base/ip.ts";
import type { SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import { makeNode, makeService, makeSlice, put } from "./rules-objects.ts";

// a small world, so that Services clash, share endpoints and come back
export const serviceNames = ["s0", "s1", "s2", "s3"] as const;
export const address = (family: IpFamily, v4: string, v6: string, n: number): string => (family === 4 ? `${v4}${n}` : `${v6}${n}`);
export const clusterIp = (family: IpFamily, n: number): string => address(family, "10.96.0.", "fd96::", n);
/** Those below 4 are on the node `n` of the rules, the others on `m`. */
export const podIp = (family: IpFamily, n: number): string =>
  address(family, n < 4 ? "10.244.1." : "10.244.2.", n < 4 ? "fd44:1::" : "fd44:2::", n);
export const outerIp = (family: IpFamily, n: number): string => address(family, "198.51.100.", "fd98::", n);
export const nodeIp = (family: IpFamily): string => address(family, "192.0.2.", "fd02::", 1);
export const secondNodeIp = (family: IpFamily): string => address(family, "192.0.3.", "fd02:3::", 1);
export const strangerIp = (family: IpFamily, n: number): string => address(family, "203.0.113.", "fd77::", n);
export const podRanges = ["10.244.1.0/24", "fd44:1::/64"] as const;
export const serviceRanges = ["10.96.0.0/16", "fd96::/112"] as const;

const protocolNames = { TCP: "t", UDP: "u", SCTP: "s" } as const;
type ProtocolName = keyof typeof protocolNames;

export interface ServiceShape {
  readonly ip: number;
  readonly type: "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalName";
  readonly families: readonly IpFamily[];
  readonly externalLocal: boolean;
  readonly internalLocal: boolean;
  readonly sticky: number | undefined;
  /** 0: none is allocated. */
  readonly nodePort: number;
  readonly outer: number;
  readonly ranges: readonly string[];
  readonly proxied: boolean;
  readonly ignored: boolean;
  readonly age: number;
  readonly port: number;
  /** All on the same port. */
  readonly protocols: readonly ProtocolName[];
  readonly balance: string | undefined;
  readonly weights: string | undefined;
}
export const serviceShape: fc.Arbitrary<ServiceShape> = fc.record({
  ip: fc.integer({ min: 1, max: 3 }),
  type: fc.constantFrom(
    "ClusterIP",
    "ClusterIP",
    "NodePort",
    "NodePort",
    "NodePort",
    "LoadBalancer",
    "LoadBalancer",
    "LoadBalancer",
    "ExternalName",
  ),
  families: fc.constantFrom<readonly IpFamily[]>([4, 6], [4, 6], [6, 4], [4], [6]),
  externalLocal: fc.boolean(),
  internalLocal: fc.boolean(),
  sticky: fc.constantFrom(undefined, undefined, 60, 10800),
  nodePort: fc.constantFrom(0, 30000, 30000, 30001, 30002),
  outer: fc.integer({ min: 1, max: 2 }),
  ranges: fc.subarray(["203.0.113.0/24", "203.0.113.7/32", "0.0.0.0/0", "192.0.2.0/24", "fd02::/64", "nonsense"]),
  proxied: fc.constantFrom(false, false, true),
  ignored: fc.constantFrom(false, false, false, true),
  age: fc.integer({ min: 1, max: 3 }),
  port: fc.constantFrom(80, 81),
  protocols: fc.constantFrom<readonly ProtocolName[]>(["TCP"], ["UDP"], ["TCP", "UDP"], ["TCP", "UDP", "SCTP"]),
  balance: fc.constantFrom(undefined, undefined, "random", "source-hash", "maglev", "least-connections", "nonsense"),
  weights: fc.constantFrom(undefined, undefined, "n=3", "n=2,m=4", "zone:east=0", "nonsense"),
});

export interface EndpointShape {
  readonly pod: number;
  readonly state: "ready" | "draining" | "gone" | "unready" | "unsaid";
  readonly zone: string | undefined;
  readonly node: string | undefined;
}
const endpointShape: fc.Arbitrary<EndpointShape> = fc.record({
  pod: fc.integer({ min: 1, max: 7 }),
  state: fc.constantFrom("ready", "ready", "unsaid", "draining", "gone", "unready"),
  zone: fc.constantFrom(undefined, "east", "west"),
  node: fc.constantFrom(undefined, undefined, "n", "m"),
});
/** Often enough all hinted, or none. */
const endpointShapes: fc.Arbitrary<readonly EndpointShape[]> = fc
  .tuple(fc.array(endpointShape, { maxLength: 5 }), fc.constantFrom("as drawn", "no hints", "zones"))
  .map(([list, hints]) =>
    hints === "as drawn"
      ? list
      : list.map((e) => ({ ...e, node: undefined, zone: hints === "zones" ? (e.zone ?? (e.pod % 2 === 0 ? "east" : "west")) : undefined })),
  );

export type Step =
  | { readonly do: "service"; readonly name: string; readonly shape: ServiceShape | undefined }
  | {
      readonly do: "slice";
      readonly name: string;
      readonly part: number;
      readonly family: IpFamily;
      readonly headless: boolean;
      readonly endpoints: readonly EndpointShape[] | undefined;
    }
  | { readonly do: "node"; readonly zone: string | undefined; readonly pods: boolean };
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
      headless: fc.constantFrom(false, false, false, false, true),
      endpoints: fc.option(endpointShapes, { nil: undefined, freq: 5 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("node" as const), zone: fc.constantFrom("east", "west", undefined), pods: fc.boolean() }),
  },
);

let version = 0;
export function take(store: SnapshotStore, s: Step): void {
  const rv = String(++version);
  if (s.do === "node") {
    const addresses = [nodeIp(4), nodeIp(6), secondNodeIp(4), secondNodeIp(6)];
    put(
      store,
      "Node",
      makeNode("n", addresses, s.pods ? podRanges : [], s.zone === undefined ? {} : { "topology.kubernetes.io/zone": s.zone }),
      rv,
    );
  } else if (s.do === "service") takeService(store, s.name, s.shape, rv);
  else {
    const key = `${s.name}-${s.family}-${s.part}`;
    if (s.endpoints === undefined) {
      store.apply("EndpointSlice", `test/${key}`, undefined, rv);
      return;
    }
    const endpoints = s.endpoints.map((e) => ({
      ip: podIp(s.family, e.pod),
      node: e.pod < 4 ? "n" : "m",
      ready: e.state === "ready" || e.state === "unsaid",
      serving: e.state !== "gone" && e.state !== "unready",
      terminating: e.state === "draining" || e.state === "gone",
      ...(e.zone === undefined ? {} : { zones: [e.zone] }),
      ...(e.node === undefined ? {} : { nodes: [e.node] }),
    }));
    const ports = Object.entries(protocolNames).map(([protocol, of]) => ({ name: of, protocol, port: 8080 }));
    const slice = makeSlice(s.name, endpoints, { name: key, ports });
    put(
      store,
      "EndpointSlice",
      {
        ...slice,
        metadata: {
          ...slice.metadata,
          labels: { ...slice.metadata?.labels, ...(s.headless ? { "service.kubernetes.io/headless": "" } : {}) },
        },
        addressType: s.family === 4 ? "IPv4" : "IPv6",
        // absent conditions say ready, serving, not terminating
        endpoints: (slice.endpoints ?? []).map((e, i) => (s.endpoints?.[i]?.state === "unsaid" ? { ...e, conditions: {} } : e)),
      },
      rv,
    );
  }
}

function takeService(store: SnapshotStore, of: string, shape: ServiceShape | undefined, rv: string): void {
  if (shape === undefined) {
    store.apply("Service", `test/${of}`, undefined, rv);
    return;
  }
  const { families } = shape;
  const ips = families.map((f) => clusterIp(f, shape.ip));
  const service = makeService(
    of,
    {
      type: shape.type,
      clusterIP: ips[0] ?? "",
      clusterIPs: ips,
      externalTrafficPolicy: shape.externalLocal ? "Local" : "Cluster",
      internalTrafficPolicy: shape.internalLocal ? "Local" : "Cluster",
      externalIPs: shape.outer === 1 ? families.map((f) => outerIp(f, 9)) : [],
      loadBalancerSourceRanges: shape.ranges,
      ports: shape.protocols.map((protocol) => ({
        name: protocolNames[protocol],
        port: shape.port,
        protocol,
        ...(shape.type === "ClusterIP" || shape.nodePort === 0 ? {} : { nodePort: shape.nodePort }),
      })),
      ...(shape.sticky === undefined
        ? {}
        : { sessionAffinity: "ClientIP", sessionAffinityConfig: { clientIP: { timeoutSeconds: shape.sticky } } }),
    },
    {
      metadata: {
        creationTimestamp: `2026-01-0${shape.age}T00:00:00Z`,
        labels: shape.ignored ? { "service.kubernetes.io/service-proxy-name": "other" } : {},
        annotations: {
          ...(shape.balance === undefined ? {} : { "fairway.dev/balance": shape.balance }),
          ...(shape.weights === undefined ? {} : { "fairway.dev/weights": shape.weights }),
        },
      },
      status: {
        loadBalancer: { ingress: families.map((f) => ({ ip: outerIp(f, shape.outer), ipMode: shape.proxied ? "Proxy" : "VIP" })) },
      },
    },
  );
  put(store, "Service", service, rv);
}

/** What the rules find around the frontends, while the Node says where its pods are. */
export const surroundings: Surroundings = {
  nodePortIps: [nodeIp(4), nodeIp(6)],
  podCidrs: podRanges.flatMap((text) => parseCidr(text) ?? []),
  serviceCidrs: serviceRanges.flatMap((text) => parseCidr(text) ?? []),
  localDnsIps: [],
};
