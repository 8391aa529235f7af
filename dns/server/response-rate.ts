import { cidrContains } from "../../src/base/cidr.ts";
import { type Ip, ipBytes, parseIp } from "../../src/base/ip.ts";
import type { RateLimitConfig } from "../config/rate-config.ts";
import { flagBits, headerBytes } from "../wire/message.ts";

/** What becomes of an answer: sent, left out, or sent empty with TC. */
export type RateVerdict = "send" | "drop" | "slip";

/** Ranges counted at once; a power of two. A range that finds no place takes the one that has been quiet for longest. */
const slots = 1 << 14;
const ways = 4;
const maxKnown = 4096;

/** Response rate limiting: a token bucket for each range of clients, in a table that never grows. */
export class ResponseRate {
  readonly #config: RateLimitConfig;
  readonly #slip: number;
  readonly #keys = new Uint32Array(slots);
  readonly #tokens = new Float64Array(slots);
  readonly #seen = new Float64Array(slots).fill(Number.NEGATIVE_INFINITY);
  readonly #dropped = new Uint32Array(slots);
  /** What is known of a client's address: its range, or -1 for one without limit. */
  readonly #ranges = new Map<Ip, number>();

  constructor(config: RateLimitConfig) {
    this.#config = config;
    this.#slip = config.slip ?? 2;
  }

  /** Counts one answer to a client. `now` in milliseconds of a clock that never goes back. */
  take(client: Ip, now: number): RateVerdict {
    const range = this.#rangeOf(client);
    if (range < 0) return "send";
    const slot = this.#slotOf(range, now);
    const { perSecond } = this.#config;
    const tokens = Math.min(perSecond, (this.#tokens[slot] ?? 0) + ((now - (this.#seen[slot] ?? now)) * perSecond) / 1000);
    this.#seen[slot] = now;
    if (tokens >= 1) {
      this.#tokens[slot] = tokens - 1;
      return "send";
    }
    this.#tokens[slot] = tokens;
    const dropped = (this.#dropped[slot] ?? 0) + 1;
    this.#dropped[slot] = dropped;
    return this.#slip > 0 && dropped % this.#slip === 0 ? "slip" : "drop";
  }

  #slotOf(range: number, now: number): number {
    const first = (Math.imul(range, 0x9e3779b1) >>> 0) & (slots - 1) & ~(ways - 1);
    let oldest = first;
    for (let slot = first; slot < first + ways; slot++) {
      const seen = this.#seen[slot] ?? 0;
      if (this.#keys[slot] === range && seen !== Number.NEGATIVE_INFINITY) return slot;
      if (seen < (this.#seen[oldest] ?? 0)) oldest = slot;
    }
    this.#keys[oldest] = range;
    this.#tokens[oldest] = this.#config.perSecond;
    this.#seen[oldest] = now;
    this.#dropped[oldest] = 0;
    return oldest;
  }

  #rangeOf(client: Ip): number {
    const known = this.#ranges.get(client);
    if (known !== undefined) return known;
    const ip = parseIp(client);
    const range = ip === undefined || this.#config.exempt?.some((cidr) => cidrContains(cidr, ip)) === true ? -1 : this.#hashOf(ip);
    if (this.#ranges.size >= maxKnown) this.#ranges.clear();
    this.#ranges.set(client, range);
    return range;
  }

  /** 32 bits of the range's own; two IPv6 ranges may share theirs, and then a limit. */
  #hashOf(ip: Ip): number {
    const bytes = ipBytes(ip);
    const bits = bytes.length === 4 ? (this.#config.ipv4Bits ?? 24) : (this.#config.ipv6Bits ?? 56);
    let hash = bytes.length;
    for (let i = 0; i * 8 < bits; i++) {
      const part = Math.min(8, bits - i * 8);
      hash = Math.imul(hash ^ ((bytes[i] ?? 0) >> (8 - part)), 0x01000193) ^ (hash >>> 15);
    }
    return hash >>> 0;
  }
}

/** Makes an answer of `n` bytes one without records that sends its client to TCP; the result is its length. */
export function slipAnswer(out: Uint8Array, n: number): number {
  let at = headerBytes;
  if (((out[4] ?? 0) | (out[5] ?? 0)) !== 0) {
    while (at < n && (out[at] ?? 0) !== 0) at += 1 + (out[at] ?? 0);
    at += 5;
  }
  out[2] = (out[2] ?? 0) | (flagBits.tc >> 8);
  out.fill(0, 6, headerBytes);
  return Math.min(at, n);
}
