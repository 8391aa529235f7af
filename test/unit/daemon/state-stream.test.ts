import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type KeyedDelta, startStatePublisher, startStateSubscriber } from "../../../src/daemon/state-stream.ts";
import { silentLog } from "../../../src/observe/log.ts";

function folder(): { readonly path: string; remove(): void } {
  const dir = mkdtempSync(join(tmpdir(), "fairway-stream-"));
  return { path: join(dir, "agent.sock"), remove: () => rmSync(dir, { recursive: true }) };
}

/** A table as a child keeps it. */
function child(path: string) {
  const table = new Map<string, unknown>();
  let wake = (): void => undefined;
  const apply = (d: KeyedDelta): void => {
    for (const [k, v] of d.upserts) table.set(k, v);
    for (const k of d.deletes) table.delete(k);
    wake();
  };
  const running = startStateSubscriber(path, "t", { apply, synced: () => undefined, metrics: () => "m 1\n", log: silentLog });
  const until = async (done: () => boolean): Promise<void> => {
    while (!done()) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  return { table, running, until };
}

test("a child gets the full state in parts, then changes; a new agent's full state removes what it does not name", async () => {
  const place = folder();
  const rows = new Map<string, number>(Array.from({ length: 1201 }, (_, i) => [`k${i}`, i] as const));
  const source = { name: "t", full: () => [...rows] };
  const first = startStatePublisher(place.path, [source], silentLog);
  await first.ready;
  first.markSynced();
  const c = child(place.path);
  await c.running.ready;
  expect(c.table.size).toBe(1201);
  rows.set("new", 1);
  rows.delete("k0");
  first.publish("t", { upserts: [["new", 1]], deletes: ["k0"] });
  await c.until(() => c.table.has("new") && !c.table.has("k0"));
  expect(await first.childMetrics()).toEqual(["m 1\n"]);
  await first.close();
  expect(c.table.size).toBe(1201);

  rows.delete("k1");
  rows.set("later", 2);
  const second = startStatePublisher(place.path, [source], silentLog);
  await second.ready;
  second.markSynced();
  await c.until(() => c.table.has("later") && !c.table.has("k1"));
  expect(new Map(c.table)).toEqual(new Map(rows));
  await c.running.close();
  await second.close();
  place.remove();
});

test("settled only when each child has acknowledged what was published", async () => {
  const place = folder();
  const publisher = startStatePublisher(place.path, [{ name: "t", full: () => [] }], silentLog);
  await publisher.ready;
  publisher.markSynced();
  const c = child(place.path);
  await c.running.ready;
  publisher.publish("t", { upserts: [["a", 1]], deletes: [] });
  expect(publisher.settled()).toBe(false);
  await c.until(() => c.table.has("a"));
  while (!publisher.settled()) await new Promise((r) => setImmediate(r));
  await c.running.close();
  await publisher.close();
  place.remove();
});
