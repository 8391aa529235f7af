import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parseTokenFile } from "../../../src/apiserver/authn/token-file.ts";
import { isAllowed } from "../../../src/apiserver/authz/authorizer.ts";
import { ensurePki, type KeyPair } from "../../../src/apiserver/pki.ts";
import { parseRequestInfo } from "../../../src/apiserver/request-info.ts";
import { authenticated } from "../../../src/apiserver/user.ts";
import { makeTestServer, type TestServer } from "./test-server.ts";

const folder = mkdtempSync(join(tmpdir(), "fairway-access-"));
const tokenFile = join(folder, "tokens");
let api: TestServer;
let stranger: KeyPair;
let outsider: KeyPair;
beforeAll(async () => {
  writeFileSync(tokenFile, 'admintoken,jo,u1,"system:masters,dev"\nplaintoken,ann,u2\n');
  api = await makeTestServer({ tokenAuthFile: tokenFile });
  stranger = await api.server.pki.issueClientCert("jane", ["dev"]);
  outsider = await (await ensurePki(join(api.dir, "other"), { dnsNames: [], ips: [] })).issueClientCert("admin", ["system:masters"]);
  await api.call("POST", "/api/v1/namespaces/default/serviceaccounts", { metadata: { name: "default" } });
});
afterAll(async () => {
  await api.close();
  rmSync(folder, { recursive: true });
});

const pods = "/api/v1/namespaces/default/pods";

test.each([
  { name: "health", path: "/healthz", status: 200 },
  { name: "liveness", path: "/livez", status: 200 },
  { name: "readiness, in detail", path: "/readyz?verbose", status: 200 },
  { name: "the version", path: "/version", status: 200 },
  { name: "discovery", path: "/api", status: 403, message: 'forbidden: User "system:anonymous" cannot get path "/api"' },
  {
    name: "a list",
    path: pods,
    status: 403,
    message: 'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" in the namespace "default"',
  },
  {
    name: "one object",
    path: "/apis/apps/v1/namespaces/n/deployments/d",
    status: 403,
    message:
      'deployments.apps "d" is forbidden: User "system:anonymous" cannot get resource "deployments" in API group "apps" in the namespace "n"',
  },
  {
    name: "something of the cluster",
    path: "/api/v1/nodes",
    status: 403,
    message: 'nodes is forbidden: User "system:anonymous" cannot list resource "nodes" in API group "" at the cluster scope',
  },
  {
    name: "a part",
    path: `${pods}/p/log`,
    status: 403,
    message: 'pods "p" is forbidden: User "system:anonymous" cannot get resource "pods/log" in API group "" in the namespace "default"',
  },
])("anonymous asks for $name: $status", async ({ path, status, message }) => {
  const reply = await api.call("GET", path, undefined, { as: "none" });
  expect(reply.status).toBe(status);
  if (message !== undefined) expect([reply.get("message"), reply.get("reason")]).toEqual([message, "Forbidden"]);
});

test("who is known may discover and ask about himself, no more", async () => {
  expect((await api.call("GET", "/apis", undefined, { as: stranger })).status).toBe(200);
  const refused = await api.call("GET", "/api/v1/secrets", undefined, { as: stranger });
  expect(refused.get("message")).toBe(
    'secrets is forbidden: User "jane" cannot list resource "secrets" in API group "" at the cluster scope',
  );
  expect((await api.call("GET", "/openapi/v3", undefined, { as: "none" })).status).toBe(403);
  const who = await api.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, { as: stranger });
  expect([who.status, who.get("status.userInfo.username"), who.get("status.userInfo.groups")]).toEqual([
    201,
    "jane",
    ["dev", "system:authenticated"],
  ]);
  const review = { spec: { resourceAttributes: { verb: "get", resource: "pods" } } };
  const may = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
  expect((await api.call("POST", may, review, { as: stranger })).get("status.allowed")).toBe(false);
  expect((await api.call("POST", may, review)).get("status.allowed")).toBe(true);
  const asTable = { accept: "application/json;as=Table;v=v1;g=meta.k8s.io" };
  expect((await api.call("POST", may, review, asTable)).status).toBe(406);
});

test("a certificate that another authority signed is no credential at all", async () => {
  const reply = await api.call("GET", pods, undefined, { as: outsider });
  expect([reply.status, reply.get("reason")]).toEqual([401, "Unauthorized"]);
});

test.each([
  { token: "admintoken", status: 200 },
  { token: "plaintoken", status: 403 },
  { token: "unknown", status: 401 },
  { token: "a.b.c", status: 401 },
])("token $token: $status, whatever the certificate says", async ({ token, status }) => {
  expect((await api.call("GET", pods, undefined, { token, as: "none" })).status).toBe(status);
  expect((await api.call("GET", pods, undefined, { token })).status).toBe(status);
});

test("a service account's token names it, for its audience, its time and its pod", async () => {
  const accounts = "/api/v1/namespaces/default/serviceaccounts/default/token";
  const made = await api.call("POST", accounts, { spec: { expirationSeconds: 600 } });
  expect([made.status, made.get("kind")]).toEqual([201, "TokenRequest"]);
  const token = String(made.get("status.token"));
  const who = await api.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, { as: "none", token });
  expect(who.get("status.userInfo.username")).toBe("system:serviceaccount:default:default");
  expect(who.get("status.userInfo.groups")).toEqual(["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"]);
  const refused = await api.call("GET", pods, undefined, { as: "none", token });
  expect(refused.get("message")).toContain('User "system:serviceaccount:default:default" cannot list resource "pods"');
  const elsewhere = await api.call("POST", accounts, { spec: { audiences: ["vault"] } });
  expect((await api.call("GET", "/apis", undefined, { as: "none", token: String(elsewhere.get("status.token")) })).status).toBe(401);
  const tampered = token
    .split(".")
    .map((part, i) =>
      i === 1
        ? Buffer.from(Buffer.from(part, "base64url").toString().replace(":default:default", ":default:admin")).toString("base64url")
        : part,
    )
    .join(".");
  expect((await api.call("GET", "/apis", undefined, { as: "none", token: tampered })).status).toBe(401);
  const short = await api.call("POST", accounts, { spec: { expirationSeconds: 60 } });
  expect([short.status, short.get("message")]).toEqual([422, expect.stringContaining("may not specify a duration less than 10 minutes")]);
});

test("a token that is bound to a pod ends with it", async () => {
  const made = await api.call("POST", pods, { metadata: { name: "bound" }, spec: { containers: [{ name: "c", image: "i" }] } });
  const ref = { kind: "Pod", apiVersion: "v1", name: "bound", uid: made.get("metadata.uid") };
  const request = (boundObjectRef: object) =>
    api.call("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", { spec: { boundObjectRef } });
  const token = String((await request(ref)).get("status.token"));
  expect((await api.call("GET", "/apis", undefined, { as: "none", token })).status).toBe(200);
  expect((await request({ ...ref, uid: "other" })).status).toBe(409);
  await api.call("DELETE", `${pods}/bound`);
  expect((await api.call("GET", "/apis", undefined, { as: "none", token })).status).toBe(401);
});

test.each([
  { user: "system:node:n1", groups: ["system:nodes"], allowed: true },
  { user: "agent", groups: ["fairway:components"], allowed: true },
  { user: "system:kube-scheduler", groups: [], allowed: true },
  { user: "system:masters", groups: [], allowed: false },
  { user: "x", groups: ["system:master"], allowed: false },
])("$user of $groups may write: $allowed", ({ user, groups, allowed }) => {
  const what = { kind: "resource", verb: "create", group: "", plural: "pods", subresource: "", namespace: "n", name: "" } as const;
  expect(isAllowed(authenticated({ name: user, groups }), what)).toBe(allowed);
});

test.each([
  { method: "GET", path: "/api/v1/pods", want: { verb: "list", plural: "pods", namespace: "", name: "" } },
  { method: "GET", path: "/api/v1/pods?watch=true", want: { verb: "watch", plural: "pods" } },
  { method: "GET", path: "/api/v1/namespaces/n/pods/p", want: { verb: "get", namespace: "n", name: "p" } },
  { method: "GET", path: "/api/v1/namespaces/n", want: { verb: "get", plural: "namespaces", namespace: "", name: "n" } },
  {
    method: "PUT",
    path: "/api/v1/namespaces/n/finalize",
    want: { verb: "update", plural: "namespaces", name: "n", subresource: "finalize" },
  },
  { method: "PATCH", path: "/api/v1/namespaces/n/status", want: { verb: "patch", plural: "namespaces", name: "n", subresource: "status" } },
  {
    method: "DELETE",
    path: "/apis/apps/v1/namespaces/n/deployments",
    want: { verb: "deletecollection", group: "apps", plural: "deployments", namespace: "n" },
  },
  { method: "POST", path: "/api/v1/namespaces/n/pods/p/exec?command=ls", want: { verb: "create", subresource: "exec" } },
  {
    method: "GET",
    path: "/api/v1/namespaces/n/services/http:s:80/proxy/a/b%20c",
    want: { verb: "get", name: "http:s:80", subresource: "proxy", rest: "a/b%20c" },
  },
  { method: "OPTIONS", path: "/api/v1/namespaces/n/pods/p/proxy/a", want: { verb: "get", subresource: "proxy", rest: "a" } },
  { method: "GET", path: "/apis/apps/v1", want: { kind: "path", verb: "get" } },
  { method: "GET", path: "/api/v1/", want: { kind: "path" } },
])("$method $path", ({ method, path, want }) => {
  const [before = "", query = ""] = path.split("?");
  expect(parseRequestInfo(method, before, new URLSearchParams(query))).toMatchObject(want);
});

test.each([
  {
    name: "by an admin",
    as: "admin",
    headers: { "impersonate-user": "jane" },
    status: 403,
    message: 'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default"',
  },
  {
    name: "of an admin's group",
    as: "admin",
    headers: { "impersonate-user": "jane", "impersonate-group": ["dev", "system:masters"] },
    status: 200,
  },
  {
    name: "by somebody else",
    as: "stranger",
    headers: { "impersonate-user": "admin", "impersonate-group": "system:masters" },
    status: 403,
    message: 'users "admin" is forbidden: User "jane" cannot impersonate resource "users" in API group "" at the cluster scope',
  },
  { name: "of nobody", as: "admin", headers: { "impersonate-group": "dev" }, status: 400, message: /Impersonate-User is missing/ },
])("impersonation $name: $status", async ({ as, headers, status, message }) => {
  const reply = await api.call("GET", pods, undefined, { headers, ...(as === "stranger" ? { as: stranger } : {}) });
  expect(reply.status).toBe(status);
  if (message !== undefined) expect(reply.get("message")).toEqual(typeof message === "string" ? message : expect.stringMatching(message));
});

test("a token file: quotes, comments, groups", () => {
  const users = parseTokenFile('# tokens\nt1,"a ""b""",u1,"g1, g2"\n\nt2,c,\n');
  expect(users.get("t1")).toEqual({ name: 'a "b"', uid: "u1", groups: ["g1", "g2", "system:authenticated"] });
  expect(users.get("t2")).toEqual({ name: "c", groups: ["system:authenticated"] });
  expect(() => parseTokenFile("t1,a\n")).toThrow("line 1");
});
