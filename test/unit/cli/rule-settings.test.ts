import { expect, test } from "vitest";
import { backends } from "../../../rules/model/backend.ts";
import { backendOf, parseBackends } from "../../../src/cli/backend-option.ts";
import type { ClusterStatus } from "../../../src/cli/cluster-status.ts";
import { ruleSettings } from "../../../src/cli/questions/rule-settings.ts";
import { emptySnapshot } from "../../../src/snapshot/cluster-snapshot.ts";

function asked(mode: "full" | "plain", backend?: string) {
  const status: ClusterStatus = {
    name: "t",
    dataDir: "/d",
    pid: 1,
    mode,
    api: { address: "127.0.0.1", port: 6443 },
    kubeconfig: "/d/kubeconfig",
    nodes: [{ name: "n1", addresses: [], ...(backend === undefined ? {} : { backend }) }],
    dns: { addresses: ["10.96.0.10", "not an address"], port: 53 },
    serviceCidrs: [],
    clusterCidrs: [],
    lbPool: [],
    clusterDomain: "cluster.local",
    versions: {},
  };
  return { snapshot: emptySnapshot, cluster: { status } };
}

test("a running cluster's daemons serve DNS themselves; in plain mode endpoints are loopback addresses", () => {
  expect(ruleSettings(asked("full"))).toEqual({ localDnsIps: ["10.96.0.10"], allowLoopback: false });
  expect(ruleSettings(asked("plain")).allowLoopback).toBe(true);
  expect(ruleSettings({ snapshot: emptySnapshot })).toEqual({});
});

test.each([
  ["objects from files", { snapshot: emptySnapshot }, "nftables"],
  ["a full cluster", asked("full"), "nftables"],
  ["a plain one", asked("plain"), "userspace"],
  ["what the node itself says", asked("full", "userspace"), "userspace"],
  ["a word from a later version", asked("full", "ebpf"), "nftables"],
] as const)("the backend of %s", (_, of, want) => {
  expect(backendOf(of, "n1")).toBe(want);
});

test("backends that are asked for", () => {
  expect(parseBackends(undefined)).toBeUndefined();
  expect(parseBackends("userspace")).toEqual(["userspace"]);
  expect(parseBackends("all")).toEqual(backends);
  expect(() => parseBackends("ebpf")).toThrow(`--backend ebpf: there are ${backends.join(", ")}`);
});
