import { afterEach, describe, expect, test } from "vitest";
import { hasStoreCode } from "../../src/store/errors.ts";
import type { Key, Rev, Store, StoreEvent, Write } from "../../src/store/store.ts";

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const put = (key: Key, expected: Rev | "absent", value: string): Write => ({
  key,
  expect: expected,
  encode: (rev) => new TextEncoder().encode(`${value}@${rev}`),
});
const remove = (key: Key, expected: Rev): Write => ({ key, expect: expected, encode: "delete" });

async function revOf(store: Store, ...writes: Write[]): Promise<Rev> {
  const result = await store.commit(writes);
  if (!result.ok) throw new Error(`conflict at ${result.key}`);
  return result.rev;
}

/** `key=value` lines; a deletion is `-key`; with its revision. */
async function take(store: Store, prefix: Key, after: Rev, count: number): Promise<string[]> {
  const stop = new AbortController();
  const seen: string[] = [];
  for await (const event of store.watch(prefix, after, stop.signal)) {
    if (event.kind === "progress") continue;
    seen.push(line(event));
    if (seen.length === count) break;
  }
  stop.abort();
  return seen;
}

function line(event: Exclude<StoreEvent, { kind: "progress" }>): string {
  return event.kind === "put" ? `${event.key}=${text(event.value)} ${event.rev}` : `-${event.key} ${event.rev}`;
}

async function listed(store: Store, prefix: Key, options: Parameters<Store["list"]>[1] = {}): Promise<string[]> {
  const page = await store.list(prefix, options);
  return page.items.map((i) => `${i.key}=${text(i.value)}`);
}

/** What every store promises. `open` gives an empty one; the suite closes it. */
export function storeContract(name: string, open: () => Promise<Store>): void {
  describe(name, () => {
    const opened: Store[] = [];
    const fresh = async (): Promise<Store> => {
      const store = await open();
      opened.push(store);
      return store;
    };
    afterEach(async () => {
      for (const store of opened.splice(0)) await store.close();
    });

    test("a value is written with the revision of its commit, and read back", async () => {
      const store = await fresh();
      expect(await store.get("/a/x")).toEqual({ kind: "not-found", rev: 0 });
      expect(await store.commit([put("/a/x", "absent", "one")])).toEqual({ ok: true, rev: 1 });
      const found = await store.get("/a/x");
      expect(found.kind === "found" && [found.rev, found.item.rev, text(found.item.value)]).toEqual([1, 1, "one@1"]);
    });

    test("all writes of a commit have one revision; revisions go up by commit", async () => {
      const store = await fresh();
      expect(await revOf(store, put("/a/x", "absent", "x"), put("/a/y", "absent", "y"))).toBe(1);
      expect(await revOf(store, put("/a/x", 1, "x2"), remove("/a/y", 1))).toBe(2);
      expect(await listed(store, "/a/")).toEqual(["/a/x=x2@2"]);
    });

    test.each([
      { name: "exists but absent expected", write: put("/a/x", "absent", "n"), conflict: "x@1" },
      { name: "older revision expected", write: put("/a/x", 7, "n"), conflict: "x@1" },
      { name: "delete of another revision", write: remove("/a/x", 9), conflict: "x@1" },
      { name: "missing but a revision expected", write: put("/a/none", 1, "n"), conflict: "absent" },
    ])("conflict: $name writes nothing", async ({ write, conflict }) => {
      const store = await fresh();
      await revOf(store, put("/a/x", "absent", "x"));
      const result = await store.commit([put("/a/other", "absent", "o"), write]);
      expect(result.ok).toBe(false);
      if (result.ok) return;
      expect(result.key).toBe(write.key);
      expect(result.conflict === "absent" ? "absent" : text(result.conflict.value)).toBe(conflict);
      expect(await listed(store, "/a/")).toEqual(["/a/x=x@1"]);
      expect(await revOf(store, put("/a/z", "absent", "z"))).toBe(2);
    });

    test("of many writers of one key exactly one wins each revision", async () => {
      const store = await fresh();
      await revOf(store, put("/a/x", "absent", "0"));
      const results = await Promise.all(Array.from({ length: 20 }, (_, i) => store.commit([put("/a/x", 1, `${i}`)])));
      expect(results.filter((r) => r.ok)).toHaveLength(1);
      for (const r of results) if (!r.ok) expect(r.conflict === "absent" ? "" : text(r.conflict.value)).toBe("0@2");
    });

    test("concurrent commits get distinct revisions and all are kept", async () => {
      const store = await fresh();
      const revs = await Promise.all(Array.from({ length: 50 }, (_, i) => revOf(store, put(`/a/${i}`, "absent", "v"))));
      expect(new Set(revs).size).toBe(50);
      expect((await store.list("/a/")).items).toHaveLength(50);
    });

    test("a list is by key, within its prefix only, and pages", async () => {
      const store = await fresh();
      for (const key of ["/b/1", "/a/c", "/a/a", "/ab", "/a/b/d", "/a/b"]) await revOf(store, put(key, "absent", "v"));
      expect((await store.list("/a/")).items.map((i) => i.key)).toEqual(["/a/a", "/a/b", "/a/b/d", "/a/c"]);
      const first = await store.list("/a/", { limit: 2 });
      expect([first.items.map((i) => i.key), first.next]).toEqual([["/a/a", "/a/b"], "/a/b"]);
      const second = await store.list("/a/", { limit: 2, after: "/a/b" });
      expect([second.items.map((i) => i.key), second.next]).toEqual([["/a/b/d", "/a/c"], undefined]);
    });

    test("a list at a revision shows what was", async () => {
      const store = await fresh();
      await revOf(store, put("/a/x", "absent", "x"), put("/a/y", "absent", "y"));
      await revOf(store, put("/a/x", 1, "x"), remove("/a/y", 1), put("/a/z", "absent", "z"));
      expect(await listed(store, "/a/", { at: 1 })).toEqual(["/a/x=x@1", "/a/y=y@1"]);
      expect(await listed(store, "/a/", { at: 2 })).toEqual(["/a/x=x@2", "/a/z=z@2"]);
      expect(await listed(store, "/a/", { at: 1, after: "/a/x" })).toEqual(["/a/y=y@1"]);
    });

    test("a watch replays what came after its revision, in order, then follows", async () => {
      const store = await fresh();
      await revOf(store, put("/a/x", "absent", "x"));
      await revOf(store, put("/b/x", "absent", "other"));
      await revOf(store, put("/a/x", 1, "x"));
      const seen = take(store, "/a/", 1, 3);
      await revOf(store, remove("/a/x", 3));
      await revOf(store, put("/a/x", "absent", "again"));
      expect(await seen).toEqual(["/a/x=x@3 3", "-/a/x 4", "/a/x=again@5 5"]);
    });

    test("a watch tells progress when nothing is to replay, and after commits elsewhere", async () => {
      const store = await fresh();
      await revOf(store, put("/b/x", "absent", "x"));
      const stop = new AbortController();
      const seen: StoreEvent[] = [];
      for await (const event of store.watch("/a/", 1, stop.signal)) {
        seen.push(event);
        if (seen.length === 1) await revOf(store, put("/b/y", "absent", "y"));
        if (seen.length === 2) break;
      }
      expect(seen).toEqual([
        { kind: "progress", rev: 1 },
        { kind: "progress", rev: 2 },
      ]);
    });

    test("a watch ends when it is aborted", async () => {
      const store = await fresh();
      const stop = new AbortController();
      const ended = (async () => {
        for await (const _ of store.watch("/a/", 0, stop.signal));
        return "ended";
      })();
      stop.abort();
      expect(await ended).toBe("ended");
    });

    test("no watcher misses or repeats an event while others write", async () => {
      const store = await fresh();
      const writing = Promise.all(Array.from({ length: 60 }, (_, i) => revOf(store, put(`/a/${i}`, "absent", "v"))));
      const early = take(store, "/a/", 0, 60);
      await Promise.resolve();
      const late = take(store, "/a/", 0, 60);
      await writing;
      const revs = (lines: readonly string[]): number[] => lines.map((l) => Number(l.split(" ")[1]));
      expect(revs(await early)).toEqual(Array.from({ length: 60 }, (_, i) => i + 1));
      expect(await late).toEqual(await early);
    });

    test("compaction keeps current values and forgets older ones", async () => {
      const store = await fresh();
      await revOf(store, put("/a/x", "absent", "x"), put("/a/gone", "absent", "g"), put("/a/kept", "absent", "k"));
      await revOf(store, put("/a/x", 1, "x"), remove("/a/gone", 1));
      await revOf(store, put("/a/x", 2, "x"));
      await store.compact(3);
      expect(await listed(store, "/a/")).toEqual(["/a/kept=k@1", "/a/x=x@3"]);
      expect(await listed(store, "/a/", { at: 3 })).toEqual(["/a/kept=k@1", "/a/x=x@3"]);
      await expect(store.list("/a/", { at: 2 })).rejects.toSatisfy((e) => hasStoreCode(e, "compacted"));
      await expect(take(store, "/a/", 2, 1)).rejects.toSatisfy((e) => hasStoreCode(e, "compacted"));
      const seen = take(store, "/a/", 3, 1);
      await revOf(store, put("/a/gone", "absent", "back"));
      expect(await seen).toEqual(["/a/gone=back@4 4"]);
    });

    test("after close every call says so", async () => {
      const store = await fresh();
      await revOf(store, put("/a/x", "absent", "x"));
      await store.close();
      await store.close();
      await expect(store.get("/a/x")).rejects.toSatisfy((e) => hasStoreCode(e, "closed"));
      await expect(store.commit([put("/a/y", "absent", "y")])).rejects.toSatisfy((e) => hasStoreCode(e, "closed"));
    });
  });
}
