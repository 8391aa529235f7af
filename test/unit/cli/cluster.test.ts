import { lstatSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { findCluster, findLocalCluster } from "../../../src/cli/cluster.ts";
import {
  type ClusterStatus,
  isAlive,
  parseClusterStatus,
  processStart,
  readClusterStatus,
  removeClusterStatus,
  runningClusters,
  writeClusterStatus,
} from "../../../src/cli/cluster-status.ts";
import { enterNode } from "../../../src/cli/node-exec.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "fairway-clusters-"));
});
afterEach(() => rmSync(root, { recursive: true }));

function cluster(name: string, change: Partial<ClusterStatus> = {}): ClusterStatus {
  const dataDir = change.dataDir ?? join(root, name);
  return {
    name,
    dataDir,
    pid: process.pid,
    mode: "full",
    api: { address: "127.0.0.1", port: 6443 },
    kubeconfig: join(dataDir, "kubeconfig"),
    nodes: [{ name: "node-1", addresses: ["172.28.0.2"], netns: "fw-node-1" }],
    serviceCidrs: ["10.96.0.0/16"],
    clusterCidrs: ["10.244.0.0/16"],
    lbPool: ["172.28.0.128/25"],
    clusterDomain: "cluster.local",
    versions: { fairway: "0.1.0" },
    ...change,
  };
}
const place = (env: Record<string, string> = {}) => ({ env, root });

test("what is written is read, by its owner only, also through a link from elsewhere", () => {
  const elsewhere = join(root, "else", "where");
  const status = cluster("a", { dataDir: elsewhere });
  writeClusterStatus(status, join(root, "clusters"));
  expect(statSync(join(elsewhere, "status.json")).mode & 0o777).toBe(0o600);
  expect(readClusterStatus(elsewhere)).toEqual(status);
  expect(runningClusters(join(root, "clusters"))).toEqual([status]);
  removeClusterStatus(elsewhere, "a", join(root, "clusters"));
  expect(runningClusters(join(root, "clusters"))).toEqual([]);
  expect(() => lstatSync(join(root, "clusters", "a"))).toThrow("ENOENT");
});

test("another cluster's data folder is never replaced by a link, and never removed", () => {
  writeClusterStatus(cluster("a"), root);
  writeClusterStatus(cluster("a", { dataDir: join(root, "elsewhere") }), root);
  expect(lstatSync(join(root, "a")).isDirectory()).toBe(true);
  removeClusterStatus(join(root, "elsewhere"), "a", root);
  expect(readClusterStatus(join(root, "a"))?.name).toBe("a");
});

test("a process is told from a later one of the same number", () => {
  const started = processStart(process.pid);
  expect(started).toBeGreaterThan(0);
  expect(isAlive({ pid: process.pid, pidStarted: started ?? 0 })).toBe(true);
  expect(isAlive({ pid: process.pid, pidStarted: 1 })).toBe(false);
  expect(isAlive({ pid: 2 ** 22 + 1 })).toBe(false);
});

test.each([
  ["nothing given, one runs", ["a"], {}, {}, "a"],
  ["by name", ["a", "b"], { name: "b" }, {}, "b"],
  ["by KUBECONFIG", ["a", "b"], {}, { KUBECONFIG: "ROOT/b/kubeconfig" }, "b"],
  ["by --kubeconfig", ["a", "b"], { kubeconfig: "ROOT/a/kubeconfig" }, { KUBECONFIG: "ROOT/b/kubeconfig" }, "a"],
  ["a foreign KUBECONFIG", ["a"], {}, { KUBECONFIG: "/other" }, undefined],
] as const)("the cluster: %s", (_, running, options, env, want) => {
  for (const name of running) {
    writeClusterStatus(cluster(name), root);
    writeFileSync(join(root, name, "kubeconfig"), "");
  }
  const fill = (o: object): Record<string, string> =>
    Object.fromEntries(Object.entries(o).map(([k, v]) => [k, String(v).replace("ROOT", root)]));
  expect(findCluster(fill(options), place(fill(env))).status?.name).toBe(want);
});

test("a foreign KUBECONFIG does not hide what runs here from commands about the machine", () => {
  writeClusterStatus(cluster("a"), root);
  expect(findLocalCluster({}, place({ KUBECONFIG: "/other" })).name).toBe("a");
  expect(() => findLocalCluster({ kubeconfig: "/other" }, place())).toThrow(
    "--kubeconfig /other: no cluster that runs on this machine has it",
  );
});

test("no cluster, several, a dead one: each says what to do", () => {
  expect(() => findCluster({}, place())).toThrow(/no cluster runs here .*; start one with 'fairway up'/);
  writeClusterStatus(cluster("a"), root);
  writeClusterStatus(cluster("b"), root);
  expect(() => findCluster({}, place())).toThrow("several clusters run here; say --name a or --name b");
  writeClusterStatus(cluster("c", { pid: 2 ** 22 + 1 }), root);
  expect(() => findCluster({ name: "c" }, place())).toThrow(/--name c: its process \(4194305\) is gone; .*'fairway down --name c'/);
  expect(() => findCluster({ dataDir: join(root, "none") }, place())).toThrow(/none: no such cluster runs/);
  expect(() => findCluster({ kubeconfig: "/nope" }, place())).toThrow(/^--kubeconfig \/nope: no such file or folder$/);
  expect(() => findCluster({ kubeconfig: root }, place())).toThrow(/^--kubeconfig .*: is a folder; name a file$/);
});

test("a link to nowhere and a stray file are no clusters", () => {
  symlinkSync(join(root, "gone"), join(root, "link"));
  writeFileSync(join(root, "file"), "");
  mkdirSync(join(root, "empty"));
  expect(runningClusters(root)).toEqual([]);
});

test.each([
  ["{", "s.json: not JSON"],
  ["[]", "s.json: document: must be an object"],
  ["{}", "s.json: name: must be text"],
  [JSON.stringify({ ...cluster("a", { dataDir: "/d" }), pid: "1" }), "s.json: pid: must be a number"],
  [JSON.stringify({ ...cluster("a", { dataDir: "/d" }), api: 6443 }), "s.json: api: must be {address, port}"],
  [JSON.stringify({ ...cluster("a", { dataDir: "/d" }), nodes: [{}] }), "s.json: nodes[0]: must be {name, addresses}"],
  [JSON.stringify({ ...cluster("a", { dataDir: "/d" }), mode: "x" }), "s.json: mode: must be full or plain"],
])("a bad status file %# is refused by field", (text, message) => {
  expect(() => parseClusterStatus(text, "s.json")).toThrow(message);
});

test("node-exec enters the node's namespace, and runs the command as it is where there is none", () => {
  expect(enterNode(cluster("a"), "node-1")).toEqual(["nsenter", "--net=/run/netns/fw-node-1", "--"]);
  const plain = cluster("a", { mode: "plain", nodes: [{ name: "node-1", addresses: [] }] });
  expect(enterNode(plain, "node-1")).toEqual([]);
  expect(() => enterNode(cluster("a"), "node-9")).toThrow("node-exec node-9: no such node; there are node-1");
});
