import { Map as PersistentMap } from "immutable";
import type { EndpointSlice } from "../api/types/discovery-v1.generated.ts";
import { type Kind, type ObjectKey, objectKey, type Snapshot, type SnapshotKinds, serviceOfSlice } from "./cluster-snapshot.ts";

/** A change of one object; `undefined` means that it is gone. */
export function withObject<K extends Kind>(s: Snapshot, kind: K, key: ObjectKey, object: SnapshotKinds[K] | undefined): Snapshot {
  const before = s.tables[kind].get(key);
  const table = object === undefined ? s.tables[kind].delete(key) : s.tables[kind].set(key, object);
  const tables = { ...s.tables, [kind]: table };
  if (kind !== "EndpointSlice") return { ...s, tables };
  return {
    tables,
    slicesByService: indexSlice(s.slicesByService, key, before as EndpointSlice | undefined, object as EndpointSlice | undefined),
  };
}

/** All objects of a kind at once, as a list gives them; keys that are no longer there are removed. */
export function withTable<K extends Kind>(s: Snapshot, kind: K, objects: readonly SnapshotKinds[K][]): Snapshot {
  const table = PersistentMap<ObjectKey, SnapshotKinds[K]>().withMutations((m) => {
    for (const o of objects) m.set(objectKey(o), o);
  });
  const tables = { ...s.tables, [kind]: table };
  if (kind !== "EndpointSlice") return { ...s, tables };
  const none = PersistentMap<ObjectKey, EndpointSlice>();
  const slicesByService = PersistentMap<ObjectKey, PersistentMap<ObjectKey, EndpointSlice>>().withMutations((m) => {
    for (const slice of objects as readonly EndpointSlice[]) {
      const service = serviceOfSlice(slice);
      if (service !== undefined) m.set(service, m.get(service, none).set(objectKey(slice), slice));
    }
  });
  return { tables, slicesByService };
}

function indexSlice(
  index: Snapshot["slicesByService"],
  key: ObjectKey,
  before: EndpointSlice | undefined,
  after: EndpointSlice | undefined,
): Snapshot["slicesByService"] {
  const old = before === undefined ? undefined : serviceOfSlice(before);
  const now = after === undefined ? undefined : serviceOfSlice(after);
  let next = index;
  if (old !== undefined && old !== now) {
    const rest = (next.get(old) ?? PersistentMap<ObjectKey, EndpointSlice>()).delete(key);
    next = rest.isEmpty() ? next.delete(old) : next.set(old, rest);
  }
  if (now !== undefined && after !== undefined) {
    next = next.set(now, (next.get(now) ?? PersistentMap<ObjectKey, EndpointSlice>()).set(key, after));
  }
  return next;
}
