import fc from "fast-check";
import { expect, test } from "vitest";
import { type CacheEntry, CacheTable } from "../../src/store/cache-table.ts";
import { MemoryStore } from "../../src/store/memory-store.ts";
import { decodeObject, encodeObject, objectHead } from "../../src/store/object-bytes.ts";
import { WatchCache } from "../../src/store/watch-cache.ts";
import { runs } from "../support/runs.ts";

const head = objectHead("v1", "Pod");
const prefix = "/registry/core/pods/";
interface Stored {
  readonly metadata: { readonly name: string; readonly resourceVersion: string; readonly labels: Readonly<Record<string, string>> };
}
const seen = (entry: CacheEntry): boolean => entry.selectable.labels["app"] === "a";
const step = fc.record({ name: fc.constantFrom("n/a", "n/b", "n/c", "m/a"), app: fc.constantFrom("a", "b", "gone"), watch: fc.boolean() });

test("whoever lists and then watches through a selector ends with what a list shows, from wherever he began", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const store = new MemoryStore();
      const table = new CacheTable(head, (object) => ({ labels: (object as unknown as Stored).metadata.labels, fields: {} }));
      const cache = await WatchCache.open({
        store,
        tables: new Map([[prefix, table]]),
        root: "/registry/",
        depth: 3,
        lost: (e) => expect.fail(String(e)),
      });
      const watchers: Map<string, string>[] = [];
      const begin = (): void => {
        const known = new Map(
          table
            .range()
            .filter(seen)
            .map((e) => [e.key, String(e.rev)]),
        );
        watchers.push(known);
        table.subscribe(cache.rev, (event) => {
          const type = event.typeFor(seen);
          if (type === undefined) return;
          // Exactly what is known is changed or goes; exactly what is not comes.
          expect(known.has(event.key)).toBe(type !== "ADDED");
          const { metadata } = decodeObject(event.object(type)) as unknown as Stored;
          expect([metadata.name, metadata.resourceVersion, metadata.labels["app"]]).toEqual([event.key, String(event.rev), "a"]);
          if (type === "DELETED") known.delete(event.key);
          else known.set(event.key, metadata.resourceVersion);
        });
      };
      for (const { name, app, watch } of steps) {
        if (watch) begin();
        const current = table.get(name);
        if (app === "gone" && current === undefined) continue;
        const encode =
          app === "gone" ? ("delete" as const) : (rev: number) => encodeObject(head, { metadata: { name, labels: { app } } }, rev);
        const done = await store.commit([{ key: prefix + name, expect: current?.rev ?? "absent", encode }]);
        if (!done.ok) throw new Error("conflict");
        await cache.reached(done.rev);
      }
      const now = new Map(
        table
          .range()
          .filter(seen)
          .map((e) => [e.key, String(e.rev)]),
      );
      for (const known of watchers) expect(known).toEqual(now);
      await cache.close();
      await store.close();
    }),
    runs(60),
  );
});
