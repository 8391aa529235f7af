import { expect, test } from "vitest";
import { findResource } from "../../../src/api/scheme.ts";
import { type ApiObject, Registry } from "../../../src/apiserver/registry.ts";
import { MemoryStore } from "../../../src/store/memory-store.ts";

test("what a watcher is told goes out before the writer is answered", async () => {
  const store = new MemoryStore();
  const registry = await Registry.open(store, () => undefined);
  const nodes = findResource("", "v1", "nodes");
  if (nodes === undefined) throw new Error("no nodes");
  const order: string[] = [];
  // as a response over HTTP/1.1 does: what is written in a turn goes out at its end
  registry.table(nodes).subscribe(0, () => process.nextTick(() => order.push("watcher")));
  await registry.write(nodes, "a", { metadata: { name: "a" } } as unknown as ApiObject, "absent");
  order.push("writer");
  expect(order).toEqual(["watcher", "writer"]);
  await registry.cache.close();
  await store.close();
});
