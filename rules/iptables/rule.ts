import type { Cidr } from "../../src/base/cidr.ts";
import type { Ip, IpFamily } from "../../src/base/ip.ts";
import type { Protocol } from "../model/service-port.ts";

/** The tables rules go into, in the order a packet meets them. */
export type TableName = "raw" | "mangle" | "nat" | "filter";
export const tableNames: readonly TableName[] = ["raw", "mangle", "nat", "filter"];

export type ConnectionState = "NEW" | "RELATED" | "ESTABLISHED" | "INVALID" | "DNAT";

/** What is done with a packet that every match of the rule holds for. */
export type Target =
  | { readonly kind: "jump"; readonly chain: string }
  | { readonly kind: "return" }
  | { readonly kind: "accept" }
  | { readonly kind: "drop" }
  | { readonly kind: "reject"; readonly with: "tcp-reset" | "port-unreachable" }
  /** Bits of `mask` are cleared, then those of `value` are flipped, as `--set-xmark` has it. */
  | { readonly kind: "mark"; readonly value: number; readonly mask: number }
  | { readonly kind: "dnat"; readonly ip: Ip; readonly port: number }
  | { readonly kind: "masquerade"; readonly fullyRandom: boolean }
  | { readonly kind: "untrack" }
  /** The mark that the set's entry has, in the mangle table only. Nothing without such an entry. */
  | { readonly kind: "mark-of-entry"; readonly set: string; readonly fields: readonly SetSide[] };

/** Which end of a packet a field of a set is compared with. */
export type SetSide = "src" | "dst";

/** Whether a set has an entry with the packet's addresses and port. */
export interface SetMatch {
  readonly name: string;
  readonly fields: readonly SetSide[];
  readonly negated: boolean;
}

export interface AddressMatch {
  readonly cidr: Cidr;
  readonly negated: boolean;
}

/** A client's last visit, kept by the kernel under a list's name. */
export type RecentMatch =
  /** Holds, and renews the visit, when there was one within so many seconds; older ones are forgotten. */
  | { readonly kind: "update"; readonly list: string; readonly seconds: number }
  /** Always holds; notes the visit. */
  | { readonly kind: "set"; readonly list: string };

/** The matches of a rule, each at most once. They are asked in this order, which matters for the last two only. */
export interface Matches {
  readonly source?: AddressMatch;
  readonly destination?: AddressMatch;
  /** A name that ends in `+` stands for every link that starts so. */
  readonly inInterface?: { readonly name: string; readonly negated: boolean };
  readonly protocol?: Protocol;
  readonly comment?: string;
  /** Destination ports, both ends included; only with a protocol. */
  readonly ports?: { readonly from: number; readonly to: number };
  readonly states?: { readonly of: readonly ConnectionState[]; readonly negated: boolean };
  /** The address is one of this machine's. */
  readonly localSource?: true;
  readonly localDestination?: true;
  /** Holds when the packet's mark has all of these bits, and none of the others in `mask` (default: no others). */
  readonly mark?: { readonly bits: number; readonly mask?: number; readonly negated: boolean };
  readonly sets?: readonly SetMatch[];
  /** How many of 2^31 packets it holds for: the unit the kernel draws in. */
  readonly share?: number;
  readonly recent?: RecentMatch;
  /** Always holds; counts the packet under this name, beside the rules. */
  readonly counter?: string;
}

export interface Rule extends Matches {
  readonly target: Target;
}

/** A chain of ours, or the part of a built-in chain that is. */
export type Chain = readonly Rule[];

/** The built-in chains that jump to ours. */
export interface Hook {
  readonly table: TableName;
  readonly builtIn: string;
  readonly chain: string;
}

/** A family's rules as they are printed, traced and loaded. */
export interface RuleSet {
  readonly family: IpFamily;
  readonly hooks: readonly Hook[];
  readonly chains: Chains;
}

/** Chains by `chainId`: a Map, or a persistent one. */
export interface Chains {
  get(id: ChainId): Chain | undefined;
  has(id: ChainId): boolean;
  keys(): Iterable<ChainId>;
}

/** `nat FAIRWAY-SERVICES` */
export type ChainId = `${TableName} ${string}`;

export function chainId(table: TableName, name: string): ChainId {
  return `${table} ${name}`;
}

export function tableOfChain(id: ChainId): TableName {
  return id.slice(0, id.indexOf(" ")) as TableName;
}

export function nameOfChain(id: ChainId): string {
  return id.slice(id.indexOf(" ") + 1);
}
