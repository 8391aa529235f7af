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
export type Tree = PersistentMap<string, Entries>;

/** By key; sorted when they are read. */
type Entries = ReadonlyMap<string, readonly Rule[]>;

export const emptyTree: Tree = PersistentMap();

/** A chain on the way to a leaf, and which packets of its parent belong there. */
export interface Range {
  readonly chain: string;
  readonly key: string;
  readonly matches: Matches;
}

/** A tree being changed: every chain's entries are copied once, before their first change. */
export class TreeEditor {
  #tree: Tree;
  readonly #own = new Map<string, Map<string, readonly Rule[]>>();
  /** Chains whose entries changed. */
  readonly touched = new Set<string>();

  constructor(tree: Tree) {
    this.#tree = tree.asMutable();
  }

  has(chain: string): boolean {
    return this.#tree.has(chain);
  }

  /** Puts rules under a key of the last range, or takes them away; makes and removes ranges as needed. */
  place(root: string, path: readonly Range[], key: string, rules: readonly Rule[] | undefined): void {
    let chain = path.at(-1)?.chain ?? root;
    let entry = rules;
    let entryKey = key;
    for (let depth = path.length - 1; ; depth--) {
      const entries = this.#entries(chain);
      const was = entries.size;
      if (entry !== undefined) entries.set(entryKey, entry);
      else if (!entries.delete(entryKey)) return;
      this.touched.add(chain);
      if (entries.size === 0) {
        this.#own.delete(chain);
        this.#tree.delete(chain);
      } else if (was === 0) this.#tree.set(chain, entries);
      const range = path[depth];
      // the parent sees a child come and go only
      if (range === undefined || (was === 0) === (entries.size === 0)) return;
      entryKey = range.key;
      entry = entries.size === 0 ? undefined : [{ ...range.matches, target: { kind: "jump", chain: range.chain } }];
      chain = path[depth - 1]?.chain ?? root;
    }
  }

  /** All rules of a chain, by the order of their keys. */
  rulesIn(chain: string): readonly Rule[] {
    const entries = [...(this.#tree.get(chain) ?? [])];
    entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    return entries.flatMap(([, rules]) => rules);
  }

  finish(): Tree {
    this.#own.clear();
    return this.#tree.asImmutable();
  }

  #entries(chain: string): Map<string, readonly Rule[]> {
    let own = this.#own.get(chain);
    if (own === undefined) {
      const before = this.#tree.get(chain);
      own = new Map(before);
      this.#own.set(chain, own);
      if (before !== undefined) this.#tree.set(chain, own);
    }
    return own;
  }
}

/** Host bits of the ranges an address is found through: 16 ranges in each, and 256 addresses in the last. */
const levels = [16, 12, 8] as const;

export function addressPath(kind: RangeKind, ip: Ip): readonly Range[] {
  return pathTo(kind, withoutHost(ip, 8));
}

/** Neighbours share a way: it is made once for them. */
export class Ways {
  readonly #made = new Map<string, readonly Range[]>();

  to(kind: RangeKind, ip: Ip): readonly Range[] {
    const last = withoutHost(ip, 8);
    const key = `${kind} ${last}`;
    let path = this.#made.get(key);
    if (path === undefined) {
      path = pathTo(kind, last);
      this.#made.set(key, path);
    }
    return path;
  }
}

function pathTo(kind: RangeKind, ip: Ip): readonly Range[] {
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

/** The first address of the range that has so many bits of host. */
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

/** Local endpoints are few enough for one step. */
export function localPath(ip: Ip): readonly Range[] {
  const family = ipFamily(ip);
  const range: Cidr = { ip: withoutHost(ip, 4), bits: (family === 4 ? 32 : 128) - 4, family };
  return [{ chain: rangeChain("L", range), key: addressKey(range.ip), matches: { source: { cidr: range, negated: false } } }];
}

const portLevels = [256, 16] as const;

export function portPath(kind: "N" | "H", protocol: Protocol, port: number): readonly Range[] {
  return portLevels.map((size) => {
    const from = port - (port % size);
    const to = from + size - 1;
    return { chain: portsChain(kind, protocol, from, to), key: portKey(protocol, from), matches: { protocol, ports: { from, to } } };
  });
}

export function portKey(protocol: Protocol, port: number): string {
  return `${port.toString().padStart(5, "0")} ${protocol}`;
}
