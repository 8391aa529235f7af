import type { Cidr } from "../../src/base/cidr.ts";
import type { Clock } from "../../src/base/clock.ts";
import type { Ip, IpFamily } from "../../src/base/ip.ts";
import type { Cause } from "../../src/snapshot/cluster-snapshot.ts";
import type { ProblemDelta } from "../../src/snapshot/derivation.ts";
import type { SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import type { ConntrackOptions, IpvsOptions } from "../config/settings.ts";
import type { BackendChoice, IptablesFlavour } from "../model/backend.ts";
import type { LocalInterface } from "../model/packet.ts";
import type { HistoryLimits } from "./history.ts";

/** Which addresses node ports answer on: the node's first of each family, every local one but loopback, or the node's within ranges. */
export type NodePortAddresses = "primary" | "all" | readonly Cidr[];

export type { LocalInterface } from "../model/packet.ts";

/** What decides the rules, besides the objects. */
export interface RuleOptions {
  readonly nodeName: string;
  /** Goes before the Node's own addresses of its family. */
  readonly primaryAddress?: Ip | undefined;
  /** Default both. */
  readonly families?: readonly IpFamily[] | undefined;
  /** Addresses of cluster DNS that this node serves itself: not tracked, and exempt from the Service rules. */
  readonly localDnsIps?: readonly Ip[] | undefined;
  /** Sources that count as pods of the cluster; default: the Node's podCIDRs. Empty: no off-cluster masquerade, no short circuit for pods. */
  readonly clusterCidrs?: readonly Cidr[] | undefined;
  /**
   * Sources that come in by these links are pods of this node, whatever their address: one bridge, or all links whose names
   * begin so. In place of `clusterCidrs` and the Node's podCIDRs.
   */
  readonly localInterface?: LocalInterface | undefined;
  /** Default: `primary` for nftables and in plain mode, else `all`. */
  readonly nodePortAddresses?: NodePortAddresses | undefined;
  readonly masqueradeAll?: boolean | undefined;
  /** The bit of the packet mark that asks for masquerading; default 14, which CNIs know. */
  readonly masqueradeBit?: number | undefined;
  readonly ipvs?: IpvsOptions | undefined;
  readonly conntrack?: ConntrackOptions | undefined;
  /** The iptables backend's node ports answer on 127.0.0.1 too, unless `nodePortAddresses` leaves loopback out; default true. */
  readonly localhostNodePorts?: boolean | undefined;
  /** Default `fairway`. */
  readonly tableName?: string | undefined;
  /** Plain mode: endpoints and external addresses may be in 127.64.0.0/10, and nowhere else on loopback. */
  readonly allowLoopback?: boolean | undefined;
}

export interface ProxierConfig extends RuleOptions {
  readonly store: SnapshotStore;
  /** `auto`: nftables where it can be programmed, else iptables, else userspace; the log says which and why. */
  readonly backend: BackendChoice;
  /** How nf_tables is reached; `auto`: netlink in this process where koffi loads, else the nft command. */
  readonly nftables?: "auto" | "netlink" | "command" | undefined;
  /** Default `auto`. */
  readonly iptablesFlavour?: IptablesFlavour | undefined;
  /** At least this long between two transactions; default 0. */
  readonly minIntervalMs?: number | undefined;
  /** How often the kernel is compared with what was applied; default 60 s. 0: never. */
  readonly auditIntervalMs?: number | undefined;
  /** A change that has waited for longer makes the proxy unhealthy; default 60 s, or twice the interval. */
  readonly patienceMs?: number | undefined;
  /** Serve `healthCheckNodePort`s; default true. */
  readonly serviceHealth?: boolean | undefined;
  /** How many transactions are remembered, and in how much memory. */
  readonly history?: HistoryLimits | undefined;
}

export interface ProxierDeps {
  readonly clock: Clock;
  readonly log: (level: "debug" | "info" | "warn" | "error", message: string, fields?: Readonly<Record<string, unknown>>) => void;
  readonly onProblems?: ((delta: ProblemDelta) => void) | undefined;
  /** Something that happened on this node, rather than to an object. */
  readonly onEvent?: ((event: NodeEvent) => void) | undefined;
  readonly onApplied?: ((info: AppliedInfo) => void) | undefined;
}

/** For an Event on this node's Node. */
export interface NodeEvent {
  readonly type: "Normal" | "Warning";
  /** UpperCamelCase: `RulesRepaired`. */
  readonly reason: string;
  readonly message: string;
}

export interface AppliedInfo {
  readonly causes: readonly Cause[];
  readonly durationMs: number;
  /** Elements (or listeners) changed. */
  readonly elements: number;
}
