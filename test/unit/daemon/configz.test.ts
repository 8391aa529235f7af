import { expect, test } from "vitest";
import { parseProxyConfigurationText } from "../../../rules/config/text.ts";
import { configured } from "../../../src/daemon/configured.ts";
import { configz } from "../../../src/daemon/configz.ts";
import { plainConfig as base } from "./daemon-config.ts";

const head = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";

test("without a configuration: the Node's ranges, nothing said of what was not", () => {
  expect(configz(base)).toMatchObject({
    mode: "auto",
    hostnameOverride: "line",
    metricsBindAddress: "127.0.0.1:1",
    detectLocalMode: "NodeCIDR",
  });
  expect(configz(base)).not.toHaveProperty("healthzBindAddress");
  expect(parseProxyConfigurationText(JSON.stringify(configz(base))).faults).toEqual([]);
});

test.each([
  ["nothing", ""],
  ["an address of the node", "bindAddress: 10.0.0.9"],
  [
    "nftables",
    "mode: nftables\nnftables: {masqueradeAll: true, masqueradeBit: 9, minSyncPeriod: 1s500ms, syncPeriod: 40s}\nclusterCIDR: 10.1.0.0/16,fd01::/64",
  ],
  ["iptables", "mode: iptables\niptables: {localhostNodePorts: false}\nnodePortAddresses: [10.0.0.0/8]\nbindAddressHardFail: true"],
  ["ipvs", "mode: ipvs\nipvs: {scheduler: wlc, strictARP: true, excludeCIDRs: [10.9.0.0/16], tcpTimeout: 90s}\ndetectLocalMode: NodeCIDR"],
  [
    "a bridge",
    "detectLocalMode: BridgeInterface\ndetectLocal: {bridgeInterface: br0}\nnodePortAddresses: [primary]\nenableProfiling: true",
  ],
  [
    "links",
    "detectLocalMode: InterfaceNamePrefix\ndetectLocal: {interfaceNamePrefix: veth}\noomScoreAdj: -5\nhealthzBindAddress: '[::]:7'",
  ],
  ["connection tracking", "conntrack: {maxPerCore: 0, min: 5, tcpBeLiberal: true, udpTimeout: 7s, tcpEstablishedTimeout: 1h}"],
])("a daemon that is given what /configz says goes by the same: %s", (_, text) => {
  const source = { file: "f", told: [] };
  const { config } = configured(base, source, `${head}${text}\n`);
  const again = configured({ ...base, nodeName: "other" }, source, JSON.stringify(configz(config)));
  expect({ ...again.config, nodeName: "line" }).toEqual({ ...config, nodeName: "line" });
  expect(again.config.nodeName).toBe("line");
});
