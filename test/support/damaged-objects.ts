import fc from "fast-check";
import type { ObjectMeta } from "../../src/api/types/meta-v1.generated.ts";
import type { SnapshotKinds } from "../../src/snapshot/cluster-snapshot.ts";
import { makeNode, makeService, makeSlice } from "./rules-objects.ts";

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

const strange: Readonly<Record<string, fc.Arbitrary<Json>>> = {
  string: fc.constantFrom<Json>(
    "",
    "None",
    "10.96.0.1",
    "10.96.0.9",
    "0.0.0.0",
    "256.1.1.1",
    "10.0.0.0/33",
    "::",
    "fd00::/129",
    "fe80::1%eth0",
    "Local",
    "TCP",
    '"; flush ruleset;\n',
    "x".repeat(300),
    "-1",
  ),
  number: fc.constantFrom<Json>(0, -1, 1, 80, 30_000, 65_536, 2 ** 31, 2 ** 53, 1e20, 0.5),
  boolean: fc.boolean(),
  object: fc.constant<Json>({}),
  array: fc.constant<Json>([]),
};

function kindOf(value: Json): string {
  return value === null ? "object" : Array.isArray(value) ? "array" : typeof value;
}

/** One value somewhere below is replaced by a strange one of its kind, taken away, or, in a list, said twice. */
function damaged(value: Json): fc.Arbitrary<Json> {
  const here = strange[kindOf(value)] ?? fc.constant(null);
  if (Array.isArray(value) && value.length > 0) {
    const list = value as readonly Json[];
    const inside = fc.nat(list.length - 1).chain((i) => damaged(list[i] ?? null).map((v) => list.map((old, at) => (at === i ? v : old))));
    return fc.oneof(
      { weight: 6, arbitrary: inside },
      { weight: 1, arbitrary: here },
      { weight: 1, arbitrary: fc.constant([...list, ...list]) },
    );
  }
  if (value !== null && typeof value === "object") {
    const fields = Object.entries(value as Readonly<Record<string, Json>>);
    if (fields.length === 0) return here;
    const inside = fc
      .constantFrom(...fields)
      .chain(([name, old]) => damaged(old).map((v): Json => Object.fromEntries([...fields, [name, v]])));
    const without = fc.constantFrom(...fields).map(([name]): Json => Object.fromEntries(fields.filter(([n]) => n !== name)));
    return fc.oneof({ weight: 8, arbitrary: inside }, { weight: 1, arbitrary: without });
  }
  return here;
}

/** What the API server itself writes stays: names, by which objects are found, and the age that decides between two claims. */
function damagedObject<T extends { readonly metadata?: ObjectMeta }>(object: T): fc.Arbitrary<T> {
  const { name, namespace, creationTimestamp } = object.metadata ?? {};
  const kept = {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(creationTimestamp === undefined ? {} : { creationTimestamp }),
  };
  return fc
    .integer({ min: 1, max: 3 })
    .chain((times) => {
      let made: fc.Arbitrary<Json> = fc.constant(JSON.parse(JSON.stringify(object)) as Json);
      for (let i = 0; i < times; i++) made = made.chain(damaged);
      return made;
    })
    .map((made) => ({ ...(made as object as T), metadata: { ...(made as object as T).metadata, ...kept } }));
}

const ports = [
  { name: "http", port: 80, targetPort: 8080, protocol: "TCP", nodePort: 30080 },
  { name: "dns", port: 53, targetPort: 53, protocol: "UDP", nodePort: 30053 },
];
const bad = makeService(
  "bad",
  {
    type: "LoadBalancer",
    clusterIP: "10.96.0.2",
    clusterIPs: ["10.96.0.2", "fd96::2"],
    externalIPs: ["198.51.100.2"],
    ports,
    loadBalancerSourceRanges: ["192.0.2.0/24", "fd02::/64"],
    externalTrafficPolicy: "Local",
    internalTrafficPolicy: "Cluster",
    healthCheckNodePort: 30999,
    sessionAffinity: "ClientIP",
    sessionAffinityConfig: { clientIP: { timeoutSeconds: 30 } },
    trafficDistribution: "PreferClose",
  },
  {
    metadata: { creationTimestamp: "2026-01-02T00:00:00Z", annotations: { "fairway.dev/balance": "maglev", "fairway.dev/weights": "a=2" } },
    status: { loadBalancer: { ingress: [{ ip: "203.0.113.2", ipMode: "VIP" }, { hostname: "x.test" }] } },
  },
);
const badSlice = makeSlice(
  "bad",
  [
    { ip: "10.244.0.5", node: "n", zones: ["a"], nodes: ["n"], pod: "a" },
    { ip: "10.244.1.5", terminating: true, serving: true },
  ],
  {
    ports: [
      { name: "http", port: 8080, protocol: "TCP" },
      { name: "dns", port: 53, protocol: "UDP" },
    ],
  },
);
const badNode = makeNode("n", ["192.0.2.1", "fd02::1"], ["10.244.0.0/24", "fd44::/64"], { "topology.kubernetes.io/zone": "a" });
const badCidr: SnapshotKinds["ServiceCIDR"] = { metadata: { name: "kubernetes" }, spec: { cidrs: ["10.96.0.0/16", "fd96::/112"] } };
/** A Service that nobody damages, and its endpoint. */
export const good = makeService(
  "good",
  { clusterIP: "10.96.0.1", ports: [{ port: 80, protocol: "TCP" }] },
  { metadata: { creationTimestamp: "2026-01-01T00:00:00Z" } },
);
export const goodSlice = makeSlice("good", ["10.244.9.9"]);

/** A Service that uses all there is, a slice of its endpoints, the Node and the ServiceCIDR, each with some damage. */
export const damagedObjects = fc.record({
  service: damagedObject(bad),
  slice: damagedObject(badSlice),
  node: damagedObject(badNode),
  serviceCidr: damagedObject(badCidr),
});
