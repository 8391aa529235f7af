import { expect, test } from "vitest";
import { type Cidr, parseCidr } from "../../../src/base/cidr.ts";
import { type KernelLink, printLinkStep } from "../../../src/kernel/link.ts";
import {
  assertNameFree,
  assertUnused,
  bridgeName,
  compileAddressRoutes,
  compileMachines,
  compilePodRoutes,
  type MachineConfig,
  ownedByName,
  portName,
} from "../../../src/node/machine-plan.ts";

const cidr = (text: string): Cidr => parseCidr(text) ?? expect.fail(`no range: ${text}`);
const config: MachineConfig = {
  name: "fairway",
  nodeNames: ["node-1", "node-2"],
  nodeRanges: [cidr("172.30.0.0/24"), cidr("fd42::/64")],
  podRanges: [cidr("10.244.0.0/16")],
  serviceRanges: [cidr("10.96.0.0/16"), cidr("fd43::/112")],
  loadBalancerRanges: [cidr("172.30.0.128/25")],
  clusterDns: ["10.96.0.10", "fd43::a"],
};

test("links, addresses and routes of two nodes, as ip -batch takes them", () => {
  const plan = compileMachines(config);
  const port = (n: number): string => portName("fairway", n);
  expect(plan.hostSteps.map(printLinkStep)).toEqual([
    "link add name fw-fairway type bridge",
    "address replace 172.30.0.1/24 dev fw-fairway",
    "address replace fd42::1/64 dev fw-fairway nodad",
    "link set dev fw-fairway up",
    "netns add fw-fairway-node-1",
    `link add name ${port(0)} type veth peer name eth0 netns fw-fairway-node-1`,
    `link set dev ${port(0)} master fw-fairway`,
    `link set dev ${port(0)} up`,
    "netns add fw-fairway-node-2",
    `link add name ${port(1)} type veth peer name eth0 netns fw-fairway-node-2`,
    `link set dev ${port(1)} master fw-fairway`,
    `link set dev ${port(1)} up`,
    "route replace 10.244.0.0/16 via 172.30.0.11",
    "route replace 10.96.0.0/16 via 172.30.0.11",
    "route replace fd43::/112 via fd42::b",
    "route replace 172.30.0.128/25 via 172.30.0.11",
  ]);
  expect(plan.nodeSteps.get("node-2")?.map(printLinkStep)).toEqual([
    "link set dev lo up",
    "address replace 10.96.0.10/32 dev lo scope host",
    "address replace fd43::a/128 dev lo nodad",
    "address replace 172.30.0.12/24 dev eth0",
    "address replace fd42::c/64 dev eth0 nodad",
    "link set dev eth0 up",
    "route replace 0.0.0.0/0 via 172.30.0.1",
    "route replace ::/0 via fd42::1",
  ]);
});

test("pod ranges are routed from everywhere but their own node", () => {
  const plan = compileMachines(config);
  const routes = compilePodRoutes(
    plan,
    config.nodeRanges,
    new Map([
      ["node-1", [cidr("10.244.0.0/24")]],
      ["node-2", [cidr("10.244.1.0/24")]],
    ]),
  );
  expect(routes.host.map(printLinkStep)).toEqual([
    "route replace 10.244.0.0/24 via 172.30.0.11",
    "route replace 10.244.1.0/24 via 172.30.0.12",
  ]);
  expect(routes.nodes.get("node-1")?.map(printLinkStep)).toEqual(["route replace 10.244.1.0/24 via 172.30.0.12"]);
});

test("routes to single addresses: what is new or has moved is set, what is named no more goes, the rest stays untouched", () => {
  const plan = compileMachines(config);
  const [one, two] = plan.machines;
  const before = new Map([
    ["192.0.2.1", "node-1"],
    ["192.0.2.2", "node-1"],
    ["192.0.2.3", "node-1"],
  ]);
  const after = new Map([
    ["192.0.2.1", "node-1"],
    ["192.0.2.2", "node-2"],
    ["fd00:2::1", "node-1"],
    ["192.0.2.9", "nobody"],
  ]);
  const { add, remove } = compileAddressRoutes(plan, config.nodeRanges, before, after);
  expect(add.map(printLinkStep)).toEqual([
    `route replace 192.0.2.2/32 via ${two?.ips[0]}`,
    `route replace fd00:2::1/128 via ${one?.ips[1]}`,
  ]);
  expect(remove.map(printLinkStep)).toEqual(["route delete 192.0.2.3/32"]);
});

test("names fit the kernel's 15 characters and differ by cluster", () => {
  const names = ["a", "fairway", "a-very-long-cluster-name-1", "a-very-long-cluster-name-2"];
  const bridges = names.map(bridgeName);
  expect(new Set(bridges).size).toBe(names.length);
  for (const name of [...bridges, ...names.map((n) => portName(n, 999))]) expect(name.length).toBeLessThanOrEqual(15);
});

test.each<{ name: string; change: Partial<MachineConfig>; message: string }>([
  {
    name: "pods in services",
    change: { podRanges: [cidr("10.96.128.0/17")] },
    message: "the pod range 10.96.128.0/17 and the service range 10.96.0.0/16 overlap",
  },
  {
    name: "no room for nodes",
    change: { nodeRanges: [cidr("172.30.0.0/28")], nodeNames: ["a", "b", "c", "d", "e"] },
    message: "has no address for node number 5",
  },
  { name: "load balancers on nodes", change: { loadBalancerRanges: [cidr("172.30.0.8/29")] }, message: "has no address for node number 1" },
])("refused: $name", ({ change, message }) => {
  expect(() => compileMachines({ ...config, ...change })).toThrow(message);
});

test.each([
  ["172.30.0.0/16", "docker0", "the node range 172.30.0.0/24 overlaps 172.30.0.0/16 on docker0"],
  ["10.96.3.4", "lo", "the service range 10.96.0.0/16 overlaps 10.96.3.4 on lo"],
  ["fd43::/64", "eth0", "the service range fd43::/112 overlaps fd43::/64 on eth0"],
])("a route to %s on %s is in the way", (to, link, message) => {
  expect(() => assertUnused(config, [{ to, link }])).toThrow(message);
});

test("other routes and those of the cluster's own bridge are not in the way", () => {
  assertUnused(config, [
    { to: "172.30.0.0/24", link: "fw-fairway" },
    { to: "192.0.2.0/24", link: "eth0" },
    { to: "fe80::/64", link: "eth0" },
    { to: "0.0.0.0/0", link: "eth0" },
  ]);
});

const kernelLinks = (...rows: readonly string[]): readonly KernelLink[] =>
  rows.map((row) => {
    const [name = "", kind = "", master] = row.split(" ");
    return { name, kind, ...(master === undefined ? {} : { master }) };
  });
const [port1, port2] = [portName("a", 0), portName("a", 1)];
test.each<[string, readonly string[], readonly string[], { netns: readonly string[]; links: readonly string[] }]>([
  [
    "a whole cluster",
    ["lo", "fw-a bridge", `${port1} veth fw-a`, `${port2} veth fw-a`],
    ["fw-a-node-1", "fw-a-node-2"],
    { netns: ["fw-a-node-1", "fw-a-node-2"], links: ["fw-a", port1, port2] },
  ],
  ["a bare bridge", ["fw-a bridge"], [], { netns: [], links: ["fw-a"] }],
  ["a bridge that others use", ["fw-a bridge", "tap0 tun fw-a", `${port1} veth fw-a`], [], { netns: [], links: [port1] }],
  ["something else of that name", ["fw-a dummy", `${port1} dummy`, `${port1}x veth`], ["fw-a", "fw-a-node-x"], { netns: [], links: [] }],
  [
    "other clusters'",
    ["fw-ab bridge", "fw-a-node-1 bridge", `${portName("ab", 0)} veth fw-ab`],
    ["fw-ab-node-1", "fw-a-node-1-node-1"],
    { netns: [], links: [] },
  ],
])("what a cluster made, by its name: %s", (_, links, namespaces, want) => {
  expect(ownedByName("a", kernelLinks(...links), namespaces)).toEqual(want);
});

test("a bridge's name that others have is refused with what to run", () => {
  expect(() => assertNameFree("a", kernelLinks("lo", "fw-b bridge"))).not.toThrow();
  expect(() => assertNameFree("a", kernelLinks("fw-a dummy"))).toThrow(
    "link fw-a is there already, a dummy; if nobody needs it, 'ip link delete fw-a' removes it; else choose another --name",
  );
  expect(() => assertNameFree("a", kernelLinks("fw-a bridge", "tap0 tun fw-a"))).toThrow(
    /fw-a is there already, a bridge with ports that no cluster made: tap0; /,
  );
});
