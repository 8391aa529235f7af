/**
 * Pools are served by chains per size class, not per size: the smallest class that holds the pool. A random draw that
 * misses (the class is larger than the pool) is drawn again. So a pool that grows inside its class changes no frontend.
 */
export const sizeClasses: readonly number[] = [
  1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384, 24576,
  32768,
];

/** More endpoints than this in one pool have no slot. */
export const largestPool = 32768;

/** The index in `sizeClasses` of the class for `slots` slots (at least one, at most `largestPool`). */
export function sizeClassOf(slots: number): number {
  const index = sizeClasses.findIndex((size) => size >= slots);
  if (index < 0 || slots < 1) throw new RangeError(`no size class for ${slots} slots`);
  return index;
}

/** Slots of a pool that is shared by a hash: primes, as Maglev hashing needs them, that end before the local pool's slots begin. */
export const hashSizes = [251, 1021, 4093, 16381, 32749] as const;
export type HashSize = (typeof hashSizes)[number];

/** The table for this many members: enough slots for shares to be even, few enough for one member's to be a small change. */
export function hashSizeFor(members: number): HashSize {
  return hashSizes.find((size) => size >= 25 * members) ?? 32749;
}

/** Chains are made up to one of these sizes; a larger pool makes the skeleton grow to the next. */
export const skeletonSizes: readonly number[] = [64, 1024, 32768];

export function skeletonSizeFor(slots: number): number {
  return skeletonSizes.find((size) => size >= slots) ?? largestPool;
}
