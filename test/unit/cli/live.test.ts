import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { register as registerResolve } from "../../../src/cli/commands/resolve.ts";
import { register as registerStatus } from "../../../src/cli/commands/status.ts";
import { register as registerTrace } from "../../../src/cli/commands/trace.ts";
import { runCli } from "../../../src/cli/program.ts";

const meta = (name: string, more: object = {}): object => ({ metadata: { name, namespace: "shop", resourceVersion: "1", ...more } });
const lists: Readonly<Record<string, readonly object[]>> = {
  "/api/v1/services": [
    { ...meta("web"), spec: { clusterIP: "10.96.0.9", clusterIPs: ["10.96.0.9"], ports: [{ name: "http", port: 80 }] } },
    {
      ...meta("odd", { annotations: { "fairway.dev/balance": "fastest" } }),
      spec: { clusterIP: "10.96.0.10", clusterIPs: ["10.96.0.10"], ports: [{ name: "http", port: 80 }] },
    },
  ],
  "/api/v1/namespaces": [{ metadata: { name: "shop" } }],
  "/api/v1/nodes": [
    { metadata: { name: "n1" }, spec: { podCIDRs: ["10.244.0.0/24"] }, status: { conditions: [{ type: "Ready", status: "True" }] } },
  ],
  "/api/v1/pods": [],
  "/api/v1/events": [],
  "/apis/discovery.k8s.io/v1/endpointslices": [
    {
      ...meta("web-1", { labels: { "kubernetes.io/service-name": "web" } }),
      addressType: "IPv4",
      ports: [{ name: "http", port: 8080, protocol: "TCP" }],
      endpoints: [{ addresses: ["10.244.0.5"] }],
    },
  ],
};

let server: Server;
let dir: string;
let asked: string[] = [];
beforeAll(async () => {
  server = createServer((request, response) => {
    const path = (request.url ?? "").split("?")[0] ?? "";
    asked.push(path);
    const items = lists[path];
    const status = path === "/version" || items !== undefined ? 200 : 403;
    const refusal = {
      kind: "Status",
      apiVersion: "v1",
      status: "Failure",
      reason: "Forbidden",
      code: 403,
      message: `may not list ${path}`,
    };
    const body =
      path === "/version"
        ? { gitVersion: "v1.36.0" }
        : items === undefined
          ? refusal
          : { kind: "List", metadata: { resourceVersion: "7" }, items };
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  dir = mkdtempSync(join(tmpdir(), "fairway-live-"));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const config = {
    apiVersion: "v1",
    kind: "Config",
    "current-context": "c",
    contexts: [{ name: "c", context: { cluster: "c", user: "u" } }],
    clusters: [{ name: "c", cluster: { server: url } }],
    users: [{ name: "u", user: { token: "t" } }],
  };
  writeFileSync(join(dir, "kubeconfig"), JSON.stringify(config));
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(dir, { recursive: true });
});

async function runAt(kubeconfig: string, ...args: string[]): Promise<{ status: number; out: string; err: string }> {
  let out = "";
  let err = "";
  asked = [];
  const entries = Object.entries({ trace: registerTrace, resolve: registerResolve, status: registerStatus }).map(([name, register]) => ({
    group: "All:",
    names: [name],
    load: async () => ({ register }),
  }));
  const status = await runCli([...args, "--kubeconfig", join(dir, kubeconfig)], entries, {
    stdout: (t) => (out += t),
    stderr: (t) => (err += t),
  });
  return { status, out, err };
}

const run = (...args: string[]): ReturnType<typeof runAt> => runAt("kubeconfig", ...args);

test("a live question lists what it needs once, and is answered by the same code", async () => {
  const { status, out, err } = await run("resolve", "web.shop.svc.cluster.local", "-o", "name");
  expect({ status, out, err }).toEqual({ status: 0, out: "10.96.0.9\n", err: "" });
  expect(asked.sort()).toEqual(["/api/v1/namespaces", "/api/v1/services", "/apis/discovery.k8s.io/v1/endpointslices"]);
});

test("kinds that may not be listed are told, and the answer stands without them", async () => {
  const { status, out, err } = await run("trace", "--from", "10.244.0.9", "--to", "web.shop:80", "-o", "json");
  expect({ status, answer: JSON.parse(out) }).toMatchObject({ status: 0, answer: { verdict: "deliver", endpoints: ["10.244.0.5:8080"] } });
  expect(err).toBe(
    "fairway: warning: answered without objects of kind ServiceCIDR: may not list /apis/networking.k8s.io/v1/servicecidrs\n",
  );
});

test.each([
  ["10.96.0.9:80", []],
  ["10.96.0.10:80", ["odd"]],
])("a packet to %s: problems are told of what it meets only, for status tells of the rest", async (to, told) => {
  const { status, err } = await run("trace", "--from", "10.244.0.9", "--to", to);
  expect(status).toBe(0);
  expect([...err.matchAll(/Service shop\/(\w+): .*BalanceInvalid/g)].map((m) => m[1])).toEqual(told);
});

test("status of a cluster that does not run here is what its API says", async () => {
  const { status, out } = await run("status", "-o", "json");
  expect(status).toBe(0);
  expect(JSON.parse(out)).toMatchObject({
    api: { reachable: true, version: "v1.36.0" },
    nodes: [{ name: "n1", ready: true, pods: 0 }],
    problems: [],
  });
});

test("an API that cannot be reached is 1 for a question", async () => {
  writeFileSync(
    join(dir, "dead"),
    JSON.stringify({
      "current-context": "c",
      contexts: [{ name: "c", context: { cluster: "c" } }],
      clusters: [{ name: "c", cluster: { server: "http://127.0.0.1:1" } }],
    }),
  );
  const { status, out, err } = await runAt("dead", "resolve", "web.shop.svc.cluster.local");
  expect({ status, out }).toEqual({ status: 1, out: "" });
  expect(err).toMatch(/^fairway: API server 127\.0\.0\.1:1: [^\n]*ECONNREFUSED[^\n]*\n$/);
  expect((await runAt("dead", "status")).out).toMatch(/does not answer: .*ECONNREFUSED/);
  expect((await runAt("none", "status")).status).toBe(2);
});
