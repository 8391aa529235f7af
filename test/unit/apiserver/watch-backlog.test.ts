import { expect, test } from "vitest";
import { findResource } from "../../../src/api/scheme.ts";
import type { Outlet } from "../../../src/apiserver/answer.ts";
import type { ApiContext, Call } from "../../../src/apiserver/call.ts";
import { watchObjects } from "../../../src/apiserver/handlers/watch.ts";
import { Registry } from "../../../src/apiserver/registry.ts";
import { viewOf } from "../../../src/apiserver/view.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { MemoryStore } from "../../../src/store/memory-store.ts";

test("a watcher that takes nothing is cut off, and no longer fed", async () => {
  const resource = findResource("", "v1", "configmaps");
  if (resource === undefined) throw new Error("no configmaps");
  const registry = await Registry.open(new MemoryStore(), (e) => expect.fail(String(e)));
  const clock = {
    ...systemClock,
    sleep: (_ms: number, signal?: AbortSignal) =>
      new Promise<void>((_resolve, reject) => signal?.addEventListener("abort", () => reject(signal.reason))),
  };
  const context = { registry, clock, random: () => 0 } as unknown as ApiContext;
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
  const query = new URLSearchParams("watch=1&resourceVersion=0");
  const call = { context, info, resource, view: viewOf(resource), query, headers: {} } as unknown as Call;
  const answer = await watchObjects(call);
  if (answer.kind !== "stream") throw new Error(answer.kind);
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
  };
  const over = answer.run(out, new AbortController().signal);
  over.catch(() => undefined); // looked at below
  expect(registry.table(resource).watchers).toBe(1);
  const data = { k: "x".repeat(1 << 20) };
  for (let i = 0; i < 40; i++) await registry.write(resource, `n/c${i}`, { metadata: { name: `c${i}`, namespace: "n" }, data }, "absent");
  await expect(over).rejects.toThrow(/^a watcher of configmaps is \d+ bytes behind$/);
  expect(registry.table(resource).watchers).toBe(0);
  // 32 MiB may wait, one event more tips it over.
  expect([writes, waiting < 34 << 20]).toEqual([32, true]);
  await registry.cache.close();
});
