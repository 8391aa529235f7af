import type { ProxyTimeouts } from "./context.ts";

/**
 * The end of a connection that was told all it will be told: how long its client is waited for. While it takes what is left, as
 * long as for a body that moves; once all is with the kernel, for its own end only. Milliseconds, monotonic.
 */
export class Farewell {
  readonly #timeouts: Pick<ProxyTimeouts, "body" | "linger">;
  #left: number;
  #until: number;

  constructor(o: { readonly now: number; readonly left: number; readonly timeouts: Pick<ProxyTimeouts, "body" | "linger"> }) {
    this.#timeouts = o.timeouts;
    this.#left = o.left;
    this.#until = o.now + this.#patience;
  }

  get #patience(): number {
    return this.#left > 0 ? this.#timeouts.body : this.#timeouts.linger;
  }

  /** `left`: bytes that the client has not taken. */
  isOver(now: number, left: number): boolean {
    if (left < this.#left) {
      this.#left = left;
      this.#until = now + this.#patience;
    }
    return now >= this.#until;
  }
}
