import { afterAll, beforeAll, expect, test } from "vitest";
import { makeShopServer, type TestServer } from "./test-server.ts";

let api: TestServer;
beforeAll(async () => {
  api = await makeShopServer();
});
afterAll(() => api.close());

const cms = "/api/v1/namespaces/shop/configmaps";

test("finalizers hold an object until the last is off; preconditions and propagation", async () => {
  const made = await api.call("POST", cms, { metadata: { name: "held", finalizers: ["example.org/hold"] } });
  const wrong = await api.call("DELETE", `${cms}/held`, { preconditions: { uid: "other" } });
  expect([wrong.status, wrong.get("message")]).toEqual([
    409,
    `Operation cannot be fulfilled on configmaps "held": Precondition failed: UID in precondition: other, UID in object meta: ${String(made.get("metadata.uid"))}`,
  ]);
  const asked = await api.call("DELETE", `${cms}/held`, {
    propagationPolicy: "Foreground",
    preconditions: { uid: made.get("metadata.uid") },
  });
  expect(asked.get("metadata.finalizers")).toEqual(["example.org/hold", "foregroundDeletion"]);
  expect(asked.get("metadata.deletionTimestamp")).toBeDefined();
  const held = await api.call(
    "PATCH",
    `${cms}/held`,
    { metadata: { finalizers: ["foregroundDeletion"] } },
    { type: "application/merge-patch+json" },
  );
  expect(held.status).toBe(200);
  expect((await api.call("GET", `${cms}/held`)).status).toBe(200);
  await api.call("PATCH", `${cms}/held`, { metadata: { finalizers: null } }, { type: "application/merge-patch+json" });
  expect((await api.call("GET", `${cms}/held`)).status).toBe(404);
  await api.call("POST", cms, { metadata: { name: "orphaned" } });
  const orphaned = await api.call("DELETE", `${cms}/orphaned?propagationPolicy=Orphan`);
  expect(orphaned.get("metadata.finalizers")).toEqual(["orphan"]);
});

test("a namespace goes when its finalizers are off, and takes no new content meanwhile", async () => {
  await api.call("POST", "/api/v1/namespaces", { metadata: { name: "going" } });
  const going = await api.call("DELETE", "/api/v1/namespaces/going");
  expect([going.get("status.phase"), going.get("spec.finalizers")]).toEqual(["Terminating", ["kubernetes"]]);
  const late = await api.call("POST", "/api/v1/namespaces/going/configmaps", { metadata: { name: "late" } });
  expect([late.status, late.get("details.causes.0.reason")]).toEqual([403, "NamespaceTerminating"]);
  expect(late.get("message")).toBe(
    'configmaps "late" is forbidden: unable to create new content in namespace going because it is being terminated',
  );
  const done = await api.call("PUT", "/api/v1/namespaces/going/finalize", { metadata: { name: "going" }, spec: { finalizers: [] } });
  expect(done.status).toBe(200);
  expect((await api.call("GET", "/api/v1/namespaces/going")).status).toBe(404);
});

test("deletecollection takes what is selected", async () => {
  for (const [name, app] of [
    ["c1", "a"],
    ["c2", "a"],
    ["c3", "b"],
  ])
    await api.call("POST", cms, { metadata: { name, labels: { coll: app } } });
  const gone = await api.call("DELETE", `${cms}?labelSelector=coll%3Da`);
  expect([gone.get("kind"), gone.get("items.0.metadata.name"), gone.get("items.1.metadata.name"), gone.get("items.2")]).toEqual([
    "ConfigMapList",
    "c1",
    "c2",
    undefined,
  ]);
  expect((await api.call("GET", `${cms}?labelSelector=coll`)).get("items.0.metadata.name")).toBe("c3");
});
