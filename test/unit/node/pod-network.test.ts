import { expect, test } from "vitest";
import { type Cidr, parseCidr } from "../../../src/base/cidr.ts";
import { printLinkStep } from "../../../src/kernel/link.ts";
import { parseSockets } from "../../../src/node/bound-addresses.ts";
import { printHostPorts } from "../../../src/node/host-ports.ts";
import { compilePodLink, PodAddresses, podLinkName } from "../../../src/node/pod-network.ts";

const cidr = (text: string): Cidr => parseCidr(text) ?? expect.fail(`no range: ${text}`);

test("addresses go round, so a released one comes last", () => {
  const addresses = new PodAddresses();
  addresses.setRanges([cidr("10.0.0.0/29"), cidr("fd00::/64")]);
  const first = addresses.allocate();
  expect(first).toEqual(["10.0.0.2", "fd00::2"]);
  addresses.release(first);
  expect([1, 2, 3, 4].map(() => addresses.allocate()[0])).toEqual(["10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]);
  expect(addresses.allocate()[0]).toBe("10.0.0.2");
  expect(() => addresses.allocate()).toThrow("no address is free in this node's pod range 10.0.0.0/29");
});

test("addresses of adopted pods are taken", () => {
  const addresses = new PodAddresses();
  addresses.setRanges([cidr("10.0.0.0/24")]);
  addresses.take(["10.0.0.2"]);
  expect(addresses.allocate()).toEqual(["10.0.0.3"]);
});

test("addresses that others are bound to are passed over", () => {
  const tcp = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0200407F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0300407F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1
   2: 0400407F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3 1 0 100 0 0 10 0
`;
  const busy = new Set(parseSockets(tcp, "0A"));
  expect([...busy]).toEqual(["127.64.0.2", "127.64.0.4"]);
  const addresses = new PodAddresses();
  addresses.setRanges([cidr("127.64.0.0/24")]);
  expect([addresses.allocate(busy), addresses.allocate(busy)]).toEqual([["127.64.0.3"], ["127.64.0.5"]]);
});

test("a pod's link in both families", () => {
  const link = { netns: "fwp-1", link: "veth1", ips: ["10.0.0.2", "fd00::2"] };
  const steps = compilePodLink(link, ["10.0.0.1", "fd00::1"], ["192.0.2.1"]);
  expect(steps.node.map(printLinkStep)).toEqual([
    "netns add fwp-1",
    "link add name veth1 type veth peer name eth0 netns fwp-1",
    "address replace 10.0.0.1/32 dev veth1",
    "address replace fd00::1/128 dev veth1 nodad",
    "link set dev veth1 up",
    "route replace 10.0.0.2/32 dev veth1 src 192.0.2.1",
    "route replace fd00::2/128 dev veth1",
  ]);
  expect(steps.pod.map(printLinkStep)).toEqual([
    "link set dev lo up",
    "address replace 10.0.0.2/32 dev eth0",
    "address replace fd00::2/128 dev eth0 nodad",
    "link set dev eth0 up",
    "route replace 10.0.0.1/32 dev eth0",
    "route replace 0.0.0.0/0 via 10.0.0.1 dev eth0",
    "route replace fd00::1/128 dev eth0",
    "route replace ::/0 via fd00::1 dev eth0",
  ]);
  expect(podLinkName("0f1e2d3c-aaaa-bbbb-cccc-000000000000").length).toBeLessThanOrEqual(15);
});

test("host ports: one rule a port and family, one for hairpins a pod; none leaves no table", () => {
  const port = { hostPort: 80, containerPort: 8080, protocol: "TCP" } as const;
  const text = printHostPorts([
    { port, podIps: ["10.0.0.2", "fd00::2"] },
    { port: { ...port, hostPort: 53, protocol: "UDP", hostIp: "192.0.2.1" }, podIps: ["10.0.0.2", "fd00::2"] },
  ]);
  expect(text.split("\n").filter((l) => l.includes(" ports meta "))).toEqual([
    "add rule inet fairway-hostports ports meta nfproto ipv4 tcp dport 80 dnat ip to 10.0.0.2:8080",
    "add rule inet fairway-hostports ports meta nfproto ipv6 tcp dport 80 dnat ip6 to [fd00::2]:8080",
    "add rule inet fairway-hostports ports meta nfproto ipv4 ip daddr 192.0.2.1 udp dport 53 dnat ip to 10.0.0.2:8080",
  ]);
  expect(text.split("\n").filter((l) => l.includes("masquerade"))).toHaveLength(2);
  expect(printHostPorts([])).toBe("add table inet fairway-hostports\ndelete table inet fairway-hostports\n");
});
