/** Lower case for ASCII letters, itself for all else. Length bytes of labels are below 64, so it may run over a whole wire name. */
export const lowerByte: Uint8Array = Uint8Array.from({ length: 256 }, (_, b) => (b >= 0x41 && b <= 0x5a ? b + 0x20 : b));

/**
 * The hash of a wire name is taken from its last byte to its first: on the way it passes the hash of each parent, which the
 * search for the closest existing ancestor needs.
 */
export const hashSeed = 0x811c9dc5;

export function hashStep(hash: number, byte: number): number {
  return Math.imul(hash ^ (lowerByte[byte] ?? 0), 0x01000193);
}

/** `name` is a wire name with its root byte at `end - 1`; or that of a name's first labels, with the hash of what is behind them. */
export function hashName(name: Uint8Array, start: number, end: number, behind: number = hashSeed): number {
  let hash = behind;
  for (let i = end - 1; i >= start; i--) hash = hashStep(hash, name[i] ?? 0);
  return hash;
}
