import { cost, type EndpointLoad } from "./endpoint-load.ts";
import type { HashTable } from "./hash-ring.ts";

/** Chooses among `count` endpoints; -1 when none is allowed. `usable(i)` leaves out those that failed this request or lately. */
export interface Choice {
  readonly count: number;
  usable(index: number): boolean;
}

/**
 * Those that are allowed, in turn: what is out leaves its turns to all others alike, not to its neighbour. `turn` counts up for
 * ever and is kept by the caller.
 */
export function pickRoundRobin(choice: Choice, turn: number): number {
  let allowed = 0;
  for (let i = 0; i < choice.count; i++) if (choice.usable(i)) allowed++;
  let left = allowed === 0 ? -1 : turn % allowed;
  for (let i = 0; i < choice.count && left >= 0; i++) if (choice.usable(i) && left-- === 0) return i;
  return -1;
}

/** Power of two choices: the cheaper of two taken at random. `random` is in [0, 1). */
export function pickPeakEwma(choice: Choice, loads: readonly EndpointLoad[], now: number, random: number): number {
  const n = choice.count;
  if (n === 0) return -1;
  // one number gives both draws: the second is uniform over the others
  const draw = Math.floor(random * n * Math.max(1, n - 1));
  const first = draw % n;
  const second = (first + 1 + (Math.floor(draw / n) % Math.max(1, n - 1))) % n;
  const a = choice.usable(first) ? loads[first] : undefined;
  const b = choice.usable(second) ? loads[second] : undefined;
  if (a !== undefined && b !== undefined) return cost(b, now) < cost(a, now) ? second : first;
  if (a !== undefined) return first;
  if (b !== undefined) return second;
  return pickRoundRobin(choice, first);
}

/** The one with the fewest requests in flight; among equals the next after `turn`. */
export function pickLeastRequests(choice: Choice, loads: readonly EndpointLoad[], turn: number): number {
  let best = -1;
  let fewest = Number.POSITIVE_INFINITY;
  for (let i = 0; i < choice.count; i++) {
    const at = (turn + i) % choice.count;
    const inFlight = loads[at]?.inFlight ?? 0;
    if (inFlight >= fewest || !choice.usable(at)) continue;
    best = at;
    fewest = inFlight;
  }
  return best;
}

/**
 * The endpoint a hash belongs to; past those that are out, and, with `bound` (above 1), past those that carry more than
 * that many times their share of what is in flight (Mirrokni et al., consistent hashing with bounded loads).
 */
export function pickByHash(
  choice: Choice,
  o: {
    readonly table: HashTable;
    readonly hash: number;
    readonly loads: readonly EndpointLoad[];
    readonly bound?: number | undefined;
    /** The hash chooses so many endpoints, and `random`, in [0, 1), one of them. */
    readonly subset?: { readonly size: number; readonly random: number } | undefined;
  },
): number {
  if (o.subset !== undefined) return pickOfSubset(choice, o.table.choices(o.hash), o.subset);
  let total = 1;
  if (o.bound !== undefined) for (const load of o.loads) total += load.inFlight;
  const most = o.bound === undefined ? Number.POSITIVE_INFINITY : Math.ceil((o.bound * total) / Math.max(1, choice.count));
  let first = -1;
  for (const at of o.table.choices(o.hash)) {
    if (!choice.usable(at)) continue;
    if (first < 0) first = at;
    if ((o.loads[at]?.inFlight ?? 0) < most) return at;
  }
  return first;
}

/** One of the first `size` that is usable; where none of them is, the first after them. */
function pickOfSubset(choice: Choice, choices: Iterable<number>, subset: { readonly size: number; readonly random: number }): number {
  const usable: number[] = [];
  let seen = 0;
  for (const at of choices) {
    if (seen >= subset.size && usable.length > 0) break;
    seen++;
    if (choice.usable(at)) usable.push(at);
  }
  return usable[Math.floor(subset.random * usable.length)] ?? -1;
}
