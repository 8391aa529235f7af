import { expect, test } from "vitest";
import { parseObjects, snapshotOf } from "../../../src/cli/objects.ts";
import { parseSender, parseTarget, resolvePacketEnds } from "../../../src/cli/packet-ends.ts";

const snapshot = snapshotOf(
  parseObjects(
    "t.yaml",
    `
{apiVersion: v1, kind: Node, metadata: {name: n1}, status: {addresses: [{type: InternalIP, address: 192.0.2.1}, {type: InternalIP, address: "2001:db8:1::1"}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: n2}, status: {addresses: [{type: InternalIP, address: 192.0.2.2}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: shop}, spec: {nodeName: n1, containers: []}, status: {podIP: 10.1.0.5, podIPs: [{ip: 10.1.0.5}, {ip: "fd00::5"}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: four, namespace: shop}, spec: {nodeName: n2, containers: []}, status: {podIP: 10.1.1.5}}
---
{apiVersion: v1, kind: Pod, metadata: {name: host, namespace: shop}, spec: {nodeName: n1, hostNetwork: true, containers: []}, status: {podIP: 192.0.2.1}}
---
{apiVersion: v1, kind: Pod, metadata: {name: new, namespace: shop}, spec: {containers: []}, status: {phase: Pending}}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: 10.96.0.9, clusterIPs: [10.96.0.9, "fd96::9"], ports: [{name: http, port: 80}, {name: https, port: 443}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: dns, namespace: shop}, spec: {clusterIP: 10.96.0.10, ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: headless, namespace: shop}, spec: {clusterIP: None, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: out, namespace: shop}, spec: {type: ExternalName, externalName: example.test, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: bare, namespace: shop}, spec: {ports: [{port: 80}]}}
`,
  ),
);

const ask = (from: string, to: string, node = "n1") => resolvePacketEnds(snapshot, node, parseSender(from), parseTarget(to));

test.each([
  ["10.9.9.9", "10.96.0.9:80", "10.9.9.9 > 10.96.0.9:80/tcp"],
  ["10.9.9.9", "10.96.0.9:80/UDP", "10.9.9.9 > 10.96.0.9:80/udp"],
  ["external", "192.0.2.1:30080", "203.0.113.1 > 192.0.2.1:30080/tcp"],
  ["external", "[2001:db8:1::1]:30080", "2001:db8::1 > 2001:db8:1::1:30080/tcp"],
  ["external:198.51.100.7", "192.0.2.1:30080", "198.51.100.7 > 192.0.2.1:30080/tcp"],
  ["[fd00::7]", "web.shop:80", "fd00::7 > fd96::9:80/tcp"],
  ["shop/a", "web.shop:http", "10.1.0.5 > 10.96.0.9:80/tcp"],
  ["shop/a", "web.shop.svc.cluster.local:443", "10.1.0.5 > 10.96.0.9:443/tcp"],
  ["shop/a", "[fd96::9]:80", "fd00::5 > fd96::9:80/tcp"],
  ["node", "web.shop:80", "node 192.0.2.1 > 10.96.0.9:80/tcp"],
  ["node", "[fd96::9]:80", "node 2001:db8:1::1 > fd96::9:80/tcp"],
  ["shop/host", "web.shop:80", "node 192.0.2.1 > 10.96.0.9:80/tcp"],
  ["192.0.2.1", "web.shop:80", "node 192.0.2.1 > 10.96.0.9:80/tcp"],
  ["shop/a", "dns.shop", "10.1.0.5 > 10.96.0.10:53/tcp"],
  ["shop/a", "dns.shop:53/udp", "10.1.0.5 > 10.96.0.10:53/udp"],
  ["shop/a", "dns.shop:dns", "10.1.0.5 > 10.96.0.10:53/udp"],
])("from %s to %s", (from, to, want) => {
  const e = ask(from, to);
  expect(`${e.fromNode ? "node " : ""}${e.source} > ${e.destination}:${e.port}/${e.protocol}`).toBe(want);
});

test("a Pod of another node is traced with a remark", () => {
  expect(ask("shop/four", "web.shop:80").remarks).toEqual(["Pod shop/four is on Node n2; this is what Node n1 would do with its packet"]);
  expect(ask("shop/four", "web.shop:80", "n2").remarks).toEqual([]);
});

test.each([
  ["shop/none", "web.shop:80", "Input", "--from shop/none: no such Pod; there are shop/a, shop/four, shop/host, shop/new"],
  ["shop/new", "web.shop:80", "Input", "--from shop/new: status.podIP: this Pod has no address yet (phase Pending)"],
  ["shop/four", "[fd96::9]:80", "Input", "--from shop/four: status.podIPs: this Pod has no IPv6 address, and the target has no other"],
  ["10.0.0.1", "[fd96::9]:80", "Input", "one is IPv4 and the other IPv6"],
  ["shop/a", "web.shop", "Usage", "Service shop/web has several ports; say which: it has http 80/tcp, https 443/tcp"],
  ["shop/a", "web.shop:81", "Input", "no such port; it has http 80/tcp, https 443/tcp"],
  ["shop/a", "none.shop:80", "Input", "no Service shop/none; there are shop/web, shop/dns, shop/headless, shop/out, shop/bare"],
  ["shop/a", "web.other:80", "Input", "no Service other/web; nothing of this kind in namespace other"],
  ["shop/a", "headless.shop:80", "Input", "Service shop/headless is headless"],
  ["shop/a", "out.shop:80", "Input", "Service shop/out is an ExternalName (example.test)"],
  ["shop/a", "bare.shop:80", "Input", "Service shop/bare: spec.clusterIP: missing"],
  ["Shop/A", "web.shop:80", "Usage", "--from Shop/A: give an IP address, NAMESPACE/POD, node, external or external:IP"],
  ["external:x", "web.shop:80", "Usage", "--from external:x"],
  ["node", "10.0.0.1", "Usage", "--to 10.0.0.1: the port is missing"],
  ["node", "10.0.0.1:0", "Usage", "port 0: must be 1 to 65535"],
  ["node", "10.0.0.1:http", "Usage", "port http: must be a number"],
  ["node", "10.0.0.1:80/icmp", "Usage", "protocol icmp: there are tcp, udp, sctp"],
  ["node", "fd96::9:80", "Usage", "--to fd96::9:80: an IPv6 address needs brackets and a port"],
  ["node", "web:80", "Usage", "not an address and not a Service's name with its namespace"],
  ["node", "web.shop.pod:80", "Usage", "a Service's name goes on with .svc"],
  ["node", "10.0.0.300:80", "Usage", "--to 10.0.0.300:80"],
])("from %s to %s is refused", (from, to, code, message) => {
  expect(() => ask(from, to)).toThrow(expect.objectContaining({ code, message: expect.stringContaining(message) }));
});

test("a node without addresses cannot send", () => {
  expect(() => ask("node", "web.shop:80", "n9")).toThrow("Node n9: status.addresses: no InternalIP of IPv4 among the objects");
});
