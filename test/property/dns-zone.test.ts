import fc from "fast-check";
import { expect, test } from "vitest";
import { Answerer } from "../../dns/answer/answerer.ts";
import type { ZonesConfig } from "../../dns/config/zone-config.ts";
import { questionMessage } from "../../dns/handler/handler.ts";
import { encodeMessage } from "../../dns/wire/message.ts";
import { DnsZone } from "../../dns/zone/dns-zone.ts";
import type { RecordDelta } from "../../dns/zone/record-delta.ts";
import { reverseZones } from "../../dns/zone/reverse-zone.ts";
import { parseLabelSelector } from "../../src/api/selector.ts";
import { parseCidr } from "../../src/base/cidr.ts";
import { type Kind, objectKey } from "../../src/snapshot/cluster-snapshot.ts";
import { batchFromEmpty, SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import { runs } from "../support/runs.ts";

const namespace = fc.constantFrom("a", "b");
const serviceName = fc.constantFrom("s1", "s2", "s3");
const service = fc
  .record({
    namespace,
    name: serviceName,
    spec: fc.oneof(
      fc.record({
        clusterIP: fc.constantFrom("10.96.0.1", "10.96.0.2", "fd00::1"),
        externalIPs: fc.constantFrom([], [], ["10.244.0.1"], ["203.0.113.1"]),
        ports: fc.constantFrom([], [{ name: "x", port: 1 }], [{ port: 2 }]),
      }),
      fc.constant({ clusterIP: "None" }),
      fc.constantFrom({ type: "ExternalName", externalName: "s1.a.svc.cluster.local" }, { type: "ExternalName", externalName: "no name" }),
    ),
  })
  .map((s) => ({ kind: "Service" as const, metadata: { namespace: s.namespace, name: s.name }, spec: s.spec }));
const slice = fc
  .record({
    namespace,
    service: serviceName,
    n: fc.nat(2),
    endpoints: fc.array(
      fc.record(
        {
          addresses: fc.constantFrom(["10.244.0.1"], ["10.244.0.2"], ["fd00::2"]),
          hostname: fc.constantFrom("h1", "h2"),
          targetRef: fc.constantFrom({ kind: "Pod", name: "p1" }, { kind: "Pod", name: "p2" }),
          zone: fc.constantFrom("east", "west"),
          conditions: fc.record({ ready: fc.boolean() }),
        },
        { requiredKeys: ["addresses"] },
      ),
      { maxLength: 3 },
    ),
    ports: fc.constantFrom([], [{ name: "x", port: 8080, protocol: "TCP" }]),
  })
  .map((s) => ({
    kind: "EndpointSlice" as const,
    metadata: { namespace: s.namespace, name: `slice-${s.n}`, labels: { "kubernetes.io/service-name": s.service } },
    addressType: "IPv4",
    endpoints: s.endpoints,
    ports: s.ports,
  }));
const namespaceObject = fc
  .record({ name: namespace, labels: fc.constantFrom({}, { team: "red" }) })
  .map((metadata) => ({ kind: "Namespace" as const, metadata }));
const pod = fc
  .record({ namespace, name: fc.constantFrom("p1", "p2"), ip: fc.constantFrom("10.244.0.1", "10.244.0.3") })
  .map((p) => ({ kind: "Pod" as const, metadata: { namespace: p.namespace, name: p.name }, status: { podIP: p.ip } }));
const importLabels = fc.record({
  "multicluster.kubernetes.io/service-name": serviceName,
  "multicluster.kubernetes.io/source-cluster": fc.constantFrom("c1", "c2", "no label"),
});
/** Some are of a local Service as well. */
const foreignSlice = fc
  .tuple(slice, importLabels, fc.boolean())
  .map(([s, labels, isOurs]) => ({ ...s, metadata: { ...s.metadata, labels: isOurs ? { ...s.metadata.labels, ...labels } : labels } }));
const serviceImport = fc
  .record({
    namespace,
    name: serviceName,
    spec: fc.constantFrom(
      { type: "Headless", ports: [{ name: "x", port: 1 }] },
      { type: "ClusterSetIP", ips: ["10.96.0.1"], ports: [{ name: "x", port: 1 }] },
      { type: "ClusterSetIP", ips: ["10.96.0.9", "fd00::9"], ports: [] },
    ),
  })
  .map((s) => ({ kind: "ServiceImport" as const, metadata: { namespace: s.namespace, name: s.name }, spec: s.spec }));
const object = fc.oneof(service, slice, slice, namespaceObject, pod, foreignSlice, serviceImport);
const step = fc.record({ object, gone: fc.boolean(), take: fc.boolean() });

const zones = ["cluster.local.", ...reverseZones(parseCidr("10.96.0.0/16")!), ...reverseZones(parseCidr("10.244.0.0/16")!)];
/** Where only known names are answered. */
const passing = ["ip6.arpa."];

/** Every option is on in some of the configurations. */
const config: fc.Arbitrary<ZonesConfig> = fc.constantFrom<ZonesConfig[]>(
  { kubernetes: { zones } },
  {
    kubernetes: {
      zones: [...zones, "other.test", "0/30.0.244.10.in-addr.arpa"],
      endpointPodNames: true,
      zonalNames: true,
      pods: "verified",
    },
  },
  { kubernetes: { zones, namespaceLabels: parseLabelSelector("team=red"), pods: "verified", ignoreEmptyServices: true } },
  { kubernetes: { zones, namespaces: ["a"] }, external: { zones: ["example.com", "in-addr.arpa"], headless: true, ttl: 30 } },
  { kubernetes: { zones: [...zones, "clusterset.local"], multicluster: ["clusterset.local"], ignoreEmptyServices: true } },
  { kubernetes: { zones: [...zones, "set.test"], multicluster: ["set.test"], namespaceLabels: parseLabelSelector("team=red") } },
  { kubernetes: { zones: ["cluster.local"], noEndpoints: true }, external: { zones: ["example.com", "203.in-addr.arpa"] } },
);

test("zone and answers after any changes are those of a fresh build", () => {
  fc.assert(
    fc.property(config, fc.array(step, { maxLength: 25 }), (config, steps) => {
      const store = new SnapshotStore();
      const cursor = store.cursor(() => {});
      const zone = new DnsZone(config);
      const answerer = new Answerer({ ...config, passing });
      answerer.apply(zone.full());
      const follow = (): void => {
        const batch = cursor.take();
        if (batch !== undefined) answerer.apply(JSON.parse(JSON.stringify(zone.apply(batch).delta)) as RecordDelta);
      };
      for (const { object, gone, take } of steps) {
        const kind: Kind = object.kind;
        store.apply(kind, objectKey(object), gone ? undefined : object, "");
        if (take) follow();
      }
      follow();

      const fresh = new DnsZone(config);
      fresh.apply(batchFromEmpty(store.current));
      const byKey = (delta: RecordDelta): unknown => Object.fromEntries(delta.upserts.map((u) => [u.key, u.records]));
      expect(byKey(zone.full())).toEqual(byKey(fresh.full()));

      const rebuilt = new Answerer({ ...config, passing });
      rebuilt.apply({ ...fresh.full(), revision: zone.revision });
      expect(answerer.size).toBe(rebuilt.size);
      for (const a of [answerer, rebuilt]) a.setSynced();
      const names = new Set([
        ...fresh.full().upserts.map((u) => u.key),
        "h1.s1.a.svc.cluster.local.",
        "s1.a.svc.cluster.local.",
        "b.pod.cluster.local.",
      ]);
      for (const name of names) {
        for (const type of [1, 28, 33, 12, 16]) {
          const query = encodeMessage(questionMessage({ name, type, class: 1 }, { id: 1 }));
          expect(answersOf(answerer, query)).toEqual(answersOf(rebuilt, query));
        }
      }
    }),
    runs(150),
  );
});

test("one changed endpoint changes its Service's names and its own, and computes one Service", () => {
  const store = new SnapshotStore();
  const cursor = store.cursor(() => {});
  const zone = new DnsZone();
  const set = (service: string, ready: boolean): void => {
    const metadata = { namespace: "a", name: `${service}-1`, labels: { "kubernetes.io/service-name": service } };
    const endpoints = [{ addresses: [`10.0.${service.slice(1)}.1`] }, { addresses: [`10.0.${service.slice(1)}.2`], conditions: { ready } }];
    store.apply("EndpointSlice", `a/${service}-1`, { metadata, addressType: "IPv4", endpoints, ports: [] }, "");
  };
  for (let i = 0; i < 50; i++) {
    store.apply("Service", `a/s${i}`, { metadata: { namespace: "a", name: `s${i}` }, spec: { clusterIP: "None" } }, "");
    set(`s${i}`, true);
  }
  const first = cursor.take();
  if (first !== undefined) zone.apply(first);
  set("s7", false);
  const batch = cursor.take();
  if (batch === undefined) throw new Error("no batch");
  const { delta } = zone.apply(batch);
  expect(delta.upserts.map((u) => u.key)).toEqual(["s7.a.svc.cluster.local."]);
  expect(delta.deletes).toEqual(["10-0-7-2.s7.a.svc.cluster.local.", "2.7.0.10.in-addr.arpa."]);
});

/** An answer's bytes in an order that rotation does not change; "chain" when it is left to the chain. */
function answersOf(answerer: Answerer, query: Uint8Array): unknown {
  const out = new Uint8Array(0xffff);
  const n = answerer.answer(query, query.length, "10.0.0.1", out, "tcp");
  return n === undefined ? "chain" : [n, out[2], out[3], ...Array.from(out.subarray(0, n)).sort((a, b) => a - b)];
}
