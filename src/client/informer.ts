import type { Running } from "../base/running.ts";
import { objectKey } from "../snapshot/cluster-snapshot.ts";
import { type ReflectorOptions, type Sink, startReflector } from "./reflector.ts";
import { compareRev, type KubeObject, type ResourceOf, type Rev } from "./resource.ts";
import type { Transport } from "./transport.ts";

export interface ObjectChange<T> {
  readonly key: string;
  readonly before: T | undefined;
  readonly after: T | undefined;
}

/** A read-only view of a resource, kept current. Objects are shared: never change one. */
export interface Lister<T> {
  get(key: string): T | undefined;
  list(): IterableIterator<T>;
  /** Objects whose indexer `index` gave `value`, in no order. */
  byIndex(index: string, value: string): readonly T[];
  /** How many `byIndex` would give. */
  count(index: string, value: string): number;
  readonly size: number;
}

export interface Informer<T> extends Running, Lister<T> {
  readonly synced: boolean;
  /** Called synchronously after the view changed; the returned function ends it. What is there already is not told. */
  onChange(listener: (change: ObjectChange<T>) => void): () => void;
  /**
   * Takes over what a write of ours answered, so that the next read sees it though its event has not come yet. An answer
   * that the stream has already passed changes nothing, and older events never bring an older state back.
   */
  assume(object: T): void;
  /** The same for a delete that was answered "gone". */
  assumeGone(object: T): void;
}

export interface InformerOptions<T> extends ReflectorOptions {
  /** Trims objects before they are kept. Default: as they are, without managedFields. */
  readonly project?: ((o: unknown) => T) | undefined;
  readonly indexers?: Readonly<Record<string, (object: T) => readonly string[]>> | undefined;
}

export function startInformer<T extends KubeObject>(transport: Transport, of: ResourceOf<T>, o: InformerOptions<T> = {}): Informer<T> {
  const view = new View<T>(o.indexers ?? {});
  const reflector = startReflector<T>(transport, of, o.project ?? ((raw) => withoutManagedFields(raw as T)), view, o);
  return {
    ready: reflector.ready,
    close: () => reflector.close(),
    get synced() {
      return view.rev !== undefined;
    },
    get size() {
      return view.objects.size;
    },
    get: (key) => view.objects.get(key),
    list: () => view.objects.values(),
    byIndex: (index, value) => view.byIndex(index, value),
    count: (index, value) => view.count(index, value),
    onChange(listener) {
      view.listeners.add(listener);
      return () => view.listeners.delete(listener);
    },
    assume: (object) => view.assume(object),
    assumeGone: (object) => view.assumeGone(object),
  };
}

/** The same object without the one field that is larger than the rest and that no code here reads. */
export function withoutManagedFields<T extends KubeObject>(object: T): T {
  const metadata = object.metadata as Record<string, unknown> | undefined;
  if (metadata?.["managedFields"] === undefined) return object;
  const { managedFields: _, ...rest } = metadata;
  return { ...object, metadata: rest };
}

/** Most index values have one object; a Map for each would be most of the memory. */
type Bucket<T> = { readonly key: string; readonly object: T } | Map<string, T>;

class View<T extends KubeObject> implements Sink<T> {
  readonly objects = new Map<string, T>();
  readonly listeners = new Set<(change: ObjectChange<T>) => void>();
  /** Everything up to here has come through the stream. */
  rev: Rev | undefined;
  readonly #indexers: readonly (readonly [name: string, of: (object: T) => readonly string[]])[];
  readonly #indexes = new Map<string, Map<string, Bucket<T>>>();
  /** Writes of ours that the stream has not passed yet: key → version. */
  readonly #ahead = new Map<string, Rev>();
  /** Deletes of ours that the stream has not passed yet: key → uid. */
  readonly #gone = new Map<string, string>();

  constructor(indexers: Readonly<Record<string, (object: T) => readonly string[]>>) {
    this.#indexers = Object.entries(indexers);
    for (const [name] of this.#indexers) this.#indexes.set(name, new Map());
  }

  byIndex(index: string, value: string): readonly T[] {
    const found = this.#bucket(index, value);
    return found === undefined ? [] : found instanceof Map ? [...found.values()] : [found.object];
  }

  count(index: string, value: string): number {
    const found = this.#bucket(index, value);
    return found === undefined ? 0 : found instanceof Map ? found.size : 1;
  }

  #bucket(index: string, value: string): Bucket<T> | undefined {
    const table = this.#indexes.get(index);
    if (table === undefined) throw new Error(`no index ${index}`);
    return table.get(value);
  }

  replace(items: readonly T[], rev: Rev): void {
    this.rev = rev;
    const kept = new Set<string>();
    for (const item of items) {
      const key = objectKey(item);
      kept.add(key);
      this.#put(key, item);
    }
    for (const [key, ahead] of this.#ahead) {
      if (compareRev(ahead, rev) > 0) kept.add(key);
      else this.#ahead.delete(key);
    }
    for (const key of [...this.objects.keys()]) if (!kept.has(key)) this.#set(key, undefined);
    for (const key of [...this.#gone.keys()]) if (!kept.has(key)) this.#gone.delete(key);
  }

  apply(e: { readonly type: "put" | "delete"; readonly key: string; readonly object: T; readonly rev: Rev }): void {
    this.rev = e.rev;
    if (e.type === "put") {
      this.#put(e.key, e.object);
      return;
    }
    this.#gone.delete(e.key);
    const ahead = this.#ahead.get(e.key);
    // The object was made again after this delete, by us.
    if (ahead !== undefined && compareRev(ahead, e.rev) > 0 && this.objects.get(e.key)?.metadata?.uid !== e.object.metadata?.uid) return;
    this.#ahead.delete(e.key);
    this.#set(e.key, undefined);
  }

  bookmark(rev: Rev): void {
    this.rev = rev;
  }

  assume(object: T): void {
    const rev = object.metadata?.resourceVersion;
    if (rev === undefined || this.rev === undefined || compareRev(rev, this.rev) <= 0) return;
    const key = objectKey(object);
    const known = this.objects.get(key)?.metadata?.resourceVersion;
    if (known !== undefined && compareRev(rev, known) <= 0) return;
    this.#ahead.set(key, rev);
    this.#set(key, withoutManagedFields(object));
  }

  assumeGone(object: T): void {
    const key = objectKey(object);
    const uid = object.metadata?.uid;
    if (uid === undefined || this.objects.get(key)?.metadata?.uid !== uid) return;
    this.#gone.set(key, uid);
    this.#ahead.delete(key);
    this.#set(key, undefined);
  }

  #put(key: string, object: T): void {
    if (this.#gone.size > 0) {
      if (this.#gone.get(key) === object.metadata?.uid && object.metadata?.uid !== undefined) return;
      this.#gone.delete(key);
    }
    const ahead = this.#ahead.get(key);
    if (ahead !== undefined) {
      const order = compareRev(object.metadata?.resourceVersion ?? "", ahead);
      if (order >= 0) this.#ahead.delete(key);
      if (order <= 0) return;
    }
    const known = this.objects.get(key)?.metadata;
    if (known?.resourceVersion !== undefined && known.resourceVersion === object.metadata?.resourceVersion) return;
    this.#set(key, object);
  }

  #set(key: string, after: T | undefined): void {
    const before = this.objects.get(key);
    if (before === undefined && after === undefined) return;
    if (after === undefined) this.objects.delete(key);
    else this.objects.set(key, after);
    for (const [name, of] of this.#indexers) {
      const table = this.#indexes.get(name);
      if (table === undefined) continue;
      for (const value of before === undefined ? [] : of(before)) {
        const bucket = table.get(value);
        if (!(bucket instanceof Map)) table.delete(value);
        else if (bucket.delete(key) && bucket.size === 0) table.delete(value);
      }
      for (const value of after === undefined ? [] : of(after)) {
        const bucket = table.get(value);
        const object = after as T;
        if (bucket === undefined) table.set(value, { key, object });
        else if (bucket instanceof Map) bucket.set(key, object);
        else
          table.set(
            value,
            new Map([
              [bucket.key, bucket.object],
              [key, object],
            ]),
          );
      }
    }
    for (const listener of this.listeners) listener({ key, before, after });
  }
}
