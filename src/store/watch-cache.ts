import type { CacheTable } from "./cache-table.ts";
import { StoreError } from "./errors.ts";
import type { Key, Page, Rev, Store } from "./store.ts";

const pageSize = 1000;
/** How many revisions back a new cache begins: clients that a server's end cut off go on from there instead of listing anew. */
const revsOfHistory = 1000;

export interface WatchCacheOptions {
  readonly store: Store;
  /** Every table by the prefix of its keys, which ends with `/`. Keys outside are passed over. */
  readonly tables: ReadonlyMap<Key, CacheTable>;
  /** What all those prefixes start with. */
  readonly root: Key;
  /** How many parts a prefix has: `/registry/apps/deployments/` has 3. */
  readonly depth: number;
  /** The store's watch ended though nobody closed it: the cache no longer follows. */
  readonly lost: (error: unknown) => void;
}

/** Follows a store and keeps the current bytes of every object, so that reads cost no question to the store. */
export class WatchCache {
  readonly #options: WatchCacheOptions;
  readonly #stop = new AbortController();
  #rev: Rev = 0;
  #waiting: { readonly rev: Rev; readonly resolve: (reached: boolean) => void }[] = [];
  #following: Promise<void> = Promise.resolve();

  static async open(options: WatchCacheOptions): Promise<WatchCache> {
    const cache = new WatchCache(options);
    const now = await cache.#load();
    cache.#following = cache.#follow();
    await cache.reached(now, cache.#following);
    return cache;
  }

  private constructor(options: WatchCacheOptions) {
    this.#options = options;
  }

  /** What the tables show; they never show half a commit to whoever waits for its revision. */
  get rev(): Rev {
    return this.#rev;
  }

  /** True once `rev` is reached; false when `patience` ends first, or the cache is closed. */
  async reached(rev: Rev, patience?: Promise<void>): Promise<boolean> {
    if (rev <= this.#rev) return true;
    if (this.#stop.signal.aborted) return false;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const waiter = { rev, resolve };
    this.#waiting.push(waiter);
    const giveUp = (): void => {
      this.#waiting = this.#waiting.filter((w) => w !== waiter);
      resolve(false);
    };
    patience?.then(giveUp, giveUp);
    return promise;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    for (const { resolve } of this.#waiting.splice(0)) resolve(false);
    await this.#following;
  }

  /** Fills the tables with what was some revisions ago; answers the revision to follow to. */
  async #load(): Promise<Rev> {
    const { store, root, tables } = this.#options;
    const { rev: now } = await store.list(root, { limit: 1 });
    const at = await this.#start(now);
    const pageAfter = (after?: Key): Promise<Page> => store.list(root, { limit: pageSize, at, ...(after === undefined ? {} : { after }) });
    for (let asked: Promise<Page> | undefined = pageAfter(); asked !== undefined; ) {
      const page: Page = await asked;
      // The store reads the next one while this one is put away.
      asked = page.next === undefined ? undefined : pageAfter(page.next);
      for (const { key, rev, value } of page.items) {
        const [table, name] = this.#tableOf(key);
        table?.load([{ key: name, rev, bytes: value }]);
      }
    }
    for (const table of tables.values()) table.loaded(at);
    this.#rev = at;
    return now;
  }

  /** The revision to begin at: some back, or the oldest that was not compacted. */
  async #start(now: Rev): Promise<Rev> {
    const wanted = Math.max(0, now - revsOfHistory);
    try {
      await this.#options.store.list(this.#options.root, { at: wanted, limit: 1 });
      return wanted;
    } catch (error) {
      const oldest = error instanceof StoreError ? error.oldest : undefined;
      if (oldest === undefined) throw error;
      return Math.min(oldest, now);
    }
  }

  async #follow(): Promise<void> {
    try {
      for await (const event of this.#options.store.watch(this.#options.root, this.#rev, this.#stop.signal)) {
        if (event.kind === "progress") {
          this.#advance(event.rev);
          continue;
        }
        const [table, name] = this.#tableOf(event.key);
        table?.apply(name, event.rev, event.kind === "put" ? event.value : undefined);
      }
      if (!this.#stop.signal.aborted) this.#options.lost(new Error("the store's watch ended"));
    } catch (error) {
      if (!this.#stop.signal.aborted) this.#options.lost(error);
    }
  }

  #advance(rev: Rev): void {
    this.#rev = Math.max(this.#rev, rev);
    if (this.#waiting.length === 0) return;
    const due = this.#waiting.filter((w) => w.rev <= this.#rev);
    if (due.length === 0) return;
    this.#waiting = this.#waiting.filter((w) => w.rev > this.#rev);
    for (const { resolve } of due) resolve(true);
  }

  /** Splits `/registry/apps/deployments/shop/web` into its table and `shop/web`. */
  #tableOf(key: Key): readonly [CacheTable | undefined, string] {
    let end = 0;
    for (let i = 0; i < this.#options.depth; i++) end = key.indexOf("/", end + 1);
    return [this.#options.tables.get(key.slice(0, end + 1)), key.slice(end + 1)];
  }
}
