import { createServer as createHttpServer } from "node:http";
import { createServer, request, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import { afterAll, beforeAll, expect, test } from "vitest";
import { isBackendAddress } from "../../../src/apiserver/backend-address.ts";
import { parseProxyName } from "../../../src/apiserver/handlers/backend-proxy.ts";
import { desiredHealthy } from "../../../src/apiserver/handlers/eviction.ts";
import { parseCidr } from "../../../src/base/cidr.ts";
import { makeTestServer, type TestServer } from "./test-server.ts";

const plain = parseCidr("127.64.0.0/10");
let api: TestServer;
let node: Server;
/** What the node was asked, and by whom. */
const asked: string[] = [];
const backend = createHttpServer((q, s) => {
  if (q.url === "/page") {
    s.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(`<p>ü<a href="/next">${q.headers["x-forwarded-uri"]}</a>`);
    return;
  }
  if (q.url === "/moved") {
    s.writeHead(302, { location: "/page" }).end();
    return;
  }
  s.writeHead(q.url === "/missing" ? 404 : 200, { "x-backend": "yes" }).end(
    `${q.method} ${q.url} ${q.headers.host} ${q.headers["authorization"] ?? "-"}`,
  );
});

const pods = "/api/v1/namespaces/default/pods";
const merge = { type: "application/merge-patch+json" };

beforeAll(async () => {
  api = await makeTestServer(plain === undefined ? {} : { loopback: plain });
  const { pki } = api.server;
  const pair = await pki.issueServerCert("node-1", ["127.0.0.1", "node-1"]);
  node = createServer({ cert: pair.certPem, key: pair.keyPem, ca: pki.caPem, requestCert: true, rejectUnauthorized: true }, (q, s) => {
    asked.push(`${q.method} ${q.url} by ${(q.socket as TLSSocket).getPeerCertificate().subject.CN}`);
    s.write("line 1\n");
    s.end("line 2\n");
  });
  node.on("upgrade", (q, socket) => {
    asked.push(`${q.method} ${q.url} upgrade ${q.headers["sec-websocket-protocol"]}`);
    socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\nhello ",
    );
    socket.on("data", (d: Buffer) => socket.write(d.toString().toUpperCase()));
    socket.on("error", () => undefined);
  });
  await new Promise<void>((resolve) => node.listen(0, "127.0.0.1", resolve));
  await new Promise<void>((resolve) => backend.listen(0, "127.64.0.9", resolve));
  await api.call("POST", "/api/v1/namespaces/default/serviceaccounts", { metadata: { name: "default" } });
  await api.call("POST", "/api/v1/nodes", { metadata: { name: "node-1" } });
  const status = {
    addresses: [{ type: "InternalIP", address: "127.0.0.1" }],
    daemonEndpoints: { kubeletEndpoint: { Port: (node.address() as AddressInfo).port } },
  };
  await api.call("PATCH", "/api/v1/nodes/node-1/status", { status }, merge);
});
afterAll(async () => {
  node.closeAllConnections();
  await new Promise((resolve) => node.close(resolve));
  await new Promise((resolve) => backend.close(resolve));
  await api.close();
});

async function runningPod(name: string, containers: readonly string[] = ["c"], labels: object = {}): Promise<void> {
  const spec = {
    containers: containers
      .map((c) => ({ name: c, image: "i", ports: [{ name: "http", containerPort: (backend.address() as AddressInfo).port }] }))
      .map((c, i) => (i === 0 ? c : { name: c.name, image: "i" })),
  };
  await api.call("POST", pods, { metadata: { name, labels }, spec });
  await api.call("POST", `${pods}/${name}/binding`, { target: { kind: "Node", name: "node-1" } });
  const conditions = [{ type: "Ready", status: "True" }];
  const done = await api.call(
    "PATCH",
    `${pods}/${name}/status`,
    { status: { phase: "Running", podIP: "127.64.0.9", podIPs: [{ ip: "127.64.0.9" }], conditions } },
    merge,
  );
  expect(done.status).toBe(200);
}

test("logs come from the pod's node, asked for with the server's own certificate", async () => {
  await runningPod("logs");
  const reply = await api.call("GET", `${pods}/logs/log?follow=true&tailLines=2`);
  expect([reply.status, reply.text]).toEqual([200, "line 1\nline 2\n"]);
  expect(asked.at(-1)).toBe("GET /containerLogs/default/logs/c?follow=true&tailLines=2 by fairway:apiserver");
});

test.each([
  { query: "", message: "a container name must be specified for pod two, choose one of: [a b]" },
  { query: "?container=x", message: "container x is not valid for pod two" },
])("which container: $message", async ({ query, message }) => {
  await runningPod("two", ["a", "b"]);
  const reply = await api.call("GET", `${pods}/two/log${query}`);
  expect([reply.status, reply.get("message")]).toEqual([400, message]);
  expect((await api.call("GET", `${pods}/two/log?container=b`)).status).toBe(200);
});

test("a node that is not there, or not known, is named", async () => {
  await api.call("POST", pods, { metadata: { name: "lost" }, spec: { nodeName: "node-9", containers: [{ name: "c", image: "i" }] } });
  expect((await api.call("GET", `${pods}/lost/log`)).get("message")).toBe('nodes "node-9" not found');
  await api.call("POST", "/api/v1/nodes", { metadata: { name: "node-9" } });
  const addresses = [{ type: "InternalIP", address: "127.0.0.1" }];
  await api.call(
    "PATCH",
    "/api/v1/nodes/node-9/status",
    { status: { addresses, daemonEndpoints: { kubeletEndpoint: { Port: 1 } } } },
    merge,
  );
  const reply = await api.call("GET", `${pods}/lost/log`);
  expect([reply.status, reply.get("message")]).toEqual([
    502,
    expect.stringMatching(/^node node-9 cannot be reached at 127\.0\.0\.1:1: .*ECONNREFUSED/),
  ]);
});

test("a node's own API, through the server", async () => {
  expect((await api.call("GET", "/api/v1/nodes/node-1/proxy/healthz?x=1")).text).toBe("line 1\nline 2\n");
  expect(asked.at(-1)).toBe("GET /healthz?x=1 by fairway:apiserver");
});

test("exec: the WebSocket is the node's, bytes pass both ways", async () => {
  await runningPod("exec");
  const socket = await new Promise<import("node:stream").Duplex>((resolve, reject) => {
    const out = request({
      host: "127.0.0.1",
      port: api.server.port,
      path: `${pods}/exec/exec?command=ls&command=-l&stdout=true`,
      ca: api.server.pki.caPem,
      cert: api.admin.certPem,
      key: api.admin.keyPem,
      agent: false,
      headers: {
        connection: "Upgrade",
        upgrade: "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "sec-websocket-protocol": "v5.channel.k8s.io",
      },
    });
    out.on("upgrade", (_response, s, head) => {
      s.unshift(head);
      resolve(s);
    });
    out.on("response", (r) => reject(new Error(`status ${r.statusCode}`)));
    out.on("error", reject);
    out.end();
  });
  const seen = new Promise<string>((resolve) => {
    let text = "";
    socket.on("data", (d: Buffer) => {
      text += d.toString();
      if (text.includes("!")) resolve(text);
    });
  });
  socket.write("world!");
  expect(await seen).toBe("hello WORLD!");
  expect(asked.at(-1)).toBe("GET /exec/default/exec/c?command=ls&command=-l&stdout=true upgrade v5.channel.k8s.io");
  socket.destroy();
});

test("exec without a switch of protocols, or of an unknown pod, is answered as a request", async () => {
  expect((await api.call("GET", `${pods}/nobody/exec?command=ls`)).get("message")).toBe('pods "nobody" not found');
});

test("a pod's and a Service's own pages, through the server", async () => {
  await runningPod("web", ["c"], { app: "web" });
  const { port } = backend.address() as AddressInfo;
  const reply = await api.call("GET", `${pods}/web/proxy/a/b?x=1`);
  expect([reply.status, reply.headers["x-backend"], reply.text]).toEqual([200, "yes", `GET /a/b?x=1 127.64.0.9:${port} -`]);
  expect((await api.call("POST", `${pods}/http:web:http/proxy/missing`, "text", { type: "text/plain" })).status).toBe(404);
  expect((await api.call("OPTIONS", `${pods}/web/proxy/o`)).text).toMatch(/^OPTIONS \/o /);
  const page = await api.call("GET", `${pods}/web/proxy/page`);
  expect([page.headers["content-type"], page.text]).toEqual([
    "text/html; charset=utf-8",
    `<p>ü<a href="${pods}/web/proxy/next">${pods}/web/proxy/page</a>`,
  ]);
  expect((await api.call("GET", `${pods}/web/proxy/moved`)).headers["location"]).toBe(`${pods}/web/proxy/page`);
  const root = await api.call("GET", `${pods}/web/proxy?x=1`);
  expect([root.status, root.headers["location"]]).toEqual([301, `${pods}/web/proxy/?x=1`]);
  await api.call("POST", "/api/v1/namespaces/default/services", {
    metadata: { name: "web" },
    spec: { ports: [{ name: "main", port: 80 }] },
  });
  const none = await api.call("GET", "/api/v1/namespaces/default/services/web/proxy/");
  expect([none.status, none.get("message")]).toEqual([503, 'no endpoints available for service "web"']);
  const slice = await api.call("POST", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", {
    metadata: { name: "web-1", labels: { "kubernetes.io/service-name": "web" } },
    addressType: "IPv4",
    endpoints: [
      { addresses: ["127.64.0.9"], conditions: { ready: true } },
      { addresses: ["127.64.0.10"], conditions: { ready: false } },
    ],
    ports: [{ name: "main", port }],
  });
  expect(slice.status).toBe(201);
  expect((await api.call("GET", "/api/v1/namespaces/default/services/web:main/proxy/s")).text).toBe(`GET /s 127.64.0.9:${port} -`);
  expect((await api.call("GET", "/api/v1/namespaces/default/services/web:other/proxy/s")).status).toBe(503);
});

test.each([
  { address: "10.0.0.1", allowed: true },
  { address: "fd00::1", allowed: true },
  { address: "127.64.1.1", allowed: true },
  { address: "127.0.0.1", allowed: false },
  { address: "127.128.0.1", allowed: false },
  { address: "169.254.169.254", allowed: false },
  { address: "224.0.0.1", allowed: false },
  { address: "::1", allowed: false },
  { address: "::ffff:127.0.0.1", allowed: false },
  { address: "fe80::1", allowed: false },
  { address: "0.0.0.0", allowed: false },
  { address: "example.org", allowed: false },
])("the server speaks to $address: $allowed", ({ address, allowed }) => {
  expect(isBackendAddress(address, plain)).toBe(allowed);
  if (address === "127.64.1.1") expect(isBackendAddress(address, undefined)).toBe(false);
});

test.each([
  { text: "web", want: { scheme: "http", name: "web", port: "" } },
  { text: "web:80", want: { scheme: "http", name: "web", port: "80" } },
  { text: "https:web:tls", want: { scheme: "https", name: "web", port: "tls" } },
  { text: "https:web:", want: { scheme: "https", name: "web", port: "" } },
])("proxy name $text", ({ text, want }) => {
  expect(parseProxyName(text)).toEqual(want);
});

test("eviction respects a disruption budget, whoever keeps its status", async () => {
  for (const name of ["e1", "e2"]) await runningPod(name, ["c"], { app: "evicted" });
  const budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
  await api.call("POST", budgets, { metadata: { name: "keep" }, spec: { minAvailable: 1, selector: { matchLabels: { app: "evicted" } } } });
  const evict = (name: string) =>
    api.call("POST", `${pods}/${name}/eviction`, { apiVersion: "policy/v1", kind: "Eviction", metadata: { name } });
  expect((await evict("e1")).status).toBe(201);
  expect((await api.call("GET", `${pods}/e1`)).get("metadata.deletionTimestamp")).toBeDefined();
  const refused = await evict("e2");
  expect([refused.status, refused.get("reason"), refused.get("details.causes.0.message")]).toEqual([
    429,
    "TooManyRequests",
    "The disruption budget keep needs 1 healthy pods and has 1 currently",
  ]);
  // Of many at once only as many as the budget leaves.
  for (const name of ["e3", "e4", "e5"]) await runningPod(name, ["c"], { app: "evicted" });
  const all = await Promise.all(["e2", "e3", "e4", "e5"].map(evict));
  expect(all.map((r) => r.status).sort((a, b) => a - b)).toEqual([201, 201, 201, 429]);
  await runningPod("e6", ["c"], { app: "evicted" });
  expect((await evict("e6")).status).toBe(201);
  // A pod that has ended disrupts nobody.
  await api.call("PATCH", `${pods}/e2/status`, { status: { phase: "Succeeded" } }, merge);
  expect((await evict("e2")).status).toBe(201);
  expect((await evict("none")).status).toBe(404);
});

test.each([
  { spec: { minAvailable: 2 }, pods: 5, want: 2 },
  { spec: { minAvailable: "50%" }, pods: 5, want: 3 },
  { spec: { maxUnavailable: 1 }, pods: 5, want: 4 },
  { spec: { maxUnavailable: "100%" }, pods: 5, want: 0 },
  { spec: {}, pods: 5, want: 0 },
])("a budget of $spec on $pods pods wants $want healthy", ({ spec, pods: count, want }) => {
  expect(desiredHealthy({ spec }, count)).toBe(want);
});
