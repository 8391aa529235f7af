import { Map as PersistentMap } from "immutable";
import type { EndpointSlice } from "../api/types/discovery-v1.generated.ts";
import {
  importOfSlice,
  type Kind,
  type ObjectKey,
  objectKey,
  type SliceIndex,
  type Snapshot,
  type SnapshotKinds,
  serviceOfSlice,
} from "./cluster-snapshot.ts";

type OwnerOf = (slice: EndpointSlice) => ObjectKey | undefined;

/** A change of one object; `undefined` means that it is gone. */
export function withObject<K extends Kind>(s: Snapshot, kind: K, key: ObjectKey, object: SnapshotKinds[K] | undefined): Snapshot {
  const before = s.tables[kind].get(key);
  const table = object === undefined ? s.tables[kind].delete(key) : s.tables[kind].set(key, object);
  const tables = { ...s.tables, [kind]: table };
  if (kind !== "EndpointSlice") return { ...s, tables };
  const slices = { before: before as EndpointSlice | undefined, after: object as EndpointSlice | undefined };
  return {
    tables,
    slicesByService: withSlice(s.slicesByService, serviceOfSlice, key, slices),
    slicesByImport: withSlice(s.slicesByImport, importOfSlice, key, slices),
  };
}

/** All objects of a kind at once, as a list gives them; keys that are no longer there are removed. */
export function withTable<K extends Kind>(s: Snapshot, kind: K, objects: readonly SnapshotKinds[K][]): Snapshot {
  const table = PersistentMap<ObjectKey, SnapshotKinds[K]>().withMutations((m) => {
    for (const o of objects) m.set(objectKey(o), o);
  });
  const tables = { ...s.tables, [kind]: table };
  if (kind !== "EndpointSlice") return { ...s, tables };
  const slices = objects as readonly EndpointSlice[];
  return { tables, slicesByService: indexOf(slices, serviceOfSlice), slicesByImport: indexOf(slices, importOfSlice) };
}

const none: PersistentMap<ObjectKey, EndpointSlice> = PersistentMap();

function indexOf(slices: readonly EndpointSlice[], ownerOf: OwnerOf): SliceIndex {
  return PersistentMap<ObjectKey, PersistentMap<ObjectKey, EndpointSlice>>().withMutations((m) => {
    for (const slice of slices) {
      const owner = ownerOf(slice);
      if (owner !== undefined) m.set(owner, m.get(owner, none).set(objectKey(slice), slice));
    }
  });
}

function withSlice(
  index: SliceIndex,
  ownerOf: OwnerOf,
  key: ObjectKey,
  { before, after }: { readonly before: EndpointSlice | undefined; readonly after: EndpointSlice | undefined },
): SliceIndex {
  const old = before === undefined ? undefined : ownerOf(before);
  const now = after === undefined ? undefined : ownerOf(after);
  let next = index;
  if (old !== undefined && old !== now) {
    const rest = (next.get(old) ?? none).delete(key);
    next = rest.isEmpty() ? next.delete(old) : next.set(old, rest);
  }
  if (now !== undefined && after !== undefined) next = next.set(now, (next.get(now) ?? none).set(key, after));
  return next;
}
