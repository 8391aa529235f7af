import fc from "fast-check";
import { expect, test } from "vitest";
import type { Endpoints, Node, Pod, Service } from "../../../src/api/types/core-v1.generated.ts";
import type { Endpoint, EndpointPort, EndpointSlice } from "../../../src/api/types/discovery-v1.generated.ts";
import { reconcileEndpoints } from "../../../src/controllers/endpoints/reconcile.ts";
import { endpointKey, maxEndpointsPerSlice, packEndpoints } from "../../../src/controllers/endpointslice/packing.ts";
import { reconcileEndpointSlices } from "../../../src/controllers/endpointslice/reconcile.ts";
import { reconcileMirror } from "../../../src/controllers/endpointslice-mirroring/reconcile.ts";
import { flatWrites, makePod, makeService, printWrites } from "../../support/workload-builders.ts";

const node = (name: string): Node => ({ metadata: { name, labels: { "topology.kubernetes.io/zone": `zone-of-${name}` } } });

/** Reconciles until nothing is left to do, as the loop does, and gives the slices. */
function slicesOf(
  service: Service,
  pods: readonly Pod[],
  before: readonly EndpointSlice[] = [],
): { slices: EndpointSlice[]; writes: number } {
  let slices = [...before];
  let writes = 0;
  for (let round = 0; round < 5; round++) {
    const todo = flatWrites(reconcileEndpointSlices({ service, pods, node, slices }).writes);
    if (todo.length === 0) return { slices, writes };
    writes += todo.length;
    for (const w of todo) {
      if (w.kind === "create") {
        const object = w.object as EndpointSlice;
        slices.push({
          ...object,
          metadata: { ...object.metadata, name: `web-${slices.length}-${round}`, uid: `s${slices.length}-${round}` },
        });
      } else if (w.kind === "update")
        slices = slices.map((s) => (s.metadata?.name === w.object.metadata?.name ? (w.object as EndpointSlice) : s));
      else if (w.kind === "delete") slices = slices.filter((s) => s.metadata?.name !== w.object.metadata?.name);
    }
  }
  throw new Error("it does not come to rest");
}

interface Case {
  readonly name: string;
  readonly service?: Service;
  readonly pod: Pod;
  readonly want: Partial<Endpoint> | undefined;
}
const conditions = (ready: boolean, serving: boolean, terminating: boolean) => ({ conditions: { ready, serving, terminating } });

const cases: readonly Case[] = [
  {
    name: "a ready pod",
    pod: makePod("a", { ip: "10.0.0.1", node: "n1" }),
    want: { addresses: ["10.0.0.1"], nodeName: "n1", zone: "zone-of-n1", ...conditions(true, true, false) },
  },
  { name: "a pod that is not ready", pod: makePod("a", { ip: "10.0.0.1", ready: false }), want: conditions(false, false, false) },
  { name: "a pod that ends and still serves", pod: makePod("a", { ip: "10.0.0.1", going: true }), want: conditions(false, true, true) },
  {
    name: "a pod that ends and serves no more",
    pod: makePod("a", { ip: "10.0.0.1", going: true, ready: false }),
    want: conditions(false, false, true),
  },
  {
    name: "not ready but published",
    service: makeService({ publishNotReadyAddresses: true }),
    pod: makePod("a", { ip: "10.0.0.1", ready: false }),
    want: conditions(true, false, false),
  },
  {
    name: "ending but published",
    service: makeService({ publishNotReadyAddresses: true }),
    pod: makePod("a", { ip: "10.0.0.1", going: true, ready: false }),
    want: conditions(true, false, true),
  },
  { name: "a pod without an address", pod: makePod("a"), want: undefined },
  { name: "a pod that succeeded", pod: makePod("a", { ip: "10.0.0.1", phase: "Succeeded" }), want: undefined },
  {
    name: "a pod that failed, though published",
    service: makeService({ publishNotReadyAddresses: true }),
    pod: makePod("a", { ip: "10.0.0.1", phase: "Failed" }),
    want: undefined,
  },
  {
    name: "a name in this Service",
    pod: makePod("a", { ip: "10.0.0.1", spec: { hostname: "one", subdomain: "web" } }),
    want: { hostname: "one" },
  },
  {
    name: "a name in another Service",
    pod: makePod("a", { ip: "10.0.0.1", spec: { hostname: "one", subdomain: "db" } }),
    want: { addresses: ["10.0.0.1"] },
  },
  {
    name: "hints for the pod's own zone",
    service: makeService({ trafficDistribution: "PreferClose" }),
    pod: makePod("a", { ip: "10.0.0.1", node: "n1" }),
    want: { hints: { forZones: [{ name: "zone-of-n1" }] } },
  },
  {
    name: "hints for the pod's own node",
    service: makeService({ trafficDistribution: "PreferSameNode" }),
    pod: makePod("a", { ip: "10.0.0.1", node: "n1" }),
    want: { hints: { forZones: [{ name: "zone-of-n1" }], forNodes: [{ name: "n1" }] } },
  },
];

test.each(cases)("$name", ({ service, pod, want }) => {
  const [slice, ...more] = slicesOf(service ?? makeService(), [pod]).slices;
  expect(more).toEqual([]);
  const [endpoint] = slice?.endpoints ?? [];
  if (want === undefined) expect(slice?.endpoints).toEqual([]);
  else expect(endpoint).toMatchObject({ ...want, targetRef: { kind: "Pod", namespace: "shop", name: "a", uid: "uid-a" } });
  if (want !== undefined && want.hostname === undefined) expect(endpoint).not.toHaveProperty("hostname");
});

test("labels, owner and trigger time of a slice", () => {
  const service = makeService({ clusterIP: "None" }, { labels: { team: "a", "kubernetes.io/service-name": "lie" } });
  const [slice] = slicesOf(service, [makePod("a", { ip: "10.0.0.1", ready: "2030-01-02T03:04:05.678Z" })]).slices;
  expect(slice?.metadata).toMatchObject({
    namespace: "shop",
    generateName: "web-",
    labels: {
      team: "a",
      "kubernetes.io/service-name": "web",
      "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
      "service.kubernetes.io/headless": "",
    },
    annotations: { "endpoints.kubernetes.io/last-change-trigger-time": "2029-12-31T00:00:00Z" },
    ownerReferences: [{ apiVersion: "v1", kind: "Service", name: "web", uid: "uid-web", controller: true, blockOwnerDeletion: true }],
  });
  const later = slicesOf(
    service,
    [makePod("a", { ip: "10.0.0.1", ready: false }), makePod("b", { ip: "10.0.0.2", ready: "2030-01-02T03:04:06.7Z" })],
    slice === undefined ? [] : [slice],
  );
  expect(later.slices[0]?.metadata?.annotations?.["endpoints.kubernetes.io/last-change-trigger-time"]).toBe("2030-01-01T00:00:00Z");
});

test("what is right is left alone, and changed labels are enough to write", () => {
  const pods = [makePod("a", { ip: "10.0.0.1" })];
  const first = slicesOf(makeService(), pods);
  expect(slicesOf(makeService(), pods, first.slices).writes).toBe(0);
  const relabelled = slicesOf(makeService({}, { labels: { x: "y" } }), pods, first.slices);
  expect([relabelled.writes, relabelled.slices[0]?.metadata?.labels?.["x"]]).toEqual([1, "y"]);
});

test("ports: numbers, names looked up pod by pod, names that nobody has, none at all", () => {
  const named = (port: number): Pod =>
    makePod(`p${port}`, {
      ip: `10.0.0.${port % 250}`,
      spec: { containers: [{ name: "m", ports: [{ name: "http", containerPort: port }] }] },
    });
  const ports = (service: Service, pods: readonly Pod[]) =>
    slicesOf(service, pods).slices.map((s) => s.ports?.map((p) => `${p.name}:${p.port}/${p.protocol}`));
  expect(ports(makeService(), [named(8080), named(8081)])).toEqual([[":8080/TCP"], [":8081/TCP"]]);
  expect(ports(makeService({ ports: [{ port: 80 }] }), [named(8080)])).toEqual([[":80/TCP"]]);
  expect(
    ports(
      makeService({
        ports: [
          { name: "a", port: 80, targetPort: 1 },
          { name: "b", port: 81, targetPort: "none" },
        ],
      }),
      [named(8080)],
    ),
  ).toEqual([["a:1/TCP"]]);
  expect(ports(makeService({ ports: [{ name: "dns", port: 53, protocol: "UDP", targetPort: "http" }] }), [named(8080)])).toEqual([[]]);
  expect(ports(makeService({ ports: [], clusterIP: "None" }), [named(8080)])).toEqual([[]]);
});

test("both families have slices of their own; one that is given up is deleted", () => {
  const pods = [makePod("a", { ip: ["10.0.0.1", "fd00::1"] }), makePod("b", { ip: "10.0.0.2" })];
  const both = slicesOf(makeService({ ipFamilies: ["IPv4", "IPv6"] }), pods).slices;
  expect(both.map((s) => [s.addressType, s.endpoints?.map((e) => e.addresses?.[0])])).toEqual([
    ["IPv4", ["10.0.0.1", "10.0.0.2"]],
    ["IPv6", ["fd00::1"]],
  ]);
  const one = slicesOf(makeService({ ipFamilies: ["IPv6"] }), pods, both).slices;
  expect(one.map((s) => s.addressType)).toEqual(["IPv6"]);
});

test("one changed endpoint is one write; a slice is reused for other ports", () => {
  const pods = Array.from({ length: 250 }, (_, i) => makePod(`p${i}`, { ip: `10.0.${i >> 8}.${i & 255}` }));
  const first = slicesOf(makeService(), pods);
  expect(first.slices.map((s) => s.endpoints?.length)).toEqual([100, 100, 50]);
  const changed = pods.map((p, i) => (i === 120 ? makePod("p120", { ip: "10.0.0.120", ready: false }) : p));
  expect(slicesOf(makeService(), changed, first.slices).writes).toBe(1);
  const [only] = slicesOf(makeService(), pods.slice(0, 1)).slices;
  const other = slicesOf(makeService({ ports: [{ port: 80, targetPort: 9 }] }), pods.slice(0, 1), only === undefined ? [] : [only]);
  expect([other.writes, other.slices.map((s) => s.metadata?.name), other.slices[0]?.ports?.[0]?.port]).toEqual([
    1,
    [only?.metadata?.name],
    9,
  ]);
});

const endpoint = (i: number): Endpoint => ({ addresses: [`10.0.0.${i}`], targetRef: { uid: `u${i}` } });
test("packing: every endpoint once, no slice too full, no empty one but a lone placeholder, few writes", () => {
  const world = fc.array(fc.uniqueArray(fc.integer({ min: 0, max: 400 }), { maxLength: 260 }), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(world, (states) => {
      let slices: EndpointSlice[] = [];
      let serial = 0;
      const ports: readonly EndpointPort[] = [{ name: "", port: 80, protocol: "TCP" }];
      for (const ids of states) {
        const before = new Map(slices.flatMap((s) => (s.endpoints ?? []).map((e) => [endpointKey(e), s.metadata?.name])));
        const groups = ids.length === 0 ? [] : [{ ports, endpoints: new Map(ids.map((i) => [`u${i}`, endpoint(i)])) }];
        const { slots, surplus } = packEndpoints(groups, slices, () => true);
        const gone = new Set(surplus);
        const written = new Set(slots.map((s) => s.slice));
        slices = slices.filter((s) => !gone.has(s) && !written.has(s));
        for (const slot of slots) {
          const metadata = slot.slice?.metadata ?? { name: `s${serial++}` };
          slices.push({ addressType: "IPv4", ports: slot.ports, endpoints: slot.endpoints, metadata });
        }
        expect(slices.flatMap((s) => (s.endpoints ?? []).map(endpointKey)).sort()).toEqual(ids.map((i) => `u${i}`).sort());
        for (const s of slices) expect(s.endpoints?.length).toBeLessThanOrEqual(maxEndpointsPerSlice);
        expect(slices.filter((s) => (s.endpoints ?? []).length === 0).length).toBe(ids.length === 0 ? 1 : 0);
        // Nothing moves from one slice to another.
        for (const s of slices)
          for (const e of s.endpoints ?? []) expect([undefined, s.metadata?.name]).toContain(before.get(endpointKey(e)));
        expect(packEndpoints(groups, slices, () => true)).toEqual({ slots: [], surplus: [] });
      }
    }),
    { numRuns: 50 },
  );
});

const endpointsOf = (service: Service, pods: readonly Pod[], existing?: Endpoints): Endpoints | undefined => {
  const [write] = reconcileEndpoints(service, pods, existing).writes;
  return write?.kind === "create" || write?.kind === "update" ? (write.object as Endpoints) : undefined;
};

test("Endpoints: ready and not ready apart, ending ones left out, first family only", () => {
  const pods = [
    makePod("b", { ip: ["10.0.0.2", "fd00::2"] }),
    makePod("a", { ip: "10.0.0.1", ready: false, node: "n1" }),
    makePod("c", { ip: "10.0.0.3", going: true }),
    makePod("d", { ip: "10.0.0.4", phase: "Succeeded" }),
  ];
  const object = endpointsOf(makeService({ ipFamilies: ["IPv4", "IPv6"] }, { labels: { x: "y" } }), pods);
  expect(object?.subsets).toMatchObject([
    { addresses: [{ ip: "10.0.0.2" }], notReadyAddresses: [{ ip: "10.0.0.1", nodeName: "n1" }], ports: [{ port: 8080, protocol: "TCP" }] },
  ]);
  expect(object?.metadata?.labels).toEqual({ x: "y", "endpoints.kubernetes.io/managed-by": "endpoint-controller" });
  expect(endpointsOf(makeService({ ipFamilies: ["IPv4", "IPv6"] }, { labels: { x: "y" } }), pods, object)).toBeUndefined();
  const published = endpointsOf(makeService({ publishNotReadyAddresses: true, clusterIP: "None" }), pods);
  expect(published?.subsets?.[0]?.addresses?.map((a) => a.ip)).toEqual(["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
  expect(published?.metadata?.labels).toHaveProperty(["service.kubernetes.io/headless"]);
});

test("Endpoints: ports with the same addresses share a subset, more than 1000 addresses are cut", () => {
  const pods = Array.from({ length: 1005 }, (_, i) => makePod(`p${i}`, { ip: `10.1.${i >> 8}.${i & 255}`, ready: i >= 10 }));
  const object = endpointsOf(
    makeService({
      ports: [
        { name: "b", port: 80, targetPort: 1 },
        { name: "a", port: 81, targetPort: 2 },
      ],
    }),
    pods,
  );
  expect(object?.subsets?.map((s) => [s.addresses?.length, s.notReadyAddresses?.length, s.ports?.map((p) => p.name)])).toEqual([
    [995, 5, ["a", "b"]],
  ]);
  expect(object?.metadata?.annotations).toEqual({ "endpoints.kubernetes.io/over-capacity": "truncated" });
});

test("Endpoints written by hand are mirrored, and follow it", () => {
  const endpoints: Endpoints = {
    metadata: {
      namespace: "shop",
      name: "web",
      uid: "e",
      labels: { a: "b" },
      annotations: { "kubectl.kubernetes.io/last-applied-configuration": "{}", note: "x" },
    },
    subsets: [
      {
        addresses: [{ ip: "192.0.2.1", hostname: "one" }, { ip: "2001:db8::1" }],
        notReadyAddresses: [{ ip: "192.0.2.2" }],
        ports: [{ name: "http", port: 80 }],
      },
    ],
  };
  const made = flatWrites(reconcileMirror(endpoints, []).writes).map((w) =>
    w.kind === "create" ? (w.object as EndpointSlice) : undefined,
  );
  expect(made.map((s) => [s?.addressType, s?.endpoints])).toEqual([
    [
      "IPv4",
      [
        { addresses: ["192.0.2.1"], conditions: { ready: true }, hostname: "one" },
        { addresses: ["192.0.2.2"], conditions: { ready: false } },
      ],
    ],
    ["IPv6", [{ addresses: ["2001:db8::1"], conditions: { ready: true } }]],
  ]);
  expect(made[0]?.metadata).toMatchObject({
    labels: {
      a: "b",
      "kubernetes.io/service-name": "web",
      "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
    },
    annotations: { note: "x" },
    ownerReferences: [{ kind: "Endpoints", uid: "e" }],
  });
  const slices = made.flatMap((s, i) => (s === undefined ? [] : [{ ...s, metadata: { ...s.metadata, name: `m${i}` } }]));
  expect(reconcileMirror(endpoints, slices).writes).toEqual([]);
  const fewer: Endpoints = { ...endpoints, subsets: [{ addresses: [{ ip: "192.0.2.1" }], ports: [{ name: "http", port: 80 }] }] };
  expect(printWrites(reconcileMirror(fewer, slices).writes)).toEqual(["update endpointslices m0", "delete endpointslices m1"]);
});
