import { afterAll, beforeAll, expect, test } from "vitest";
import { makeShopServer, type TestServer } from "./test-server.ts";

let api: TestServer;
beforeAll(async () => {
  api = await makeShopServer();
});
afterAll(() => api.close());

test("an Ingress gets the default class, and only when it names none", async () => {
  const annotations = { "ingressclass.kubernetes.io/is-default-class": "true" };
  await api.call("POST", "/apis/networking.k8s.io/v1/ingressclasses", {
    metadata: { name: "fairway", annotations },
    spec: { controller: "fairway/ingress" },
  });
  const ingresses = "/apis/networking.k8s.io/v1/namespaces/shop/ingresses";
  const backend = { service: { name: "web", port: { number: 80 } } };
  const made = await api.call("POST", ingresses, { metadata: { name: "a" }, spec: { defaultBackend: backend } });
  expect(made.get("spec.ingressClassName")).toBe("fairway");
  const own = await api.call("POST", ingresses, { metadata: { name: "b" }, spec: { ingressClassName: "other", defaultBackend: backend } });
  expect(own.get("spec.ingressClassName")).toBe("other");
});

test("a ServiceImport is served as where its custom resource is installed", async () => {
  const imports = "/apis/multicluster.x-k8s.io/v1alpha1/namespaces/shop/serviceimports";
  const of = (name: string, type: string): object => ({ metadata: { name }, spec: { type, ips: ["10.112.0.1"], ports: [{ port: 80 }] } });
  const made = await api.call("POST", imports, { ...of("web", "ClusterSetIP"), status: { clusters: [{ cluster: "east" }] } });
  expect([made.status, made.get("metadata.generation"), made.get("status.clusters")]).toEqual([201, 1, undefined]);
  const told = await api.call("PUT", `${imports}/web/status`, {
    ...of("web", "ClusterSetIP"),
    status: { clusters: [{ cluster: "east" }] },
  });
  expect(told.get("status.clusters")).toEqual([{ cluster: "east" }]);
  const wrong = await api.call("POST", imports, of("db", "NodePort"));
  expect([wrong.status, wrong.get("message")]).toEqual([
    422,
    'ServiceImport.multicluster.x-k8s.io "db" is invalid: spec.type: Unsupported value: "NodePort": supported values: "ClusterSetIP", "Headless"',
  ]);
  const table = await api.call("GET", imports, undefined, { accept: "application/json;as=Table;v=v1;g=meta.k8s.io" });
  expect((table.get("rows.0.cells") as string[]).slice(0, 3)).toEqual(["web", "ClusterSetIP", '["10.112.0.1"]']);
});

test("an Event is one object in two groups", async () => {
  const core = "/api/v1/namespaces/shop/events";
  const events = "/apis/events.k8s.io/v1/namespaces/shop/events";
  const regarding = { kind: "Pod", namespace: "shop", name: "p" };
  const made = await api.call("POST", events, {
    metadata: { name: "e" },
    regarding,
    note: "hello",
    reason: "Tested",
    type: "Normal",
    action: "Test",
    eventTime: "2026-01-01T00:00:00.000000Z",
    reportingController: "example.org/test",
    reportingInstance: "test-1",
  });
  expect([made.status, made.get("apiVersion"), made.get("note")]).toEqual([201, "events.k8s.io/v1", "hello"]);
  const shown = await api.call("GET", `${core}/e`);
  expect([shown.get("apiVersion"), shown.get("message"), shown.get("involvedObject.name")]).toEqual(["v1", "hello", "p"]);
  const changed = await api.call(
    "PATCH",
    `${events}/e`,
    { series: { count: 2, lastObservedTime: "2026-01-01T00:00:01.000000Z" } },
    { type: "application/merge-patch+json" },
  );
  expect([changed.status, changed.get("series.count"), changed.get("regarding.name")]).toEqual([200, 2, "p"]);
  const listed = await api.call("GET", events);
  expect([listed.get("kind"), listed.get("apiVersion"), listed.get("items.0.note"), listed.get("items.0.apiVersion")]).toEqual([
    "EventList",
    "events.k8s.io/v1",
    "hello",
    "events.k8s.io/v1",
  ]);
  const [seen] = await api.watch(`${events}?watch=1&resourceVersion=0`, 1);
  expect(seen?.object["note"]).toBe("hello");
  for (const path of [
    `${core}?fieldSelector=involvedObject.name%3Dp,reason%3DTested`,
    `${events}?fieldSelector=regarding.name%3Dp,reportingController%3D${String(made.get("reportingController"))}`,
  ]) {
    expect((await api.call("GET", path)).get("items.0.metadata.name")).toBe("e");
  }
  expect((await api.call("GET", `${events}?fieldSelector=regarding.name%3Dother`)).get("items")).toEqual([]);
  expect((await api.call("GET", `${events}?fieldSelector=involvedObject.name%3Dp`)).get("message")).toBe(
    "field label not supported: involvedObject.name",
  );
});
