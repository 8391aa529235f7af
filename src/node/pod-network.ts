import { type Cidr, cidrAt, cidrContains, cidrSize } from "../base/cidr.ts";
import { fnv1a } from "../base/hash.ts";
import { type Ip, type IpFamily, ipFamily, ipToBigInt } from "../base/ip.ts";
import type { RunCommand } from "../kernel/command.ts";
import { type LinkStep, runLinkSteps } from "../kernel/link.ts";
import { deleteNetns } from "../kernel/netns.ts";
import { NodeError } from "./errors.ts";

/**
 * Addresses of one node's pods. The next free one after the last given, so that an address that has just been released, and may still
 * be in somebody's connection table, comes round last.
 */
export class PodAddresses {
  #ranges: readonly Cidr[] = [];
  readonly #taken = new Set<Ip>();
  readonly #next = new Map<IpFamily, bigint>();

  setRanges(ranges: readonly Cidr[]): void {
    this.#ranges = ranges;
  }

  get ranges(): readonly Cidr[] {
    return this.#ranges;
  }

  take(ips: readonly Ip[]): void {
    for (const ip of ips) {
      this.#taken.add(ip);
      const range = this.#ranges.find((r) => cidrContains(r, ip));
      if (range !== undefined) this.#next.set(range.family, ipToBigInt(ip) - ipToBigInt(range.ip) + 1n);
    }
  }

  /** One address of each range, and none of `busy`. Throws `range-too-small` when a range is full. */
  allocate(busy: ReadonlySet<Ip> = new Set()): readonly Ip[] {
    const ips = this.#ranges.map((range) => this.#free(range, busy));
    this.take(ips);
    return ips;
  }

  release(ips: readonly Ip[]): void {
    for (const ip of ips) this.#taken.delete(ip);
  }

  #free(range: Cidr, busy: ReadonlySet<Ip>): Ip {
    // Not the network's own address, not the gateway's (the first), not the broadcast address.
    const size = cidrSize(range);
    const usable = (size > 65536n ? 65536n : size) - 3n;
    const start = this.#next.get(range.family) ?? 2n;
    for (let i = 0n; i < usable; i++) {
      const ip = cidrAt(range, 2n + ((((start - 2n) % usable) + i) % usable));
      if (!this.#taken.has(ip) && !busy.has(ip)) return ip;
    }
    throw new NodeError("range-too-small", `no address is free in this node's pod range ${range.ip}/${range.bits}`);
  }
}

/** A pod's way to its node: a pair of links, an address of its own, and a route to it on the node. No bridge, no plugin. */
export interface PodLink {
  /** Below /run/netns. */
  readonly netns: string;
  /** The node's end. */
  readonly link: string;
  readonly ips: readonly Ip[];
}

export function podLinkName(podUid: string): string {
  return `veth${fnv1a(podUid).toString(16).padStart(8, "0")}`;
}

/** `node`: in the node's namespace; `pod`: in the pod's. Gateways are the first addresses of the node's pod ranges. */
export function compilePodLink(
  link: PodLink,
  gateways: readonly Ip[],
  nodeIps: readonly Ip[],
): { readonly node: readonly LinkStep[]; readonly pod: readonly LinkStep[] } {
  const node: LinkStep[] = [
    { kind: "netns-add", name: link.netns },
    { kind: "veth-add", name: link.link, peer: "eth0", peerNetns: link.netns },
    ...gateways.map((gateway): LinkStep => ({ kind: "address-add", link: link.link, address: hostAddress(gateway) })),
    { kind: "link-up", name: link.link },
  ];
  const pod: LinkStep[] = [
    { kind: "link-up", name: "lo" },
    ...link.ips.map((ip): LinkStep => ({ kind: "address-add", link: "eth0", address: hostAddress(ip) })),
    { kind: "link-up", name: "eth0" },
  ];
  for (const ip of link.ips) {
    const source = nodeIps.find((n) => ipFamily(n) === ipFamily(ip));
    // The node speaks to its pods as itself, whatever link the packet leaves by.
    node.push({ kind: "route-add", to: hostAddress(ip), link: link.link, ...(source === undefined ? {} : { source }) });
    const gateway = gateways.find((g) => ipFamily(g) === ipFamily(ip));
    if (gateway === undefined) continue;
    pod.push({ kind: "route-add", to: hostAddress(gateway), link: "eth0" });
    pod.push({ kind: "route-add", to: ipFamily(ip) === 6 ? "::/0" : "0.0.0.0/0", via: gateway, link: "eth0" });
  }
  return { node, pod };
}

export async function createPodLink(
  run: RunCommand,
  link: PodLink,
  gateways: readonly Ip[],
  nodeIps: readonly Ip[],
  signal?: AbortSignal,
): Promise<void> {
  const steps = compilePodLink(link, gateways, nodeIps);
  await runLinkSteps(run, steps.node, {}, signal);
  await runLinkSteps(run, steps.pod, { netns: link.netns }, signal);
}

/** What is gone already is no error. */
export async function removePodLink(run: RunCommand, link: Pick<PodLink, "netns" | "link">): Promise<void> {
  await runLinkSteps(run, [{ kind: "link-delete", name: link.link }], { force: true });
  await deleteNetns(run, [link.netns]);
}

function hostAddress(ip: Ip): string {
  return `${ip}/${ipFamily(ip) === 6 ? 128 : 32}`;
}
