import type { Clock } from "../../src/base/clock.ts";
import { readKeys, type VerificationKey } from "../filter/jwt.ts";
import type { KeySets } from "../filter/outcome.ts";
import type { PoolId } from "../route/route.ts";

export interface KeySetsDeps {
  readonly clock: Clock;
  readonly log: (message: string) => void;
  /** The text behind a URL; rejects where there is none. */
  readonly get: (url: string, pool: PoolId | undefined) => Promise<string>;
}

/** Keys of this age are asked for again, and are used meanwhile. Milliseconds. */
const freshMs = 5 * 60_000;
/** How long keys are used while their server cannot be asked. Milliseconds. */
const keptMs = 60 * 60_000;
/** A server is asked no more often, whatever tokens come. Milliseconds. */
const pauseMs = 5_000;

interface KeySet {
  keys: readonly VerificationKey[] | undefined;
  readAt: number;
  askedAt: number;
  asking: Promise<void> | undefined;
}

/** JWK Sets behind URLs, asked for when first needed and kept. */
export class PublishedKeys implements KeySets {
  readonly #deps: KeySetsDeps;
  readonly #sets = new Map<string, KeySet>();

  constructor(deps: KeySetsDeps) {
    this.#deps = deps;
  }

  async of(url: string, pool: PoolId | undefined, which: "kept" | "newest"): Promise<readonly VerificationKey[] | undefined> {
    const never = Number.NEGATIVE_INFINITY;
    const set = this.#sets.get(url) ?? { keys: undefined, readAt: never, askedAt: never, asking: undefined };
    this.#sets.set(url, set);
    const now = this.#deps.clock.monotonic();
    const old = now - set.readAt > freshMs;
    if ((old || which === "newest") && now - set.askedAt >= pauseMs) {
      set.askedAt = now;
      set.asking = this.#ask(set, url, pool).finally(() => {
        set.asking = undefined;
      });
    }
    if (set.keys === undefined || which === "newest") await set.asking;
    return now - set.readAt > keptMs ? undefined : set.keys;
  }

  async #ask(set: KeySet, url: string, pool: PoolId | undefined): Promise<void> {
    const { clock, log } = this.#deps;
    try {
      const { keys, faults } = readKeys(await this.#deps.get(url, pool), { shared: false });
      for (const fault of faults) log(`${url}: ${fault}`);
      set.keys = keys;
      set.readAt = clock.monotonic();
    } catch (error) {
      log(`${url} gave no keys: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}
