import { expect, test } from "vitest";
import { emptyConfiguration, parseProxyConfiguration, printFault } from "../../../../rules/config/proxy-configuration.ts";

const head = { apiVersion: "kubeproxy.config.k8s.io/v1alpha1", kind: "KubeProxyConfiguration" };

/** As kubeadm writes it: every field there, nothing said. */
const kubeadm = {
  ...head,
  bindAddress: "0.0.0.0",
  bindAddressHardFail: false,
  clientConnection: { acceptContentTypes: "", burst: 0, contentType: "", kubeconfig: "/var/lib/kube-proxy/kubeconfig.conf", qps: 0 },
  clusterCIDR: "10.244.0.0/16",
  configSyncPeriod: "0s",
  conntrack: {
    maxPerCore: null,
    min: null,
    tcpBeLiberal: false,
    tcpCloseWaitTimeout: null,
    tcpEstablishedTimeout: null,
    udpStreamTimeout: "0s",
    udpTimeout: "0s",
  },
  detectLocal: { bridgeInterface: "", interfaceNamePrefix: "" },
  detectLocalMode: "",
  enableProfiling: false,
  healthzBindAddress: "",
  hostnameOverride: "",
  iptables: { localhostNodePorts: null, masqueradeAll: false, masqueradeBit: null, minSyncPeriod: "0s", syncPeriod: "0s" },
  ipvs: {
    excludeCIDRs: null,
    minSyncPeriod: "0s",
    scheduler: "",
    strictARP: false,
    syncPeriod: "0s",
    tcpFinTimeout: "0s",
    tcpTimeout: "0s",
    udpTimeout: "0s",
  },
  logging: {
    flushFrequency: 0,
    options: { json: { infoBufferSize: "0" }, text: { infoBufferSize: "0" } },
    verbosity: 0,
  },
  metricsBindAddress: "",
  mode: "",
  nftables: { masqueradeAll: false, masqueradeBit: null, minSyncPeriod: "0s", syncPeriod: "0s" },
  nodePortAddresses: null,
  oomScoreAdj: null,
  portRange: "",
  showHiddenMetricsForVersion: "",
  winkernel: { enableDSR: false, forwardHealthCheckVip: false, networkName: "", rootHnsEndpointName: "", sourceVip: "" },
};

test("what kubeadm writes says where the API is and what the pods' range is, and nothing else", () => {
  const { configuration, faults } = parseProxyConfiguration(kubeadm);
  expect(faults).toEqual([]);
  expect(configuration).toEqual({
    ...emptyConfiguration,
    ...head,
    bindAddress: "0.0.0.0",
    clientConnection: { ...emptyConfiguration.clientConnection, kubeconfig: "/var/lib/kube-proxy/kubeconfig.conf" },
    clusterCIDR: [{ ip: "10.244.0.0", bits: 16, family: 4 }],
    logging: {
      ...emptyConfiguration.logging,
      flushFrequency: 0,
      options: { json: { splitStream: false, infoBufferSize: "0" }, text: { splitStream: false, infoBufferSize: "0" } },
    },
  });
});

const read: readonly { readonly given: object; readonly want: object }[] = [
  { given: {}, want: {} },
  { given: { mode: "nftables" }, want: { mode: "nftables" } },
  { given: { mode: "ipvs" }, want: { mode: "ipvs" } },
  { given: { nodePortAddresses: ["primary"] }, want: { nodePortAddresses: "primary" } },
  { given: { nodePortAddresses: [] }, want: { nodePortAddresses: undefined } },
  { given: { nodePortAddresses: ["192.0.2.0/24"] }, want: { nodePortAddresses: [{ ip: "192.0.2.0", bits: 24, family: 4 }] } },
  { given: { healthzBindAddress: "[::]:10257" }, want: { healthzBindAddress: { ip: "::", port: 10257 } } },
  { given: { healthzBindAddress: "10.0.0.1" }, want: { healthzBindAddress: { ip: "10.0.0.1", port: 10256 } } },
  { given: { metricsBindAddress: "::1" }, want: { metricsBindAddress: { ip: "::1", port: 10249 } } },
  { given: { featureGates: { A: true } }, want: { featureGates: new Map([["A", true]]) } },
  {
    given: { iptables: { syncPeriod: "1h1m1.5s", minSyncPeriod: "250ms" } },
    want: { iptables: { ...emptyConfiguration.iptables, syncPeriod: 3_661_500, minSyncPeriod: 250 } },
  },
  { given: { iptables: { masqueradeBit: 0 } }, want: { iptables: { ...emptyConfiguration.iptables, masqueradeBit: 0 } } },
  {
    given: { clusterCIDR: "10.244.0.0/16,fd00:244::/56" },
    want: {
      clusterCIDR: [
        { ip: "10.244.0.0", bits: 16, family: 4 },
        { ip: "fd00:244::", bits: 56, family: 6 },
      ],
    },
  },
];

test.each(read)("$given", ({ given, want }) => {
  const { configuration, faults } = parseProxyConfiguration({ ...head, ...given });
  expect(faults).toEqual([]);
  expect(configuration).toEqual({ ...emptyConfiguration, ...head, ...want });
});

const refused: readonly { readonly given: unknown; readonly want: readonly string[] }[] = [
  { given: [], want: ["[]: must be an object"] },
  {
    given: {},
    want: ['kind: "": must be KubeProxyConfiguration', 'apiVersion: "": must be kubeproxy.config.k8s.io/v1alpha1'],
  },
  {
    given: { ...head, apiVersion: "kubeproxy.config.k8s.io/v1" },
    want: ['apiVersion: "kubeproxy.config.k8s.io/v1": must be kubeproxy.config.k8s.io/v1alpha1'],
  },
  { given: { ...head, clusterCidr: "10.0.0.0/8" }, want: ["clusterCidr: no such field; clusterCIDR is meant?"] },
  { given: { ...head, iptables: { masqeradeAll: true } }, want: ["iptables.masqeradeAll: no such field; masqueradeAll is meant?"] },
  {
    given: { ...head, detectLocal: { zzzzzz: 1 } },
    want: ["detectLocal.zzzzzz: no such field; there are bridgeInterface, interfaceNamePrefix"],
  },
  {
    given: { ...head, mode: "kernelspace" },
    want: ['mode: "kernelspace": must be one of auto, nftables, iptables, ipvs, userspace, or empty'],
  },
  { given: { ...head, iptables: { masqueradeBit: 32 } }, want: ["iptables.masqueradeBit: 32: must be a bit from 0 to 31"] },
  { given: { ...head, iptables: { masqueradeBit: "14" } }, want: ['iptables.masqueradeBit: "14": must be a bit from 0 to 31'] },
  { given: { ...head, nftables: { masqueradeAll: "yes" } }, want: ['nftables.masqueradeAll: "yes": must be true or false'] },
  {
    given: { ...head, iptables: { syncPeriod: 30 } },
    want: ["iptables.syncPeriod: 30: must be a time such as 30s, 1h30m or 250ms, not below 0"],
  },
  {
    given: { ...head, conntrack: { udpTimeout: "-1s" } },
    want: ['conntrack.udpTimeout: "-1s": must be a time such as 30s, 1h30m or 250ms, not below 0'],
  },
  {
    given: { ...head, iptables: { minSyncPeriod: "31s" } },
    want: ["iptables.minSyncPeriod: must not be above iptables.syncPeriod (30s, since it is not given)"],
  },
  {
    given: { ...head, nftables: { syncPeriod: "1s", minSyncPeriod: "2s" } },
    want: ["nftables.minSyncPeriod: must not be above nftables.syncPeriod"],
  },
  {
    given: { ...head, ipvs: { scheduler: "random" } },
    want: ['ipvs.scheduler: "random": must be one of rr, wrr, lc, wlc, lblc, lblcr, sh, dh, sed, nq, fo, ovf, mh, twos, or empty'],
  },
  {
    given: { ...head, ipvs: { excludeCIDRs: ["x"] } },
    want: ['ipvs.excludeCIDRs[0]: "x": must be a range such as 10.0.0.0/16 or fd00::/64'],
  },
  {
    given: { ...head, clusterCIDR: "10.0.0.0/8,10.1.0.0/16" },
    want: [
      'clusterCIDR: "10.0.0.0/8,10.1.0.0/16": must be a range such as 10.244.0.0/16, or one of each family such as 10.244.0.0/16,fd00:244::/56',
    ],
  },
  {
    given: { ...head, nodePortAddresses: ["primary", "10.0.0.0/8"] },
    want: ['nodePortAddresses[0]: "primary": stands alone, without ranges beside it'],
  },
  {
    given: { ...head, nodePortAddresses: ["10.0.0.1"] },
    want: ['nodePortAddresses[0]: "10.0.0.1": must be a range such as 192.0.2.0/24, or primary alone'],
  },
  { given: { ...head, nodePortAddresses: "primary" }, want: ['nodePortAddresses: "primary": must be a list'] },
  { given: { ...head, bindAddress: "localhost" }, want: ['bindAddress: "localhost": must be an IP address'] },
  {
    given: { ...head, healthzBindAddress: "0.0.0.0:0" },
    want: ['healthzBindAddress: "0.0.0.0:0": must be an address and port such as 0.0.0.0:10256 or [::]:10256'],
  },
  {
    given: { ...head, metricsBindAddress: "localhost:1" },
    want: ['metricsBindAddress: "localhost:1": must be an address and port such as 0.0.0.0:10249 or [::]:10249'],
  },
  {
    given: { ...head, detectLocalMode: "Bridge" },
    want: ['detectLocalMode: "Bridge": must be one of ClusterCIDR, NodeCIDR, BridgeInterface, InterfaceNamePrefix, or empty'],
  },
  {
    given: { ...head, detectLocalMode: "BridgeInterface" },
    want: ["detectLocal.bridgeInterface: must be given with detectLocalMode BridgeInterface"],
  },
  {
    given: { ...head, detectLocalMode: "InterfaceNamePrefix", detectLocal: { interfaceNamePrefix: "a very long name" } },
    want: ['detectLocal.interfaceNamePrefix: "a very long name": must be a link\'s name, of 15 characters at most'],
  },
  { given: { ...head, oomScoreAdj: 1001 }, want: ["oomScoreAdj: 1001: must be a whole number from -1000 to 1000"] },
  { given: { ...head, conntrack: { min: -1 } }, want: ["conntrack.min: -1: must be a whole number, not below 0"] },
  { given: { ...head, portRange: "9-1" }, want: ['portRange: "9-1": must be a range of ports such as 30000-32767'] },
  { given: { ...head, featureGates: { A: "true" } }, want: ['featureGates.A: "true": must be true or false'] },
  { given: { ...head, showHiddenMetricsForVersion: "v1" }, want: ['showHiddenMetricsForVersion: "v1": must be a version such as 1.35'] },
  {
    given: { ...head, mode: 7, oomScoreAdj: 5000 },
    want: [
      "mode: 7: must be one of auto, nftables, iptables, ipvs, userspace, or empty",
      "oomScoreAdj: 5000: must be a whole number from -1000 to 1000",
    ],
  },
];

test.each(refused)("refused: $given", ({ given, want }) => {
  expect(parseProxyConfiguration(given).faults.map(printFault)).toEqual(want);
});
