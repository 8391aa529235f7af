import { afterEach, expect, test } from "vitest";
import { CacheTable } from "../../../src/store/cache-table.ts";
import { MemoryStore } from "../../../src/store/memory-store.ts";
import { decodeObject, encodeObject, objectHead, withRev } from "../../../src/store/object-bytes.ts";
import { WatchCache } from "../../../src/store/watch-cache.ts";

const head = objectHead("v1", "Pod");
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const project = (o: Readonly<Record<string, unknown>>) => ({
  labels: ((o["metadata"] as { labels?: Record<string, string> }).labels ?? {}) as Record<string, string>,
  fields: {},
});
const pod = (name: string, app: string, rev: number): Uint8Array => encodeObject(head, { metadata: { name, labels: { app } } }, rev);
const open: WatchCache[] = [];
afterEach(async () => {
  for (const cache of open.splice(0)) await cache.close();
});

async function following(): Promise<{ store: MemoryStore; table: CacheTable; cache: WatchCache }> {
  const store = new MemoryStore();
  const table = new CacheTable(head, project);
  const put = (name: string) => ({
    key: `/registry/core/pods/${name}`,
    expect: "absent" as const,
    encode: (r: number) => pod(name, "a", r),
  });
  await store.commit([put("n/b"), put("n/a"), put("m/z")]);
  const cache = await WatchCache.open({
    store,
    tables: new Map([["/registry/core/pods/", table]]),
    root: "/registry/",
    depth: 3,
    lost: (e) => {
      throw e;
    },
  });
  open.push(cache);
  return { store, table, cache };
}

test.each([
  { name: "an object", object: { apiVersion: "v1", kind: "Pod", metadata: { name: "x", resourceVersion: "3" }, spec: { a: "é" } } },
  { name: "no metadata but a name", object: { metadata: { name: "x" } } },
  { name: "empty metadata", object: { metadata: {}, data: {} } },
  { name: "no metadata", object: {} },
])("bytes of $name: the revision is at its place and can be changed", ({ object }) => {
  const bytes = encodeObject(head, object, 99);
  expect(text(bytes).startsWith(`${head}99"`)).toBe(true);
  const later = decodeObject(withRev(head, bytes, 12345));
  expect(later).toEqual({ ...object, apiVersion: "v1", kind: "Pod", metadata: { ...object.metadata, resourceVersion: "12345" } });
});

test("what the store held is there, by key", async () => {
  const { table, cache } = await following();
  expect(cache.rev).toBe(1);
  expect(table.range().map((e) => e.key)).toEqual(["m/z", "n/a", "n/b"]);
  expect(table.range("n/").map((e) => e.key)).toEqual(["n/a", "n/b"]);
  expect(table.range("n/", "n/a").map((e) => e.key)).toEqual(["n/b"]);
  expect(table.range("", "m/z").map((e) => e.key)).toEqual(["n/a", "n/b"]);
});

test("a commit is there once its revision is reached; a revision to come is not", async () => {
  const { store, table, cache } = await following();
  const done = await store.commit([{ key: "/registry/core/pods/n/c", expect: "absent", encode: (r) => pod("c", "a", r) }]);
  if (!done.ok) throw new Error("conflict");
  expect(await cache.reached(done.rev)).toBe(true);
  expect(table.get("n/c")?.rev).toBe(2);
  expect(await cache.reached(9, Promise.resolve())).toBe(false);
  await store.commit([{ key: "/registry/core/pods/n/c", expect: 2, encode: "delete" }]);
  expect(await cache.reached(3)).toBe(true);
  expect(table.range("n/").map((e) => e.key)).toEqual(["n/a", "n/b"]);
});

test.each([
  { name: "new", before: undefined, after: "a", want: "ADDED" },
  { name: "still seen", before: "a", after: "a", want: "MODIFIED" },
  { name: "comes into sight", before: "b", after: "a", want: "ADDED" },
  { name: "leaves sight", before: "a", after: "b", want: "DELETED" },
  { name: "gone", before: "a", after: undefined, want: "DELETED" },
  { name: "never seen", before: "b", after: "b", want: undefined },
  { name: "gone unseen", before: "b", after: undefined, want: undefined },
])("an event through a selector: $name", ({ before, after, want }) => {
  const table = new CacheTable(head, project);
  table.loaded(0);
  if (before !== undefined) table.apply("n/x", 1, pod("x", before, 1));
  const seen: [string | undefined, unknown][] = [];
  table.subscribe(1, (e) => {
    const type = e.typeFor((entry) => entry.selectable.labels["app"] === "a");
    seen.push([type, type === undefined ? undefined : decodeObject(e.object(type))]);
  });
  table.apply("n/x", 2, after === undefined ? undefined : pod("x", after, 2));
  expect(seen[0]?.[0]).toBe(want);
  // What is no longer seen is shown as it was, with the revision of the change.
  if (want !== undefined) expect(seen[0]?.[1]).toMatchObject({ metadata: { resourceVersion: "2", labels: { app: "a" } } });
});

test("an event's line is made once for all watchers", () => {
  const table = new CacheTable(head, project);
  table.loaded(0);
  const lines: Uint8Array[] = [];
  for (let i = 0; i < 2; i++) table.subscribe(0, (e) => lines.push(e.line("ADDED")));
  table.apply("n/x", 1, pod("x", "a", 1));
  expect(lines).toHaveLength(2);
  expect(lines[0]).toBe(lines[1]);
  expect(text(lines[0] ?? new Uint8Array())).toBe(`{"type":"ADDED","object":${text(pod("x", "a", 1))}}\n`);
});

test("who is to be told first is, whoever came before", () => {
  const table = new CacheTable(head, project);
  table.loaded(0);
  const told: string[] = [];
  const stops = [
    table.subscribe(0, () => told.push("controller")),
    table.subscribe(0, () => told.push("node"), "first"),
    table.subscribe(0, () => told.push("person"), "in-turn"),
  ];
  table.apply("n/x", 1, pod("x", "a", 1));
  expect(told).toEqual(["node", "controller", "person"]);
  expect(table.watchers).toBe(3);
  for (const stop of stops) if (stop !== "too-old") stop();
  expect(table.watchers).toBe(0);
});

test("a watch from what is forgotten is too old; from what is remembered it replays all", () => {
  const table = new CacheTable(head, project);
  table.loaded(10);
  expect(table.subscribe(9, () => undefined)).toBe("too-old");
  for (let rev = 11; rev <= 9000; rev++) table.apply("n/x", rev, pod("x", "a", rev));
  expect(table.subscribe(10, () => undefined)).toBe("too-old");
  const from = table.oldest;
  const seen: number[] = [];
  const stop = table.subscribe(from, (e) => seen.push(e.rev));
  expect(seen).toEqual(Array.from({ length: 9000 - from }, (_, i) => from + 1 + i));
  if (stop !== "too-old") stop();
  expect(table.watchers).toBe(0);
});

test.each([
  { name: "all there is", compact: undefined, oldest: 0, missed: [1, 2, 3] },
  { name: "what was not compacted", compact: 2, oldest: 2, missed: [3] },
])("a cache of a store that was there before tells of $name", async ({ compact, oldest, missed }) => {
  const store = new MemoryStore();
  for (const [i, name] of ["n/a", "n/b", "n/c"].entries())
    await store.commit([{ key: `/registry/core/pods/${name}`, expect: "absent", encode: (rev) => pod(`p${i}`, "a", rev) }]);
  if (compact !== undefined) await store.compact(compact);
  const table = new CacheTable(head, project);
  const tables = new Map([["/registry/core/pods/", table]]);
  const cache = await WatchCache.open({ store, tables, root: "/registry/", depth: 3, lost: (e) => expect.fail(String(e)) });
  open.push(cache);
  expect([cache.rev, table.size, table.oldest]).toEqual([3, 3, oldest]);
  const told: number[] = [];
  table.subscribe(oldest, (event) => told.push(event.rev));
  expect(told).toEqual(missed);
});
