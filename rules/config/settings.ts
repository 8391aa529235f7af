import type { Cidr } from "../../src/base/cidr.ts";
import type { Ip } from "../../src/base/ip.ts";
import type { LocalInterface } from "../model/packet.ts";
import { emptyConfiguration, type HostPort, type ProxyConfiguration } from "./proxy-configuration.ts";

/** Settings of ipvs; what is absent is left as the kernel has it. */
export interface IpvsOptions {
  /** The kernel's name; default rr. */
  readonly scheduler?: string | undefined;
  /** Virtual servers in these ranges are somebody else's and are left alone. */
  readonly excludeCidrs?: readonly Cidr[] | undefined;
  /** Only the link that has an address answers ARP for it. */
  readonly strictArp?: boolean | undefined;
  readonly tcpTimeoutSeconds?: number | undefined;
  readonly tcpFinTimeoutSeconds?: number | undefined;
  readonly udpTimeoutSeconds?: number | undefined;
}

/** Settings of connection tracking; what is absent is left as the kernel has it. */
export interface ConntrackOptions {
  /** The table holds this times the processors, `min` at least. 0: as it is. */
  readonly maxPerCore?: number | undefined;
  readonly min?: number | undefined;
  readonly tcpEstablishedTimeoutSeconds?: number | undefined;
  readonly tcpCloseWaitTimeoutSeconds?: number | undefined;
  /** What is out of the window still belongs to its connection. */
  readonly tcpBeLiberal?: boolean | undefined;
  readonly udpTimeoutSeconds?: number | undefined;
  readonly udpStreamTimeoutSeconds?: number | undefined;
}

/** What a configuration says about the rules of one backend. Fields are absent where it says nothing. */
export interface RuleSettings {
  /** This node's, before those that its Node has. */
  readonly primaryAddress?: Ip;
  readonly clusterCidrs?: readonly Cidr[];
  readonly localInterface?: LocalInterface;
  readonly nodePortAddresses?: "primary" | readonly Cidr[];
  readonly masqueradeAll?: boolean;
  readonly masqueradeBit?: number;
  readonly localhostNodePorts?: boolean;
  readonly ipvs?: IpvsOptions;
  readonly conntrack?: ConntrackOptions;
  readonly minIntervalMs?: number;
  /** How often the kernel is compared with the plan; a change that waits for twice as long makes the proxy unhealthy. */
  readonly syncIntervalMs?: number;
}

/** What a configuration says about everything else. */
export interface ServingSettings {
  readonly healthz: HostPort;
  readonly metrics: HostPort;
  /** An address that cannot be had ends the process. */
  readonly hardFail: boolean;
  readonly profiling: boolean;
  readonly nodeName?: string;
  readonly kubeconfig?: string;
  readonly oomScoreAdj?: number;
  readonly logLevel?: "info" | "debug";
  readonly logFormat?: "text" | "json";
}

/** Who carries the traffic; `auto` where the configuration names none: kube-proxy's own default may change, and so may what a machine can do. */
export type ProxyMode = Exclude<ProxyConfiguration["mode"], "">;

export function modeOf(c: ProxyConfiguration): ProxyMode {
  return c.mode === "" ? "auto" : c.mode;
}

/**
 * kube-proxy reads section `nftables` in that mode, and `iptables` in every other. `ownCluster`: of `fairway up`, where pods
 * that nobody tells how to know are known as without a configuration, by their node's range.
 */
export function ruleSettingsOf(c: ProxyConfiguration, backend: ProxyMode, o: { readonly ownCluster?: boolean } = {}): RuleSettings {
  const section = backend === "nftables" ? c.nftables : c.iptables;
  const periods = backend === "ipvs" ? c.ipvs : section;
  return {
    ...(o.ownCluster === true && c.detectLocalMode === "" && c.clusterCIDR.length === 0 ? {} : detectorOf(c)),
    ...(c.bindAddress === undefined || unspecified.has(c.bindAddress) ? {} : { primaryAddress: c.bindAddress }),
    ...(c.nodePortAddresses === undefined ? {} : { nodePortAddresses: c.nodePortAddresses }),
    masqueradeAll: section.masqueradeAll,
    ...(section.masqueradeBit === undefined ? {} : { masqueradeBit: section.masqueradeBit }),
    ...(c.iptables.localhostNodePorts === undefined ? {} : { localhostNodePorts: c.iptables.localhostNodePorts }),
    ipvs: ipvsOf(c),
    conntrack: conntrackOf(c),
    ...(periods.minSyncPeriod === 0 ? {} : { minIntervalMs: periods.minSyncPeriod }),
    ...(periods.syncPeriod === 0 ? {} : { syncIntervalMs: periods.syncPeriod }),
  };
}

export function servingSettingsOf(c: ProxyConfiguration): ServingSettings {
  const ipv6 = c.bindAddress?.includes(":") === true;
  const level = c.logging.verbosity >= debugVerbosity ? ({ logLevel: "debug" } as const) : {};
  return {
    healthz: c.healthzBindAddress ?? { ip: ipv6 ? "::" : "0.0.0.0", port: 10256 },
    metrics: c.metricsBindAddress ?? { ip: ipv6 ? "::1" : "127.0.0.1", port: 10249 },
    hardFail: c.bindAddressHardFail,
    profiling: c.enableProfiling,
    ...(c.hostnameOverride === "" ? {} : { nodeName: c.hostnameOverride.trim().toLowerCase() }),
    ...(c.clientConnection.kubeconfig === "" ? {} : { kubeconfig: c.clientConnection.kubeconfig }),
    ...(c.oomScoreAdj === undefined ? {} : { oomScoreAdj: c.oomScoreAdj }),
    ...level,
    ...(c.logging.format === "" ? {} : { logFormat: c.logging.format }),
  };
}

/** kube-proxy's, where nobody says: among the last that are killed. */
export const kubeProxyOomScore = -999;

/** A `bindAddress` that says nothing about the node. */
const unspecified: ReadonlySet<Ip> = new Set(["0.0.0.0", "::"]);

/** kube-proxy tells what it does to single Services from here on. */
const debugVerbosity = 4;

/** One line each, about fields that are said and not followed as kube-proxy would. */
export function remarksOn(c: ProxyConfiguration, backend: ProxyMode): readonly string[] {
  const remarks: string[] = [];
  const unused = unusedFields(c, backend);
  if (unused.length > 0) remarks.push(`${unused.join(", ")}: without a meaning here`);
  const [read, other] = backend === "nftables" ? (["nftables", "iptables"] as const) : (["iptables", "nftables"] as const);
  const unread = (["masqueradeBit", "masqueradeAll"] as const).filter((f) => isSet(c[other][f]) && c[other][f] !== c[read][f]);
  if (unread.length > 0)
    remarks.push(`${unread.map((f) => `${other}.${f}`).join(", ")}: not read, since backend ${backend} reads section ${read}`);
  if (backend === "nftables" && c.iptables.localhostNodePorts === true)
    remarks.push("iptables.localhostNodePorts: nftables serves no node port on localhost");
  const ranges = c.nodePortAddresses;
  if (c.clusterCIDR.length === 0 && (c.detectLocalMode === "ClusterCIDR" || c.detectLocalMode === ""))
    remarks.push("clusterCIDR: not given, so nobody counts as a pod: ClusterIP traffic from outside is not masqueraded");
  if (
    ranges !== undefined &&
    ranges !== "primary" &&
    backend !== "iptables" &&
    ranges.some((r) => r.ip.startsWith("127.") || r.ip === "::1")
  )
    remarks.push("nodePortAddresses: only iptables serves node ports on loopback");
  return remarks;
}

function unusedFields(c: ProxyConfiguration, backend: ProxyMode): readonly string[] {
  const e = emptyConfiguration;
  const used: Readonly<Record<string, boolean>> = {
    featureGates: c.featureGates.size === 0,
    "clientConnection.acceptContentTypes": c.clientConnection.acceptContentTypes === "",
    "clientConnection.contentType": c.clientConnection.contentType === "",
    "clientConnection.qps": c.clientConnection.qps === 0,
    "clientConnection.burst": c.clientConnection.burst === 0,
    "logging.vmodule": c.logging.vmodule.length === 0,
    showHiddenMetricsForVersion: c.showHiddenMetricsForVersion === "",
    "iptables.snatNodeInternalIP": c.iptables.snatNodeInternalIP !== true,
    winkernel: JSON.stringify(c.winkernel) === JSON.stringify(e.winkernel),
    configSyncPeriod: c.configSyncPeriod === 0,
    portRange: c.portRange === "",
    windowsRunAsService: !c.windowsRunAsService,
    "ipvs.scheduler": c.ipvs.scheduler === "" || backend === "ipvs",
    "ipvs.strictARP": !c.ipvs.strictARP || backend === "ipvs",
    "ipvs.excludeCIDRs": c.ipvs.excludeCIDRs.length === 0 || backend === "ipvs",
  };
  return Object.entries(used).flatMap(([name, fine]) => (fine ? [] : [name]));
}

function isSet(value: boolean | number | undefined): boolean {
  return value !== undefined && value !== false;
}

function detectorOf(c: ProxyConfiguration): Pick<RuleSettings, "clusterCidrs" | "localInterface"> {
  switch (c.detectLocalMode) {
    case "":
    case "ClusterCIDR":
      return { clusterCidrs: c.clusterCIDR };
    case "NodeCIDR":
      return {};
    case "BridgeInterface":
      return { localInterface: { kind: "bridge", name: c.detectLocal.bridgeInterface } };
    case "InterfaceNamePrefix":
      return { localInterface: { kind: "prefix", name: c.detectLocal.interfaceNamePrefix } };
  }
}

function ipvsOf({ ipvs }: ProxyConfiguration): IpvsOptions {
  const excluded = ipvs.excludeCIDRs.filter((r) => r !== undefined);
  return {
    ...(ipvs.scheduler === "" ? {} : { scheduler: ipvs.scheduler }),
    ...(excluded.length === 0 ? {} : { excludeCidrs: excluded }),
    strictArp: ipvs.strictARP,
    ...given("tcpTimeoutSeconds", ipvs.tcpTimeout),
    ...given("tcpFinTimeoutSeconds", ipvs.tcpFinTimeout),
    ...given("udpTimeoutSeconds", ipvs.udpTimeout),
  };
}

/** kube-proxy's defaults, which it sets where nothing is said. */
const conntrackDefaults = { maxPerCore: 32 * 1024, min: 128 * 1024, established: 24 * 3_600_000, closeWait: 3_600_000 } as const;

function conntrackOf({ conntrack }: ProxyConfiguration): ConntrackOptions {
  return {
    maxPerCore: conntrack.maxPerCore ?? conntrackDefaults.maxPerCore,
    min: conntrack.min ?? conntrackDefaults.min,
    ...given("tcpEstablishedTimeoutSeconds", conntrack.tcpEstablishedTimeout ?? conntrackDefaults.established),
    ...given("tcpCloseWaitTimeoutSeconds", conntrack.tcpCloseWaitTimeout ?? conntrackDefaults.closeWait),
    ...(conntrack.tcpBeLiberal ? { tcpBeLiberal: true } : {}),
    ...given("udpTimeoutSeconds", conntrack.udpTimeout),
    ...given("udpStreamTimeoutSeconds", conntrack.udpStreamTimeout),
  };
}

function given<K extends string>(name: K, ms: number): { readonly [P in K]?: number } {
  return ms === 0 ? {} : ({ [name]: Math.max(1, Math.round(ms / 1000)) } as { readonly [P in K]?: number });
}
