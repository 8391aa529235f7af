import { fnv1a } from "../../src/base/hash.ts";

/** Which endpoint a hash belongs to: the places of the endpoints, the best first, each once. */
export interface HashTable {
  choices(hash: number): Iterable<number>;
}

/** Points of each endpoint on the ring: as many as nginx's `consistent` has. */
const pointsEach = 160;

/** Spreads similar texts over all 32 bits, as FNV alone does not (the finalizer of MurmurHash3). */
export function hashOf(text: string): number {
  let h = fnv1a(text);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Consistent hashing: an endpoint that comes or goes moves only what is its own. `keys` name the endpoints. */
export function hashRing(keys: readonly string[]): HashTable {
  const points: { readonly at: number; readonly owner: number }[] = [];
  for (const [owner, key] of keys.entries()) for (let i = 0; i < pointsEach; i++) points.push({ at: hashOf(`${key}#${i}`), owner });
  points.sort((a, b) => a.at - b.at || a.owner - b.owner);
  const at = Uint32Array.from(points, (p) => p.at);
  const owners = Uint32Array.from(points, (p) => p.owner);
  return { choices: (hash) => onwards(owners, firstFrom(at, hash), keys.length) };
}

/** The first place whose point is not before the hash; the first of all after the last. */
function firstFrom(at: Uint32Array, hash: number): number {
  let low = 0;
  let high = at.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((at[middle] ?? 0) < hash) low = middle + 1;
    else high = middle;
  }
  return low === at.length ? 0 : low;
}

const smallTable = 1_021;
const largeTable = 65_537;

/** Maglev (Eisenbud et al., NSDI 2016, section 3.4): every endpoint gets an equal share of the table, to one place. */
export function maglevTable(keys: readonly string[]): HashTable {
  const size = keys.length * 100 > smallTable ? largeTable : smallTable;
  const table = new Int32Array(size).fill(-1);
  const offsets = keys.map((k) => hashOf(k) % size);
  const skips = keys.map((k) => (hashOf(`${k}#skip`) % (size - 1)) + 1);
  const next = keys.map(() => 0);
  for (let filled = 0; keys.length > 0 && filled < size; ) {
    for (let owner = 0; owner < keys.length && filled < size; owner++) {
      let place: number;
      do place = ((offsets[owner] ?? 0) + (skips[owner] ?? 1) * (next[owner] = (next[owner] ?? 0) + 1)) % size;
      while (table[place] !== -1);
      table[place] = owner;
      filled++;
    }
  }
  return { choices: (hash) => onwards(table, hash % size, keys.length) };
}

/** The owners from a place on, round the table, each once. */
function* onwards(owners: Uint32Array | Int32Array, from: number, count: number): Generator<number> {
  const seen = new Set<number>();
  for (let i = 0; i < owners.length && seen.size < count; i++) {
    const owner = owners[(from + i) % owners.length] ?? 0;
    if (seen.has(owner)) continue;
    seen.add(owner);
    yield owner;
  }
}
