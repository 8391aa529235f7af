import { Map as PersistentMap } from "immutable";
import type { Cidr } from "../../src/base/cidr.ts";
import { type Ip, ipFamily, ipFromBigInt, ipFromBytes, ipToBigInt, ipv4Number } from "../../src/base/ip.ts";
import type { Protocol } from "../model/service-port.ts";
import { portsChain, type RangeKind, rangeChain } from "./names.ts";
import type { Matches, Rule } from "./rule.ts";

/**
 * Rules found by their address or port through ranges within ranges, each a chain, so that a packet passes tens of rules
 * where a list would have thousands. A chain's entries are kept in the order of their keys.
 */
export type Tree = PersistentMap<string, PersistentMap<string, readonly Rule[]>>;

export const emptyTree: Tree = PersistentMap();

/** A chain on the way to a leaf, and which packets of its parent belong there. */
export interface Range {
  readonly chain: string;
  readonly key: string;
  readonly matches: Matches;
}

const noEntries: PersistentMap<string, readonly Rule[]> = PersistentMap();

/** Puts rules under a key of the last range, or takes them away; makes and removes ranges as needed. Names the chains that changed. */
export function place(
  tree: Tree,
  root: string,
  path: readonly Range[],
  key: string,
  rules: readonly Rule[] | undefined,
  touched: (chain: string) => void,
): Tree {
  let next = tree;
  let chain = path.at(-1)?.chain ?? root;
  let entry: readonly Rule[] | undefined = rules;
  let entryKey = key;
  for (let depth = path.length - 1; ; depth--) {
    const before = next.get(chain) ?? noEntries;
    const was = before.size;
    const after = entry === undefined ? before.delete(entryKey) : before.set(entryKey, entry);
    if (after === before) return next;
    touched(chain);
    next = after.size === 0 ? next.delete(chain) : next.set(chain, after);
    const range = path[depth];
    // the parent sees a child come and go only
    if (range === undefined || (was === 0) === (after.size === 0)) return next;
    entryKey = range.key;
    entry = after.size === 0 ? undefined : [{ ...range.matches, target: { kind: "jump", chain: range.chain } }];
    chain = path[depth - 1]?.chain ?? root;
  }
}

/** All rules of a chain of the tree, by the order of their keys. */
export function rulesIn(tree: Tree, chain: string): readonly Rule[] {
  const entries = [...(tree.get(chain) ?? noEntries)];
  entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return entries.flatMap(([, rules]) => rules);
}

/** Host bits of the ranges an address is found through: 16 ranges in each, and 256 addresses in the last. */
const levels = [16, 12, 8] as const;

export function addressPath(kind: RangeKind, ip: Ip): readonly Range[] {
  const family = ipFamily(ip);
  return levels.map((hostBits) => {
    const range: Cidr = { ip: withoutHost(ip, hostBits), bits: (family === 4 ? 32 : 128) - hostBits, family };
    return {
      chain: rangeChain(kind, range),
      key: `${kind} ${addressKey(range.ip)}`,
      matches: { destination: { cidr: range, negated: false } },
    };
  });
}

function withoutHost(ip: Ip, hostBits: number): Ip {
  const v4 = ipv4Number(ip);
  if (v4 !== undefined) {
    const n = (v4 >>> hostBits) << hostBits;
    return ipFromBytes(Uint8Array.of(n >>> 24, n >>> 16, n >>> 8, n));
  }
  const bits = BigInt(hostBits);
  return ipFromBigInt((ipToBigInt(ip) >> bits) << bits, 6);
}

/** Sorts as the address does. */
export function addressKey(ip: Ip): string {
  const v4 = ipv4Number(ip);
  return v4 === undefined ? ipToBigInt(ip).toString(16).padStart(32, "0") : v4.toString(16).padStart(8, "0");
}

const portLevels = [256, 16] as const;

export function portPath(protocol: Protocol, port: number): readonly Range[] {
  return portLevels.map((size) => {
    const from = port - (port % size);
    const to = from + size - 1;
    return { chain: portsChain(protocol, from, to), key: portKey(protocol, from), matches: { protocol, ports: { from, to } } };
  });
}

export function portKey(protocol: Protocol, port: number): string {
  return `${port.toString().padStart(5, "0")} ${protocol}`;
}
