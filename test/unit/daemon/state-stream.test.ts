import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { startStatePublisher } from "../../../src/daemon/state-publisher.ts";
import type { KeyedDelta } from "../../../src/daemon/state-stream.ts";
import { type KnownKeys, startStateSubscriber } from "../../../src/daemon/state-subscriber.ts";
import { silentLog } from "../../../src/observe/log.ts";

function folder(): { readonly path: string; remove(): void } {
  const dir = mkdtempSync(join(tmpdir(), "fairway-stream-"));
  return { path: join(dir, "agent.sock"), remove: () => rmSync(dir, { recursive: true }) };
}

/** A table as a child keeps it. */
function child(path: string, whose: "the stream's" | "its own" = "the stream's") {
  const table = new Map<string, unknown>();
  const stale = new Set<string>();
  const known: KnownKeys = {
    restate: () => {
      for (const key of table.keys()) stale.add(key);
    },
    unstated: () => [...stale],
  };
  let wake = (): void => undefined;
  const take = (d: KeyedDelta): undefined => {
    for (const [k, v] of d.upserts) {
      table.set(k, v);
      stale.delete(k);
    }
    for (const k of d.deletes) table.delete(k);
    wake();
    return undefined;
  };
  const running = startStateSubscriber(path, "t", {
    take,
    synced: () => undefined,
    metrics: () => "m 1\n",
    log: silentLog,
    ...(whose === "its own" ? { known } : {}),
  });
  const until = async (done: () => boolean): Promise<void> => {
    while (!done()) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  return { table, running, until };
}

test.each(["the stream's", "its own"] as const)(
  "a child gets the full state in parts, then changes; a new agent's full state removes what it does not name, by %s word",
  async (whose) => {
    const place = folder();
    const rows = new Map<string, number>(Array.from({ length: 1201 }, (_, i) => [`k${i}`, i] as const));
    const source = { name: "t", full: () => [...rows] };
    const first = startStatePublisher(place.path, [source], { log: silentLog, clock: systemClock });
    await first.ready;
    first.markSynced();
    const c = child(place.path, whose);
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
    const second = startStatePublisher(place.path, [source], { log: silentLog, clock: systemClock });
    await second.ready;
    second.markSynced();
    await c.until(() => c.table.has("later") && !c.table.has("k1"));
    expect(new Map(c.table)).toEqual(new Map(rows));
    await c.running.close();
    await second.close();
    place.remove();
  },
);

test("settled only when each child has acknowledged what was published", async () => {
  const place = folder();
  const publisher = startStatePublisher(place.path, [{ name: "t", full: () => [] }], { log: silentLog, clock: systemClock });
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

test("a new agent takes nothing from its children before it knows the state itself", async () => {
  const place = folder();
  const rows = new Map<string, number>([["a", 1]]);
  const first = startStatePublisher(place.path, [{ name: "t", full: () => rows }], { log: silentLog, clock: systemClock });
  await first.ready;
  first.markSynced();
  const c = child(place.path);
  await c.running.ready;
  await first.close();

  const known = new Map<string, number>();
  const second = startStatePublisher(place.path, [{ name: "t", full: () => known }], { log: silentLog, clock: systemClock });
  await second.ready;
  const other = child(place.path);
  while (second.settled()) await new Promise((r) => setImmediate(r));
  expect(second.isHeard("t")).toBe(false);
  expect(c.table).toEqual(new Map([["a", 1]]));
  known.set("b", 2);
  second.markSynced();
  await other.running.ready;
  await c.until(() => !c.table.has("a"));
  expect(c.table).toEqual(new Map([["b", 2]]));
  await c.running.close();
  await other.running.close();
  await second.close();
  place.remove();
});

test("what changes while a child is given the full state reaches it, in order", async () => {
  const place = folder();
  const rows = new Map<string, number>(Array.from({ length: 5000 }, (_, i) => [`k${i}`, 0] as const));
  let publisher: ReturnType<typeof startStatePublisher> | undefined;
  const change = (key: string, value: number | undefined): void => {
    if (value === undefined) rows.delete(key);
    else rows.set(key, value);
    publisher?.publish("t", { upserts: value === undefined ? [] : [[key, value]], deletes: value === undefined ? [key] : [] });
  };
  const source = {
    name: "t",
    *full() {
      // a source that reads ahead: what it says may be older than a change that came meanwhile
      const old = [...rows];
      for (const [i, entry] of old.entries()) {
        if (i === 700) {
          change("k1", 1);
          change("k4000", 1);
          change("k4001", undefined);
          change("new", 1);
        }
        yield entry;
      }
    },
  };
  publisher = startStatePublisher(place.path, [source], { log: silentLog, clock: systemClock });
  await publisher.ready;
  publisher.markSynced();
  const c = child(place.path);
  await c.running.ready;
  while (!publisher.settled()) await new Promise((r) => setImmediate(r));
  expect(c.table).toEqual(rows);
  await c.running.close();
  await publisher.close();
  place.remove();
});
