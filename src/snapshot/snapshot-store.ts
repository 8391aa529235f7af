import { withObject, withTable } from "./apply-event.ts";
import {
  type Batch,
  type Cause,
  emptySnapshot,
  type Kind,
  type ObjectKey,
  objectKey,
  type Snapshot,
  type SnapshotKinds,
} from "./cluster-snapshot.ts";

/** One plane's place in the stream of changes. A slow plane takes one larger batch instead of a queue of small ones. */
export interface Cursor {
  /** All that changed since the last call; undefined when nothing did. */
  take(): Batch | undefined;
  close(): void;
}

/** At most this many causes are kept in a batch: enough to explain a change, bounded at a full list. */
const maxCauses = 32;

interface CursorState {
  before: Snapshot;
  dirty: Map<Kind, Set<ObjectKey>>;
  causes: Cause[];
  readonly wake: () => void;
}

/** The current snapshot, fed by reflectors, read by planes at their own pace. */
export class SnapshotStore {
  #current: Snapshot = emptySnapshot;
  readonly #cursors = new Set<CursorState>();
  readonly #synced = new Set<Kind>();

  get current(): Snapshot {
    return this.#current;
  }

  /** True once each of `kinds` has had its first full list. */
  synced(kinds: readonly Kind[]): boolean {
    return kinds.every((k) => this.#synced.has(k));
  }

  /** `wake` is called (synchronously, and often) when there is something to take. A new cursor starts from the empty snapshot. */
  cursor(wake: () => void): Cursor {
    const state: CursorState = { before: emptySnapshot, dirty: new Map(), causes: [], wake };
    for (const kind of Object.keys(this.#current.tables) as Kind[]) {
      const keys = new Set(this.#current.tables[kind].keys());
      if (keys.size > 0) state.dirty.set(kind, keys);
    }
    this.#cursors.add(state);
    return {
      take: () => {
        if (state.dirty.size === 0) return undefined;
        const batch: Batch = { before: state.before, after: this.#current, dirty: state.dirty, causes: state.causes };
        state.before = this.#current;
        state.dirty = new Map();
        state.causes = [];
        return batch;
      },
      close: () => this.#cursors.delete(state),
    };
  }

  /** A full list. Objects that are the same version as before are not dirty. */
  replace<K extends Kind>(kind: K, objects: readonly SnapshotKinds[K][]): void {
    const before = this.#current.tables[kind];
    this.#current = withTable(this.#current, kind, objects);
    const first = !this.#synced.has(kind);
    this.#synced.add(kind);
    const dirty: ObjectKey[] = [];
    for (const o of objects) {
      const key = objectKey(o);
      const old = before.get(key);
      if (old === undefined || old.metadata?.resourceVersion !== o.metadata?.resourceVersion || o.metadata?.resourceVersion === undefined)
        dirty.push(key);
    }
    for (const key of before.keys()) if (!this.#current.tables[kind].has(key)) dirty.push(key);
    if (dirty.length > 0 || first) this.#mark(kind, dirty, "");
  }

  /** One object changed, or is gone when `object` is undefined. */
  apply<K extends Kind>(kind: K, key: ObjectKey, object: SnapshotKinds[K] | undefined, resourceVersion: string): void {
    this.#current = withObject(this.#current, kind, key, object);
    this.#mark(kind, [key], resourceVersion);
  }

  #mark(kind: Kind, keys: readonly ObjectKey[], resourceVersion: string): void {
    for (const cursor of this.#cursors) {
      let dirty = cursor.dirty.get(kind);
      if (dirty === undefined) {
        dirty = new Set();
        cursor.dirty.set(kind, dirty);
      }
      for (const key of keys) {
        dirty.add(key);
        if (cursor.causes.length < maxCauses) {
          cursor.causes.push({
            kind,
            key,
            resourceVersion: resourceVersion || (this.#current.tables[kind].get(key)?.metadata?.resourceVersion ?? ""),
          });
        }
      }
      cursor.wake();
    }
  }
}

/** The batch that leads from nothing to `snapshot`: how offline commands fold. */
export function batchFromEmpty(snapshot: Snapshot): Batch {
  const dirty = new Map<Kind, ReadonlySet<ObjectKey>>();
  for (const kind of Object.keys(snapshot.tables) as Kind[]) {
    const keys = new Set(snapshot.tables[kind].keys());
    if (keys.size > 0) dirty.set(kind, keys);
  }
  return { before: emptySnapshot, after: snapshot, dirty, causes: [] };
}
