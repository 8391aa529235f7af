/** A key of 16 bytes as its four little-endian words. */
export type SipKey = readonly [number, number, number, number];

export function sipKey(bytes: Uint8Array): SipKey {
  if (bytes.length !== 16) throw new RangeError("a SipHash key has 16 bytes");
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
  return [view.getUint32(0, true), view.getUint32(4, true), view.getUint32(8, true), view.getUint32(12, true)];
}

// the state's four 64-bit words as halves: module-wide, so that a hash allocates nothing
let v0l = 0;
let v0h = 0;
let v1l = 0;
let v1h = 0;
let v2l = 0;
let v2h = 0;
let v3l = 0;
let v3h = 0;

/**
 * SipHash-2-4 of `data[0..length)`, its 8 bytes in little-endian order written at `out[at]`: BigInt takes twenty times as long
 * for the same.
 */
export function sipHash24(key: SipKey, data: Uint8Array, length: number, out: Uint8Array, at: number): void {
  v0l = key[0] ^ 0x70736575;
  v0h = key[1] ^ 0x736f6d65;
  v1l = key[2] ^ 0x6e646f6d;
  v1h = key[3] ^ 0x646f7261;
  v2l = key[0] ^ 0x6e657261;
  v2h = key[1] ^ 0x6c796765;
  v3l = key[2] ^ 0x79746573;
  v3h = key[3] ^ 0x74656462;
  const whole = length & ~7;
  for (let i = 0; i < whole; i += 8) absorb(word(data, i), word(data, i + 4));
  let low = 0;
  let high = length << 24;
  for (let i = whole; i < length; i++) {
    const shift = 8 * (i - whole);
    if (shift < 32) low |= (data[i] ?? 0) << shift;
    else high |= (data[i] ?? 0) << (shift - 32);
  }
  absorb(low, high);
  v2l ^= 0xff;
  for (let i = 0; i < 4; i++) round();
  putWord(out, at, v0l ^ v1l ^ v2l ^ v3l);
  putWord(out, at + 4, v0h ^ v1h ^ v2h ^ v3h);
}

function absorb(low: number, high: number): void {
  v3l ^= low;
  v3h ^= high;
  round();
  round();
  v0l ^= low;
  v0h ^= high;
}

/** One SipRound; additions carry from the low half to the high one by comparison as unsigned. */
function round(): void {
  let l = (v0l + v1l) | 0;
  v0h = (v0h + v1h + carry(l, v0l)) | 0;
  v0l = l;
  l = (v1l << 13) | (v1h >>> 19);
  v1h = ((v1h << 13) | (v1l >>> 19)) ^ v0h;
  v1l = l ^ v0l;
  l = v0l;
  v0l = v0h;
  v0h = l;

  l = (v2l + v3l) | 0;
  v2h = (v2h + v3h + carry(l, v2l)) | 0;
  v2l = l;
  l = (v3l << 16) | (v3h >>> 16);
  v3h = ((v3h << 16) | (v3l >>> 16)) ^ v2h;
  v3l = l ^ v2l;

  l = (v0l + v3l) | 0;
  v0h = (v0h + v3h + carry(l, v0l)) | 0;
  v0l = l;
  l = (v3l << 21) | (v3h >>> 11);
  v3h = ((v3h << 21) | (v3l >>> 11)) ^ v0h;
  v3l = l ^ v0l;

  l = (v2l + v1l) | 0;
  v2h = (v2h + v1h + carry(l, v2l)) | 0;
  v2l = l;
  l = (v1l << 17) | (v1h >>> 15);
  v1h = ((v1h << 17) | (v1l >>> 15)) ^ v2h;
  v1l = l ^ v2l;
  l = v2l;
  v2l = v2h;
  v2h = l;
}

/** 1 when a sum of 32 bits has overflowed: it is less than what it was made of. */
function carry(sum: number, part: number): number {
  return sum >>> 0 < part >>> 0 ? 1 : 0;
}

function word(data: Uint8Array, at: number): number {
  return (data[at] ?? 0) | ((data[at + 1] ?? 0) << 8) | ((data[at + 2] ?? 0) << 16) | ((data[at + 3] ?? 0) << 24);
}

function putWord(out: Uint8Array, at: number, value: number): void {
  out[at] = value;
  out[at + 1] = value >>> 8;
  out[at + 2] = value >>> 16;
  out[at + 3] = value >>> 24;
}
