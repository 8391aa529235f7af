import type { Cidr } from "../base/cidr.ts";
import { cidrAt, cidrContains, parseCidr, printCidr } from "../base/cidr.ts";
import type { Ip } from "../base/ip.ts";
import type { Running } from "../base/running.ts";
import { startInformer } from "../client/informer.ts";
import { resources } from "../client/resources.ts";
import type { Transport } from "../client/transport.ts";
import { netnsPath } from "../kernel/netns.ts";
import { BindError, type BoundSocket, bindSocket, closeSocket } from "../kernel/socket.ts";
import { removeContainers } from "../node/cleanup.ts";
import { createMachines, type Machines } from "../node/machines.ts";
import type { NamedSocket } from "./child.ts";
import type { ClusterConfig } from "./cluster-config.ts";
import { startLoadBalancerRoutes } from "./load-balancer-routes.ts";
import { plainRange } from "./plain-range.ts";
import { bindForOption, bindOrMove } from "./port-option.ts";

export interface GroundNode {
  readonly name: string;
  readonly ips: readonly Ip[];
  /** The name below /run/netns, and the path to enter it by; absent in plain mode. */
  readonly netns?: { readonly name: string; readonly path: string };
}

/** What a cluster stands on: network namespaces on a bridge, or (plain mode) addresses of loopback. */
export interface Ground {
  readonly mode: "full" | "plain";
  readonly summary: string;
  /** This machine's addresses that nodes reach the API at. */
  readonly gateways: readonly Ip[];
  readonly nodes: readonly GroundNode[];
  readonly dnsPort: number;
  /** Where the ingress of this machine itself listens; the sockets are for the first node's ingress. */
  bindIngress(): readonly NamedSocket[];
  /** Routes to pods, as the nodes get their ranges, and to LoadBalancer addresses that only some nodes serve. */
  startRoutes(transport: Transport): Running;
  close(): Promise<void>;
}

/** Where a cluster in plain mode holds its ranges; nobody speaks there. */
const holdPort = 10248;

export async function makeFullGround(config: ClusterConfig): Promise<Ground> {
  // What a killed run of the same cluster left is in the way of this one.
  await removeContainers(config.dataDir);
  const machines = await createMachines({
    name: config.name,
    nodeNames: config.nodes,
    nodeRanges: config.nodeCidrs,
    podRanges: config.clusterCidrs,
    serviceRanges: config.serviceCidrs,
    loadBalancerRanges: config.lbPool,
    clusterDns: config.clusterDns,
  });
  return {
    mode: "full",
    summary: `${machines.machines.length} network namespaces on bridge ${machines.bridge}${lackOfWays(machines.wayOut, config)}`,
    gateways: machines.gateways,
    nodes: machines.machines.map((m) => ({ name: m.name, ips: m.ips, netns: { name: m.netns, path: netnsPath(m.netns) } })),
    dnsPort: 53,
    bindIngress: () => {
      const { address, http, https } = config.ingress;
      return bindAll([
        ["http", () => bindForOption("--ingress-http-port", { ip: address, port: http, type: "tcp" })],
        ["https", () => bindForOption("--ingress-https-port", { ip: address, port: https, type: "tcp" })],
      ]);
    },
    startRoutes: (transport) => startRoutes(transport, machines),
    close: async () => {
      // A node that was just starting again, or had to be killed, ended nothing.
      await removeContainers(config.dataDir);
      await machines.close();
    },
  };
}

function lackOfWays(ways: readonly (4 | 6)[], { clusterCidrs }: ClusterConfig): string {
  if (ways.length === 0) return "; pods reach nothing outside this machine";
  return clusterCidrs.some((c) => c.family === 6) && !ways.includes(6) ? "; pods reach nothing outside this machine by IPv6" : "";
}

/** One node, no rights: its addresses are in 127.64.0.0/10, which anyone may bind on Linux. */
export function makePlainGround(config: ClusterConfig): Ground {
  const range = config.nodeCidrs[0] as Cidr;
  const node: GroundNode = { name: config.nodes[0] ?? "node-1", ips: [cidrAt(range, 11)] };
  const dns = config.clusterDns[0] as Ip;
  const held = holdRanges(config);
  let dnsPort: number;
  try {
    const probe = bindOrMove("--service-cidr (cluster DNS)", { ip: dns, port: 53, type: "udp" });
    closeSocket(probe);
    dnsPort = probe.port;
  } catch (error) {
    held.forEach(closeSocket);
    throw error;
  }
  return {
    mode: "plain",
    summary: `one node at ${node.ips[0]}, pods as processes`,
    gateways: [cidrAt(range, 1)],
    nodes: [node],
    dnsPort,
    bindIngress: () => {
      const { address, http, https } = config.ingress;
      return bindAll([
        ["http", () => bindOrMove("--ingress-http-port", { ip: address, port: http, type: "tcp" })],
        ["https", () => bindOrMove("--ingress-https-port", { ip: address, port: https, type: "tcp" })],
      ]);
    },
    startRoutes: () => ({ ready: Promise.resolve(), close: () => Promise.resolve() }),
    close: async () => {
      await removeContainers(config.dataDir);
      held.forEach(closeSocket);
    },
  };
}

/** No link and no route says that a range of loopback is taken: a socket at its first address does, as long as this process lives. */
function holdRanges(config: ClusterConfig): readonly BoundSocket[] {
  const ranges = [
    ...config.serviceCidrs.map((range) => ["--service-cidr", range] as const),
    ...config.clusterCidrs.map((range) => ["--cluster-cidr", range] as const),
    ...config.nodeCidrs.map((range) => ["--node-cidr", range] as const),
  ];
  const held: BoundSocket[] = [];
  try {
    for (const [option, range] of ranges) if (cidrContains(plainRange, range.ip)) held.push(holdRange(option, range));
  } catch (error) {
    held.forEach(closeSocket);
    throw error;
  }
  return held;
}

function holdRange(option: string, range: Cidr): BoundSocket {
  try {
    return bindSocket({ ip: range.ip, port: holdPort, type: "udp" });
  } catch (error) {
    if (!(error instanceof BindError) || error.code !== "EADDRINUSE") throw error;
    throw new Error(
      `${option} ${printCidr(range)}: another cluster in plain mode has it; choose another range in ${printCidr(plainRange)}`,
    );
  }
}

function bindAll(wanted: readonly (readonly [name: string, bind: () => BoundSocket])[]): readonly NamedSocket[] {
  const bound: NamedSocket[] = [];
  try {
    for (const [name, bind] of wanted) bound.push({ ...bind(), name });
  } catch (error) {
    bound.forEach(closeSocket);
    throw error;
  }
  return bound;
}

/** Pod routes follow the nodes' ranges, which the controllers hand out. */
function startRoutes(transport: Transport, machines: Machines): Running {
  let last = "";
  const informer = startInformer(transport, resources.nodes, {});
  const update = (): void => {
    const cidrs = new Map<string, readonly Cidr[]>();
    for (const node of informer.list()) {
      const ranges = (node.spec?.podCIDRs ?? []).flatMap((text) => parseCidr(text) ?? []);
      if (ranges.length > 0) cidrs.set(node.metadata?.name ?? "", ranges);
    }
    const text = JSON.stringify([...cidrs]);
    if (text === last) return;
    last = text;
    machines.setRoutes(cidrs).catch(() => {
      // The next change of a node tries again.
      last = "";
    });
  };
  informer.onChange(update);
  const addresses = startLoadBalancerRoutes(transport, (nodes) => machines.setAddressRoutes(nodes));
  const ready = Promise.all([informer.ready, addresses.ready]).then(() => undefined);
  ready.catch(() => undefined);
  return {
    ready,
    close: async () => {
      await Promise.all([informer.close(), addresses.close()]);
    },
  };
}
