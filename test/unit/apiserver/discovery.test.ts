import { afterAll, beforeAll, expect, test } from "vitest";
import { resources } from "../../../src/api/scheme.ts";
import { makeTestServer, type Reply, type TestServer } from "./test-server.ts";

let api: TestServer;
beforeAll(async () => {
  api = await makeTestServer();
});
afterAll(() => api.close());

interface Listed {
  readonly name: string;
  readonly kind: string;
  readonly group?: string;
  readonly verbs: readonly string[];
}
const listed = (reply: Reply): readonly Listed[] => reply.get("resources") as Listed[];

test("the version is the Kubernetes API's, and names fairway", async () => {
  const reply = await api.call("GET", "/version", undefined, { as: "none" });
  expect([reply.get("major"), reply.get("minor"), reply.get("gitVersion")]).toEqual([
    "1",
    "36",
    expect.stringMatching(/^v1\.36\.\d+\+fairway$/),
  ]);
});

test("discovery as of old: groups, versions, resources with their parts", async () => {
  expect((await api.call("GET", "/api")).get("versions")).toEqual(["v1"]);
  const groups = (await api.call("GET", "/apis")).get("groups") as { name: string; preferredVersion: { groupVersion: string } }[];
  expect(groups.map((g) => g.preferredVersion.groupVersion)).toEqual(
    expect.arrayContaining(["apps/v1", "discovery.k8s.io/v1", "networking.k8s.io/v1", "policy/v1"]),
  );
  expect((await api.call("GET", "/apis/apps")).get("kind")).toBe("APIGroup");
  const core = listed(await api.call("GET", "/api/v1"));
  expect(core.find((r) => r.name === "pods/eviction")).toMatchObject({ group: "policy", kind: "Eviction", verbs: ["create"] });
  expect(core.find((r) => r.name === "pods")).toMatchObject({ shortNames: ["po"], categories: ["all"] });
  expect((await api.call("GET", "/apis/example.org/v1")).status).toBe(404);
});

test.each(["v2", "v2beta1"])("aggregated discovery %s holds every resource", async (version) => {
  const accept = `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList,application/json`;
  const replies = [await api.call("GET", "/api", undefined, { accept }), await api.call("GET", "/apis", undefined, { accept })];
  const found = replies.flatMap((reply) => {
    expect(reply.headers["content-type"]).toBe(`application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`);
    const items = reply.get("items") as { metadata: { name?: string }; versions: { resources: { resource: string }[] }[] }[];
    return items.flatMap((item) => item.versions.flatMap((v) => v.resources.map((r) => `${item.metadata.name ?? ""}/${r.resource}`)));
  });
  expect(found).toEqual(expect.arrayContaining(resources.map((r) => `${r.group}/${r.plural}`)));
  expect(found).toContain("authorization.k8s.io/selfsubjectaccessreviews");
});

test("OpenAPI: an index whose addresses name their content, documents that explain fields", async () => {
  const index = await api.call("GET", "/openapi/v3");
  const paths = index.get("paths") as Record<string, { serverRelativeURL: string }>;
  const url = paths["apis/apps/v1"]?.serverRelativeURL ?? "";
  expect(url).toMatch(/^\/openapi\/v3\/apis\/apps\/v1\?hash=[0-9A-F]{64}$/);
  const document = await api.call("GET", url);
  expect(document.get("openapi")).toBe("3.0.0");
  const schemas = document.get("components.schemas") as Record<string, { description?: string }>;
  expect(schemas["io.k8s.api.apps.v1.Deployment"]?.description).toContain("declarative updates");
  expect((await api.call("GET", "/openapi/v3/apis/none/v1")).status).toBe(404);
  expect(
    (await api.call("GET", "/openapi/v3", undefined, { accept: "application/com.github.proto-openapi.spec.v3@v1.0+protobuf" })).status,
  ).toBe(406);
});

test("OpenAPI v2: in protobuf, as kubectl asks for it", async () => {
  const accept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
  const reply = await api.call("GET", "/openapi/v2", undefined, { accept });
  expect([reply.status, reply.headers["content-type"]]).toEqual([200, "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"]);
  expect(reply.text).toContain("io.k8s.api.apps.v1.Deployment");
  expect((await api.call("GET", "/openapi/v2", undefined, { accept: "application/json" })).status).toBe(406);
});

test("metrics count requests, objects and watches", async () => {
  await api.call("GET", "/api/v1/nodes");
  const { text } = await api.call("GET", "/metrics");
  expect((await api.call("GET", "/metrics", undefined, { as: "none" })).status).toBe(403);
  expect(text).toMatch(/^apiserver_request_total\{verb="GET",code="200"\} \d+$/m);
  expect(text).toMatch(/^apiserver_storage_objects\{resource="namespaces"\} 4$/m);
  expect(text).toMatch(/^fairway_store_revision \d+$/m);
});
