import type { Clock } from "../../src/base/clock.ts";

const noLonger = new Error("another time is waited for");

/**
 * A rest of one loop, which others can end. The timer of a rest that was ended stays for the next one unless that asks for an earlier
 * time: most rests are ended, and setting and taking back a timer for each cost more than all that a rest is for. So a rest may end
 * early without a reason; whoever takes it looks again.
 */
export class Pause {
  readonly #clock: Clock;
  readonly #stop: AbortSignal;
  #timer: { readonly at: number; readonly cancel: AbortController } | undefined;
  #resume: (() => void) | undefined;

  /** No rest is taken once `stop` is aborted; it has to be told by `end` all the same. */
  constructor(clock: Clock, stop: AbortSignal) {
    this.#clock = clock;
    this.#stop = stop;
  }

  /** Ends the rest that is being taken; none: does nothing. */
  end(): void {
    if (this.#stop.aborted) this.#timer?.cancel.abort(noLonger);
    const resume = this.#resume;
    this.#resume = undefined;
    resume?.();
  }

  /** For so long, or until it is ended; undefined: until then. */
  async take(milliseconds: number | undefined): Promise<void> {
    if (milliseconds === 0 || this.#stop.aborted) return;
    if (milliseconds !== undefined) this.#set(milliseconds);
    await new Promise<void>((resolve) => {
      this.#resume = resolve;
    });
  }

  #set(milliseconds: number): void {
    const at = this.#clock.monotonic() + milliseconds;
    if (this.#timer !== undefined && this.#timer.at <= at) return;
    this.#timer?.cancel.abort(noLonger);
    const timer = { at, cancel: new AbortController() };
    this.#timer = timer;
    const ring = (): void => {
      if (this.#timer !== timer) return;
      this.#timer = undefined;
      this.end();
    };
    this.#clock.sleep(milliseconds, timer.cancel.signal).then(ring, ring);
  }
}
