import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { emptyConfiguration, type ProxyConfiguration } from "../../../rules/config/proxy-configuration.ts";
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
] as const)("the backend of %s", async (_, of, want) => {
  expect(await backendOf(of, "n1", { named: false }, () => undefined)).toBe(want);
});

test("what the node has in use goes before what its cluster was told; a file named on the command line before both", async () => {
  let inUse = "iptables";
  const daemon = createServer((request, response) => response.end(request.url === "/proxyMode" ? inUse : ""));
  await new Promise<void>((resolve) => daemon.listen(0, "127.0.0.1", resolve));
  try {
    const { port } = daemon.address() as AddressInfo;
    const of = asked("full");
    const [node] = of.cluster.status.nodes;
    if (node === undefined) throw new Error("no node");
    const cluster = { status: { ...of.cluster.status, nodes: [{ ...node, metrics: { address: "127.0.0.1", port } }] } };
    const remarks: string[] = [];
    const ask = (configured: ProxyConfiguration | undefined, named: boolean) =>
      backendOf({ ...of, cluster }, "n1", { configured, named }, (text) => remarks.push(text));
    const ipvs: ProxyConfiguration = { ...emptyConfiguration, mode: "ipvs" };
    expect(await ask(undefined, false)).toBe("iptables");
    expect(await ask(ipvs, false)).toBe("iptables");
    expect(await ask(ipvs, true)).toBe("ipvs");
    expect(await ask({ ...ipvs, mode: "auto" }, true)).toBe("iptables");
    expect(remarks).toEqual([]);
    inUse = "auto";
    expect(await ask(undefined, false)).toBe("nftables");
    expect(remarks).toEqual(["the daemon of n1 does not say which backend it has: nftables is taken; --backend names another"]);
  } finally {
    await new Promise((resolve) => daemon.close(resolve));
    daemon.closeAllConnections();
  }
});

test("backends that are asked for", () => {
  expect(parseBackends(undefined)).toBeUndefined();
  expect(parseBackends("userspace")).toEqual(["userspace"]);
  expect(parseBackends("all")).toEqual(backends);
  expect(() => parseBackends("ebpf")).toThrow(`--backend ebpf: there are ${backends.join(", ")}`);
});
