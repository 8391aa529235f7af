import type { RuleOptions } from "../../rules/index.ts";
import type { Node, Service } from "../../src/api/types/core-v1.generated.ts";
import type { EndpointSlice } from "../../src/api/types/discovery-v1.generated.ts";
import type { ServiceCIDR } from "../../src/api/types/networking-v1.generated.ts";
import { parseCidr } from "../../src/base/cidr.ts";
import type { IpFamily } from "../../src/base/ip.ts";
import { labAddresses, labPodCidrs } from "../support/rules-lab.ts";
import { makeNode, makeService, makeSlice, type SliceEndpoint } from "../support/rules-objects.ts";

/**
 * What packets to Services become on node `a`. Run by the tracer on every backend's program and by the real kernel, in
 * both families, TCP and UDP. Everything here happens in one cluster: each case names the Service it is about.
 */
export interface PacketCase {
  readonly name: string;
  readonly from: Source;
  readonly to: Target;
  readonly want: Want;
  readonly config?: ConfigName;
}
export type Source = "client" | "client2" | "a" | "b" | "a1" | "a2";
export type Target =
  | { readonly clusterIP: ServiceName; readonly port?: number }
  | { readonly externalIP: ServiceName; readonly port?: number }
  | { readonly loadBalancerIP: ServiceName; readonly port?: number }
  | { readonly nodePort: ServiceName; readonly at: "a" | "aSecond" }
  /** An address of the Service range that no Service has. */
  | { readonly unallocated: number };
export type Pod = "a1" | "a2" | "b1" | "b2";
export type Want =
  | { readonly verdict: "deliver"; readonly endpoints: readonly Pod[]; readonly masquerade: boolean }
  | { readonly verdict: "reject" | "drop" | "pass" };

export const configNames = [
  "default",
  "masqueradeAll",
  "allNodePortAddresses",
  "noDetector",
  "twoNodePortAddresses",
  "podLinks",
  "podBridge",
  "masqueradeAllPodLinks",
  "masqueradeAllNoDetector",
] as const;
export type ConfigName = (typeof configNames)[number];

/** The link of node `a` by which a source's packets come. */
export function linkOf(source: Source | "b1"): string | undefined {
  if (source === "a") return undefined;
  return source === "a1" || source === "a2" ? source : "eth0";
}

const nodePortRanges = [`${labAddresses.a[4]}/24`, `${labAddresses.a[6]}/64`];
export const configs: Readonly<Record<ConfigName, Omit<RuleOptions, "nodeName">>> = {
  default: {},
  masqueradeAll: { masqueradeAll: true },
  allNodePortAddresses: { nodePortAddresses: "all" },
  noDetector: { clusterCidrs: [] },
  podLinks: { localInterface: { kind: "prefix", name: "a" } },
  masqueradeAllPodLinks: { masqueradeAll: true, localInterface: { kind: "prefix", name: "a" } },
  masqueradeAllNoDetector: { masqueradeAll: true, clusterCidrs: [] },
  podBridge: { localInterface: { kind: "bridge", name: "a2" } },
  twoNodePortAddresses: { nodePortAddresses: nodePortRanges.flatMap((text) => parseCidr(text) ?? []) },
};

type Spec = NonNullable<Service["spec"]>;
interface ServiceCase {
  readonly spec?: Omit<Spec, "type"> & { readonly type?: string };
  readonly endpoints: readonly (Pod | (Omit<SliceEndpoint, "ip" | "node"> & { readonly pod: Pod }))[];
  /** Source ranges, by who is in them. */
  readonly allow?: readonly ("client" | "a" | "none" | "everybody")[];
  readonly proxyMode?: boolean;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  /** Its slices have the label of headless Services. */
  readonly headlessSlices?: boolean;
  /** allocateLoadBalancerNodePorts: false. */
  readonly withoutNodePorts?: boolean;
}

const local = { externalTrafficPolicy: "Local" } as const;
const services = {
  plain: { endpoints: ["a1", "b1"] },
  wide: { endpoints: ["a1", "a2", "b1", "b2"] },
  externalLocal: { spec: local, endpoints: ["a1", "b1"] },
  externalLocalRemote: { spec: local, endpoints: ["b1", "b2"] },
  internalLocal: { spec: { internalTrafficPolicy: "Local" }, endpoints: ["a1", "b1"] },
  internalLocalRemote: { spec: { internalTrafficPolicy: "Local" }, endpoints: ["b1"] },
  empty: { endpoints: [] },
  emptyLocal: { spec: local, endpoints: [] },
  ranges: { endpoints: ["a1", "b1"], allow: ["client"] },
  rangesLocal: { spec: local, endpoints: ["a1", "b1"], allow: ["client", "a"] },
  rangesEmpty: { endpoints: [], allow: ["client"] },
  draining: {
    endpoints: [
      { pod: "a1", terminating: true },
      { pod: "b1", ready: false },
    ],
  },
  drainingLocal: { spec: local, endpoints: [{ pod: "a1", terminating: true }, "b1"] },
  someDraining: { endpoints: ["a1", { pod: "b1", terminating: true }] },
  notReady: { endpoints: [{ pod: "a1", ready: false }] },
  zones: {
    endpoints: [
      { pod: "a1", zones: ["east"] },
      { pod: "b1", zones: ["west"] },
    ],
  },
  zonesPartly: { endpoints: [{ pod: "a1", zones: ["east"] }, "b1"] },
  nodes: {
    endpoints: [
      { pod: "a2", zones: ["east"], nodes: ["b"] },
      { pod: "b2", zones: ["west"], nodes: ["a"] },
    ],
  },
  sticky: { spec: { sessionAffinity: "ClientIP" }, endpoints: ["a1", "a2", "b1", "b2"] },
  stickyLocal: {
    spec: { ...local, sessionAffinity: "ClientIP", sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } } },
    endpoints: ["a1", "a2", "b1"],
  },
  stickyDraining: { spec: { sessionAffinity: "ClientIP" }, endpoints: ["a1", { pod: "b1", terminating: true }] },
  stickyAllDraining: {
    spec: { sessionAffinity: "ClientIP" },
    endpoints: [
      { pod: "a1", terminating: true },
      { pod: "b1", terminating: true, serving: false },
    ],
  },
  stickyLocalDraining: { spec: { ...local, sessionAffinity: "ClientIP" }, endpoints: ["a1", { pod: "a2", terminating: true }, "b1"] },
  internalLocalDraining: { spec: { internalTrafficPolicy: "Local" }, endpoints: [{ pod: "a1", terminating: true }, "b1"] },
  hashedDraining: {
    endpoints: ["a1", { pod: "b1", terminating: true }],
    annotations: { "fairway.dev/balance": "source-hash" },
  },
  maglevDraining: { endpoints: [{ pod: "a1", terminating: true }, "b1"], annotations: { "fairway.dev/balance": "maglev" } },
  weightedDraining: { endpoints: [{ pod: "a1", terminating: true }, "b1"], annotations: { "fairway.dev/weights": "b=0" } },
  portless: { endpoints: ["a1"], withoutNodePorts: true },
  anotherProxys: { endpoints: ["a1"], labels: { "service.kubernetes.io/service-proxy-name": "other" } },
  headlessSlices: { endpoints: ["a1"], headlessSlices: true },
  zonesLocal: {
    spec: local,
    endpoints: [
      { pod: "a1", zones: ["west"] },
      { pod: "b1", zones: ["east"] },
    ],
  },
  zonesElsewhere: {
    endpoints: [
      { pod: "a1", zones: ["north"] },
      { pod: "b1", zones: ["west"] },
    ],
  },
  zonesDraining: {
    endpoints: [
      { pod: "a1", zones: ["west"] },
      { pod: "b1", zones: ["east"], terminating: true },
    ],
  },
  self: { endpoints: ["a1"] },
  selfLocal: { spec: local, endpoints: ["a1"] },
  proxied: { endpoints: ["a1"], proxyMode: true },
  weighted: { endpoints: ["a1", "b1"], annotations: { "fairway.dev/weights": "a=5,b=4" } },
  weightNone: { endpoints: ["a1", "b1"], annotations: { "fairway.dev/weights": "b=0" } },
  maglev: { endpoints: ["a1", "b1"], annotations: { "fairway.dev/balance": "maglev" } },
  maglevLocal: { spec: local, endpoints: ["a1", "a2", "b1"], annotations: { "fairway.dev/balance": "maglev" } },
  hashed: { endpoints: ["a1", "b1"], annotations: { "fairway.dev/balance": "source-hash" } },
  hashedLocal: { spec: local, endpoints: ["a1", "a2", "b1"], annotations: { "fairway.dev/balance": "source-hash" } },
  leastConnections: { endpoints: ["a1", "b1"], annotations: { "fairway.dev/balance": "least-connections" } },
  rangesEverybody: { endpoints: ["a1", "b1"], allow: ["client", "everybody"] },
  published: { spec: { publishNotReadyAddresses: true }, endpoints: [{ pod: "a1", ready: false }] },
} satisfies Readonly<Record<string, ServiceCase>>;
export type ServiceName = keyof typeof services;
const names = Object.keys(services) as readonly ServiceName[];
const number = (name: ServiceName): number => names.indexOf(name) + 16;

const clusterIp = (name: ServiceName, family: IpFamily): string =>
  family === 4 ? `10.96.0.${number(name)}` : `fd96::${number(name).toString(16)}`;
const loadBalancerIp = (name: ServiceName, family: IpFamily): string =>
  family === 4 ? `198.51.100.${number(name)}` : `fd98::${number(name).toString(16)}`;
const externalIp = (name: ServiceName, family: IpFamily): string =>
  family === 4 ? `198.51.100.${number(name) + 100}` : `fd98::${(number(name) + 100).toString(16)}`;

export function targetAddress(target: Target, family: IpFamily): { readonly ip: string; readonly port: number } {
  if ("clusterIP" in target) return { ip: clusterIp(target.clusterIP, family), port: target.port ?? 80 };
  if ("externalIP" in target) return { ip: externalIp(target.externalIP, family), port: target.port ?? 80 };
  if ("loadBalancerIP" in target) return { ip: loadBalancerIp(target.loadBalancerIP, family), port: target.port ?? 80 };
  if ("nodePort" in target) return { ip: labAddresses[target.at][family], port: 30000 + number(target.nodePort) };
  return { ip: family === 4 ? `10.96.200.${target.unallocated}` : `fd96::c8${target.unallocated.toString(16)}`, port: 80 };
}

export function podAddress(pod: Pod, family: IpFamily): string {
  return labAddresses[pod][family];
}

type PacketObject = Service | EndpointSlice | Node | ServiceCIDR;

/** Its nodes and the Service range. */
export function packetCluster(): readonly PacketObject[] {
  return [
    makeNode("a", [labAddresses.a[4], labAddresses.a[6]], labPodCidrs.a, { "topology.kubernetes.io/zone": "east" }),
    makeNode("b", [labAddresses.b[4], labAddresses.b[6]], labPodCidrs.b, { "topology.kubernetes.io/zone": "west" }),
    {
      apiVersion: "networking.k8s.io/v1",
      kind: "ServiceCIDR",
      metadata: { name: "kubernetes" },
      spec: { cidrs: ["10.96.0.0/16", "fd96::/112"] },
    },
  ];
}

/** The objects of the one cluster. */
export function packetObjects(): readonly PacketObject[] {
  const objects: PacketObject[] = [...packetCluster()];
  for (const name of names) {
    const of: ServiceCase = services[name];
    const nodePort = of.withoutNodePorts === true ? {} : { nodePort: 30000 + number(name) };
    const families: readonly IpFamily[] = [4, 6];
    const ranges = (of.allow ?? []).flatMap((who) =>
      families.map((f) => {
        if (who === "everybody") return f === 4 ? "0.0.0.0/0" : "::/0";
        if (who === "none") return f === 4 ? "203.0.113.0/24" : "fd99::/64";
        return `${labAddresses[who][f]}/${f === 4 ? 32 : 128}`;
      }),
    );
    objects.push(
      makeService(
        name,
        {
          ...of.spec,
          type: "LoadBalancer",
          allocateLoadBalancerNodePorts: of.withoutNodePorts !== true,
          clusterIP: clusterIp(name, 4),
          clusterIPs: [clusterIp(name, 4), clusterIp(name, 6)],
          externalIPs: families.map((f) => externalIp(name, f)),
          ...(ranges.length === 0 ? {} : { loadBalancerSourceRanges: ranges }),
          ports: [
            { name: "t", port: 80, protocol: "TCP", ...nodePort },
            { name: "u", port: 80, protocol: "UDP", ...nodePort },
            { name: "s", port: 80, protocol: "SCTP", ...nodePort },
          ],
        },
        {
          metadata: { annotations: of.annotations ?? {}, labels: of.labels ?? {} },
          status: {
            loadBalancer: {
              ingress: families.map((f) => ({ ip: loadBalancerIp(name, f), ipMode: of.proxyMode === true ? "Proxy" : "VIP" })),
            },
          },
        },
      ),
    );
    for (const family of families) {
      if (of.endpoints.length === 0) continue;
      const endpoints = of.endpoints.map((e): SliceEndpoint => {
        const { pod, ...more } = typeof e === "string" ? { pod: e } : e;
        return { ip: podAddress(pod, family), node: pod[0] ?? "", ...more };
      });
      const slice = makeSlice(name, endpoints, {
        ports: [
          { name: "t", protocol: "TCP", port: 8080 },
          { name: "u", protocol: "UDP", port: 8080 },
          { name: "s", protocol: "SCTP", port: 8080 },
        ],
      });
      const headless = of.headlessSlices === true ? { "service.kubernetes.io/headless": "" } : {};
      objects.push({ ...slice, metadata: { ...slice.metadata, labels: { ...slice.metadata?.labels, ...headless } } });
    }
  }
  return objects;
}

const to = (...endpoints: readonly Pod[]) => ({
  kept: { verdict: "deliver", endpoints, masquerade: false } as const,
  masqueraded: { verdict: "deliver", endpoints, masquerade: true } as const,
});
const reject = { verdict: "reject" } as const;
const drop = { verdict: "drop" } as const;
const pass = { verdict: "pass" } as const;

type Row = readonly [name: string, from: Source, to: Target, want: Want, config?: ConfigName];
const rows: readonly Row[] = [
  ["cluster IP from a pod", "a2", { clusterIP: "plain" }, to("a1", "b1").kept],
  ["cluster IP from outside the cluster", "client", { clusterIP: "plain" }, to("a1", "b1").masqueraded],
  ["cluster IP from the node", "a", { clusterIP: "plain" }, to("a1", "b1").masqueraded],
  ["cluster IP with four endpoints", "a2", { clusterIP: "wide" }, to("a1", "a2", "b1", "b2").masqueraded],
  ["cluster IP with four endpoints, from outside", "client", { clusterIP: "wide" }, to("a1", "a2", "b1", "b2").masqueraded],
  ["external IP from outside", "client", { externalIP: "plain" }, to("a1", "b1").masqueraded],
  ["external IP from a pod", "a2", { externalIP: "plain" }, to("a1", "b1").masqueraded],
  ["external IP from the node", "a", { externalIP: "plain" }, to("a1", "b1").masqueraded],
  ["external IP from the other node", "b", { externalIP: "plain" }, to("a1", "b1").masqueraded],
  ["load balancer IP from outside", "client", { loadBalancerIP: "plain" }, to("a1", "b1").masqueraded],
  ["load balancer IP from a pod", "a2", { loadBalancerIP: "plain" }, to("a1", "b1").masqueraded],
  ["load balancer IP from the node", "a", { loadBalancerIP: "plain" }, to("a1", "b1").masqueraded],
  ["node port from outside", "client", { nodePort: "plain", at: "a" }, to("a1", "b1").masqueraded],
  ["node port from a pod", "a2", { nodePort: "plain", at: "a" }, to("a1", "b1").masqueraded],
  ["node port from the node", "a", { nodePort: "plain", at: "a" }, to("a1", "b1").masqueraded],
  ["node port from the other node", "b", { nodePort: "plain", at: "a" }, to("a1", "b1").masqueraded],
  ["node port on another address of the node", "client", { nodePort: "plain", at: "aSecond" }, pass],
  [
    "node port on an address of the node in the ranges",
    "client",
    { nodePort: "plain", at: "a" },
    to("a1", "b1").masqueraded,
    "twoNodePortAddresses",
  ],
  ["node port on all local addresses", "client", { nodePort: "plain", at: "a" }, to("a1", "b1").masqueraded, "allNodePortAddresses"],

  ["policy Local: load balancer IP from outside", "client", { loadBalancerIP: "externalLocal" }, to("a1").kept],
  ["policy Local: external IP from outside", "client", { externalIP: "externalLocal" }, to("a1").kept],
  ["policy Local: node port from outside", "client", { nodePort: "externalLocal", at: "a" }, to("a1").kept],
  ["policy Local: load balancer IP from a pod is short-circuited", "a2", { loadBalancerIP: "externalLocal" }, to("a1", "b1").kept],
  ["policy Local: node port from a pod is short-circuited", "a2", { nodePort: "externalLocal", at: "a" }, to("a1", "b1").kept],
  ["policy Local: external IP from the node is short-circuited", "a", { externalIP: "externalLocal" }, to("a1", "b1").masqueraded],
  ["policy Local: node port from the node is short-circuited", "a", { nodePort: "externalLocal", at: "a" }, to("a1", "b1").masqueraded],
  ["policy Local: the cluster IP is not concerned", "a2", { clusterIP: "externalLocal" }, to("a1", "b1").kept],
  ["policy Local, none local: from outside", "client", { loadBalancerIP: "externalLocalRemote" }, drop],
  ["policy Local, none local: node port from outside", "client", { nodePort: "externalLocalRemote", at: "a" }, drop],
  ["policy Local, none local: from a pod", "a2", { loadBalancerIP: "externalLocalRemote" }, to("b1", "b2").kept],
  ["policy Local, none local: from the node", "a", { loadBalancerIP: "externalLocalRemote" }, to("b1", "b2").masqueraded],
  ["internal policy Local", "a2", { clusterIP: "internalLocal" }, to("a1").kept],
  ["internal policy Local does not concern node ports", "client", { nodePort: "internalLocal", at: "a" }, to("a1", "b1").masqueraded],
  ["internal policy Local, none local", "a2", { clusterIP: "internalLocalRemote" }, drop],
  ["internal policy Local, none local: load balancer IP", "client", { loadBalancerIP: "internalLocalRemote" }, to("b1").masqueraded],

  ["no endpoints: cluster IP from a pod", "a2", { clusterIP: "empty" }, reject],
  ["no endpoints: cluster IP from outside", "client", { clusterIP: "empty" }, reject],
  ["no endpoints: external IP", "client", { externalIP: "empty" }, reject],
  ["no endpoints: load balancer IP", "client", { loadBalancerIP: "empty" }, reject],
  ["no endpoints: node port", "client", { nodePort: "empty", at: "a" }, reject],
  ["no endpoints: node port from a pod", "a2", { nodePort: "empty", at: "a" }, reject],
  ["no endpoints, policy Local: load balancer IP", "client", { loadBalancerIP: "emptyLocal" }, reject],
  ["no endpoints, policy Local: node port", "client", { nodePort: "emptyLocal", at: "a" }, reject],
  ["unknown port of a cluster IP from a pod", "a2", { clusterIP: "plain", port: 81 }, reject],
  ["unknown port of a cluster IP from outside", "client", { clusterIP: "plain", port: 81 }, reject],
  ["unallocated address of the Service range from a pod", "a2", { unallocated: 1 }, drop],
  ["unallocated address of the Service range from outside", "client", { unallocated: 1 }, drop],

  ["source ranges: inside", "client", { loadBalancerIP: "ranges" }, to("a1", "b1").masqueraded],
  ["source ranges: outside", "client2", { loadBalancerIP: "ranges" }, drop],
  ["source ranges: a pod is outside", "a2", { loadBalancerIP: "ranges" }, drop],
  ["source ranges do not concern node ports", "client2", { nodePort: "ranges", at: "a" }, to("a1", "b1").masqueraded],
  ["source ranges do not concern cluster IPs", "a2", { clusterIP: "ranges" }, to("a1", "b1").kept],
  ["source ranges do not concern external IPs", "client2", { externalIP: "ranges" }, to("a1", "b1").masqueraded],
  ["source ranges, policy Local: inside", "client", { loadBalancerIP: "rangesLocal" }, to("a1").kept],
  ["source ranges, policy Local: outside", "client2", { loadBalancerIP: "rangesLocal" }, drop],
  ["source ranges, policy Local: the node is inside", "a", { loadBalancerIP: "rangesLocal" }, to("a1", "b1").masqueraded],
  ["source ranges that hold everybody", "client2", { loadBalancerIP: "rangesEverybody" }, to("a1", "b1").masqueraded],
  ["source ranges, no endpoints: inside", "client", { loadBalancerIP: "rangesEmpty" }, reject],
  ["source ranges, no endpoints: outside", "client2", { loadBalancerIP: "rangesEmpty" }, drop],

  ["only terminating endpoints serve: they are used", "a2", { clusterIP: "draining" }, to("a1").kept],
  ["policy Local: only a terminating endpoint is local", "client", { loadBalancerIP: "drainingLocal" }, to("a1").kept],
  ["policy Local: the cluster pool has a ready one", "a2", { clusterIP: "drainingLocal" }, to("b1").kept],
  ["a terminating endpoint beside a ready one", "a2", { clusterIP: "someDraining" }, to("a1").kept],
  ["no ready endpoint", "a2", { clusterIP: "notReady" }, reject],
  ["no ready endpoint, and its Service publishes such: slices say who is ready", "a2", { clusterIP: "published" }, reject],
  ["zone hints", "a2", { clusterIP: "zones" }, to("a1").kept],
  ["zone hints concern node ports too", "client", { nodePort: "zones", at: "a" }, to("a1").masqueraded],
  ["zone hints on some endpoints only", "a2", { clusterIP: "zonesPartly" }, to("a1", "b1").kept],
  ["node hints before zone hints", "a1", { clusterIP: "nodes" }, to("b2").kept],
  ["session affinity", "client", { clusterIP: "sticky" }, to("a1", "a2", "b1", "b2").masqueraded],
  ["session affinity: node port", "client", { nodePort: "sticky", at: "a" }, to("a1", "a2", "b1", "b2").masqueraded],
  ["session affinity: load balancer IP", "client", { loadBalancerIP: "sticky" }, to("a1", "a2", "b1", "b2").masqueraded],
  ["session affinity, policy Local", "client", { loadBalancerIP: "stickyLocal" }, to("a1", "a2").kept],
  ["session affinity, policy Local: node port", "client2", { nodePort: "stickyLocal", at: "a" }, to("a1", "a2").kept],
  ["session affinity, policy Local: from a pod of another Service", "a2", { clusterIP: "stickyLocal" }, to("a1", "a2", "b1").masqueraded],

  ["session affinity, one terminating", "client", { clusterIP: "stickyDraining" }, to("a1").masqueraded],
  ["session affinity, one terminating: node port", "client2", { nodePort: "stickyDraining", at: "a" }, to("a1").masqueraded],
  ["session affinity, all terminating: what serves", "a2", { clusterIP: "stickyAllDraining" }, to("a1").kept],
  ["session affinity, all terminating: from outside", "client", { loadBalancerIP: "stickyAllDraining" }, to("a1").masqueraded],
  ["session affinity, policy Local, one terminating", "client", { loadBalancerIP: "stickyLocalDraining" }, to("a1").kept],
  ["session affinity, policy Local, one terminating: pod", "a2", { externalIP: "stickyLocalDraining" }, to("a1", "b1").kept],
  ["terminating, node port", "client", { nodePort: "someDraining", at: "a" }, to("a1").masqueraded],
  ["terminating, policy Local, node port", "client", { nodePort: "drainingLocal", at: "a" }, to("a1").kept],
  ["terminating, policy Local, from the node", "a", { nodePort: "drainingLocal", at: "a" }, to("b1").masqueraded],
  ["terminating, internal policy Local", "a2", { clusterIP: "internalLocalDraining" }, to("a1").kept],
  ["terminating, source hash", "a2", { clusterIP: "hashedDraining" }, to("a1").kept],
  ["terminating, Maglev: node port", "client", { nodePort: "maglevDraining", at: "a" }, to("b1").masqueraded],
  ["terminating, the others of weight 0", "a2", { clusterIP: "weightedDraining" }, to("b1").kept],
  ["weights", "a2", { clusterIP: "weighted" }, to("a1", "b1").kept],
  ["weights: node port", "client", { nodePort: "weighted", at: "a" }, to("a1", "b1").masqueraded],
  ["an endpoint of weight 0", "client", { loadBalancerIP: "weightNone" }, to("a1").masqueraded],
  ["Maglev: cluster IP", "a2", { clusterIP: "maglev" }, to("a1", "b1").kept],
  ["Maglev: cluster IP from outside", "client", { clusterIP: "maglev" }, to("a1", "b1").masqueraded],
  ["Maglev: load balancer IP", "client", { loadBalancerIP: "maglev" }, to("a1", "b1").masqueraded],
  ["Maglev: node port", "client", { nodePort: "maglev", at: "a" }, to("a1", "b1").masqueraded],
  ["Maglev, policy Local: load balancer IP", "client", { loadBalancerIP: "maglevLocal" }, to("a1", "a2").kept],
  ["Maglev, policy Local: node port", "client2", { nodePort: "maglevLocal", at: "a" }, to("a1", "a2").kept],
  ["Maglev, policy Local: from the node", "a", { loadBalancerIP: "maglevLocal" }, to("a1", "a2", "b1").masqueraded],
  ["source hash: cluster IP", "a2", { clusterIP: "hashed" }, to("a1", "b1").kept],
  ["source hash: node port", "client", { nodePort: "hashed", at: "a" }, to("a1", "b1").masqueraded],
  ["source hash, policy Local: external IP", "client2", { externalIP: "hashedLocal" }, to("a1", "a2").kept],
  ["source hash, policy Local: node port", "client", { nodePort: "hashedLocal", at: "a" }, to("a1", "a2").kept],
  ["least connections, at random where a backend does not count them", "a2", { clusterIP: "leastConnections" }, to("a1", "b1").kept],

  ["a pod reaches itself", "a1", { clusterIP: "self" }, to("a1").masqueraded],
  ["a pod reaches itself through a load balancer IP with policy Local", "a1", { loadBalancerIP: "selfLocal" }, to("a1").masqueraded],
  ["another pod keeps its address", "a2", { clusterIP: "self" }, to("a1").kept],
  ["a load balancer that sends by proxy has no rule", "client", { loadBalancerIP: "proxied" }, pass],
  ["its node port has", "client", { nodePort: "proxied", at: "a" }, to("a1").masqueraded],

  ["a load balancer without node ports", "client", { loadBalancerIP: "portless" }, to("a1").masqueraded],
  ["the node port that it would have", "client", { nodePort: "portless", at: "a" }, pass],
  ["left to another proxy: cluster IP", "a2", { clusterIP: "anotherProxys" }, drop],
  ["left to another proxy: load balancer IP", "client", { loadBalancerIP: "anotherProxys" }, pass],
  ["left to another proxy: node port", "client", { nodePort: "anotherProxys", at: "a" }, pass],
  ["slices of a headless Service: none of ours", "a2", { clusterIP: "headlessSlices" }, reject],
  ["policy Local asks no hints", "client", { loadBalancerIP: "zonesLocal" }, to("a1").kept],
  ["policy Local, short circuit: hints are followed", "a2", { loadBalancerIP: "zonesLocal" }, to("b1").kept],
  ["hints that name no zone of ours: all", "a2", { clusterIP: "zonesElsewhere" }, to("a1", "b1").kept],
  ["hints of a terminating endpoint do not count", "a2", { clusterIP: "zonesDraining" }, to("a1").kept],

  ["masqueradeAll, links: cluster IP from a pod", "a2", { clusterIP: "plain" }, to("a1", "b1").masqueraded, "masqueradeAllPodLinks"],
  [
    "masqueradeAll, links: policy Local from a pod",
    "a2",
    { loadBalancerIP: "externalLocal" },
    to("a1", "b1").kept,
    "masqueradeAllPodLinks",
  ],
  ["masqueradeAll, links: from outside", "client", { loadBalancerIP: "externalLocal" }, to("a1").kept, "masqueradeAllPodLinks"],
  ["masqueradeAll, no detector: cluster IP", "a2", { clusterIP: "plain" }, to("a1", "b1").masqueraded, "masqueradeAllNoDetector"],
  ["masqueradeAll, no detector: policy Local", "a2", { nodePort: "externalLocal", at: "a" }, to("a1").kept, "masqueradeAllNoDetector"],
  ["masqueradeAll: cluster IP from a pod", "a2", { clusterIP: "plain" }, to("a1", "b1").masqueraded, "masqueradeAll"],
  ["masqueradeAll: policy Local from a pod", "a2", { loadBalancerIP: "externalLocal" }, to("a1", "b1").kept, "masqueradeAll"],
  ["masqueradeAll: policy Local from outside", "client", { loadBalancerIP: "externalLocal" }, to("a1").kept, "masqueradeAll"],
  ["no detector: cluster IP from outside", "client", { clusterIP: "self" }, to("a1").kept, "noDetector"],
  ["no detector: policy Local from a pod", "a2", { loadBalancerIP: "externalLocal" }, to("a1").kept, "noDetector"],
  ["no detector: policy Local from the node", "a", { loadBalancerIP: "externalLocal" }, to("a1", "b1").masqueraded, "noDetector"],

  ["links of pods: cluster IP from a pod", "a2", { clusterIP: "plain" }, to("a1", "b1").kept, "podLinks"],
  ["links of pods: cluster IP from outside", "client", { clusterIP: "plain" }, to("a1", "b1").masqueraded, "podLinks"],
  ["links of pods: policy Local from a pod", "a2", { loadBalancerIP: "externalLocal" }, to("a1", "b1").kept, "podLinks"],
  ["links of pods: policy Local from outside", "client", { loadBalancerIP: "externalLocal" }, to("a1").kept, "podLinks"],
  ["links of pods: policy Local from the node", "a", { loadBalancerIP: "externalLocal" }, to("a1", "b1").masqueraded, "podLinks"],
  ["a bridge of pods: cluster IP from it", "a2", { clusterIP: "plain" }, to("a1", "b1").kept, "podBridge"],
  ["a bridge of pods: cluster IP from a pod beside it", "a1", { clusterIP: "drainingLocal" }, to("b1").masqueraded, "podBridge"],
  ["a bridge of pods: policy Local from it", "a2", { nodePort: "externalLocal", at: "a" }, to("a1", "b1").kept, "podBridge"],
];

export const packetTable: readonly PacketCase[] = rows.map(([name, from, target, want, config]) => ({
  name,
  from,
  to: target,
  want,
  ...(config === undefined ? {} : { config }),
}));
