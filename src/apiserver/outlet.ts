import type { Turn } from "../store/cache-table.ts";
import type { Outlet } from "./answer.ts";
import type { WireResponse } from "./wire.ts";

/**
 * A response as a stream. Who is to be told first has what is written in that very call; what others are told leaves when the turn is
 * over, as one write: by then the first ones' has gone out, and on a machine with few cores nobody else was woken yet.
 */
export class ResponseOutlet implements Outlet {
  readonly #response: WireResponse;
  readonly #turn: Turn;
  readonly #gone: () => boolean;
  #full = false;
  #corked = false;

  constructor(response: WireResponse, turn: Turn, gone: () => boolean) {
    this.#response = response;
    this.#turn = turn;
    this.#gone = gone;
    response.on("drain", () => {
      this.#full = false;
    });
  }

  get waiting(): number {
    return this.#response.writableLength;
  }

  write(bytes: Uint8Array): void {
    if (!this.#corked) {
      this.#corked = true;
      this.#response.cork();
      if (this.#turn === "in-turn") setImmediate(() => this.#uncork());
    }
    this.#full = !this.#response.write(bytes);
    if (this.#turn === "first") this.#uncork();
  }

  async drained(signal: AbortSignal): Promise<void> {
    if (this.#full && !this.#gone() && !signal.aborted) await drained(this.#response, signal);
  }

  #uncork(): void {
    this.#corked = false;
    // its end has sent all
    if (!this.#response.writableEnded) this.#response.uncork();
  }
}

/** Resolves when the client has taken what waits or has gone, or the signal aborts. */
export function drained(response: WireResponse, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off("drain", done);
      response.off("close", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    response.once("drain", done);
    response.once("close", done);
    signal.addEventListener("abort", done, { once: true });
  });
}
