import { expect, test } from "vitest";
import { parseProxyConfiguration } from "../../../../rules/config/proxy-configuration.ts";
import { modeOf, type ProxyMode, remarksOn, ruleSettingsOf, servingSettingsOf } from "../../../../rules/config/settings.ts";

function parse(given: object): ReturnType<typeof parseProxyConfiguration>["configuration"] {
  const { configuration, faults } = parseProxyConfiguration({
    apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
    kind: "KubeProxyConfiguration",
    ...given,
  });
  expect(faults).toEqual([]);
  return configuration;
}

const range = { ip: "10.244.0.0", bits: 16, family: 4 };

const rules: readonly { readonly given: object; readonly backend?: ProxyMode; readonly want: object }[] = [
  { given: {}, want: { clusterCidrs: [], masqueradeAll: false } },
  { given: { clusterCIDR: "10.244.0.0/16" }, want: { clusterCidrs: [range], masqueradeAll: false } },
  { given: { clusterCIDR: "10.244.0.0/16", detectLocalMode: "NodeCIDR" }, want: { masqueradeAll: false } },
  {
    given: { detectLocalMode: "BridgeInterface", detectLocal: { bridgeInterface: "cni0" } },
    want: { localInterface: { kind: "bridge", name: "cni0" }, masqueradeAll: false },
  },
  {
    given: { detectLocalMode: "InterfaceNamePrefix", detectLocal: { interfaceNamePrefix: "veth" } },
    want: { localInterface: { kind: "prefix", name: "veth" }, masqueradeAll: false },
  },
  {
    given: { iptables: { masqueradeAll: true, masqueradeBit: 5, minSyncPeriod: "1s", syncPeriod: "10s", localhostNodePorts: false } },
    want: {
      clusterCidrs: [],
      masqueradeAll: true,
      masqueradeBit: 5,
      minIntervalMs: 1000,
      syncIntervalMs: 10_000,
      localhostNodePorts: false,
    },
  },
  {
    given: { iptables: { masqueradeAll: true, masqueradeBit: 5 }, nftables: { masqueradeBit: 6 } },
    backend: "nftables",
    want: { clusterCidrs: [], masqueradeAll: false, masqueradeBit: 6 },
  },
  {
    given: { iptables: { masqueradeBit: 5, minSyncPeriod: "1s" }, ipvs: { minSyncPeriod: "2s" } },
    backend: "ipvs",
    want: { clusterCidrs: [], masqueradeAll: false, masqueradeBit: 5, minIntervalMs: 2000 },
  },
  { given: { bindAddress: "10.0.0.9" }, want: { clusterCidrs: [], masqueradeAll: false, primaryAddress: "10.0.0.9" } },
  { given: { bindAddress: "::" }, want: { clusterCidrs: [], masqueradeAll: false } },
  { given: { nodePortAddresses: ["primary"] }, want: { clusterCidrs: [], masqueradeAll: false, nodePortAddresses: "primary" } },
];

test.each(rules)("rules of $given for $backend", ({ given, backend, want }) => {
  const { ipvs: _, conntrack: __, ...rest } = ruleSettingsOf(parse(given), backend ?? "iptables");
  expect(rest).toEqual(want);
});

test("ipvs and connection tracking: what is not said is left alone, or as kube-proxy sets it", () => {
  expect(ruleSettingsOf(parse({}), "ipvs")).toMatchObject({
    ipvs: { strictArp: false },
    conntrack: { maxPerCore: 32768, min: 131072, tcpEstablishedTimeoutSeconds: 86400, tcpCloseWaitTimeoutSeconds: 3600 },
  });
  const given = {
    ipvs: { scheduler: "lc", strictARP: true, tcpTimeout: "15m", tcpFinTimeout: "1m", udpTimeout: "5m", excludeCIDRs: ["10.9.0.0/16"] },
    conntrack: { maxPerCore: 0, tcpEstablishedTimeout: "0s", tcpBeLiberal: true, udpTimeout: "30s", udpStreamTimeout: "3m" },
  };
  expect(ruleSettingsOf(parse(given), "ipvs")).toMatchObject({
    ipvs: {
      scheduler: "lc",
      strictArp: true,
      tcpTimeoutSeconds: 900,
      tcpFinTimeoutSeconds: 60,
      udpTimeoutSeconds: 300,
      excludeCidrs: [{ ip: "10.9.0.0", bits: 16, family: 4 }],
    },
    conntrack: { maxPerCore: 0, tcpBeLiberal: true, udpTimeoutSeconds: 30, udpStreamTimeoutSeconds: 180 },
  });
  expect(ruleSettingsOf(parse(given), "ipvs").conntrack).not.toHaveProperty("tcpEstablishedTimeoutSeconds");
});

test("serving: kube-proxy's addresses, by the family of bindAddress", () => {
  expect(servingSettingsOf(parse({}))).toEqual({
    healthz: { ip: "0.0.0.0", port: 10256 },
    metrics: { ip: "127.0.0.1", port: 10249 },
    hardFail: false,
    profiling: false,
  });
  expect(
    servingSettingsOf(
      parse({
        bindAddress: "::",
        metricsBindAddress: "[::]:9100",
        hostnameOverride: "Node-1",
        oomScoreAdj: -999,
        enableProfiling: true,
        logging: { verbosity: 4, format: "json" },
        clientConnection: { kubeconfig: "/k" },
      }),
    ),
  ).toEqual({
    healthz: { ip: "::", port: 10256 },
    metrics: { ip: "::", port: 9100 },
    hardFail: false,
    profiling: true,
    nodeName: "node-1",
    kubeconfig: "/k",
    oomScoreAdj: -999,
    logLevel: "debug",
    logFormat: "json",
  });
});

test("no mode is auto", () => {
  expect(modeOf(parse({}))).toBe("auto");
  expect(modeOf(parse({ mode: "userspace" }))).toBe("userspace");
});

const remarks: readonly { readonly given: object; readonly backend?: ProxyMode; readonly want: readonly string[] }[] = [
  { given: { clusterCIDR: "10.244.0.0/16" }, want: [] },
  { given: {}, want: ["clusterCIDR: not given, so nobody counts as a pod: ClusterIP traffic from outside is not masqueraded"] },
  {
    given: { detectLocalMode: "NodeCIDR", portRange: "1-2", winkernel: { enableDSR: true }, ipvs: { scheduler: "lc" } },
    want: ["winkernel, portRange, ipvs.scheduler: without a meaning here"],
  },
  { given: { detectLocalMode: "NodeCIDR", ipvs: { scheduler: "lc" } }, backend: "ipvs", want: [] },
  {
    given: { detectLocalMode: "NodeCIDR", iptables: { masqueradeAll: true } },
    backend: "nftables",
    want: ["iptables.masqueradeAll: not read, since backend nftables reads section nftables"],
  },
  { given: { detectLocalMode: "NodeCIDR", iptables: { masqueradeBit: 5 }, nftables: { masqueradeBit: 5 } }, backend: "nftables", want: [] },
];

test.each(remarks)("remarks on $given for $backend", ({ given, backend, want }) => {
  expect(remarksOn(parse(given), backend ?? "iptables")).toEqual(want);
});
