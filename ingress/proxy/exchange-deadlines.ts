import type { Forwarding } from "../route/route.ts";

/** What is expected next of a request that has been sent, or is being sent. */
export interface Expected {
  readonly now: number;
  /** All of the request's body was sent. */
  readonly bodySent: boolean;
  /** When the try began that still waits for its answer; absent once it answers. */
  readonly tryStartedAt?: number | undefined;
}

/** By when a request must have gone on, and by when it must be over. Monotonic milliseconds; looked at now and then, by a sweep. */
export class ExchangeDeadlines {
  #timeouts: Forwarding["timeouts"] | undefined;
  #next = Number.POSITIVE_INFINITY;
  /** The end of all tries and of the response. */
  #whole = Number.POSITIVE_INFINITY;

  /** Whichever ends first of what the client and the route allow. */
  endBy(whole: number): void {
    this.#whole = Math.min(this.#whole, whole);
  }

  /** The times of the route count from here on. */
  follow(timeouts: Forwarding["timeouts"], startedAt: number): void {
    this.#timeouts = timeouts;
    if (timeouts.requestSeconds !== undefined) this.endBy(startedAt + timeouts.requestSeconds * 1000);
  }

  /** Something else says how long may be waited: a queue, a connection that is being made. */
  waitUntil(next: number): void {
    this.#next = next;
  }

  /** The endpoint has so long to take what is sent, or to answer. */
  expect({ now, bodySent, tryStartedAt }: Expected): void {
    const timeouts = this.#timeouts;
    if (timeouts === undefined) return;
    const seconds = bodySent ? timeouts.readSeconds : Math.max(timeouts.sendSeconds, timeouts.readSeconds);
    this.#next = now + seconds * 1000;
    if (timeouts.trySeconds !== undefined && tryStartedAt !== undefined)
      this.#next = Math.min(this.#next, tryStartedAt + timeouts.trySeconds * 1000);
  }

  /** The response goes on. */
  progressed(now: number): void {
    this.#next = now + this.idleMs;
  }

  /** How long nothing may move. */
  get idleMs(): number {
    return (this.#timeouts?.readSeconds ?? 60) * 1000;
  }

  /** Nothing is waited for any more. */
  stop(): void {
    this.#next = Number.POSITIVE_INFINITY;
  }

  isOver(now: number): boolean {
    return now >= this.#whole;
  }

  isLate(now: number): boolean {
    return now >= this.#next;
  }
}
