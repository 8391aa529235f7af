// Numbers as messages have them (RFC 1035 section 2.3.2): most significant octet first. Bytes behind the end read as 0.

export function u16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

export function u32(bytes: Uint8Array, at: number): number {
  return ((u16(bytes, at) << 16) | u16(bytes, at + 2)) >>> 0;
}

/** Writes the low 16 bits of `value`. */
export function putU16(out: Uint8Array, at: number, value: number): void {
  out[at] = value >>> 8;
  out[at + 1] = value;
}

export function putU32(out: Uint8Array, at: number, value: number): void {
  putU16(out, at, value >>> 16);
  putU16(out, at + 2, value);
}
