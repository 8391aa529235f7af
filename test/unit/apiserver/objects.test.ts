import { afterAll, beforeAll, expect, test } from "vitest";
import { encodeProtobuf } from "../../../src/api/protobuf.ts";
import { makeTestServer, type TestServer } from "./test-server.ts";

let api: TestServer;
beforeAll(async () => {
  api = await makeTestServer();
  await api.call("POST", "/api/v1/namespaces", { metadata: { name: "shop" } });
  await api.call("POST", "/api/v1/namespaces/shop/serviceaccounts", { metadata: { name: "default" } });
});
afterAll(() => api.close());

const cms = "/api/v1/namespaces/shop/configmaps";
const pods = "/api/v1/namespaces/shop/pods";
const pod = (name: string, spec: object = {}, metadata: object = {}) => ({
  metadata: { name, ...metadata },
  spec: { containers: [{ name: "c", image: "fairway/echo" }], ...spec },
});

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
  await api.call("POST", pods, pod("status"));
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

test("a pod gets its service account, and the token mounted", async () => {
  const made = await api.call("POST", pods, pod("account"));
  expect(made.get("spec.serviceAccountName")).toBe("default");
  expect(made.get("spec.containers.0.volumeMounts.0.mountPath")).toBe("/var/run/secrets/kubernetes.io/serviceaccount");
  expect(made.get("spec.volumes.0.projected.sources.1.configMap.name")).toBe("kube-root-ca.crt");
  const without = await api.call("POST", pods, pod("no-token", { automountServiceAccountToken: false }));
  expect(without.get("spec.volumes")).toBeUndefined();
  const missing = await api.call("POST", pods, pod("missing", { serviceAccountName: "nobody" }));
  expect([missing.status, missing.get("message")]).toEqual([
    403,
    'pods "missing" is forbidden: error looking up service account shop/nobody: serviceaccount "nobody" not found',
  ]);
});

test.each([
  ["none", [], ["not-ready", "unreachable"]],
  ["another taint's", [{ key: "k", operator: "Exists" }], ["not-ready", "unreachable"]],
  [
    "one of them",
    [{ key: "node.kubernetes.io/not-ready", operator: "Exists", effect: "NoExecute", tolerationSeconds: 5 }],
    ["unreachable"],
  ],
  [
    "one of them, for another effect",
    [{ key: "node.kubernetes.io/not-ready", operator: "Exists", effect: "NoSchedule" }],
    ["not-ready", "unreachable"],
  ],
  ["every one", [{ operator: "Exists" }], []],
])("a pod with %s toleration stays five minutes on a node in trouble, unless it says how long", async (_, tolerations, added) => {
  const made = await api.call("POST", pods, {
    metadata: { generateName: "tolerant-" },
    spec: { containers: [{ name: "c", image: "i" }], tolerations },
  });
  const want = added.map((t) => ({ key: `node.kubernetes.io/${t}`, operator: "Exists", effect: "NoExecute", tolerationSeconds: 300 }));
  expect(made.get("spec.tolerations")).toEqual([...tolerations, ...want]);
});

test.each([
  { spec: { priorityClassName: "system-node-critical" }, status: 201, want: 2_000_001_000 },
  { spec: { priorityClassName: "gold" }, status: 403, want: 'pods "classed" is forbidden: no PriorityClass with name gold was found' },
  { spec: { runtimeClassName: "vm" }, status: 403, want: 'pods "classed" is forbidden: pod rejected: RuntimeClass "vm" not found' },
])("a pod of a class: $spec", async ({ spec, status, want }) => {
  const made = await api.call("POST", `${pods}?dryRun=All`, pod("classed", spec));
  expect([made.status, made.get(status === 201 ? "spec.priority" : "message")]).toEqual([status, want]);
});

test("a pod behind a scheduling gate says so", async () => {
  const made = await api.call("POST", `${pods}?dryRun=All`, pod("gated", { schedulingGates: [{ name: "example.com/hold" }] }));
  expect(made.get("status.conditions")).toEqual([
    expect.objectContaining({ type: "PodScheduled", status: "False", reason: "SchedulingGated" }),
  ]);
});

test("a pod that is replaced by one without the tolerations it was given keeps them, and others are added", async () => {
  await api.call("POST", pods, pod("retold"));
  const { tolerations: had, ...spec } = (await api.call("GET", `${pods}/retold`)).get("spec") as { tolerations: unknown[] };
  const more = { key: "k", operator: "Exists" };
  const put = await api.call("PUT", `${pods}/retold`, { metadata: { name: "retold" }, spec: { ...spec, tolerations: [more] } });
  expect([put.status, put.get("spec.tolerations")]).toEqual([200, [more, ...had]]);
});

test("a pod on a node waits for it; one without is gone at once", async () => {
  await api.call("POST", pods, pod("here"));
  expect((await api.call("POST", `${pods}/here/binding`, { target: { kind: "Node", name: "n1" } })).status).toBe(201);
  const twice = await api.call("POST", `${pods}/here/binding`, { target: { name: "n2" } });
  expect([twice.status, twice.get("message")]).toEqual([
    409,
    'Operation cannot be fulfilled on pods/binding "here": pod here is already assigned to node "n1"',
  ]);
  const bound = await api.call("GET", `${pods}/here`);
  expect([bound.get("spec.nodeName"), bound.get("status.conditions.0.type")]).toEqual(["n1", "PodScheduled"]);
  const asked = await api.call("DELETE", `${pods}/here`, { gracePeriodSeconds: 5 });
  expect([asked.status, asked.get("metadata.deletionGracePeriodSeconds")]).toEqual([200, 5]);
  const marked = await api.call("GET", `${pods}/here`);
  expect(marked.get("metadata.deletionTimestamp")).toBeDefined();
  // A second deletion shortens, but never lengthens, the time.
  expect((await api.call("DELETE", `${pods}/here`, { gracePeriodSeconds: 60 })).get("metadata.deletionGracePeriodSeconds")).toBe(5);
  expect((await api.call("DELETE", `${pods}/here`, { gracePeriodSeconds: 2 })).get("metadata.deletionGracePeriodSeconds")).toBe(2);
  await api.call("DELETE", `${pods}/here`, { gracePeriodSeconds: 0 });
  expect((await api.call("GET", `${pods}/here`)).status).toBe(404);
  await api.call("POST", pods, pod("nowhere"));
  await api.call("DELETE", `${pods}/nowhere`);
  expect((await api.call("GET", `${pods}/nowhere`)).status).toBe(404);
});

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
