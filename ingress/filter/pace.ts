import type { Clock } from "../../src/base/clock.ts";
import type { MakeResponseStep, ResponseHead, ResponseOutlet, ResponseSource, ResponseStep } from "./response-step.ts";

/** How fast a body may go to its client. */
export interface Pace {
  readonly bytesPerSecond: number;
  /** So much goes at once, before any of it counts. */
  readonly afterBytes: number;
}

/** Lets a body go at its pace, in pieces of half a second; what comes faster is held, and its source waits. */
export function paceStep(pace: Pace, clock: Clock): MakeResponseStep {
  return (next, source) => new PaceStep(pace, clock, { next, source });
}

const mostAtOnce = 64 * 1024;
const leastAtOnce = 4 * 1024;

class PaceStep implements ResponseStep {
  readonly #pace: Pace;
  readonly #clock: Clock;
  readonly #next: ResponseOutlet;
  readonly #source: ResponseSource;
  readonly #life = new AbortController();
  readonly #atOnce: number;
  #sent = 0;
  #startedAt: number | undefined;
  #held: Buffer | undefined;
  /** What was sent so far is not due yet. */
  #early = false;
  /** The client has no room. */
  #full = false;
  /** The trailers: the response ends when nothing is held any more. */
  #end: string | undefined;

  constructor(pace: Pace, clock: Clock, o: { readonly next: ResponseOutlet; readonly source: ResponseSource }) {
    this.#pace = pace;
    this.#clock = clock;
    this.#next = o.next;
    this.#source = o.source;
    this.#atOnce = Math.max(leastAtOnce, Math.min(mostAtOnce, Math.ceil(pace.bytesPerSecond / 2)));
  }

  head(head: ResponseHead): void {
    this.#next.head(head);
  }

  body(bytes: Buffer): boolean {
    if (this.#held !== undefined) {
      this.#held = Buffer.concat([this.#held, bytes]);
      return false;
    }
    this.#held = bytes;
    this.#send();
    if (this.#held !== undefined) this.#held = Buffer.from(this.#held);
    return this.#hasRoom;
  }

  get #hasRoom(): boolean {
    return this.#held === undefined && !this.#early && !this.#full;
  }

  #send(): void {
    while (this.#held !== undefined && !this.#early && !this.#full) {
      const free = Math.max(0, this.#pace.afterBytes - this.#sent);
      const piece = this.#held.subarray(0, free + this.#atOnce);
      this.#held = piece.length < this.#held.length ? this.#held.subarray(piece.length) : undefined;
      this.#sent += piece.length;
      if (!this.#next.body(piece)) this.#full = true;
      this.#slowDown();
    }
  }

  #slowDown(): void {
    const counted = this.#sent - this.#pace.afterBytes;
    if (counted <= 0) return;
    const now = this.#clock.monotonic();
    this.#startedAt ??= now;
    const wait = this.#startedAt + (counted / this.#pace.bytesPerSecond) * 1000 - now;
    if (wait < 1) return;
    this.#early = true;
    const goOn = (): void => {
      this.#early = false;
      this.#goOn();
    };
    void this.#clock.sleep(wait, this.#life.signal).then(goOn, goOn);
  }

  /** It is time again, or there is room again. */
  #goOn(): void {
    if (this.#life.signal.aborted) return;
    this.#source.progressed();
    this.#send();
    if (this.#held !== undefined) return;
    if (this.#end !== undefined) this.#complete(this.#end, this.#clock.monotonic());
    else if (this.#hasRoom) this.#source.drained();
  }

  flush(): void {
    this.#next.flush();
  }

  complete(trailers: string, now: number): void {
    if (this.#held === undefined) this.#complete(trailers, now);
    else this.#end = trailers;
  }

  #complete(trailers: string, now: number): void {
    this.close();
    this.#next.complete(trailers, now);
  }

  abort(): void {
    this.close();
    this.#next.abort();
  }

  drained(): void {
    this.#full = false;
    this.#goOn();
  }

  close(): void {
    this.#life.abort();
    this.#held = undefined;
  }
}
