import { expect, test } from "vitest";
import { createClient } from "../../../src/client/client.ts";
import { resources } from "../../../src/client/resources.ts";
import { startNodeEvents } from "../../../src/daemon/node-events.ts";
import { silentLog } from "../../../src/observe/log.ts";
import type { Problem } from "../../../src/snapshot/problem.ts";
import { SnapshotStore } from "../../../src/snapshot/snapshot-store.ts";
import { MemoryApi } from "../../support/memory-api.ts";
import { makeNode, makeService, put } from "../../support/rules-objects.ts";

const refusal: Problem = {
  object: { kind: "Service", namespace: "test", name: "web" },
  field: "spec",
  reason: "RuleRefused",
  message: "the kernel refused it",
};

test("a node tells what it alone has seen: on the object, and on its Node; each once", async () => {
  const api = new MemoryApi();
  const store = new SnapshotStore();
  const node = makeNode("n1", ["192.0.2.1"], []);
  put(store, "Node", { ...node, metadata: { ...node.metadata, uid: "node-uid" } });
  put(store, "Service", makeService("web", { clusterIP: "10.96.0.1" }, { metadata: { namespace: "test", name: "web", uid: "web-uid" } }));
  let problems: readonly Problem[] = [];
  const started = ["n1", "n2"].map((nodeName) => startNodeEvents({ transport: api, store, nodeName, problems: () => problems }, silentLog));
  const [first] = started;
  for (const events of started) events.look();
  problems = [refusal];
  for (const events of started) {
    events.look();
    events.look();
  }
  first?.record({ type: "Warning", reason: "RulesRepaired", message: "somebody else changed the Service rules" });
  for (const events of started) await events.close();
  const written = (await createClient(api).list(resources.events)).items;
  expect(
    written
      .map((e) => `${e.involvedObject.kind} ${e.involvedObject.name} ${e.involvedObject.uid} ${e.reason}: ${e.message} x${e.count}`)
      .sort(),
  ).toEqual([
    "Node n1 node-uid RulesRepaired: somebody else changed the Service rules x1",
    "Service web web-uid RuleRefused: spec: the kernel refused it x1",
  ]);
  expect(written.find((e) => e.reason === "RulesRepaired")?.source).toEqual({ component: "fairway", host: "n1" });
});
