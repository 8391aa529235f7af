import type { EventEmitter } from "node:events";

/**
 * How long a request has somebody who waits for its answer: until its connection (or response) closes, or the server does.
 * The signal is made when first asked for: most requests are answered before anybody would look at it.
 */
export class Lifetime {
  readonly #ends: EventEmitter;
  readonly #closing: AbortSignal;
  #controller: AbortController | undefined;
  #over = false;

  constructor(ends: EventEmitter, closing: AbortSignal) {
    this.#ends = ends;
    this.#closing = closing;
    ends.once("close", () => this.#end());
  }

  /** Whether it is over already. */
  get over(): boolean {
    return this.#over || this.#closing.aborted;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const controller = new AbortController();
      this.#controller = controller;
      const close = (): void => controller.abort();
      if (this.over) controller.abort();
      else {
        this.#closing.addEventListener("abort", close, { once: true });
        this.#ends.once("close", () => this.#closing.removeEventListener("abort", close));
      }
    }
    return this.#controller.signal;
  }

  #end(): void {
    this.#over = true;
    this.#controller?.abort();
  }
}
