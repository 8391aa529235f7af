import type { Backend, Packet, RuleOptions } from "../../rules/index.ts";
import type { Node, Service } from "../../src/api/types/core-v1.generated.ts";
import type { EndpointSlice } from "../../src/api/types/discovery-v1.generated.ts";
import type { ServiceCIDR } from "../../src/api/types/networking-v1.generated.ts";
import { type Cidr, cidrContains, parseCidr } from "../../src/base/cidr.ts";
import { compareIp, ipFamily, parseIp, printHostPort } from "../../src/base/ip.ts";

/** A cluster as lists of what its API holds. */
export interface OracleWorld {
  readonly services: readonly Service[];
  readonly slices: readonly EndpointSlice[];
  readonly serviceCidrs: readonly ServiceCIDR[];
  readonly node: Node | undefined;
}

export interface OracleOptions extends Omit<RuleOptions, "nodePortAddresses"> {
  readonly nodePortAddresses: NonNullable<RuleOptions["nodePortAddresses"]>;
  /** Node ports answer on 127.0.0.1 too. */
  readonly onLocalhost?: boolean;
}

export interface Fate {
  readonly verdict: "deliver" | "reject" | "drop" | "pass";
  readonly endpoints: readonly string[];
  readonly masquerade: boolean;
  readonly service: string | null;
  readonly affinitySeconds: number | null;
}

/** For comparing, and to be read. */
export function printFate(fate: Fate): string {
  const { verdict, endpoints, masquerade, service, affinitySeconds } = fate;
  const affinity = affinitySeconds === null ? "" : ` affinity ${affinitySeconds}`;
  return `${verdict} ${service ?? "by no Service"}${affinity} [${endpoints.join(", ")}]${masquerade ? " masqueraded" : ""}`;
}

/** What facts of the house let a backend do differently; everything else is the same. */
export function allowedFate(backend: Backend, packet: Packet, fate: Fate): Fate {
  if (backend !== "userspace") return fate;
  // SCTP has no sockets here; the endpoint always sees this machine's address
  if (packet.protocol === "sctp" && fate.service !== null) return { ...fate, verdict: "reject", endpoints: [], masquerade: false };
  return { ...fate, masquerade: fate.verdict === "deliver" };
}

interface Endpoint {
  readonly ip: string;
  readonly port: number;
  readonly ready: boolean;
  readonly usable: boolean;
  readonly local: boolean;
  readonly terminating: boolean;
  readonly zones: readonly string[];
  readonly nodes: readonly string[];
}
type Port = NonNullable<NonNullable<Service["spec"]>["ports"]>[number];
type Via = "clusterIP" | "externalIP" | "loadBalancerIP" | "nodePort";
interface Hit {
  readonly service: Service;
  readonly port: Port;
  readonly via: Via;
}

/**
 * What kube-proxy's rules say becomes of packets, read off the objects one rule after the other and one packet at a time:
 * nothing here is shared with what compiles the rules.
 */
export function oracle(world: OracleWorld, options: OracleOptions): (packet: Packet) => Fate {
  const services = served(world.services);
  return (packet) => fateOf(world, services, options, packet);
}

interface Served {
  readonly service: Service;
  readonly clusterIps: readonly string[];
}

function fateOf(world: OracleWorld, services: readonly Served[], options: OracleOptions, packet: Packet): Fate {
  const nothing = { endpoints: [], masquerade: false, service: null, affinitySeconds: null } as const;
  if (options.localDnsIps?.includes(packet.to) === true || options.localDnsIps?.includes(packet.from) === true)
    return { verdict: "pass", ...nothing };
  const hit = find(services, (s, p) => viaAddress(s, p, packet)) ?? find(services, (s, p) => viaNodePort(world, options, s, p, packet));
  if (hit !== undefined) return fateAt(world, options, packet, hit);
  const isClusterIp = services.some((s) => (s.service.spec?.ports ?? []).length > 0 && s.clusterIps.includes(packet.to));
  if (isClusterIp) return { verdict: "reject", ...nothing };
  const ranges = world.serviceCidrs.flatMap((c) => c.spec?.cidrs ?? []).flatMap((text) => parseCidr(text) ?? []);
  return { verdict: ranges.some((range) => cidrContains(range, packet.to)) ? "drop" : "pass", ...nothing };
}

/** Those that get rules, in the order in which they win an address. */
function served(services: readonly Service[]): readonly Served[] {
  const age = (s: Service): string => [s.metadata?.creationTimestamp ?? "", s.metadata?.namespace ?? "", s.metadata?.name ?? ""].join("\n");
  return services
    .filter((s) => s.spec?.type !== "ExternalName" && s.metadata?.labels?.["service.kubernetes.io/service-proxy-name"] === undefined)
    .sort((a, b) => (age(a) < age(b) ? -1 : 1))
    .map((service) => ({ service, clusterIps: clusterIps(service) }))
    .filter((s) => s.clusterIps.length > 0);
}

function clusterIps(s: Service): readonly string[] {
  const ips = s.spec?.clusterIPs ?? [s.spec?.clusterIP ?? ""];
  return ips[0] === "None" ? [] : ips.flatMap((text) => parseIp(text) ?? []);
}

function find(services: readonly Served[], via: (s: Served, p: Port) => Via | undefined): Hit | undefined {
  for (const of of services) {
    for (const port of of.service.spec?.ports ?? []) {
      const way = via(of, port);
      if (way !== undefined) return { service: of.service, port, via: way };
    }
  }
  return undefined;
}

function speaks(port: Port, packet: Packet): boolean {
  return (port.protocol ?? "TCP").toLowerCase() === packet.protocol;
}

/** Whether the Service has a cluster IP of the packet's family: without, it has no rules in that family. */
function inFamily({ clusterIps: ips }: Served, packet: Packet): boolean {
  return ips.some((ip) => ipFamily(ip) === ipFamily(packet.to));
}

function viaAddress(of: Served, port: Port, packet: Packet): Via | undefined {
  if (port.port !== packet.port || !speaks(port, packet) || !inFamily(of, packet)) return undefined;
  if (of.clusterIps.includes(packet.to)) return "clusterIP";
  const { service: s } = of;
  if (s.spec?.externalIPs?.includes(packet.to) === true) return "externalIP";
  const ingress = s.spec?.type === "LoadBalancer" ? (s.status?.loadBalancer?.ingress ?? []) : [];
  return ingress.some((i) => i.ip === packet.to && i.ipMode !== "Proxy") ? "loadBalancerIP" : undefined;
}

function viaNodePort(world: OracleWorld, options: OracleOptions, of: Served, port: Port, packet: Packet): Via | undefined {
  const { type } = of.service.spec ?? {};
  const has = type === "NodePort" || type === "LoadBalancer";
  if (!has || port.nodePort !== packet.port || !speaks(port, packet) || !inFamily(of, packet)) return undefined;
  if (packet.to === "127.0.0.1") return options.onLocalhost === true ? "nodePort" : undefined;
  const own = nodeIps(world).filter((ip) => ipFamily(ip) === ipFamily(packet.to));
  const choice = options.nodePortAddresses;
  const answers =
    choice === "all"
      ? own.includes(packet.to)
      : choice === "primary"
        ? own[0] === packet.to
        : own.includes(packet.to) && choice.some((c) => cidrContains(c, packet.to));
  return answers ? "nodePort" : undefined;
}

function nodeIps(world: OracleWorld): readonly string[] {
  return (world.node?.status?.addresses ?? []).filter((a) => a.type === "InternalIP").flatMap((a) => parseIp(a.address) ?? []);
}

function fateAt(world: OracleWorld, options: OracleOptions, packet: Packet, { service, port, via }: Hit): Fate {
  const spec = service.spec ?? {};
  const { namespace = "", name = "" } = service.metadata ?? {};
  const of = { service: `${namespace}/${name}${(port.name ?? "") === "" ? "" : `:${port.name}`}` };
  const all = endpointsOf(world, options, service, port, packet);
  const ready = all.filter((e) => e.ready);
  const draining = all.filter((e) => !e.ready && e.usable && e.terminating);
  const anywhere = orElse(byTopology(world, options, ready), draining);
  const here = orElse(
    ready.filter((e) => e.local),
    draining.filter((e) => e.local),
  );
  const sticky = spec.sessionAffinity === "ClientIP" ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800) : null;
  const refused = (verdict: "reject" | "drop", affinitySeconds: number | null = null): Fate => {
    return { verdict, endpoints: [], masquerade: false, ...of, affinitySeconds };
  };
  const deliver = (chosen: readonly Endpoint[], masquerade: boolean): Fate => ({
    verdict: "deliver",
    endpoints: [...chosen].sort((a, b) => compareIp(a.ip, b.ip) || a.port - b.port).map((e) => printHostPort(e.ip, e.port)),
    // who reaches itself would not know its own answer; a pod of another node does so by its own node
    masquerade: masquerade || chosen.some((e) => e.local && e.ip === packet.from),
    ...of,
    affinitySeconds: sticky,
  });

  if (via === "loadBalancerIP" && !withinRanges(world, spec.loadBalancerSourceRanges ?? [], packet))
    return refused("drop", ready.length + draining.length === 0 ? null : sticky);
  if (ready.length + draining.length === 0) return refused("reject");
  if (via === "clusterIP") {
    const chosen = spec.internalTrafficPolicy === "Local" ? here : anywhere;
    return chosen.length === 0 ? refused("drop") : deliver(chosen, options.masqueradeAll === true || isOffCluster(world, options, packet));
  }
  if (spec.externalTrafficPolicy !== "Local") return deliver(anywhere, true);
  // pods and the node itself are where every endpoint can be reached from
  if (isPod(world, options, packet)) return deliver(anywhere, false);
  if (isNode(world, packet)) return deliver(anywhere, true);
  return here.length === 0 ? refused("drop", sticky) : deliver(here, false);
}

function orElse<T>(first: readonly T[], second: readonly T[]): readonly T[] {
  return first.length > 0 ? first : second;
}

function withinRanges(world: OracleWorld, texts: readonly string[], packet: Packet): boolean {
  const ranges = texts.flatMap((text) => parseCidr(text) ?? []);
  if (texts.length === 0) return true;
  const own = ranges.filter((r) => r.family === ipFamily(packet.to));
  if (own.length === 0) return ranges.length > 0; // nothing but ranges of the other family say nothing of this one
  if (own.some((r) => r.bits === 0 || cidrContains(r, packet.from))) return true;
  const nodeAllowed = nodeIps(world).some((ip) => own.some((r) => cidrContains(r, ip)));
  return nodeAllowed && packet.from === packet.to;
}

function isNode(world: OracleWorld, packet: Packet): boolean {
  return packet.from === "::1" || packet.from.startsWith("127.") || nodeIps(world).includes(packet.from);
}

function podRanges(world: OracleWorld, options: OracleOptions): readonly Cidr[] {
  return options.clusterCidrs ?? (world.node?.spec?.podCIDRs ?? []).flatMap((text) => parseCidr(text) ?? []);
}

function isPod(world: OracleWorld, options: OracleOptions, packet: Packet): boolean {
  const { localInterface } = options;
  if (localInterface !== undefined)
    return localInterface.kind === "bridge"
      ? packet.interface === localInterface.name
      : packet.interface?.startsWith(localInterface.name) === true;
  return podRanges(world, options).some((r) => cidrContains(r, packet.from));
}

/** Known to be no pod's: where nothing tells pods from others, nobody is. */
function isOffCluster(world: OracleWorld, options: OracleOptions, packet: Packet): boolean {
  const ranges = podRanges(world, options).filter((r) => r.family === ipFamily(packet.from));
  return (options.localInterface !== undefined || ranges.length > 0) && !isPod(world, options, packet);
}

function byTopology(world: OracleWorld, options: OracleOptions, ready: readonly Endpoint[]): readonly Endpoint[] {
  const zone = world.node?.metadata?.labels?.["topology.kubernetes.io/zone"];
  const follow = (hints: (e: Endpoint) => readonly string[], own: string | undefined): readonly Endpoint[] =>
    ready.every((e) => hints(e).length > 0) && own !== undefined ? ready.filter((e) => hints(e).includes(own)) : [];
  return orElse(
    orElse(
      follow((e) => e.nodes, options.nodeName),
      follow((e) => e.zones, zone),
    ),
    ready,
  );
}

function endpointsOf(world: OracleWorld, options: OracleOptions, service: Service, port: Port, packet: Packet): readonly Endpoint[] {
  const found = new Map<string, Endpoint>();
  for (const slice of world.slices) {
    if (slice.metadata?.namespace !== service.metadata?.namespace) continue;
    if (slice.metadata?.labels?.["kubernetes.io/service-name"] !== service.metadata?.name) continue;
    if (slice.metadata?.labels?.["service.kubernetes.io/headless"] !== undefined) continue;
    if (slice.addressType !== (ipFamily(packet.to) === 4 ? "IPv4" : "IPv6")) continue;
    for (const p of slice.ports ?? []) {
      if (p.name !== (port.name ?? "") || (p.protocol ?? "TCP") !== (port.protocol ?? "TCP")) continue;
      if (p.port === undefined || p.port === 0) continue;
      for (const e of slice.endpoints ?? []) {
        const [ip = ""] = e.addresses ?? [];
        const c = e.conditions ?? {};
        const endpoint: Endpoint = {
          ip,
          port: p.port,
          ready: c.ready ?? true,
          usable: c.serving ?? true,
          terminating: c.terminating ?? false,
          local: e.nodeName === options.nodeName,
          zones: e.hints?.forZones?.map((z) => z.name) ?? [],
          nodes: e.hints?.forNodes?.map((n) => n.name) ?? [],
        };
        const other = found.get(`${ip} ${p.port}`);
        if (other === undefined || before(endpoint, other)) found.set(`${ip} ${p.port}`, endpoint);
      }
    }
  }
  return [...found.values()];
}

/** The same endpoint in two slices: one that is not terminating counts, then one that is ready. */
function before(a: Endpoint, b: Endpoint): boolean {
  if (a.terminating !== b.terminating) return b.terminating;
  if (a.ready !== b.ready) return a.ready;
  return a.usable && !b.usable;
}
