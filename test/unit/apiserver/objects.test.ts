import { afterAll, beforeAll, expect, test } from "vitest";
import { encodeProtobuf } from "../../../src/api/protobuf.ts";
import { makeShopServer, type TestServer } from "./test-server.ts";

let api: TestServer;
beforeAll(async () => {
  api = await makeShopServer();
});
afterAll(() => api.close());

const cms = "/api/v1/namespaces/shop/configmaps";
const pods = "/api/v1/namespaces/shop/pods";

test("what every cluster has is there at start", async () => {
  const names = await api.call("GET", "/api/v1/namespaces");
  expect(names.get("items.0.metadata.name")).toBe("default");
  expect((await api.call("GET", "/api/v1/namespaces/default/services/kubernetes")).get("spec.clusterIP")).toBe("10.96.0.1");
  expect((await api.call("GET", "/api/v1/namespaces/default/endpoints/kubernetes")).get("subsets.0.addresses.0.ip")).toBe("192.0.2.1");
  expect((await api.call("GET", "/apis/networking.k8s.io/v1/servicecidrs/kubernetes")).get("spec.cidrs.0")).toBe("10.96.0.0/16");
  expect((await api.call("GET", "/readyz", undefined, { as: "none" })).text).toBe("ok");
});

test("create, get, update, delete: metadata is the server's, revisions go up", async () => {
  const made = await api.call("POST", cms, { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a" }, data: { k: "v" } });
  expect([made.status, made.get("kind"), made.get("metadata.namespace")]).toEqual([201, "ConfigMap", "shop"]);
  expect(made.get("metadata.uid")).toMatch(/^[0-9a-f-]{36}$/);
  const rev = made.get("metadata.resourceVersion");
  expect((await api.call("GET", `${cms}/a`)).text).toBe(made.text);
  const changed = await api.call("PUT", `${cms}/a`, { metadata: { name: "a", resourceVersion: rev }, data: { k: "w" } });
  expect([changed.status, changed.get("data.k"), changed.get("metadata.uid")]).toEqual([200, "w", made.get("metadata.uid")]);
  expect(Number(changed.get("metadata.resourceVersion"))).toBeGreaterThan(Number(rev));
  const stale = await api.call("PUT", `${cms}/a`, { metadata: { name: "a", resourceVersion: rev }, data: { k: "x" } });
  expect([stale.status, stale.get("reason"), stale.get("message")]).toEqual([
    409,
    "Conflict",
    'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again',
  ]);
  const gone = await api.call("DELETE", `${cms}/a`);
  expect([gone.status, gone.get("status"), gone.get("details.name")]).toEqual([200, "Success", "a"]);
  expect((await api.call("GET", `${cms}/a`)).get("message")).toBe('configmaps "a" not found');
});

test("an update that changes nothing is not written", async () => {
  const made = await api.call("POST", cms, { metadata: { name: "same" }, data: { k: "v" } });
  const again = await api.call("PUT", `${cms}/same`, { metadata: { name: "same" }, data: { k: "v" } });
  expect(again.get("metadata.resourceVersion")).toBe(made.get("metadata.resourceVersion"));
});

test.each([
  {
    name: "no such kind",
    method: "GET",
    path: "/api/v1/widgets",
    status: 404,
    message: "the server could not find the requested resource",
  },
  { name: "no such object", method: "GET", path: `${cms}/none`, status: 404, message: 'configmaps "none" not found' },
  {
    name: "no such namespace",
    method: "POST",
    path: "/api/v1/namespaces/none/configmaps",
    body: { metadata: { name: "x" } },
    status: 404,
    message: 'namespaces "none" not found',
  },
  { name: "no JSON", method: "POST", path: cms, body: "{", status: 400, message: /could not be read/ },
  {
    name: "another kind",
    method: "POST",
    path: cms,
    body: { kind: "Secret", apiVersion: "v1", metadata: { name: "x" } },
    status: 400,
    message: /Secret in version "v1" cannot be handled as a ConfigMap/,
  },
  {
    name: "another version",
    method: "POST",
    path: cms,
    body: { kind: "ConfigMap", apiVersion: "v2", metadata: { name: "x" } },
    status: 400,
    message: /API version in the data \(v2\) does not match the expected API version \(v1\)/,
  },
  {
    name: "another namespace",
    method: "POST",
    path: cms,
    body: { metadata: { name: "x", namespace: "other" } },
    status: 400,
    message: "the namespace of the provided object does not match the namespace sent on the request",
  },
  {
    name: "another name",
    method: "PUT",
    path: `${cms}/same`,
    body: { metadata: { name: "other" } },
    status: 400,
    message: "the name of the object (other) does not match the name on the URL (same)",
  },
  {
    name: "a bad name",
    method: "POST",
    path: cms,
    body: { metadata: { name: "Bad_Name" } },
    status: 422,
    message: /ConfigMap "Bad_Name" is invalid: metadata.name: Invalid value/,
  },
  {
    name: "a revision at creation",
    method: "POST",
    path: cms,
    body: { metadata: { name: "x", resourceVersion: "1" } },
    status: 400,
    message: "resourceVersion should not be set on objects to be created",
  },
  {
    name: "a wrong type",
    method: "POST",
    path: cms,
    body: { metadata: { name: "x" }, data: { k: 1 } },
    status: 400,
    message: /cannot unmarshal number/,
  },
  {
    name: "a field nobody selects by",
    method: "GET",
    path: `${cms}?fieldSelector=data.k%3Dv`,
    status: 400,
    message: "field label not supported: data.k",
  },
  { name: "a bad label selector", method: "GET", path: `${cms}?labelSelector=%3D`, status: 400, message: /./ },
  { name: "a bad revision", method: "GET", path: `${cms}?resourceVersion=abc`, status: 400, message: /invalid resource version/ },
  {
    name: "the default namespace",
    method: "DELETE",
    path: "/api/v1/namespaces/default",
    status: 403,
    message: 'namespaces "default" is forbidden: this namespace may not be deleted',
  },
  {
    name: "server-side apply",
    method: "PATCH",
    path: `${cms}/same`,
    type: "application/apply-patch+yaml",
    body: "{}",
    status: 415,
    message: /./,
  },
  { name: "a verb it has not", method: "DELETE", path: "/api/v1/namespaces", status: 405, message: /not supported/ },
  { name: "a method nobody has", method: "OPTIONS", path: cms, status: 405, message: /does not allow this method/ },
  {
    name: "bad dry run",
    method: "POST",
    path: `${cms}?dryRun=Some`,
    body: { metadata: { name: "x" } },
    status: 422,
    message: 'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: "Some": supported values: "All"',
  },
  {
    name: "bad field validation",
    method: "PATCH",
    path: `${cms}/same?fieldValidation=Some`,
    type: "application/merge-patch+json",
    body: { data: {} },
    status: 422,
    message:
      'PatchOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: "Some": supported values: "", "Ignore", "Strict", "Warn"',
  },
  { name: "broken encoding", method: "GET", path: "/api/v1/namespaces/%zz/pods", status: 400, message: /not properly encoded/ },
])("refused: $name", async ({ method, path, body, type, status, message }) => {
  const reply = await api.call(method, path, body, type === undefined ? {} : { type });
  expect([reply.status, reply.get("kind"), reply.get("code")]).toEqual([status, "Status", status]);
  if (typeof message === "string") expect(reply.get("message")).toBe(message);
  else expect(reply.get("message")).toMatch(message);
});

test("a body that is too large is refused before it is read", async () => {
  const reply = await api.call("POST", cms, { metadata: { name: "big" }, data: { k: "x".repeat(3 << 20) } });
  expect([reply.status, reply.get("reason")]).toEqual([413, "RequestEntityTooLarge"]);
});

test.each([
  { validation: "Strict", status: 400, warning: undefined },
  { validation: "Warn", status: 201, warning: '299 - "unknown field \\"spec\\""' },
  { validation: "Ignore", status: 201, warning: undefined },
])("unknown fields with fieldValidation=$validation", async ({ validation, status, warning }) => {
  const name = `validated-${validation.toLowerCase()}`;
  const reply = await api.call("POST", `${cms}?fieldValidation=${validation}`, { metadata: { name }, spec: {} });
  expect([reply.status, reply.headers["warning"]]).toEqual([status, warning]);
  if (status === 400) expect(reply.get("message")).toContain('strict decoding error: unknown field "spec"');
});

test("YAML is taken and given", async () => {
  const made = await api.call("POST", cms, "metadata:\n  name: yaml\ndata:\n  k: v\n", { type: "application/yaml" });
  expect(made.status).toBe(201);
  const shown = await api.call("GET", `${cms}/yaml`, undefined, { accept: "application/yaml" });
  expect([shown.headers["content-type"], shown.text.includes("\ndata:\n  k: v\n")]).toEqual(["application/yaml", true]);
});

test("names are generated, different ones each time", async () => {
  const made = await Promise.all(Array.from({ length: 5 }, () => api.call("POST", cms, { metadata: { generateName: "gen-" } })));
  const names = made.map((m) => String(m.get("metadata.name")));
  expect(new Set(names).size).toBe(5);
  for (const name of names) expect(name).toMatch(/^gen-[b-z2-9]{5}$/);
});

test("a dry run checks all and writes nothing", async () => {
  const made = await api.call("POST", `${cms}?dryRun=All`, { metadata: { name: "dry" } });
  expect([made.status, made.get("metadata.resourceVersion")]).toEqual([201, undefined]);
  expect((await api.call("GET", `${cms}/dry`)).status).toBe(404);
  expect((await api.call("DELETE", `${cms}/same?dryRun=All`)).status).toBe(200);
  expect((await api.call("GET", `${cms}/same`)).status).toBe(200);
  expect((await api.call("POST", `${cms}?dryRun=All`, { metadata: { name: "same" } })).status).toBe(409);
});

test.each([
  { name: "merge", type: "application/merge-patch+json", body: { data: { a: null, b: "2" } }, want: { b: "2" } },
  { name: "strategic", type: "application/strategic-merge-patch+json", body: { data: { c: "3" } }, want: { a: "1", c: "3" } },
  { name: "JSON", type: "application/json-patch+json", body: [{ op: "replace", path: "/data/a", value: "9" }], want: { a: "9" } },
])("$name patch", async ({ name, type, body, want }) => {
  const path = `${cms}/patched-${name.toLowerCase()}`;
  await api.call("POST", cms, { metadata: { name: `patched-${name.toLowerCase()}` }, data: { a: "1" } });
  const reply = await api.call("PATCH", path, body, { type });
  expect([reply.status, reply.get("data")]).toEqual([200, want]);
});

test("patches of many at once are all kept", async () => {
  await api.call("POST", cms, { metadata: { name: "many" } });
  const replies = await Promise.all(
    Array.from({ length: 6 }, (_, i) =>
      api.call("PATCH", `${cms}/many`, { data: { [`k${i}`]: "v" } }, { type: "application/merge-patch+json" }),
    ),
  );
  expect(replies.map((r) => r.status)).toEqual(Array.from({ length: 6 }, () => 200));
  expect(Object.keys((await api.call("GET", `${cms}/many`)).get("data") as object)).toHaveLength(6);
});

test("the status is its own: neither write touches what the other owns", async () => {
  await api.call("POST", pods, { metadata: { name: "status" }, spec: { containers: [{ name: "c", image: "fairway/echo" }] } });
  const wrote = await api.call(
    "PATCH",
    `${pods}/status/status`,
    { status: { phase: "Running" }, metadata: { labels: { a: "b" } } },
    { type: "application/merge-patch+json" },
  );
  expect([wrote.status, wrote.get("status.phase")]).toEqual([200, "Running"]);
  const labelled = await api.call(
    "PATCH",
    `${pods}/status`,
    { metadata: { labels: { x: "y" } }, status: { phase: "Failed" } },
    { type: "application/merge-patch+json" },
  );
  expect([labelled.get("status.phase"), labelled.get("metadata.labels.x")]).toEqual(["Running", "y"]);
});

test("scale is the replicas and nothing else", async () => {
  const deployments = "/apis/apps/v1/namespaces/shop/deployments";
  const labels = { app: "scaled" };
  const template = { metadata: { labels }, spec: { containers: [{ name: "c", image: "i" }] } };
  await api.call("POST", deployments, { metadata: { name: "scaled" }, spec: { replicas: 2, selector: { matchLabels: labels }, template } });
  const shown = await api.call("GET", `${deployments}/scaled/scale`);
  expect([shown.get("kind"), shown.get("spec.replicas"), shown.get("status.selector")]).toEqual(["Scale", 2, "app=scaled"]);
  const accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
  const table = await api.call("GET", `${deployments}/scaled/scale`, undefined, { accept });
  expect([table.get("columnDefinitions.1.name"), table.get("rows.0.cells")]).toEqual(["Desired", ["scaled", 2, 0, expect.any(String)]]);
  const changed = await api.call(
    "PATCH",
    `${deployments}/scaled/scale`,
    { spec: { replicas: 5 } },
    { type: "application/merge-patch+json" },
  );
  expect([changed.status, changed.get("spec.replicas")]).toEqual([200, 5]);
  expect((await api.call("GET", `${deployments}/scaled`)).get("spec.replicas")).toBe(5);
  expect(
    (await api.call("PATCH", `${deployments}/scaled/scale`, { spec: { replicas: -1 } }, { type: "application/merge-patch+json" })).status,
  ).toBe(422);
});

test("tables and metadata only, as kubectl and controllers ask for", async () => {
  const table = await api.call("GET", `${cms}?fieldSelector=metadata.name%3Dsame`, undefined, {
    accept: "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
  });
  expect([table.get("kind"), table.get("rows.0.cells.0"), table.get("rows.0.object.kind")]).toEqual([
    "Table",
    "same",
    "PartialObjectMetadata",
  ]);
  const partial = await api.call("GET", `${cms}/same`, undefined, {
    accept: "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
  });
  expect([partial.get("kind"), partial.get("metadata.name"), partial.get("data")]).toEqual(["PartialObjectMetadata", "same", undefined]);
  expect((await api.call("GET", `${cms}/same`, undefined, { accept: "image/png" })).status).toBe(406);
});

test("protobuf bodies of built-in kinds are taken", async () => {
  const bytes = encodeProtobuf({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "proto" }, data: { k: "v" } });
  const made = await api.call("POST", cms, Buffer.from(bytes ?? []), {
    type: "application/vnd.kubernetes.protobuf",
    accept: "application/vnd.kubernetes.protobuf,application/json",
  });
  expect([made.status, made.get("data.k")]).toEqual([201, "v"]);
  const options = encodeProtobuf({ apiVersion: "v1", kind: "DeleteOptions", propagationPolicy: "Orphan" });
  const gone = await api.call("DELETE", `${cms}/proto`, Buffer.from(options ?? []), { type: "application/vnd.kubernetes.protobuf" });
  expect(gone.get("metadata.finalizers")).toEqual(["orphan"]);
  const broken = await api.call("POST", cms, Buffer.from("k8s\0\xff\xff"), { type: "application/vnd.kubernetes.protobuf" });
  expect([broken.status, broken.get("reason")]).toEqual([400, "BadRequest"]);
});
