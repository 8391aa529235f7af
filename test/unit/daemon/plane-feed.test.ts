import { expect, test } from "vitest";
import { startPlaneFeed } from "../../../src/daemon/plane-feed.ts";
import type { Batch } from "../../../src/snapshot/cluster-snapshot.ts";
import { SnapshotStore } from "../../../src/snapshot/snapshot-store.ts";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const service = (name: string) => ({ metadata: { namespace: "default", name } });

function feedOf() {
  const store = new SnapshotStore();
  const rulesIn = Promise.withResolvers<void>();
  const batches: string[][] = [];
  const gates: (() => void)[] = [];
  const feed = startPlaneFeed(
    store,
    () => store.synced(["Service", "Namespace"]),
    rulesIn.promise,
    (batch: Batch) => {
      batches.push([...batch.dirty.values()].flatMap((keys) => [...keys]));
      return new Promise((resolve) => gates.push(resolve));
    },
  );
  return { store, rulesIn, batches, gates, feed };
}

test("planes wait for all first lists, then for the rules, and are fed one batch at a time", async () => {
  const { store, rulesIn, batches, gates, feed } = feedOf();
  store.replace("Service", [service("a")]);
  await turn();
  expect(feed.waiting()).toBe(false);
  store.replace("Namespace", [{ metadata: { name: "default" } }]);
  await turn();
  await turn();
  expect([batches, feed.waiting()]).toEqual([[], true]);

  rulesIn.resolve();
  await turn();
  expect(batches).toEqual([["default/a", "default"]]);
  store.apply("Service", "default/b", service("b"), "2");
  store.apply("Service", "default/c", service("c"), "3");
  await turn();
  expect(batches.length).toBe(1);

  gates.shift()?.();
  await feed.fed;
  await turn();
  await turn();
  expect(batches.slice(1)).toEqual([["default/b", "default/c"]]);
  gates.shift()?.();
  await turn();
  await turn();
  expect(feed.waiting()).toBe(false);
  feed.close();
});

test("a feed that begins when all lists are there already waits for no change", async () => {
  const store = new SnapshotStore();
  store.replace("Service", [service("a")]);
  const fed: string[][] = [];
  const feed = startPlaneFeed(
    store,
    () => store.synced(["Service"]),
    Promise.resolve(),
    async (batch) => void fed.push([...batch.dirty.values()].flatMap((keys) => [...keys])),
  );
  await feed.fed;
  expect(fed).toEqual([["default/a"]]);
  feed.close();
});

test("rules that cannot be programmed hold nothing up", async () => {
  const { store, rulesIn, batches, gates, feed } = feedOf();
  store.replace("Service", []);
  store.replace("Namespace", [{ metadata: { name: "default" } }]);
  rulesIn.reject(new Error("no nf_tables here"));
  await turn();
  await turn();
  gates.shift()?.();
  await feed.fed;
  expect(batches).toEqual([["default"]]);
  feed.close();
});
