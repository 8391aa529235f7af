import { expect, test } from "vitest";
import { gossipSettings, unsharedLimits } from "../../../src/daemon/ingress-gossip.ts";
import { makeIngress, makeRules, makeSnapshot } from "../ingress/cluster.ts";

const node = (name: string, ip: string): string => `
kind: Node
metadata: {name: ${name}}
status: {addresses: [{type: InternalIP, address: ${ip}}]}
---`;
const secret = (key: string): string => `
kind: Secret
metadata: {name: fairway-ingress, namespace: kube-system}
data: {${key}: c2VjcmV0}
---`;
const limited = (annotations: string): string => makeIngress("web", { annotations, spec: makeRules("h.test", ["/", "Prefix", "a"]) });
const rate = '"nginx.ingress.kubernetes.io/global-rate-limit": "10"';
const two = node("a", "10.0.0.1") + node("b", "10.0.0.2");

test.for<[name: string, yaml: string, peers: number, told: readonly string[]]>([
  ["of two nodes with a Secret is shared", two + secret("gossip") + limited(rate), 2, []],
  ["of two nodes without one is not", two + limited(rate), 1, ["LimitNotShared web"]],
  ["nor with a Secret of another key", two + secret("other") + limited(rate), 1, ["LimitNotShared web"]],
  ["of one node is shared by its processes", node("a", "10.0.0.1") + limited(rate), 1, []],
  ["of a node without an address is not", node("b", "10.0.0.2") + limited(rate), 0, []],
  ["that nobody asks for is not told of", two + limited(""), 1, []],
])("a limit %s", ([, yaml, peers, told]) => {
  const snapshot = makeSnapshot(yaml);
  const settings = gossipSettings(snapshot, "a", "its own");
  expect(settings === "none" ? 0 : settings.nodes.length).toBe(peers);
  if (settings !== "none" && settings.nodes.length === 1) expect(settings.secret).toBe("its own");
  expect(unsharedLimits(snapshot, ["shop/web"]).map((p) => `${p.reason} ${p.object.name}`)).toEqual(told);
});
