import { expect, test } from "vitest";
import { findResource, type Resource } from "../../../src/api/scheme.ts";
import type { Outlet } from "../../../src/apiserver/answer.ts";
import type { ApiContext, Call } from "../../../src/apiserver/call.ts";
import { watchObjects } from "../../../src/apiserver/handlers/watch.ts";
import { type ApiObject, Registry } from "../../../src/apiserver/registry.ts";
import { viewOf } from "../../../src/apiserver/view.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { MemoryStore } from "../../../src/store/memory-store.ts";

async function watched(query: string): Promise<{ registry: Registry; resource: Resource; run: (out: Outlet) => Promise<void> }> {
  const resource = findResource("", "v1", "configmaps");
  if (resource === undefined) throw new Error("no configmaps");
  const registry = await Registry.open(new MemoryStore(), (e) => expect.fail(String(e)));
  const clock = {
    ...systemClock,
    sleep: (_ms: number, signal?: AbortSignal) =>
      new Promise<void>((_resolve, reject) => signal?.addEventListener("abort", () => reject(signal.reason))),
  };
  const context = { registry, clock, random: () => 0, passed: () => undefined } as unknown as ApiContext;
  const info = {
    kind: "resource",
    verb: "watch",
    group: "",
    version: "v1",
    plural: "configmaps",
    resource,
    namespace: "",
    name: "",
    subresource: "",
    rest: "",
  } as const;
  const call = { context, info, resource, view: viewOf(resource), query: new URLSearchParams(query), headers: {} } as unknown as Call;
  const run = async (out: Outlet): Promise<void> => {
    const answer = await watchObjects(call);
    if (answer.kind !== "stream") throw new Error(answer.kind);
    await answer.run(out, new AbortController().signal);
  };
  return { registry, resource, run };
}

const objectOf = (i: number, k: string): ApiObject => ({ metadata: { name: `c${i}`, namespace: "n" }, data: { k } });

test("a list goes out as it is taken; what happens meanwhile comes behind it, in order", async () => {
  const { registry, resource, run } = await watched(
    "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
  );
  for (let i = 0; i < 40; i++) await registry.write(resource, `n/c${i}`, objectOf(i, "x".repeat(20_000)), "absent");
  let text = "";
  let most = 0;
  let waiting = 0;
  let asked = Promise.withResolvers<void>();
  let taken = Promise.withResolvers<void>();
  const over = run({
    get waiting() {
      return waiting;
    },
    write: (bytes) => {
      text += Buffer.from(bytes).toString();
      waiting += bytes.length;
      most = Math.max(most, waiting);
    },
    drained: () => {
      asked.resolve();
      return taken.promise;
    },
  });
  over.catch(() => undefined); // never ends
  await asked.promise;
  await registry.write(resource, "n/c0", objectOf(0, "changed"), 1);
  await registry.remove(resource, "n/c39", 40);
  for (let round = 0; !text.includes("changed") && round < 100; round++) {
    const now = taken;
    asked = Promise.withResolvers();
    taken = Promise.withResolvers();
    waiting = 0;
    now.resolve();
    await Promise.race([asked.promise, new Promise((resolve) => setImmediate(resolve))]);
  }
  const lines = text
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line));
  const told = lines.map((line) => `${line.type} ${line.object.metadata.name ?? ""}`.trim());
  expect(told.slice(0, 40).toSorted()).toEqual(Array.from({ length: 40 }, (_, i) => `ADDED c${i}`).toSorted());
  expect(told.slice(40)).toEqual(["BOOKMARK", "MODIFIED c0", "DELETED c39"]);
  expect(most).toBeLessThan(200 << 10);
  await registry.cache.close();
});

test("a watcher that takes nothing is cut off, and no longer fed", async () => {
  const { registry, resource, run } = await watched("watch=1&resourceVersion=0");
  let waiting = 0;
  let writes = 0;
  const out: Outlet = {
    get waiting() {
      return waiting;
    },
    write: (bytes) => {
      waiting += bytes.length;
      writes++;
    },
    drained: () => Promise.resolve(),
  };
  const over = run(out);
  over.catch(() => undefined); // looked at below
  await new Promise((resolve) => setImmediate(resolve));
  expect(registry.table(resource).watchers).toBe(1);
  const data = { k: "x".repeat(1 << 20) };
  for (let i = 0; i < 40; i++) await registry.write(resource, `n/c${i}`, { metadata: { name: `c${i}`, namespace: "n" }, data }, "absent");
  await expect(over).rejects.toThrow(/^a watcher of configmaps is \d+ bytes behind$/);
  expect(registry.table(resource).watchers).toBe(0);
  // 32 MiB may wait, one event more tips it over.
  expect([writes, waiting < 34 << 20]).toEqual([32, true]);
  await registry.cache.close();
});
