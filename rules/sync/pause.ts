import type { Clock } from "../../src/base/clock.ts";

const woken = new Error("woken");

/** A rest of one loop, which others can end. */
export class Pause {
  readonly #clock: Clock;
  readonly #stop: AbortSignal;
  #wake: () => void = () => undefined;

  /** No rest is taken once `stop` is aborted; it has to be told by `end` all the same. */
  constructor(clock: Clock, stop: AbortSignal) {
    this.#clock = clock;
    this.#stop = stop;
  }

  /** Ends the rest that is being taken; none: does nothing. */
  end(): void {
    this.#wake();
  }

  /** For so long, or until it is ended; undefined: until then. */
  async take(milliseconds: number | undefined): Promise<void> {
    if (milliseconds === 0) return;
    const rest = new AbortController();
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      if (milliseconds !== undefined) this.#clock.sleep(milliseconds, rest.signal).then(resolve, resolve);
      if (this.#stop.aborted) resolve();
    });
    this.#wake = () => undefined;
    rest.abort(woken);
  }
}
