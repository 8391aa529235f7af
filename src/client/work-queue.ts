import { type BackoffPolicy, backoffDelay } from "../base/backoff.ts";
import type { Clock } from "../base/clock.ts";

/** What a run says about its key: come again after so long, though nothing may have changed. */
export interface Again {
  readonly afterMs: number;
}

export interface WorkQueueOptions {
  /** One key is never run twice at once, whatever this says. */
  readonly workers: number;
  readonly clock: Clock;
  readonly random?: () => number;
  readonly backoff?: BackoffPolicy;
  readonly run: (key: string, s: AbortSignal) => Promise<Again | undefined>;
  /** Told of every failed run before its key waits. */
  readonly onFailure?: (key: string, error: unknown, retryInMs: number) => void;
}

const defaultBackoff: BackoffPolicy = { first: 5, factor: 2, max: 30_000, jitter: 0.2 };

interface Timer {
  readonly at: number;
  readonly stop: AbortController;
}

/**
 * A set of keys waiting to be worked on. A key added while it waits is one run, a key added while it runs is run again
 * afterwards. The first run of a key waits for nothing but a free worker; a failed one waits longer each time.
 */
export class WorkQueue {
  readonly #o: WorkQueueOptions;
  readonly #waiting = new Set<string>();
  readonly #running = new Map<string, { again: boolean }>();
  readonly #failures = new Map<string, number>();
  readonly #timers = new Map<string, Timer>();
  readonly #stop = new AbortController();
  #idle: PromiseWithResolvers<void> | undefined;
  #pumping = false;

  constructor(o: WorkQueueOptions) {
    this.#o = o;
  }

  /** Keys that wait or run; those of timers are not counted. */
  get depth(): number {
    return this.#waiting.size + this.#running.size;
  }

  add(key: string): void {
    if (this.#stop.signal.aborted) return;
    const running = this.#running.get(key);
    if (running !== undefined) {
      running.again = true;
      return;
    }
    this.#waiting.add(key);
    this.#pump();
  }

  /** Of several calls for a key, the earliest counts. */
  addAfter(key: string, ms: number): void {
    if (this.#stop.signal.aborted) return;
    if (ms <= 0) {
      this.add(key);
      return;
    }
    const at = this.#o.clock.monotonic() + ms;
    const known = this.#timers.get(key);
    if (known !== undefined && known.at <= at) return;
    known?.stop.abort();
    const stop = new AbortController();
    this.#timers.set(key, { at, stop });
    this.#o.clock.sleep(ms, stop.signal).then(
      () => {
        if (this.#timers.get(key)?.stop === stop) this.#timers.delete(key);
        this.add(key);
      },
      () => undefined,
    );
  }

  /** Settles when nothing waits or runs. Timers do not count. */
  idle(): Promise<void> {
    if (this.depth === 0) return Promise.resolve();
    this.#idle ??= Promise.withResolvers<void>();
    return this.#idle.promise;
  }

  /** Drops what waits, aborts what runs and waits for its end. */
  async close(): Promise<void> {
    this.#stop.abort(new Error("closed"));
    this.#waiting.clear();
    for (const timer of this.#timers.values()) timer.stop.abort();
    this.#timers.clear();
    await this.idle();
  }

  /** Starts runs in a microtask, so that all changes of one turn are in the first run. */
  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    queueMicrotask(() => {
      this.#pumping = false;
      for (const key of this.#waiting) {
        if (this.#running.size >= this.#o.workers) return;
        this.#waiting.delete(key);
        const state = { again: false };
        this.#running.set(key, state);
        void this.#run(key, state);
      }
    });
  }

  async #run(key: string, state: { again: boolean }): Promise<void> {
    try {
      const again = await this.#o.run(key, this.#stop.signal);
      this.#failures.delete(key);
      if (again !== undefined) this.addAfter(key, again.afterMs);
    } catch (e) {
      if (!this.#stop.signal.aborted) {
        const failures = this.#failures.get(key) ?? 0;
        this.#failures.set(key, failures + 1);
        const delay = backoffDelay(this.#o.backoff ?? defaultBackoff, failures, (this.#o.random ?? Math.random)());
        this.#o.onFailure?.(key, e, delay);
        // A change in between runs the key at once: the wait is for failures that time alone may heal.
        this.addAfter(key, delay);
      }
    }
    this.#running.delete(key);
    if (state.again) this.add(key);
    if (this.#waiting.size > 0) this.#pump();
    if (this.depth === 0) {
      this.#idle?.resolve();
      this.#idle = undefined;
    }
  }
}
