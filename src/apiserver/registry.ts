import type { JsonObject } from "../api/json-value.ts";
import { apiVersionOf, type Resource, resources } from "../api/scheme.ts";
import { fieldValue } from "../api/selector.ts";
import { ApiError } from "../api/status-error.ts";
import type { ObjectMeta } from "../api/types/meta-v1.generated.ts";
import { type CacheEntry, CacheTable, type Selectable } from "../store/cache-table.ts";
import { StoreError } from "../store/errors.ts";
import { decodeObject, encodeObject, objectHead } from "../store/object-bytes.ts";
import type { Key, Rev, Store } from "../store/store.ts";
import { WatchCache } from "../store/watch-cache.ts";

/** Any object of the API. */
export type ApiObject = JsonObject & { readonly metadata: ObjectMeta };

/** An object as it is stored. */
export interface Found {
  readonly rev: Rev;
  readonly bytes: Uint8Array;
  readonly object: ApiObject;
}

export type Written = { readonly kind: "written"; readonly bytes: Uint8Array; readonly rev: Rev } | { readonly kind: "conflict" };

const root = "/registry/";

/** `namespace/name`, or `name`: how tables name an object. */
export function keyOf(namespace: string, name: string): string {
  return namespace === "" ? name : `${namespace}/${name}`;
}

/** Objects by resource and key, on top of the store: reads are answered from the watch cache. */
export class Registry {
  readonly store: Store;
  readonly cache: WatchCache;
  readonly #tables: ReadonlyMap<Resource, CacheTable>;
  readonly #stored: (error: StoreError | undefined) => void;
  readonly #often = new WeakMap<CacheEntry, ApiObject>();
  #refusing = false;

  /** `stored` hears the first write that the store refuses, and (undefined) the first that it takes again. */
  static async open(
    store: Store,
    lost: (error: unknown) => void,
    stored: (error: StoreError | undefined) => void = () => undefined,
  ): Promise<Registry> {
    const tables = new Map(resources.map((r) => [r, new CacheTable(objectHead(apiVersionOf(r), r.kind), projectionOf(r))]));
    const byPrefix = new Map([...tables].map(([resource, table]) => [prefixOf(resource), table]));
    const cache = await WatchCache.open({ store, tables: byPrefix, root, depth: 3, lost });
    return new Registry(store, cache, tables, stored);
  }

  private constructor(
    store: Store,
    cache: WatchCache,
    tables: ReadonlyMap<Resource, CacheTable>,
    stored: (error: StoreError | undefined) => void,
  ) {
    this.store = store;
    this.cache = cache;
    this.#tables = tables;
    this.#stored = stored;
  }

  table(resource: Resource): CacheTable {
    const table = this.#tables.get(resource);
    if (table === undefined) throw new Error(`no table of ${resource.plural}`);
    return table;
  }

  find(resource: Resource, key: string): Found | undefined {
    const entry = this.table(resource).get(key);
    return entry === undefined ? undefined : foundOf(entry);
  }

  /**
   * As find, for the few objects that most writes ask for (their namespace, their account): decoded once for as long as they
   * stay as they are. Nobody may change it.
   */
  findOften(resource: Resource, key: string): ApiObject | undefined {
    const entry = this.table(resource).get(key);
    if (entry === undefined) return undefined;
    let object = this.#often.get(entry);
    if (object === undefined) {
      object = foundOf(entry).object;
      this.#often.set(entry, object);
    }
    return object;
  }

  /** All of a resource, or of one of its namespaces, decoded. */
  all(resource: Resource, namespace = ""): ApiObject[] {
    return this.table(resource)
      .range(namespace === "" ? "" : `${namespace}/`)
      .map((entry) => decodeObject(entry.bytes) as ApiObject);
  }

  /** Writes it unless the key is at another revision by now; once it returns, reads see it. */
  async write(resource: Resource, key: string, object: ApiObject, expect: Rev | "absent"): Promise<Written> {
    const { head } = this.table(resource);
    let bytes = new Uint8Array() as Uint8Array;
    const encode = (rev: Rev): Uint8Array => (bytes = encodeObject(head, object, rev));
    const rev = await this.#commit(prefixOf(resource) + key, expect, encode);
    return rev === undefined ? { kind: "conflict" } : { kind: "written", bytes, rev };
  }

  async remove(resource: Resource, key: string, expect: Rev): Promise<"removed" | "conflict"> {
    const rev = await this.#commit(prefixOf(resource) + key, expect, "delete");
    return rev === undefined ? "conflict" : "removed";
  }

  async #commit(key: Key, expect: Rev | "absent", encode: ((rev: Rev) => Uint8Array) | "delete"): Promise<Rev | undefined> {
    try {
      const result = await this.store.commit([{ key, expect, encode }]);
      if (result.ok && this.#refusing) {
        this.#refusing = false;
        this.#stored(undefined);
      }
      if (result.ok) {
        await this.cache.reached(result.rev);
        await watchersFirst();
      }
      // What stood in the way is in the cache before anybody tries again.
      else if (result.conflict !== "absent") await this.cache.reached(result.conflict.rev);
      return result.ok ? result.rev : undefined;
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      if (!this.#refusing) {
        this.#refusing = true;
        this.#stored(error);
      }
      throw new ApiError(500, "InternalError", `Internal error occurred: ${error.message}`);
    }
  }
}

/** What was written to watchers in this turn goes on the wire before the writer is answered: they have more to do with it. */
function watchersFirst(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve));
}

export function prefixOf(resource: Resource): Key {
  return `${root}${resource.group === "" ? "core" : resource.group}/${resource.plural}/`;
}

export function foundOf(entry: CacheEntry): Found {
  return { rev: entry.rev, bytes: entry.bytes, object: decodeObject(entry.bytes) as ApiObject };
}

function projectionOf(resource: Resource): (object: JsonObject) => Selectable {
  return (object) => ({
    labels: (object as ApiObject).metadata.labels ?? {},
    fields: Object.fromEntries(resource.fieldSelectors.map((field) => [field, fieldValue(resource, object, field)])),
  });
}
