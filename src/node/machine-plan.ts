import { type Cidr, cidrAt, cidrContains, cidrsOverlap, parseCidr, printCidr } from "../base/cidr.ts";
import { fnv1a } from "../base/hash.ts";
import type { Ip, IpFamily } from "../base/ip.ts";
import type { KernelLink, KernelRoute, LinkStep } from "../kernel/link.ts";
import { NodeError } from "./errors.ts";

/** What `up` asks for. Each list has one range a family, IPv4 first; `loadBalancerRanges` may lie inside `nodeRanges`. */
export interface MachineConfig {
  /** The cluster's name; every link and namespace is named after it. */
  readonly name: string;
  readonly nodeNames: readonly string[];
  readonly nodeRanges: readonly Cidr[];
  readonly podRanges: readonly Cidr[];
  readonly serviceRanges: readonly Cidr[];
  readonly loadBalancerRanges: readonly Cidr[];
  readonly clusterDns: readonly Ip[];
}

/** One node as a network namespace. */
export interface Machine {
  readonly name: string;
  /** The name below /run/netns. */
  readonly netns: string;
  /** The bridge's port for it, in the host's namespace. */
  readonly port: string;
  readonly ips: readonly Ip[];
}

export interface MachinePlan {
  readonly bridge: string;
  /** The host's addresses on the bridge: the nodes' default gateways, and where the nodes reach the API server. */
  readonly gateways: readonly Ip[];
  readonly machines: readonly Machine[];
  readonly hostSteps: readonly LinkStep[];
  readonly nodeSteps: ReadonlyMap<string, readonly LinkStep[]>;
}

/** The first node is `.11`: below it is room for the gateway and for addresses given by hand. */
const firstNode = 11;

/** Names of at most 15 characters (IFNAMSIZ - 1), the same for the same cluster. */
export function bridgeName(cluster: string): string {
  return cluster.length <= 12 ? `fw-${cluster}` : `fw-${cluster.slice(0, 4)}-${hash36(cluster)}`;
}

export function portName(cluster: string, index: number): string {
  return `fw${hash36(cluster)}n${index + 1}`;
}

export function nodeNetnsName(cluster: string, node: string): string {
  return `fw-${cluster}-${node}`;
}

/**
 * Of what the kernel has, what a cluster of this name made, by the names alone: for when its record is gone. A bridge counts only when
 * all its ports are the cluster's.
 */
export function ownedByName(
  cluster: string,
  links: readonly KernelLink[],
  namespaces: readonly string[],
): { readonly netns: readonly string[]; readonly links: readonly string[] } {
  const prefix = portName(cluster, 0).slice(0, -1);
  const isPort = (link: KernelLink): boolean =>
    link.kind === "veth" && link.name.startsWith(prefix) && /^\d+$/.test(link.name.slice(prefix.length));
  const bridge = links.find((l) => l.name === bridgeName(cluster) && l.kind === "bridge");
  const whole = bridge !== undefined && links.filter((l) => l.master === bridge.name).every(isPort);
  const machine = nodeNetnsName(cluster, "node-");
  return {
    netns: namespaces.filter((n) => n.startsWith(machine) && /^\d+$/.test(n.slice(machine.length))),
    links: [...(whole ? [bridge.name] : []), ...links.filter(isPort).map((l) => l.name)],
  };
}

/** Throws `name-taken` when a link that is none of the cluster's has the name of its bridge. */
export function assertNameFree(cluster: string, links: readonly KernelLink[]): void {
  const name = bridgeName(cluster);
  const taken = links.find((l) => l.name === name);
  if (taken === undefined) return;
  const ports = links.filter((l) => l.master === name).map((l) => l.name);
  const what = taken.kind === "bridge" ? `a bridge with ports that no cluster made: ${ports.join(", ")}` : `a ${taken.kind || "link"}`;
  throw new NodeError(
    "name-taken",
    `link ${name} is there already, ${what}; if nobody needs it, 'ip link delete ${name}' removes it; else choose another --name`,
  );
}

/** Links, addresses and routes of a cluster's machines. Throws `range-overlaps` or `range-too-small`. */
export function compileMachines(config: MachineConfig): MachinePlan {
  assertDisjoint(config);
  const bridge = bridgeName(config.name);
  const gateways = config.nodeRanges.map((r) => cidrAt(r, 1));
  const machines = config.nodeNames.map((name, index) => ({
    name,
    netns: nodeNetnsName(config.name, name),
    port: portName(config.name, index),
    ips: config.nodeRanges.map((r) => nodeAddress(r, index, config.loadBalancerRanges)),
  }));
  const hostSteps: LinkStep[] = [
    { kind: "bridge-add", name: bridge },
    ...config.nodeRanges.map((r, i): LinkStep => ({ kind: "address-add", link: bridge, address: `${gateways[i]}/${r.bits}` })),
    { kind: "link-up", name: bridge },
  ];
  for (const m of machines) {
    hostSteps.push(
      { kind: "netns-add", name: m.netns },
      { kind: "veth-add", name: m.port, peer: "eth0", peerNetns: m.netns },
      { kind: "link-master", name: m.port, master: bridge },
      { kind: "link-up", name: m.port },
    );
  }
  // The machine itself reaches ClusterIPs, LoadBalancer addresses and (until each node's range is known) pods through the first node.
  const first = machines[0];
  for (const range of [...config.podRanges, ...config.serviceRanges, ...config.loadBalancerRanges]) {
    const via = first === undefined ? undefined : addressOf(first, config.nodeRanges, range.family);
    if (via !== undefined) hostSteps.push({ kind: "route-add", to: printCidr(range), via });
  }
  const nodeSteps = new Map<string, readonly LinkStep[]>();
  for (const m of machines) nodeSteps.set(m.name, stepsOfNode(m, config, gateways));
  return { bridge, gateways, machines, hostSteps, nodeSteps };
}

/** Routes to the pods of each node: for the host, and for every other node. */
export function compilePodRoutes(
  plan: MachinePlan,
  nodeRanges: readonly Cidr[],
  podCidrs: ReadonlyMap<string, readonly Cidr[]>,
): { readonly host: readonly LinkStep[]; readonly nodes: ReadonlyMap<string, readonly LinkStep[]> } {
  const to = (from: string | undefined): readonly LinkStep[] =>
    plan.machines
      .filter((m) => m.name !== from)
      .flatMap((m) =>
        (podCidrs.get(m.name) ?? []).flatMap((cidr): LinkStep[] => {
          const via = addressOf(m, nodeRanges, cidr.family);
          return via === undefined ? [] : [{ kind: "route-add", to: printCidr(cidr), via }];
        }),
      );
  return { host: to(undefined), nodes: new Map(plan.machines.map((m) => [m.name, to(m.name)])) };
}

/** Routes of the host's to single addresses, each through the node named; those that are named no more go. */
export function compileAddressRoutes(
  plan: MachinePlan,
  nodeRanges: readonly Cidr[],
  before: ReadonlyMap<Ip, string>,
  after: ReadonlyMap<Ip, string>,
): { readonly add: readonly LinkStep[]; readonly remove: readonly LinkStep[] } {
  const to = (ip: Ip): string => `${ip}/${ip.includes(":") ? 128 : 32}`;
  const add = [...after].flatMap(([ip, node]): LinkStep[] => {
    const machine = before.get(ip) === node ? undefined : plan.machines.find((m) => m.name === node);
    const via = machine === undefined ? undefined : addressOf(machine, nodeRanges, ip.includes(":") ? 6 : 4);
    return via === undefined ? [] : [{ kind: "route-add", to: to(ip), via }];
  });
  return { add, remove: [...before.keys()].filter((ip) => !after.has(ip)).map((ip) => ({ kind: "route-delete", to: to(ip) })) };
}

/** Throws `range-overlaps` when a range of the cluster meets a route of this machine that is not on the cluster's own bridge. */
export function assertUnused(config: MachineConfig, routes: readonly KernelRoute[]): void {
  const own = bridgeName(config.name);
  for (const [use, ranges] of namedRanges(config)) {
    for (const range of ranges) {
      for (const route of routes) {
        const taken = parseCidr(route.to.includes("/") ? route.to : `${route.to}/${range.family === 4 ? 32 : 128}`);
        if (taken === undefined || route.link === own || taken.bits === 0 || taken.family !== range.family) continue;
        if (cidrsOverlap(taken, range)) {
          const on = route.link === "" ? "" : ` on ${route.link}`;
          throw new NodeError(
            "range-overlaps",
            `the ${use} range ${printCidr(range)} overlaps ${route.to}${on}, which this machine uses already; choose another range`,
          );
        }
      }
    }
  }
}

function stepsOfNode(m: Machine, config: MachineConfig, gateways: readonly Ip[]): readonly LinkStep[] {
  return [
    { kind: "link-up", name: "lo" },
    // The cluster's DNS answers on every node itself: the address is the node's own, but no source for other traffic (packets
    // to and from it are not tracked, so a masquerade over lo must not take it).
    ...config.clusterDns.map(
      (ip): LinkStep =>
        ip.includes(":")
          ? { kind: "address-add", link: "lo", address: `${ip}/128` }
          : { kind: "address-add", link: "lo", address: `${ip}/32`, scope: "host" },
    ),
    ...config.nodeRanges.map((r, i): LinkStep => ({ kind: "address-add", link: "eth0", address: `${m.ips[i]}/${r.bits}` })),
    { kind: "link-up", name: "eth0" },
    ...gateways.map((via): LinkStep => ({ kind: "route-add", to: via.includes(":") ? "::/0" : "0.0.0.0/0", via })),
  ];
}

function nodeAddress(range: Cidr, index: number, reserved: readonly Cidr[]): Ip {
  try {
    const ip = cidrAt(range, firstNode + index);
    const last = cidrAt(range, (1n << BigInt((range.family === 4 ? 32 : 128) - range.bits)) - 1n);
    if (ip !== last && !reserved.some((r) => cidrContains(r, ip))) return ip;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  throw new NodeError("range-too-small", `the node range ${printCidr(range)} has no address for node number ${index + 1}`);
}

function addressOf(m: Machine, nodeRanges: readonly Cidr[], family: IpFamily): Ip | undefined {
  return m.ips[nodeRanges.findIndex((r) => r.family === family)];
}

function namedRanges(config: MachineConfig): readonly (readonly [use: string, ranges: readonly Cidr[]])[] {
  return [
    ["node", config.nodeRanges],
    ["pod", config.podRanges],
    ["service", config.serviceRanges],
    ["load balancer", config.loadBalancerRanges],
  ];
}

function assertDisjoint(config: MachineConfig): void {
  const all = namedRanges(config).flatMap(([use, ranges]) => ranges.map((range) => ({ use, range })));
  for (const [i, a] of all.entries()) {
    for (const b of all.slice(i + 1)) {
      const inside = a.use === "node" && b.use === "load balancer";
      if (a.range.family === b.range.family && !inside && cidrsOverlap(a.range, b.range)) {
        throw new NodeError(
          "range-overlaps",
          `the ${a.use} range ${printCidr(a.range)} and the ${b.use} range ${printCidr(b.range)} overlap`,
        );
      }
    }
  }
}

function hash36(text: string): string {
  return fnv1a(text).toString(36).padStart(7, "0").slice(0, 7);
}
