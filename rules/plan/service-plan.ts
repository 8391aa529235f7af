import type { Service, ServicePort } from "../../src/api/types/core-v1.generated.ts";
import type { EndpointSlice } from "../../src/api/types/discovery-v1.generated.ts";
import { type Cidr, cidrContains, parseCidr, printCidr } from "../../src/base/cidr.ts";
import { type Ip, type IpFamily, ipFamily, isPort, parseIp } from "../../src/base/ip.ts";
import type { Snapshot } from "../../src/snapshot/cluster-snapshot.ts";
import type { Compiled, Problem } from "../../src/snapshot/problem.ts";
import { categorizeEndpoints } from "../model/categorize.ts";
import { type Endpoint, type EndpointsByPort, endpointPortKey, endpointsOfSlices, isForbidden } from "../model/endpoint.ts";
import type { NodeView } from "../model/node-view.ts";
import { type Protocol, parseProtocol, type ServicePortName, type TrafficPolicy } from "../model/service-port.ts";
import { type BalanceWish, balanceWishOf, weightOf } from "./balance.ts";
import {
  type Action,
  type Frontend,
  frontendKey,
  type Masquerade,
  type Member,
  nodePortKey,
  type Pool,
  poolId,
  type Scope,
} from "./frontend.ts";

/** Settings that change what a Service compiles to. */
export interface PlanOptions {
  readonly families: readonly IpFamily[];
  readonly masqueradeAll: boolean;
  /** Goes before the Node's own addresses of its family. */
  readonly primaryAddress?: Ip | undefined;
  /** Plain mode: endpoints and external addresses may be in 127.64.0.0/10. */
  readonly plain: boolean;
  /** Addresses that this node serves itself (cluster DNS): no frontend for them. */
  readonly localDnsIps: readonly Ip[];
}

export const defaultPlanOptions: PlanOptions = { families: [4, 6], masqueradeAll: false, plain: false, localDnsIps: [] };

/** The order in which Services win an address and port: older first, then by namespace and name. */
export interface Seniority {
  readonly createdAt: string;
  readonly namespace: string;
  readonly name: string;
}

/** Older first; a Service without a creation time (from a file) is oldest. Then by namespace and name. */
export function compareSeniority(a: Seniority, b: Seniority): number {
  return compareText(a.createdAt, b.createdAt) || compareText(a.namespace, b.namespace) || compareText(a.name, b.name);
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export interface HealthCheck extends Seniority {
  readonly port: number;
  /** Ready endpoints on this node, each address once. */
  readonly localEndpoints: number;
}

/** A policy, and the family in which no endpoint on this node serves it. */
export type LocalGap = `${"internal" | "external"}${IpFamily}`;

/** What one Service wants: claims, which may lose against another Service's. */
export interface ServicePlan {
  readonly seniority: Seniority;
  readonly frontends: readonly Frontend[];
  /** Present for a load balancer with external traffic policy Local. */
  readonly healthCheck?: HealthCheck;
  /** Policies that have endpoints in the cluster but none on this node; for the metric. */
  readonly withoutLocal: readonly LocalGap[];
}

const proxyNameLabel = "service.kubernetes.io/service-proxy-name";
const defaultAffinitySeconds = 10_800;
const maxAffinitySeconds = 86_400;

/** Pure. No plan for a Service that gets no rules: headless, ExternalName, left to another proxy, without an address yet. */
export function planService(snapshot: Snapshot, key: string, node: NodeView, options: PlanOptions): Compiled<ServicePlan | undefined> {
  const service = snapshot.tables.Service.get(key);
  const spec = service?.spec;
  if (service === undefined || spec === undefined) return { plan: undefined, problems: [] };
  if (spec.type === "ExternalName" || service.metadata?.labels?.[proxyNameLabel] !== undefined) return { plan: undefined, problems: [] };
  const namespace = service.metadata?.namespace ?? "";
  const name = service.metadata?.name ?? "";
  const problems: Problem[] = [];
  const refuse = (field: string, reason: string, message: string): void => {
    problems.push({ object: { kind: "Service", namespace, name }, field, reason, message });
  };
  const clusterIps = clusterIpsOf(service, refuse);
  if (clusterIps.length === 0) return { plan: undefined, problems };

  const slices: EndpointSlice[] = [];
  snapshot.slicesByService.get(key)?.forEach((slice) => {
    slices.push(slice);
  });
  const frontends: Frontend[] = [];
  const withoutLocal: LocalGap[] = [];
  const lacksLocal = (gap: LocalGap): void => {
    if (!withoutLocal.includes(gap)) withoutLocal.push(gap);
  };
  let localReady: Set<Ip> | undefined;
  const external = externalTraffic(service, node, options.plain, refuse);
  const affinitySeconds = affinityOf(service, refuse);
  const wish = balanceWishOf(service, refuse);
  for (const family of options.families) {
    const clusterIp = clusterIps.find((ip) => ipFamily(ip) === family);
    if (clusterIp === undefined) continue;
    const named = wish.weights !== undefined;
    const endpoints = endpointsOfSlices(slices, { family, nodeName: node.name, plain: options.plain, named });
    problems.push(...endpoints.problems);
    for (const [i, port] of (spec.ports ?? []).entries()) {
      const protocol = parseProtocol(port.protocol);
      if (protocol === undefined) {
        refuse(`spec.ports[${i}].protocol`, "ProtocolUnknown", `"${port.protocol ?? ""}" is not TCP, UDP or SCTP; the port is left out`);
        continue;
      }
      if (!isPort(port.port)) {
        refuse(`spec.ports[${i}].port`, "PortInvalid", `${port.port} is no port from 1 to 65535; the port is left out`);
        continue;
      }
      const owner: ServicePortName = { namespace, name, port: port.name ?? "", protocol };
      const policies = poolsOf(owner, endpoints.byPort, node, family, wish);
      for (const endpoint of policies.endpoints) if (endpoint.ready && endpoint.local) (localReady ??= new Set()).add(endpoint.ip);
      const of: Claimant = { family, port, protocol, owner, affinitySeconds };

      const internal: TrafficPolicy = spec.internalTrafficPolicy === "Local" ? "Local" : "Cluster";
      if (internal === "Local" && policies.any && !policies.anyLocal) lacksLocal(`internal${family}`);
      if (!options.localDnsIps.includes(clusterIp)) {
        const masquerade: Masquerade = options.masqueradeAll ? "always" : "off-cluster";
        frontends.push(atAddress(of, clusterIp, { scope: "clusterIP", action: internalAction(of, policies, internal), masquerade }));
      }

      if (external.policy === "Local" && policies.any && !policies.anyLocal) lacksLocal(`external${family}`);
      const nodePort = spec.type === "NodePort" || spec.type === "LoadBalancer" ? (port.nodePort ?? 0) : 0;
      if (nodePort === 0 && external.ips.length === 0 && external.loadBalancerIps.length === 0) continue;
      const action = externalAction(of, policies, external.policy);
      const masquerade: Masquerade = external.policy === "Local" ? "never" : "always";
      for (const ip of external.ips)
        if (ipFamily(ip) === family) frontends.push(atAddress(of, ip, { scope: "externalIP", action, masquerade }));
      for (const ip of external.loadBalancerIps) {
        if (ipFamily(ip) !== family) continue;
        const frontend = atAddress(of, ip, { scope: "loadBalancerIP", action, masquerade });
        const sources = external.sourcesFor(ip);
        frontends.push(sources === undefined ? frontend : { ...frontend, sources });
      }
      if (nodePort === 0) continue;
      if (isPort(nodePort)) frontends.push(atNodePort(of, nodePort, { action, masquerade }));
      else refuse(`spec.ports[${i}].nodePort`, "PortInvalid", `${nodePort} is no port from 1 to 65535; it gets no rules`);
    }
  }
  const healthCheckPort = healthCheckPortOf(service, refuse);
  const seniority: Seniority = { createdAt: service.metadata?.creationTimestamp ?? "", namespace, name };
  return {
    plan: {
      seniority,
      // without the room that a list has that grew: it stays, one for each Service
      frontends: frontends.slice(),
      ...(healthCheckPort === 0 ? {} : { healthCheck: { ...seniority, port: healthCheckPort, localEndpoints: localReady?.size ?? 0 } }),
      withoutLocal,
    },
    problems,
  };
}

/** Undefined: clients are not remembered. */
function affinityOf({ spec }: Service, refuse: Refuse): number | undefined {
  if (spec?.sessionAffinity !== "ClientIP") return undefined;
  const seconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? defaultAffinitySeconds;
  if (Number.isInteger(seconds) && seconds >= 1 && seconds <= maxAffinitySeconds) return seconds;
  const message = `${seconds} is no number of seconds from 1 to ${maxAffinitySeconds}; clients are remembered for ${defaultAffinitySeconds}`;
  refuse("spec.sessionAffinityConfig.clientIP.timeoutSeconds", "AffinityInvalid", message);
  return defaultAffinitySeconds;
}

/** 0: none. */
function healthCheckPortOf({ spec }: Service, refuse: Refuse): number {
  const port = spec?.healthCheckNodePort ?? 0;
  if (spec?.type !== "LoadBalancer" || spec.externalTrafficPolicy !== "Local" || port === 0) return 0;
  if (isPort(port)) return port;
  refuse("spec.healthCheckNodePort", "PortInvalid", `${port} is no port from 1 to 65535; nobody answers load balancers there`);
  return 0;
}

type Refuse = (field: string, reason: string, message: string) => void;

function clusterIpsOf(service: Service, refuse: Refuse): readonly Ip[] {
  const spec = service.spec ?? {};
  const listed = spec.clusterIPs !== undefined && spec.clusterIPs.length > 0 ? spec.clusterIPs : [spec.clusterIP ?? ""];
  if (listed[0] === "None" || listed[0] === "") return noAddresses;
  // an address that is canonical as it stands, as nearly all are, needs no list of its own
  if (listed.every((text) => parseIp(text) === text)) return listed;
  return listed.flatMap((text, i) => {
    const ip = parseIp(text);
    if (ip !== undefined) return [ip];
    refuse(`spec.clusterIPs[${i}]`, "AddressInvalid", `"${text}" is no IP address; the Service has no rules for it`);
    return [];
  });
}

interface ExternalTraffic {
  readonly policy: TrafficPolicy;
  readonly ips: readonly Ip[];
  readonly loadBalancerIps: readonly Ip[];
  /** Ranges that may reach a load balancer address; undefined: everybody. */
  sourcesFor(ip: Ip): readonly Cidr[] | undefined;
}

const noAddresses: readonly Ip[] = [];
const nothingExternal: ExternalTraffic = {
  policy: "Cluster",
  ips: noAddresses,
  loadBalancerIps: noAddresses,
  sourcesFor: () => undefined,
};

function externalTraffic(service: Service, node: NodeView, plain: boolean, refuse: Refuse): ExternalTraffic {
  const spec = service.spec ?? {};
  const isInternal = (spec.type ?? "ClusterIP") === "ClusterIP" && spec.externalTrafficPolicy !== "Local";
  if (isInternal && (spec.externalIPs ?? noAddresses).length === 0) return nothingExternal;
  const ips = addresses(spec.externalIPs ?? [], (i) => `spec.externalIPs[${i}]`, plain, refuse);
  const isLoadBalancer = spec.type === "LoadBalancer";
  // ipMode Proxy: packets must go by way of the load balancer itself; entries with a host name only have no address
  const ingress = isLoadBalancer ? (service.status?.loadBalancer?.ingress ?? []) : [];
  const virtual = ingress.filter((entry) => entry.ip !== undefined && entry.ip !== "" && entry.ipMode !== "Proxy");
  const loadBalancerIps = addresses(
    virtual.map((entry) => entry.ip ?? ""),
    (i) => `status.loadBalancer.ingress[${i}].ip`,
    plain,
    refuse,
  ).filter((ip) => !ips.includes(ip));
  const ranges: Cidr[] = [];
  let given = 0;
  if (isLoadBalancer) {
    for (const [i, text] of (spec.loadBalancerSourceRanges ?? []).entries()) {
      given++;
      const cidr = parseCidr(text);
      if (cidr === undefined)
        refuse(`spec.loadBalancerSourceRanges[${i}]`, "RangeInvalid", `"${text}" is no range such as 10.0.0.0/8; it allows nobody`);
      else ranges.push(cidr);
    }
  }
  return {
    policy: spec.externalTrafficPolicy === "Local" ? "Local" : "Cluster",
    ips,
    loadBalancerIps,
    sourcesFor: (ip) => {
      if (given === 0) return undefined;
      const family = ipFamily(ip);
      const own = ranges.filter((r) => r.family === family);
      if (own.some((r) => r.bits === 0)) return undefined;
      // ranges of the other family only say nothing about this one, as in kube-proxy
      if (own.length === 0 && ranges.length > 0) return undefined;
      // a node inside a range reaches the address from the address itself, once it is on one of its links
      const fromNode = node.addresses.some((address) => own.some((r) => cidrContains(r, address)));
      return widest(fromNode ? [...own, { ip, bits: family === 4 ? 32 : 128, family }] : own);
    },
  };
}

function addresses(texts: readonly string[], field: (i: number) => string, plain: boolean, refuse: Refuse): readonly Ip[] {
  const found: Ip[] = [];
  for (const [i, text] of texts.entries()) {
    const ip = parseIp(text);
    if (ip === undefined) refuse(field(i), "AddressInvalid", `"${text}" is no IP address; it gets no rules`);
    else if (isForbidden(ip, plain))
      refuse(field(i), "AddressForbidden", `${ip} is a loopback, link-local, multicast or unspecified address; it gets no rules`);
    else if (!found.includes(ip)) found.push(ip);
  }
  return found;
}

/** Without ranges that another contains (the kernel refuses those), sorted. */
export function widest(ranges: readonly Cidr[]): readonly Cidr[] {
  const sorted = [...ranges].sort((a, b) => a.bits - b.bits);
  const kept: Cidr[] = [];
  for (const range of sorted) if (!kept.some((k) => cidrContains(k, range.ip))) kept.push(range);
  return kept.sort((a, b) => (printCidr(a) < printCidr(b) ? -1 : 1));
}

/** The pools are made where one is asked for: most Services need one of the two. */
interface Policies {
  readonly endpoints: readonly Endpoint[];
  readonly any: boolean;
  readonly anyLocal: boolean;
  pool(policy: TrafficPolicy): Pool;
  serving(): readonly Endpoint[];
}

const noEndpoints: readonly Endpoint[] = [];

function poolsOf(owner: ServicePortName, byPort: EndpointsByPort, node: NodeView, family: IpFamily, wish: BalanceWish): Policies {
  const endpoints = byPort.get(endpointPortKey(owner.port, owner.protocol)) ?? noEndpoints;
  const { cluster, local, any } = categorizeEndpoints(endpoints, { nodeName: node.name, zone: node.zone });
  const made: Partial<Record<TrafficPolicy, Pool>> = {};
  let serving: readonly Endpoint[] | undefined;
  return {
    endpoints,
    any,
    anyLocal: local.length > 0,
    pool: (policy) => {
      made[policy] ??= {
        id: poolId(owner, policy, family),
        members: membersOf(policy === "Local" ? local : cluster, wish.weights),
        ...(wish.policy === "random" ? {} : { balance: wish.policy }),
      };
      return made[policy];
    },
    serving: () => {
      serving ??= endpoints.every((e) => e.serving) ? endpoints : endpoints.filter((e) => e.serving);
      return serving;
    },
  };
}

/** An endpoint of weight 0 gets no new connection while another one has a weight. */
function membersOf(endpoints: readonly Endpoint[], weights: ReadonlyMap<string, number> | undefined): readonly Member[] {
  if (weights === undefined) return endpoints.map(({ ip, port, local }) => ({ ip, port, local }));
  const weighed = endpoints.map((e): Member => {
    const weight = weightOf(e, weights);
    return { ip: e.ip, port: e.port, local: e.local, ...(weight === 1 ? {} : { weight }) };
  });
  const used = weighed.filter((m) => m.weight !== 0);
  return used.length > 0 ? used : endpoints.map(({ ip, port, local }) => ({ ip, port, local }));
}

/** The frontends of one ServicePort in one family. */
interface Claimant {
  readonly family: IpFamily;
  readonly port: ServicePort;
  readonly protocol: Protocol;
  readonly owner: ServicePortName;
  readonly affinitySeconds: number | undefined;
}

function internalAction(of: Claimant, policies: Policies, policy: TrafficPolicy): Action {
  if (!policies.any) return { kind: "reject" };
  const pool = policies.pool(policy);
  return pool.members.length === 0 ? { kind: "drop" } : balance(of, policies, pool);
}

function externalAction(of: Claimant, policies: Policies, policy: TrafficPolicy): Action {
  if (!policies.any) return { kind: "reject" };
  const pool = policies.pool("Cluster");
  return policy === "Local" ? balance(of, policies, pool, policies.pool("Local")) : balance(of, policies, pool);
}

function balance(of: Claimant, policies: Policies, pool: Pool, localPool?: Pool): Action {
  // each endpoint is in the pool once, so a pool as long as the list of them has them all
  const serving = of.protocol === "udp" ? policies.serving() : pool.members;
  const passedOver = pool.members.length < serving.length;
  if (localPool === undefined && of.affinitySeconds === undefined && !passedOver) return { kind: "balance", pool };
  return {
    kind: "balance",
    pool,
    ...(localPool === undefined ? {} : { localPool }),
    ...(of.affinitySeconds === undefined ? {} : { affinitySeconds: of.affinitySeconds }),
    ...(passedOver ? { serving } : {}),
  };
}

interface Claim {
  readonly scope: Scope;
  readonly action: Action;
  readonly masquerade: Masquerade;
}

function atAddress(of: Claimant, ip: Ip, claim: Claim): Frontend {
  const { family, protocol, owner } = of;
  const port = of.port.port;
  const { scope, action, masquerade } = claim;
  return { key: frontendKey(ip, port, protocol), family, ip, port, protocol, owner, scope, action, masquerade };
}

function atNodePort(of: Claimant, port: number, claim: Omit<Claim, "scope">): Frontend {
  const { family, protocol, owner } = of;
  return { key: nodePortKey(family, port, protocol), scope: "nodePort", family, port, protocol, owner, ...claim };
}
