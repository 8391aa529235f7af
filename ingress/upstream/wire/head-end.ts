const cr = 0x0d;
const lf = 0x0a;

/** Where the empty line that ends a head begins, looked for from `from` on; -1 when it is not there. Looks at every fourth byte. */
export function headEnd(bytes: Uint8Array, from: number): number {
  const { length } = bytes;
  let i = from + 3;
  while (i < length) {
    const byte = bytes[i];
    if (byte === lf) {
      if (bytes[i - 1] === cr && bytes[i - 2] === lf && bytes[i - 3] === cr) return i - 3;
      // it may be the LF in the middle
      i += 2;
    } else if (byte === cr) i++;
    else i += 4;
  }
  return -1;
}

/** A LF without its CR, looked for from `from` on. */
export function hasBareLf(bytes: Buffer, from: number): boolean {
  for (let at = bytes.indexOf(lf, from); at >= 0; at = bytes.indexOf(lf, at + 1)) if (bytes[at - 1] !== cr) return true;
  return false;
}
