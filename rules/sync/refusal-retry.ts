import { type BackoffPolicy, backoffDelay } from "../../src/base/backoff.ts";
import type { FrontendKey } from "../plan/frontend.ts";

/** Up to once a minute: what the kernel lacks may come, and what stands in the way may go. */
const policy: BackoffPolicy = { first: 1_000, factor: 2, max: 60_000, jitter: 0.3 };

/** When to ask again for what was refused: soon after something new is, then ever less often. */
export class RefusalRetry {
  #known: ReadonlySet<FrontendKey> = new Set();
  #tries = 0;
  #due: number | undefined;

  /** Of the monotonic clock; undefined: nothing is refused. */
  get due(): number | undefined {
    return this.#due;
  }

  /** All that is refused now. */
  see(refused: Iterable<FrontendKey>, now: number): void {
    const keys = new Set(refused);
    const isNew = [...keys].some((key) => !this.#known.has(key));
    this.#known = keys;
    if (keys.size === 0) this.#due = undefined;
    else if (isNew) {
      this.#tries = 0;
      this.#rest(now);
    }
  }

  /** It is asked for now. */
  tried(now: number): void {
    this.#tries++;
    this.#rest(now);
  }

  #rest(now: number): void {
    this.#due = now + backoffDelay(policy, this.#tries, Math.random());
  }
}
