import { hash } from "node:crypto";
import { type Cidr, printCidr } from "../../src/base/cidr.ts";
import type { IpFamily } from "../../src/base/ip.ts";
import type { Protocol } from "../model/service-port.ts";

/** Every chain of ours starts with this, and nobody else's does. */
export const chainPrefix = "FAIRWAY-";
/** Longest name the kernel takes (XT_EXTENSION_MAXNAMELEN less its end and version). */
const longestName = 28;

export const chains = {
  /** nat: finds the Service of a new connection. */
  services: `${chainPrefix}SERVICES`,
  /** nat and filter: the same for connections to addresses of this node. */
  nodePorts: `${chainPrefix}NODEPORTS`,
  /** nat: marks what is no pod of this node. */
  offCluster: `${chainPrefix}OFF-CLUSTER`,
  postrouting: `${chainPrefix}POSTROUTING`,
  hairpin: `${chainPrefix}HAIRPIN`,
  /** filter: what is refused, of new connections that were not translated. */
  refusals: `${chainPrefix}REFUSALS`,
  reject: `${chainPrefix}REJECT`,
  input: `${chainPrefix}INPUT`,
  forward: `${chainPrefix}FORWARD`,
  output: `${chainPrefix}OUTPUT`,
  /** filter: lets load balancers ask for the health of Services. */
  health: `${chainPrefix}HEALTH`,
  untracked: `${chainPrefix}UNTRACKED`,
  /** filter, for a moment: whether the kernel takes a rule. */
  trial: `${chainPrefix}TRIAL`,
  /** In each table: where it is missing, somebody flushed the table. */
  canary: `${chainPrefix}CANARY`,
} as const;

/** Counters beside the rules, which stay when those are rewritten. At most 31 characters. */
export const counters = {
  /** Packets of no known connection that were dropped. */
  invalid: "fairway-invalid-dropped",
  /** New connections to node ports at 127.0.0.0/8. */
  localhost: "fairway-localhost-accepted",
} as const;

const poolPrefix = `${chainPrefix}P-`;

export type RangeKind = "C" | "E" | "R" | "L";

/** `FAIRWAY-C-10.96.3.0/24`: cluster IPs (C), external addresses (E), refusals (R), local endpoints (L) of a range of addresses. */
export function rangeChain(kind: RangeKind, range: Cidr): string {
  const name = `${chainPrefix}${kind}-${printCidr(range)}`;
  return name.length <= longestName ? name : `${chainPrefix}${kind}-${digest(printCidr(range))}`;
}

/** `FAIRWAY-N-tcp-30208-30463`: node ports (N), health check ports (H). */
export function portsChain(kind: "N" | "H", protocol: Protocol, from: number, to: number): string {
  return `${chainPrefix}${kind}-${protocol}-${from}-${to}`;
}

/** The endpoints of a pool. */
export function poolChain(poolId: string): string {
  return `${poolPrefix}${digest(poolId)}`;
}

/** Whether a chain is one of those that translate to the endpoints of a pool. */
export function isPoolChain(name: string): boolean {
  return name.startsWith(poolPrefix);
}

/** Some of the endpoints of a large pool, which has so many groups. */
export function poolGroupChain(poolId: string, count: number, group: number): string {
  return `${chainPrefix}G-${digest(`${poolId} ${group}/${count}`)}`;
}

/** What comes to a ServicePort from outside the cluster's own addresses. */
export function externalChain(externalId: string): string {
  return `${chainPrefix}X-${digest(externalId)}`;
}

/** The source ranges of a frontend. */
export function sourcesChain(frontend: string): string {
  return `${chainPrefix}S-${digest(frontend)}`;
}

/** Where the kernel remembers which clients an endpoint has; the same for all frontends of a ServicePort. */
export function recentList(servicePort: string, family: IpFamily, endpoint: string): string {
  return `${chainPrefix}${digest(`${servicePort} ${family} ${endpoint}`)}`;
}

/** 72 bits as 18 digits: what fits a name, and more than anybody finds two Services for that share one. */
function digest(text: string): string {
  return hash("sha256", text, "hex").slice(0, 18);
}
