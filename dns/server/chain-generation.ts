import type { ServerChains } from "../handler/server-chains.ts";

/** The chains of one configuration, and the queries that are on their way in them. */
export class ChainGeneration {
  readonly chains: ServerChains;
  #active = 0;
  readonly #idle = Promise.withResolvers<void>();
  #isLeaving = false;

  constructor(chains: ServerChains) {
    this.chains = chains;
  }

  async run<T>(task: () => T | Promise<T>): Promise<T> {
    this.#active++;
    try {
      return await task();
    } finally {
      this.#active--;
      if (this.#isLeaving && this.#active === 0) this.#idle.resolve();
    }
  }

  /** Closes the chains when their last query has its answer. */
  async retire(): Promise<void> {
    this.#isLeaving = true;
    if (this.#active > 0) await this.#idle.promise;
    await this.chains.close();
  }
}
