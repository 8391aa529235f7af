import type { QueryEngine } from "./engine.ts";

/** The queries that wait for the chain, so that a server can end after the last of them. */
export class InFlight {
  #count = 0;
  readonly #idle = new Set<() => void>();

  get count(): number {
    return this.#count;
  }

  /** The same engine, its slow answers counted. */
  watch(engine: QueryEngine): QueryEngine {
    return {
      warm: (queries, count) => engine.warm(queries, count),
      now: (query, n, client, out, transport) => engine.now(query, n, client, out, transport),
      transfer: (query, client) => engine.transfer(query, client),
      later: (query, client, transport) => this.#counted(engine.later(query, client, transport)),
      series: (query, client, transport) => this.#counted(engine.series(query, client, transport)),
    };
  }

  /** What an engine promises is never rejected. */
  #counted<T>(answer: Promise<T>): Promise<T> {
    this.#count++;
    void answer.then(this.#countDown);
    return answer;
  }

  readonly #countDown = (): void => {
    this.#count--;
    if (this.#count > 0) return;
    for (const tell of this.#idle) tell();
    this.#idle.clear();
  };

  /**
   * Resolves when none waits and all answers have been handed to their sockets, or after so many milliseconds. `settle` has what was read
   * and not asked yet asked now.
   */
  async idle(withinMs: number, settle: () => void): Promise<void> {
    let late = withinMs <= 0;
    const timeout = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      late = true;
      timeout.resolve();
    }, withinMs);
    while (!late) {
      if (this.#count > 0) {
        await Promise.race([new Promise<void>((resolve) => this.#idle.add(resolve)), timeout.promise]);
      }
      // who waited for the last answer sends it in this turn
      await new Promise((resolve) => setImmediate(resolve));
      settle();
      if (this.#count === 0) break;
    }
    clearTimeout(timer);
  }
}
