import { networkInterfaces } from "node:os";
import { cidrContains } from "../../src/base/cidr.ts";
import { type Ip, type IpFamily, parseIp } from "../../src/base/ip.ts";
import type { Snapshot } from "../../src/snapshot/cluster-snapshot.ts";
import type { IpvsSettings } from "../apply/kernel-ipvs-applier.ts";
import { defaultIptablesOptions, type IptablesOptions } from "../iptables/chains.ts";
import type { IpvsProgramOptions } from "../ipvs/program.ts";
import { serviceLink } from "../ipvs/values.ts";
import type { Backend } from "../model/backend.ts";
import { type NodeView, primaryAddress } from "../model/node-view.ts";
import type { SkeletonOptions } from "../nftables/skeleton.ts";
import type { PlanOptions } from "../plan/service-plan.ts";
import { type Surroundings, serviceRanges } from "../plan/surroundings.ts";
import type { RuleOptions } from "./config.ts";

export const bothFamilies: readonly IpFamily[] = [4, 6];
export const defaultTableName = "fairway";
const defaultScheduler = "rr";

/**
 * `machineIps`: addresses of this machine's links; asked for only where ranges choose among them. Every local address is
 * said as the unspecified address of each family.
 */
export function surroundingsOf(
  snapshot: Snapshot,
  node: NodeView,
  options: RuleOptions & { readonly backend: Backend },
  machineIps: () => readonly Ip[],
): Surroundings {
  const choice = options.nodePortAddresses ?? nodePortsUnset(options);
  const families = options.families ?? bothFamilies;
  const nodePortIps =
    choice === "primary"
      ? families.flatMap((family) => primaryAddress(node, family) ?? [])
      : choice === "all"
        ? families.map((family) => (family === 4 ? "0.0.0.0" : "::"))
        : [...new Set([...node.addresses, ...machineIps()])].filter((ip) => choice.some((c) => cidrContains(c, ip)) && !isLoopback(ip));
  return {
    nodePortIps,
    // a listener does not see by which link a connection came: there pods are told by their addresses
    podCidrs: options.localInterface !== undefined && options.backend !== "userspace" ? [] : (options.clusterCidrs ?? node.podCidrs),
    serviceCidrs: serviceRanges(snapshot),
    localDnsIps: options.localDnsIps ?? [],
  };
}

/**
 * Where node ports answer when nobody says. nftables: the primary addresses; elsewhere every local address, as kube-proxy has it.
 * In plain mode only the node's own, since the machine's other addresses are not the cluster's.
 */
export function nodePortsUnset(options: Pick<RuleOptions, "allowLoopback"> & { readonly backend: Backend }): "primary" | "all" {
  return options.backend === "nftables" || options.allowLoopback === true ? "primary" : "all";
}

export function planOptionsOf(options: RuleOptions): PlanOptions {
  return {
    families: options.families ?? bothFamilies,
    masqueradeAll: options.masqueradeAll ?? false,
    primaryAddress: options.primaryAddress,
    plain: options.allowLoopback ?? false,
    localDnsIps: options.localDnsIps ?? [],
  };
}

export function skeletonOptionsOf(options: RuleOptions): Partial<SkeletonOptions> {
  const choice = options.nodePortAddresses ?? "primary";
  // a range that holds everything asks for every local address, whatever links come and go
  const all = choice === "all" || (choice !== "primary" && choice.some((c) => c.bits === 0));
  return {
    nodePorts: all ? "all-local" : "listed",
    masqueradeAll: options.masqueradeAll ?? false,
    masqueradeMark: masqueradeMarkOf(options),
    localInterface: options.localInterface,
    dropInvalid: options.conntrack?.tcpBeLiberal !== true,
  };
}

/** 14, that is 0x4000, where nobody says: kube-proxy's, which CNIs leave alone. */
export function masqueradeMarkOf(options: Pick<RuleOptions, "masqueradeBit">): number {
  return 2 ** (options.masqueradeBit ?? 14);
}

export function iptablesOptionsOf(options: RuleOptions): IptablesOptions {
  const choice = options.nodePortAddresses ?? (options.allowLoopback === true ? "primary" : "all");
  const onLoopback = choice === "all" || (choice !== "primary" && choice.some((c) => c.bits === 0 || cidrContains(c, "127.0.0.1")));
  return {
    ...defaultIptablesOptions,
    masqueradeAll: options.masqueradeAll ?? false,
    masqueradeMark: masqueradeMarkOf(options),
    localInterface: options.localInterface,
    nodePorts: skeletonOptionsOf({ ...options, nodePortAddresses: choice }).nodePorts ?? "listed",
    dropInvalid: options.conntrack?.tcpBeLiberal !== true,
    localhostNodePorts: onLoopback && (options.localhostNodePorts ?? true),
  };
}

export function ipvsSettingsOf({ ipvs = {} }: RuleOptions): IpvsSettings {
  return {
    strictArp: ipvs.strictArp ?? false,
    excludedCidrs: ipvs.excludeCidrs ?? [],
    timeouts: { tcpSeconds: ipvs.tcpTimeoutSeconds, tcpFinSeconds: ipvs.tcpFinTimeoutSeconds, udpSeconds: ipvs.udpTimeoutSeconds },
  };
}

export function ipvsProgramOptionsOf(options: RuleOptions): IpvsProgramOptions {
  return {
    families: options.families ?? bothFamilies,
    scheduler: options.ipvs?.scheduler ?? defaultScheduler,
    excludeCidrs: options.ipvs?.excludeCidrs,
    masqueradeAll: options.masqueradeAll ?? false,
    masqueradeMark: masqueradeMarkOf(options),
    localInterface: options.localInterface,
  };
}

/** Addresses on the links of this thread's network namespace, but for those that Services have. */
export function readMachineIps(): readonly Ip[] {
  const links = Object.entries(networkInterfaces()).filter(([name]) => name !== serviceLink);
  return links.flatMap(([, link]) => (link ?? []).flatMap((a) => parseIp(a.address) ?? []));
}

function isLoopback(ip: Ip): boolean {
  return ip === "::1" || ip.startsWith("127.");
}
