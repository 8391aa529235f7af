/** One counter for the whole store; the first commit gives 1. */
export type Rev = number;
/** ASCII, with `/` between its parts; prefixes end with `/`. */
export type Key = string;

/** A value as it stood at a revision. Nobody may change its bytes. */
export interface Stored {
  readonly key: Key;
  /** The commit that wrote this value. */
  readonly rev: Rev;
  readonly value: Uint8Array;
}

/** `rev` is the revision of the whole store that the answer reflects. */
export type Lookup =
  | { readonly kind: "found"; readonly rev: Rev; readonly item: Stored }
  | { readonly kind: "not-found"; readonly rev: Rev };

export interface ListOptions {
  /** Answer as of this revision instead of the current one. Throws `compacted` when it is gone. */
  readonly at?: Rev;
  readonly limit?: number;
  /** Only keys behind this one. */
  readonly after?: Key;
}

export interface Page {
  readonly rev: Rev;
  /** By key, in byte order. */
  readonly items: readonly Stored[];
  /** The key to give as `after` for the rest; absent when this was all. */
  readonly next?: Key;
}

export interface Write {
  readonly key: Key;
  /** The revision that the key must have, or "absent". */
  readonly expect: Rev | "absent";
  /** Called once, synchronously, with the revision of the commit. */
  readonly encode: ((rev: Rev) => Uint8Array) | "delete";
}

export type CommitResult =
  | { readonly ok: true; readonly rev: Rev }
  /** `conflict` is what the first key that did not match holds. Nothing was written. */
  | { readonly ok: false; readonly key: Key; readonly conflict: Stored | "absent" };

export type StoreEvent =
  | { readonly kind: "put"; readonly key: Key; readonly rev: Rev; readonly value: Uint8Array }
  | { readonly kind: "delete"; readonly key: Key; readonly rev: Rev }
  /** Everything up to `rev` has been delivered; comes after each commit, and at once when there is nothing to replay. */
  | { readonly kind: "progress"; readonly rev: Rev };

/**
 * What etcd offers, with the revisions spelled out. A commit is durable before its promise resolves and before any
 * reader or watcher sees it; all its writes have one revision.
 */
export interface Store {
  /** The current value; never older than any commit acknowledged before the call. */
  get(key: Key): Promise<Lookup>;
  list(prefix: Key, options?: ListOptions): Promise<Page>;
  /** All or nothing. A key may stand in it once. Rejects with `full` or `io` when it could not be made durable. */
  commit(writes: readonly Write[]): Promise<CommitResult>;
  /** Events of commits after `after`, in order, without gaps; ends when the signal aborts. Throws `compacted`. */
  watch(prefix: Key, after: Rev, signal: AbortSignal): AsyncIterable<StoreEvent>;
  /** Forgets values superseded or deleted before `before`; current values stay. */
  compact(before: Rev): Promise<void>;
  /** Waits for what is being written; later calls reject with `closed`. */
  close(): Promise<void>;
}
