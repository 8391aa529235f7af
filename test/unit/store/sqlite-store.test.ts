import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { hasStoreCode, storeErrors } from "../../../src/store/errors.ts";
import { codeOf } from "../../../src/store/sqlite-log.ts";
import { openSqliteStore } from "../../../src/store/sqlite-store.ts";

const folder = mkdtempSync(join(tmpdir(), "fairway-sqlite-"));
afterAll(() => rmSync(folder, { recursive: true }));
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test("a second server on the same file is refused, and may open it once the first is gone", async () => {
  const file = join(folder, "locked.db");
  const first = await openSqliteStore(file);
  await first.commit([{ key: "/a", expect: "absent", encode: () => bytes("v") }]);
  const refused = await openSqliteStore(file).then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(hasStoreCode(refused, "locked")).toBe(true);
  expect(String(refused)).toContain(file);
  await first.close();
  const second = await openSqliteStore(file);
  expect(await second.get("/a")).toMatchObject({ kind: "found", item: { rev: 1 } });
  await second.close();
});

test("revisions go on where they were, also when the newest row was compacted away", async () => {
  const file = join(folder, "again.db");
  const first = await openSqliteStore(file);
  await first.commit([{ key: "/a", expect: "absent", encode: () => bytes("v") }]);
  await first.commit([{ key: "/a", expect: 1, encode: "delete" }]);
  await first.commit([{ key: "/b", expect: "absent", encode: () => bytes("v") }]);
  await first.commit([{ key: "/b", expect: 3, encode: "delete" }]);
  await first.compact(4);
  await first.close();
  const second = await openSqliteStore(file);
  expect(await second.commit([{ key: "/a", expect: "absent", encode: () => bytes("w") }])).toEqual({ ok: true, rev: 5 });
  await expect(second.list("/", { at: 2 })).rejects.toSatisfy((e) => hasStoreCode(e, "compacted"));
  await second.close();
});

test("a commit that stands alone is on disk and seen within the turn in which it came", async () => {
  const store = await openSqliteStore(join(folder, "turn.db"));
  let turnEnded = false;
  setImmediate(() => {
    turnEnded = true;
  });
  const written = store.commit([{ key: "/a", expect: "absent", encode: () => bytes("v") }]).then(() => turnEnded);
  expect(await written).toBe(false);
  await store.close();
});

test("a commit after many in a turn waits for others of its turn, though those queued behind a large one", async () => {
  const store = await openSqliteStore(join(folder, "burst.db"));
  const put = (key: string, size: number) => store.commit([{ key, expect: "absent", encode: () => new Uint8Array(size) }]);
  const large = put("/large", 1 << 20);
  await new Promise((resolve) => setImmediate(resolve));
  await Promise.all([large, ...["/a", "/b", "/c"].map((key) => put(key, 10))]);
  let turnEnded = false;
  setImmediate(() => {
    turnEnded = true;
  });
  const written = put("/d", 10).then(() => turnEnded);
  expect(await written).toBe(true);
  await store.close();
});

test("a full disk refuses what does not fit, keeps what was acknowledged, and goes on when there is room", async () => {
  const file = join(folder, "full.db");
  const store = await openSqliteStore(file, { maxBytes: 200_000 });
  const put = (i: number) =>
    store.commit([{ key: `/a/${String(i).padStart(3, "0")}`, expect: "absent", encode: () => new Uint8Array(10_000) }]);
  const results = await Promise.allSettled(
    Array.from({ length: 40 }, async (_, i) => {
      for (let turn = 0; turn < i; turn++) await Promise.resolve();
      return put(i);
    }),
  );
  const kept = results.flatMap((r, i) => (r.status === "fulfilled" && r.value.ok ? [i] : []));
  // One by one: some room may be left.
  for (let i = 100; i < 140; i++)
    if (
      await put(i).then(
        () => true,
        (e) => !hasStoreCode(e, "full"),
      )
    )
      kept.push(i);
  const refused = await put(200).catch((e: unknown) => e);
  expect(hasStoreCode(refused, "full")).toBe(true);
  expect(String(refused)).toContain("free some space");
  expect(kept.length).toBeGreaterThan(5);
  const keys = (await store.list("/a/")).items.map((item) => Number(item.key.slice(3)));
  expect(keys).toEqual(kept.sort((a, b) => a - b));
  await store.close();
  const again = await openSqliteStore(file);
  expect((await again.list("/a/")).items).toHaveLength(kept.length);
  expect((await again.commit([{ key: "/a/200", expect: "absent", encode: () => new Uint8Array(10_000) }])).ok).toBe(true);
  await again.close();
});

test("a file that is no store is refused, naming it", async () => {
  const file = join(folder, "text.db");
  writeFileSync(file, "this is not a database at all, but a text of some length\n".repeat(40));
  await expect(openSqliteStore(file)).rejects.toThrow(file);
  await expect(openSqliteStore(file)).rejects.toSatisfy((e) => hasStoreCode(e, "unreadable"));
});

test.each([
  { errcode: 5, want: "locked" },
  { errcode: 261, want: "locked" },
  { errcode: 13, want: "full" },
  { errcode: 26, want: "unreadable" },
  { errcode: 11, want: "unreadable" },
  { errcode: 1034, want: "io" },
])("SQLite result code $errcode means $want", ({ errcode, want }) => {
  expect(codeOf(Object.assign(new Error("x"), { errcode }))).toBe(want);
});

test("every error code has a message a person can act on", () => {
  expect(Object.keys(storeErrors).sort()).toEqual(["closed", "compacted", "full", "io", "locked", "unreadable"]);
  for (const message of Object.values(storeErrors)) expect(message.length).toBeGreaterThan(10);
});
