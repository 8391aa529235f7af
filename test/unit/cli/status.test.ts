import { expect, test } from "vitest";
import type { Event, Pod } from "../../../src/api/types/core-v1.generated.ts";
import { combine, type LiveFacts } from "../../../src/cli/cluster-report.ts";
import type { ClusterStatus } from "../../../src/cli/cluster-status.ts";
import { printStatus } from "../../../src/cli/printers/status.ts";
import type { Problem } from "../../../src/snapshot/problem.ts";

const status: ClusterStatus = {
  name: "fairway",
  dataDir: "/d",
  pid: 1,
  mode: "full",
  api: { address: "127.0.0.1", port: 6443 },
  kubeconfig: "/d/kubeconfig",
  nodes: [{ name: "node-1", addresses: ["172.28.0.2"], netns: "fw-node-1", metrics: { address: "172.28.0.2", port: 10249 } }],
  dns: { addresses: ["10.96.0.10", "fd00::a"], port: 53 },
  ingress: { addresses: [{ ip: "127.0.0.1", http: 80, https: 443 }] },
  serviceCidrs: ["10.96.0.0/16"],
  clusterCidrs: ["10.244.0.0/16"],
  lbPool: ["172.28.0.128/25"],
  clusterDomain: "cluster.local",
  versions: {},
};
const now = Date.parse("2026-01-01T12:00:00Z");
const problem: Problem = {
  object: { kind: "Service", namespace: "shop", name: "bad" },
  field: "spec.externalIPs[0]",
  reason: "AddressInvalid",
  message: "no IP",
};

function event(kind: string, name: string, more: Partial<Event> = {}): Event {
  return {
    metadata: {},
    involvedObject: { kind, namespace: "shop", name },
    type: "Warning",
    reason: "Failed",
    message: `${name} failed`,
    lastTimestamp: "2026-01-01T11:59:00Z",
    reportingComponent: "kubelet",
    reportingInstance: "",
    ...more,
  };
}
function pod(name: string, ready: "True" | "False"): Pod {
  return {
    metadata: { namespace: "shop", name },
    spec: { nodeName: "node-1", containers: [] },
    status: { conditions: [{ type: "Ready", status: ready }] },
  };
}
const live: LiveFacts = {
  version: "v1.36.0+fairway",
  nodes: [
    {
      metadata: { name: "node-1" },
      spec: { podCIDRs: ["10.244.0.0/24"] },
      status: { conditions: [{ type: "Ready", status: "False", message: "network is not there" }] },
    },
    {
      metadata: { name: "other" },
      status: { addresses: [{ type: "InternalIP", address: "192.0.2.7" }], conditions: [{ type: "Ready", status: "True" }] },
    },
  ],
  pods: [pod("well", "True"), pod("ill", "False")],
  events: [
    event("Pod", "ill"),
    event("Pod", "well"),
    event("Pod", "gone"),
    event("Deployment", "web"),
    event("Deployment", "old", { lastTimestamp: "2026-01-01T11:00:00Z" }),
    event("Service", "bad", { reportingComponent: "fairway", message: "spec.externalIPs[0]: no IP" }),
  ],
};

const facts = { server: "https://127.0.0.1:6443", status, live, problems: undefined, now };

test("how many connections a node's kernel tracks, and of whom", () => {
  const use = { entries: 131072, limit: 262144, moreServices: 3, elsewhere: 72 };
  const services = ["shop/web:http", "shop/api", "kube-system/kube-dns:dns", "shop/db"].map((service, i) => ({
    service,
    connections: 100 - i,
  }));
  const report = combine({ ...facts, connections: [{ node: "node-1", ...use, services }, { node: "other" }] });
  expect(report.nodes.map((n) => n.connections)).toEqual([{ ...use, services }, undefined]);
  expect(printStatus(undefined, report)).toMatch(/node-1 .* 131072 of 262144 \(50%\)/);
  expect(printStatus("wide", report)).toContain("shop/web:http 100, shop/api 99, kube-system/kube-dns:dns 98");
});

test("nodes of the machine and of the API come together, with why one is not ready", () => {
  const report = combine(facts);
  expect(report.nodes).toMatchObject([
    { name: "node-1", ready: false, reason: "network is not there", pods: 2, podCidrs: ["10.244.0.0/24"], netns: "fw-node-1" },
    { name: "other", ready: true, addresses: ["192.0.2.7"], pods: 0 },
  ]);
  expect(report.api).toEqual({
    server: "https://127.0.0.1:6443",
    address: "127.0.0.1",
    port: 6443,
    reachable: true,
    version: "v1.36.0+fairway",
  });
});

test.each([
  ["of daemons and of recent Events", [problem, problem], ["Service shop/bad", "Pod shop/ill", "Deployment shop/web"]],
  ["of Events alone when no daemon answers", undefined, ["Pod shop/ill", "Deployment shop/web", "Service shop/bad"]],
  ["that are over are gone, whatever Events remain", [], ["Pod shop/ill", "Deployment shop/web"]],
])("problems %s", (_, problems, want) => {
  expect(combine({ ...facts, problems }).problems.map((p) => p.object)).toEqual(want);
});

test("an API that does not answer is told, and what the status file knows is still there", () => {
  const report = combine({ ...facts, live: { error: "connect ECONNREFUSED" } });
  expect(report).toMatchObject({
    name: "fairway",
    api: { reachable: false, error: "connect ECONNREFUSED" },
    nodes: [{ name: "node-1", ready: "unknown" }],
  });
  expect(printStatus(undefined, report)).toContain("API         https://127.0.0.1:6443 does not answer: connect ECONNREFUSED\n");
});

test("for people: a table and the problems; wide has more columns; JSON is the report in one line", () => {
  const report = combine({ ...facts, problems: [problem] });
  const text = printStatus(undefined, report);
  expect(text).toContain("DNS         10.96.0.10:53, [fd00::a]:53 (cluster.local)\n");
  expect(text).toContain("Ingress     http 127.0.0.1:80, https 127.0.0.1:443\n");
  expect(text).toMatch(/node-1 +no: network is not there +172\.28\.0\.2 +2 +10\.244\.0\.0\/24 +- +172\.28\.0\.2:10249\n/);
  expect(text).toContain("\nProblems:\n  Service shop/bad: spec.externalIPs[0]: no IP (AddressInvalid)\n");
  expect(printStatus("wide", report)).toMatch(/HEALTH +NAMESPACE +BACKEND +MOST CONNECTIONS\n/);
  expect(JSON.parse(printStatus("json", report))).toEqual(JSON.parse(JSON.stringify(report)));
  expect(printStatus("json", report).split("\n")).toHaveLength(2);
  expect(printStatus("name", report)).toBe("node-1\nother\n");
  expect(printStatus("yaml", report)).toContain("name: fairway\n");
});

test("control characters of objects do not reach the terminal", () => {
  const evil: Problem = { ...problem, message: "a\u001b[2Jb\nc" };
  expect(printStatus(undefined, combine({ ...facts, problems: [evil] }))).toContain("a [2Jb c (AddressInvalid)\n");
});
