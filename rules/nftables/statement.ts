import type { Cidr } from "../../src/base/cidr.ts";
import type { IpFamily } from "../../src/base/ip.ts";
import type { LocalInterface } from "../model/packet.ts";

/** A field of the packet, or the scratch register (`meta priority`), as part of a lookup key. */
export type KeyField = "saddr" | "daddr" | "l4proto" | "sport" | "dport" | "scratch";
export type Key = readonly KeyField[];

/** Where the value comes from that is written to the scratch register. */
export type ScratchSource =
  | { readonly kind: "random"; readonly modulus: number; readonly offset: number }
  | { readonly kind: "map"; readonly key: Key; readonly map: string }
  /** A number that stands for the key. */
  | { readonly kind: "hash"; readonly key: Key; readonly modulus: number; readonly seed: number }
  /** A slot that is always the same for the key. */
  | { readonly kind: "hash-slot"; readonly key: Key; readonly modulus: number; readonly seed: number; readonly offset: number };

/** One step of a rule. A match or lookup that fails ends the rule, not the chain. */
export type Statement =
  | { readonly kind: "match-set"; readonly key: Key; readonly set: string; readonly negated: boolean }
  | { readonly kind: "match-address"; readonly field: "saddr" | "daddr"; readonly cidr: Cidr; readonly negated: boolean }
  /** The routing table says that the address is one of this machine's. */
  | { readonly kind: "match-local"; readonly field: "saddr" | "daddr" }
  | { readonly kind: "match-tcp" }
  /** The link the packet came in by; packets of this machine came by none. */
  | { readonly kind: "match-interface"; readonly interface: LocalInterface; readonly negated: boolean }
  | { readonly kind: "match-mark"; readonly bit: number }
  /** The scratch register still holds a value of ours. */
  | { readonly kind: "match-scratch" }
  /** The connection's destination was translated. */
  | { readonly kind: "match-translated" }
  /** Connection tracking knows no connection that the packet fits; of a first packet never. */
  | { readonly kind: "match-invalid" }
  | { readonly kind: "set-scratch"; readonly source: ScratchSource }
  | { readonly kind: "clear-scratch" }
  | { readonly kind: "set-mark"; readonly bit: number }
  | { readonly kind: "clear-mark"; readonly bit: number }
  /** Inserts `key → random index`, or, where the key is present, keeps its value and only restarts its timeout. */
  | {
      readonly kind: "remember";
      readonly key: Key;
      readonly map: string;
      readonly timeoutSeconds: number;
      readonly modulus: number;
      readonly offset: number;
    }
  | { readonly kind: "forget"; readonly key: Key; readonly map: string }
  /** Goes where the verdict map says. */
  | { readonly kind: "dispatch"; readonly map: string }
  | { readonly kind: "translate"; readonly key: Key; readonly map: string }
  | { readonly kind: "masquerade" }
  | { readonly kind: "untrack" }
  | { readonly kind: "reset" }
  | { readonly kind: "reject" }
  | { readonly kind: "drop" }
  | { readonly kind: "jump"; readonly chain: string }
  | { readonly kind: "goto"; readonly chain: string };

export interface Rule {
  readonly statements: readonly Statement[];
}

export interface BaseHook {
  readonly type: "nat" | "filter";
  readonly hook: "prerouting" | "forward" | "output" | "postrouting";
  readonly priority: number;
}

export interface Chain {
  readonly name: string;
  readonly hook?: BaseHook;
  readonly rules: readonly Rule[];
}

/** What one field of an element's key or value is. `number` is a classid: 32 bits, printed as `a500:5`. */
export type FieldType = "address" | "protocol" | "port" | "number" | "verdict";

export interface SetDefinition {
  readonly name: string;
  readonly key: readonly FieldType[];
  /** A map when present. */
  readonly value?: readonly FieldType[];
  /** Addresses in the key may be ranges. */
  readonly interval?: boolean;
  /** Filled by packets, with a timeout and at most this many entries; fairway never writes elements to it. */
  readonly dynamicSize?: number;
}

export type Field = string | number;

/** One element of a set or map. Addresses and ranges are text, protocols `tcp`, ports and numbers numbers, verdicts a chain's name. */
export interface Element {
  readonly set: string;
  readonly key: readonly Field[];
  readonly value?: readonly Field[];
}

/** A table as it is printed, parsed, traced and loaded: one family, all of its sets, chains and elements. */
export interface Table {
  readonly family: IpFamily;
  readonly name: string;
  readonly sets: readonly SetDefinition[];
  readonly chains: readonly Chain[];
  readonly elements: readonly Element[];
}

/** Identity of an element within its table: two elements with one id cannot both be present. */
export function elementId(element: Element): string {
  return `${element.set} ${element.key.join(" ")}`;
}

export function sameValue(a: readonly Field[] | undefined, b: readonly Field[] | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.length === b.length && a.every((field, i) => field === b[i]);
}
