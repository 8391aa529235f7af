/** Bytes the kernel has not taken yet, above which writers wait. */
const usualMark = 128 * 1024;

/**
 * Of this process: while much is held for those who are slow (see HeldBytes), every connection reads little at a time and waits for
 * what it wrote, so that each slow one costs a quarter.
 */
export const thrift = { isOn: false };

/** So many bytes that the kernel has not taken make writers wait. */
export function highWaterMark(): number {
  return thrift.isOn ? 1 : usualMark;
}
