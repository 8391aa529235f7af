import { describe, expect, test } from "vitest";
import { categorizeEndpoints } from "../../../rules/model/categorize.ts";
import { type Endpoint, endpointsOfSlices, isForbidden } from "../../../rules/model/endpoint.ts";
import { nodeViewOf, sameNodeView } from "../../../rules/model/node-view.ts";
import type { EndpointSlice } from "../../../src/api/types/discovery-v1.generated.ts";
import { SnapshotStore } from "../../../src/snapshot/snapshot-store.ts";
import { makeNode, makeSlice, put } from "../../support/rules-objects.ts";

const options = { family: 4, nodeName: "n", plain: false } as const;
const read = (...slices: readonly EndpointSlice[]) => endpointsOfSlices(slices, options);

describe("endpoints of slices", () => {
  test("absent conditions mean ready, serving, not terminating", () => {
    const slice = { ...makeSlice("s", ["10.0.0.1"]), endpoints: [{ addresses: ["10.0.0.1"] }] };
    expect(read(slice).byPort.get("/tcp")).toMatchObject([
      { ip: "10.0.0.1", port: 8080, ready: true, serving: true, terminating: false, local: false },
    ]);
  });

  test("only the first address counts; they are sorted by address and port", () => {
    const slice = {
      ...makeSlice("s", ["10.0.0.1"]),
      endpoints: [{ addresses: ["10.0.0.9", "10.0.0.1"] }, { addresses: ["10.0.0.10"] }, { addresses: ["9.0.0.1"] }],
    };
    expect(
      read(slice)
        .byPort.get("/tcp")
        ?.map((e) => e.ip),
    ).toEqual(["9.0.0.1", "10.0.0.9", "10.0.0.10"]);
  });

  test("an unnamed port is a problem; ports without a number and unknown protocols are skipped", () => {
    const ports = [
      { port: 1 },
      { name: "zero", port: 0 },
      { name: "none" },
      { name: "odd", protocol: "QUIC", port: 2 },
      { name: "good", port: 3 },
    ];
    const { byPort, problems } = read(makeSlice("s", ["10.0.0.1"], { ports }));
    expect([...byPort.keys()]).toEqual(["good/tcp"]);
    expect(problems).toMatchObject([
      { reason: "PortUnnamed", field: "ports[0].name", object: { kind: "EndpointSlice", namespace: "test", name: "s-4" } },
    ]);
  });

  test("the same address and port in two slices: the one that does not terminate wins, in either order", () => {
    const old = makeSlice("s", [{ ip: "10.0.0.1", terminating: true }], { name: "a" });
    const now = makeSlice("s", ["10.0.0.1"], { name: "b" });
    for (const slices of [
      [old, now],
      [now, old],
    ])
      expect(read(...slices).byPort.get("/tcp")).toMatchObject([{ terminating: false, ready: true }]);
  });

  test("slices of the other family and of headless Services are no business of the rules", () => {
    const headless = makeSlice("s", ["10.0.0.1"]);
    const labels = { ...headless.metadata?.labels, "service.kubernetes.io/headless": "" };
    expect(read({ ...headless, metadata: { ...headless.metadata, labels } }, makeSlice("s", ["fd00::1"])).byPort.size).toBe(0);
  });

  test.each([
    ["127.0.0.1", "AddressForbidden"],
    ["169.254.169.254", "AddressForbidden"],
    ["224.0.0.1", "AddressForbidden"],
    ["0.0.0.0", "AddressForbidden"],
    ["10.0.0", "AddressInvalid"],
    ["fd00::1", "AddressInvalid"],
  ])("%s is refused: %s", (ip, reason) => {
    const slice = { ...makeSlice("s", ["10.0.0.1"]), endpoints: [{ addresses: [ip] }] };
    expect(read(slice).problems).toMatchObject([{ reason, field: "endpoints[0].addresses[0]" }]);
  });

  test("a port that no packet can carry is refused, the slice's other ports are not", () => {
    const slice = {
      ...makeSlice("s", ["10.0.0.1"]),
      ports: [
        { name: "far", port: 65_536 },
        { name: "http", port: 8080 },
      ],
    };
    const { byPort, problems } = read(slice);
    expect(problems).toMatchObject([{ reason: "PortInvalid", field: "ports[0].port" }]);
    expect(byPort.size).toBe(1);
  });

  test.each([
    ["127.64.0.1", true, false],
    ["127.127.255.255", true, false],
    ["127.63.255.255", true, true],
    ["127.128.0.1", true, true],
    ["127.64.0.1", false, true],
    ["::1", true, true],
    ["fe80::1", false, true],
    ["ff02::1", false, true],
    ["fd00::1", false, false],
    ["::ffff:10.0.0.1", false, true],
  ])("%s, plain mode %s: forbidden %s", (ip, plain, forbidden) => {
    expect(isForbidden(ip, plain)).toBe(forbidden);
  });
});

describe("which endpoints may be used", () => {
  const endpoint = (name: string, more: Partial<Endpoint> = {}): Endpoint => ({
    ip: name,
    port: 80,
    ready: true,
    serving: true,
    terminating: false,
    local: false,
    zoneHints: [],
    nodeHints: [],
    ...more,
  });
  const draining = { ready: false, serving: true, terminating: true };
  const gone = { ready: false, serving: false, terminating: true };
  const notReady = { ready: false, serving: false };
  const rows: readonly (readonly [string, readonly Endpoint[], { cluster: readonly string[]; local: readonly string[]; any: boolean }])[] =
    [
      ["none", [], { cluster: [], local: [], any: false }],
      ["ready ones, some local", [endpoint("a", { local: true }), endpoint("b")], { cluster: ["a", "b"], local: ["a"], any: true }],
      ["not ready", [endpoint("a", { ...notReady, local: true })], { cluster: [], local: [], any: false }],
      ["a terminating one beside a ready one", [endpoint("a", draining), endpoint("b")], { cluster: ["b"], local: [], any: true }],
      [
        "only terminating ones that serve",
        [endpoint("a", { ...draining, local: true }), endpoint("b", gone)],
        { cluster: ["a"], local: ["a"], any: true },
      ],
      [
        "the policies fall back separately",
        [endpoint("a", { ...draining, local: true }), endpoint("b")],
        { cluster: ["b"], local: ["a"], any: true },
      ],
      [
        "zone hints on all",
        [endpoint("a", { zoneHints: ["z"] }), endpoint("b", { zoneHints: ["y", "z"] }), endpoint("c", { zoneHints: ["y"] })],
        { cluster: ["a", "b"], local: [], any: true },
      ],
      ["zone hints on some", [endpoint("a", { zoneHints: ["z"] }), endpoint("b")], { cluster: ["a", "b"], local: [], any: true }],
      ["zone hints for other zones", [endpoint("a", { zoneHints: ["y"] })], { cluster: ["a"], local: [], any: true }],
      [
        "hints of endpoints that are not ready do not count",
        [endpoint("a", { zoneHints: ["z"] }), endpoint("b", notReady)],
        { cluster: ["a"], local: [], any: true },
      ],
      [
        "hints do not narrow the local pool",
        [endpoint("a", { local: true, zoneHints: ["y"] }), endpoint("b", { zoneHints: ["z"] })],
        { cluster: ["b"], local: ["a"], any: true },
      ],
      [
        "node hints before zone hints",
        [endpoint("a", { nodeHints: ["n"], zoneHints: ["y"] }), endpoint("b", { nodeHints: ["m"], zoneHints: ["z"] })],
        { cluster: ["a"], local: [], any: true },
      ],
      [
        "hints do not narrow the fall-back",
        [endpoint("a", { ...draining, zoneHints: ["y"] }), endpoint("b", { ...draining, zoneHints: ["z"] })],
        { cluster: ["a", "b"], local: [], any: true },
      ],
    ];
  test.each(rows)("%s", (_, endpoints, want) => {
    const got = categorizeEndpoints(endpoints, { nodeName: "n", zone: "z" });
    expect({ cluster: got.cluster.map((e) => e.ip), local: got.local.map((e) => e.ip), any: got.any }).toEqual(want);
  });

  test("a node without a zone follows no zone hint", () => {
    expect(
      categorizeEndpoints([endpoint("a", { zoneHints: [""] }), endpoint("b", { zoneHints: ["z"] })], { nodeName: "n", zone: "" }).cluster
        .length,
    ).toBe(2);
  });
});

test("the node: InternalIPs, else ExternalIPs; ranges; leaving when deleted or tainted by the autoscaler", () => {
  const store = new SnapshotStore();
  expect(nodeViewOf(store.current, "n")).toEqual({ name: "n", zone: "", addresses: [], podCidrs: [], leaving: true });
  const node = makeNode("n", ["192.0.2.1", "nonsense", "fd00::1"], ["10.244.0.0/24"], { "topology.kubernetes.io/zone": "z" });
  put(store, "Node", node);
  const view = nodeViewOf(store.current, "n");
  expect(view).toMatchObject({
    zone: "z",
    addresses: ["192.0.2.1", "fd00::1"],
    podCidrs: [{ ip: "10.244.0.0", bits: 24 }],
    leaving: false,
  });
  put(store, "Node", { ...node, status: { addresses: [{ type: "ExternalIP", address: "203.0.113.1" }] } });
  expect(nodeViewOf(store.current, "n", "203.0.113.7").addresses).toEqual(["203.0.113.7", "203.0.113.1"]);
  expect(nodeViewOf(store.current, "n", "203.0.113.1").addresses).toEqual(["203.0.113.1"]);
  expect(nodeViewOf(store.current, "none", "203.0.113.7").addresses).toEqual(["203.0.113.7"]);
  expect(nodeViewOf(store.current, "n").addresses).toEqual(["203.0.113.1"]);
  put(store, "Node", { ...node, spec: { ...node.spec, taints: [{ key: "ToBeDeletedByClusterAutoscaler", effect: "NoSchedule" }] } });
  expect(nodeViewOf(store.current, "n").leaving).toBe(true);
  expect(sameNodeView(view, nodeViewOf(store.current, "n"))).toBe(false);
});
