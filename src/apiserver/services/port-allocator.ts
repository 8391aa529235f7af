export interface PortRange {
  readonly first: number;
  readonly last: number;
}

export const defaultNodePorts: PortRange = { first: 30000, last: 32767 };

/** Node ports and who holds them. Like IpAllocator it keeps the lower part for static choice (KEP-3668). */
export class PortAllocator {
  readonly #range: PortRange;
  readonly #random: () => number;
  readonly #owners = new Map<number, string>();
  readonly #band: number;

  constructor(range: PortRange, random: () => number) {
    this.#range = range;
    this.#random = random;
    const size = range.last - range.first + 1;
    this.#band = size <= 16 ? 0 : Math.min(128, Math.max(16, Math.floor(size / 32)));
  }

  get used(): number {
    return this.#owners.size;
  }

  ownerOf(port: number): string | undefined {
    return this.#owners.get(port);
  }

  /** Why not, in Kubernetes' words; undefined when `owner` has it now (or had it already). */
  take(port: number, owner: string): string | undefined {
    const { first, last } = this.#range;
    if (port < first || port > last) return `provided port is not in the valid range. The range of valid ports is ${first}-${last}`;
    const holder = this.#owners.get(port);
    if (holder !== undefined && holder !== owner) return "provided port is already allocated";
    this.#owners.set(port, owner);
    return undefined;
  }

  takeAny(owner: string): number | undefined {
    const { first, last } = this.#range;
    const port = this.#freeIn(first + this.#band, last + 1) ?? this.#freeIn(first, first + this.#band);
    if (port !== undefined) this.#owners.set(port, owner);
    return port;
  }

  release(port: number, owner: string): void {
    if (this.#owners.get(port) === owner) this.#owners.delete(port);
  }

  #freeIn(from: number, to: number): number | undefined {
    const size = to - from;
    const start = Math.floor(this.#random() * size);
    for (let i = 0; i < size; i++) {
      const port = from + ((start + i) % size);
      if (!this.#owners.has(port)) return port;
    }
    return undefined;
  }
}
