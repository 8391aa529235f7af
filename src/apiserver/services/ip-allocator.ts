import { type Cidr, cidrAt, cidrContains, cidrSize, printCidr } from "../../base/cidr.ts";
import type { Ip } from "../../base/ip.ts";

/** Places in the range that are never given to who asks for any address: the API server's, and cluster DNS's. */
const keptPlaces: ReadonlySet<number> = new Set([1, 10]);
/** IPv6 ranges are larger than anybody can use: this much of them is given out. */
const largest = 2n ** 40n;

/**
 * The addresses of one range and who holds them. Who asks for none in particular gets one from the upper part, so that
 * the lower stays free for those chosen by hand, as KEP-3070 has it; the lower is used when the upper is full.
 */
export class IpAllocator {
  readonly cidr: Cidr;
  readonly #random: () => number;
  readonly #owners = new Map<Ip, string>();
  readonly #first = 1;
  /** One past the last place that may be given. */
  readonly #end: number;
  readonly #band: number;

  constructor(cidr: Cidr, random: () => number) {
    this.cidr = cidr;
    this.#random = random;
    const size = Number(cidrSize(cidr) < largest ? cidrSize(cidr) : largest);
    this.#end = cidr.family === 4 ? size - 1 : size; // the last IPv4 address is its broadcast address
    this.#band = staticBand(this.#end - this.#first);
  }

  get used(): number {
    return this.#owners.size;
  }

  ownerOf(ip: Ip): string | undefined {
    return this.#owners.get(ip);
  }

  /** Why not, in Kubernetes' words; undefined when `owner` has it now (or had it already). */
  take(ip: Ip, owner: string): string | undefined {
    const first = this.cidr.ip;
    if (!cidrContains(this.cidr, ip) || ip === first) {
      return `the provided IP (${ip}) is not in the valid range. The range of valid IPs is ${printCidr(this.cidr)}`;
    }
    const holder = this.#owners.get(ip);
    if (holder !== undefined && holder !== owner) return "provided IP is already allocated";
    this.#owners.set(ip, owner);
    return undefined;
  }

  /** Any free address; undefined when there is none. */
  takeAny(owner: string): Ip | undefined {
    const ip = this.#freeIn(this.#first + this.#band, this.#end) ?? this.#freeIn(this.#first, this.#first + this.#band);
    if (ip !== undefined) this.#owners.set(ip, owner);
    return ip;
  }

  /** Frees the address if `owner` holds it. */
  release(ip: Ip, owner: string): void {
    if (this.#owners.get(ip) === owner) this.#owners.delete(ip);
  }

  #freeIn(from: number, to: number): Ip | undefined {
    const size = to - from;
    if (size <= 0) return undefined;
    const start = Math.floor(this.#random() * size);
    for (let i = 0; i < size; i++) {
      const place = from + ((start + i) % size);
      if (keptPlaces.has(place)) continue;
      const ip = cidrAt(this.cidr, place);
      if (!this.#owners.has(ip)) return ip;
      if (i > this.#owners.size + keptPlaces.size) break; // more tries than holders: cannot be
    }
    return undefined;
  }
}

/** How many of the first addresses are kept for static choice: a sixteenth, at least 16, at most 256. */
export function staticBand(usable: number): number {
  return usable <= 16 ? 0 : Math.min(256, Math.max(16, Math.floor(usable / 16)));
}
