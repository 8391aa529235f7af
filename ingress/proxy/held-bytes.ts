import { thrift } from "../upstream/thrift.ts";

/** Keeps bytes for somebody who is slow to take them, or to say the rest. */
export interface Holder {
  /** Memory is short, and all others have moved since this one did: it gives up what it holds, or all it is at. */
  letGo(): void;
}

/** What one process holds at most, where nothing else is said: of a few thousand stalled responses. */
export const defaultHeldBytes = 128 * 1024 * 1024;

/** Less is not counted. */
export const leastHeld = 1024;
/** What stands beside the bytes of one who waits: a buffer to read into, the objects of a request and of its connections. */
export const waitingBytes = 32 * 1024;

/**
 * What this process holds for clients that do not read, endpoints that do not read, and those who do not come to an end. One of them
 * alone is bounded by its buffers and time-outs; this bounds all of them together. From a quarter of the bound on connections are
 * thrifty; at the bound, who has not moved for longest is let go. Costs only those who are slow.
 */
export class HeldBytes {
  #most: number;
  /** Who has not moved for longest stands first. */
  readonly #holders = new Map<Holder, number>();
  #bytes = 0;
  #letGo = 0;

  constructor(most: number) {
    this.#most = most;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Holders that were let go so far. */
  get letGo(): number {
    return this.#letGo;
  }

  /** The bound is another from now on. */
  limit(most: number): void {
    this.#most = most;
    this.#keepBelow();
  }

  /** So much is held by this one from now on; 0: nothing. It has moved. */
  set(holder: Holder, bytes: number): void {
    const before = this.#holders.get(holder);
    if (before !== undefined) this.#holders.delete(holder);
    if (bytes > 0) this.#holders.set(holder, bytes);
    this.#bytes += bytes - (before ?? 0);
    this.#keepBelow();
  }

  #keepBelow(): void {
    thrift.isOn = this.#bytes > this.#most / 4;
    while (this.#bytes > this.#most) this.#letOldestGo();
  }

  #letOldestGo(): void {
    for (const [holder, bytes] of this.#holders) {
      this.#letGo++;
      holder.letGo();
      // whatever it still has, it is not asked twice for it
      if (this.#holders.get(holder) === bytes) this.set(holder, 0);
      return;
    }
  }
}
