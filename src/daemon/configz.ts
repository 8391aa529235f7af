import { printDuration } from "../../rules/config/field.ts";
import { configApiVersion, configKind } from "../../rules/config/proxy-configuration.ts";
import { type Cidr, printCidr } from "../base/cidr.ts";
import { printHostPort } from "../base/ip.ts";
import type { DaemonConfig } from "./daemon-config.ts";

/**
 * What a daemon goes by, whoever said it, as a KubeProxyConfiguration that would make another do the same. Durations that are
 * left as the kernel has them are left out.
 */
export function configz(config: DaemonConfig): object {
  const { backend, nodeName, healthz, observe, metrics = observe, rules } = config;
  const { primaryAddress, clusterCidrs, localInterface, nodePortAddresses, ipvs = {}, conntrack = {} } = rules;
  const periods = {
    minSyncPeriod: printDuration(rules.minIntervalMs ?? 0),
    syncPeriod: printDuration(rules.syncIntervalMs ?? 0),
  };
  return {
    apiVersion: configApiVersion,
    kind: configKind,
    mode: backend,
    hostnameOverride: nodeName,
    ...(primaryAddress === undefined ? {} : { bindAddress: primaryAddress }),
    ...(healthz === undefined ? {} : { healthzBindAddress: printHostPort(healthz.ip, healthz.port) }),
    metricsBindAddress: printHostPort(metrics.ip, metrics.port),
    bindAddressHardFail: config.hardFail ?? false,
    enableProfiling: config.profiling ?? false,
    ...(config.oomScoreAdj === undefined ? {} : { oomScoreAdj: config.oomScoreAdj }),
    ...detection(clusterCidrs, localInterface),
    ...(nodePortAddresses === undefined
      ? {}
      : { nodePortAddresses: nodePortAddresses === "primary" ? ["primary"] : print(nodePortAddresses) }),
    [backend === "nftables" ? "nftables" : "iptables"]: {
      masqueradeAll: rules.masqueradeAll ?? false,
      ...(rules.masqueradeBit === undefined ? {} : { masqueradeBit: rules.masqueradeBit }),
      ...periods,
      ...(backend === "nftables" || rules.localhostNodePorts === undefined ? {} : { localhostNodePorts: rules.localhostNodePorts }),
    },
    ...(backend === "ipvs"
      ? {
          ipvs: {
            ...periods,
            scheduler: ipvs.scheduler ?? "",
            strictARP: ipvs.strictArp ?? false,
            excludeCIDRs: print(ipvs.excludeCidrs ?? []),
            ...duration("tcpTimeout", ipvs.tcpTimeoutSeconds),
            ...duration("tcpFinTimeout", ipvs.tcpFinTimeoutSeconds),
            ...duration("udpTimeout", ipvs.udpTimeoutSeconds),
          },
        }
      : {}),
    conntrack: {
      ...(conntrack.maxPerCore === undefined ? {} : { maxPerCore: conntrack.maxPerCore }),
      ...(conntrack.min === undefined ? {} : { min: conntrack.min }),
      tcpBeLiberal: conntrack.tcpBeLiberal ?? false,
      ...duration("tcpEstablishedTimeout", conntrack.tcpEstablishedTimeoutSeconds),
      ...duration("tcpCloseWaitTimeout", conntrack.tcpCloseWaitTimeoutSeconds),
      ...duration("udpTimeout", conntrack.udpTimeoutSeconds),
      ...duration("udpStreamTimeout", conntrack.udpStreamTimeoutSeconds),
    },
  };
}

/** Nobody said: the Node's own ranges. */
function detection(clusterCidrs: DaemonConfig["rules"]["clusterCidrs"], link: DaemonConfig["rules"]["localInterface"]): object {
  if (link?.kind === "bridge") return { detectLocalMode: "BridgeInterface", detectLocal: { bridgeInterface: link.name } };
  if (link?.kind === "prefix") return { detectLocalMode: "InterfaceNamePrefix", detectLocal: { interfaceNamePrefix: link.name } };
  if (clusterCidrs === undefined) return { detectLocalMode: "NodeCIDR" };
  return { detectLocalMode: "ClusterCIDR", clusterCIDR: print(clusterCidrs).join(",") };
}

function print(ranges: readonly Cidr[]): readonly string[] {
  return ranges.map(printCidr);
}

function duration<K extends string>(name: K, seconds: number | undefined): { readonly [P in K]?: string } {
  return seconds === undefined ? {} : ({ [name]: printDuration(seconds * 1000) } as { readonly [P in K]?: string });
}
