/** Streams given up in one go, and how many more each second: a client that goes away from a page gives up a few dozen. */
const mostResets = 1_000;
const resetsASecond = 33;
/** Frames that ask for nothing and bring nothing, in one go, and each second. */
const mostIdle = 10_000;
const idleASecond = 1_000;

/**
 * What one side may cost the other without getting anything for it. Streams that are begun and given up, and frames that only
 * have to be answered or counted, are bought from a stock that fills with time, and with what is really asked and carried.
 */
export class FloodGuard {
  readonly #mostResets: number;
  #resets: number;
  #idle = mostIdle;

  /** `resets`: in one go; for who begins the streams himself, they need no bound. */
  constructor(resets = mostResets) {
    this.#mostResets = resets;
    this.#resets = resets;
  }

  /** A stream was given up, or had to be. False: too many are. */
  reset(): boolean {
    return --this.#resets >= 0;
  }

  /** A frame that is none of a message. False: too many are. */
  idle(): boolean {
    return --this.#idle >= 0;
  }

  /** Something was asked or carried, beside which so many such frames are usual. */
  worked(frames: number): void {
    this.#idle = Math.min(mostIdle, this.#idle + frames);
  }

  passed(milliseconds: number): void {
    this.#resets = Math.min(this.#mostResets, this.#resets + (resetsASecond * milliseconds) / 1000);
    this.#idle = Math.min(mostIdle, this.#idle + (idleASecond * milliseconds) / 1000);
  }
}
