import { afterAll, beforeAll, expect, test } from "vitest";
import { makeShopServer, type TestServer } from "./test-server.ts";

let api: TestServer;
beforeAll(async () => {
  api = await makeShopServer();
});
afterAll(() => api.close());

const pods = "/api/v1/namespaces/shop/pods";
const pod = (name: string, spec: object = {}) => ({
  metadata: { name },
  spec: { containers: [{ name: "c", image: "fairway/echo" }], ...spec },
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
