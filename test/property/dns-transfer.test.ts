import fc from "fast-check";
import { expect, test } from "vitest";
import { Answerer } from "../../dns/answer/answerer.ts";
import { transferMessages } from "../../dns/answer/zone-copy.ts";
import { decodeMessage } from "../../dns/wire/message.ts";
import { canonicalName, encodeName, isInZone } from "../../dns/wire/name.ts";
import { printRecord } from "../../dns/wire/zone-file.ts";
import { DnsZone } from "../../dns/zone/dns-zone.ts";
import { batchFromEmpty } from "../../src/snapshot/snapshot-store.ts";
import { type AnyObject, snapshotOf } from "../support/dns-cases.ts";
import { runs } from "../support/runs.ts";

const zones = ["cluster.local.", "96.10.in-addr.arpa.", "244.10.in-addr.arpa."];
const service = fc
  .record({
    name: fc.constantFrom("s1", "s2", "s3", "s4"),
    spec: fc.constantFrom<object[]>(
      { clusterIP: "10.96.0.1", ports: [{ name: "x", port: 1 }, { port: 2 }] },
      { clusterIPs: ["10.96.0.2", "fd00::2"], ports: [{ name: "y", port: 3, protocol: "UDP" }] },
      { clusterIP: "None" },
      { type: "ExternalName", externalName: "www.example.org" },
    ),
  })
  .map(({ name, spec }) => ({ kind: "Service", metadata: { namespace: "a", name }, spec }) as AnyObject);
/** Up to 700 addresses, so that zones take several messages. */
const slice = fc
  .record({ service: fc.constantFrom("s1", "s3"), n: fc.constantFrom(0, 1, 5, 700), named: fc.boolean() })
  .map(({ service: name, n, named }) => ({
    kind: "EndpointSlice",
    metadata: { namespace: "a", name: `${name}-${n}`, labels: { "kubernetes.io/service-name": name } },
    addressType: "IPv4",
    endpoints: Array.from({ length: n }, (_, i) => ({
      addresses: [`10.244.${i >> 8}.${i & 255}`],
      ...(named ? { hostname: `host-${i % 300}` } : {}),
    })),
    ports: [{ name: "x", port: 8080, protocol: "TCP" }],
  }));

test("what a transfer gives is what the zone has, between two SOAs, whatever happens meanwhile", () => {
  fc.assert(
    fc.property(fc.array(service, { maxLength: 4 }), fc.array(slice, { maxLength: 3 }), (services, slices) => {
      const zone = new DnsZone({ kubernetes: { zones, ttl: 7 }, revision: 100 });
      zone.apply(batchFromEmpty(snapshotOf([...services, ...slices])));
      const answerer = new Answerer({ kubernetes: { zones, ttl: 7 } });
      answerer.apply(zone.full());
      for (const name of zones) {
        const copy = answerer.copyZone(encodeName(name.toUpperCase()));
        if (copy === undefined) throw new Error("no zone");
        const messages = transferMessages(copy, { id: 77, name: encodeName(name.toUpperCase()), type: 252 });
        const got: string[] = [];
        for (const bytes of messages) {
          const m = decodeMessage(bytes);
          expect([m.id, m.authoritative, m.questions]).toEqual([77, true, [{ name: name.toUpperCase(), type: 252, class: 1 }]]);
          expect(bytes.length).toBeLessThan(0x4000);
          got.push(...m.answers.map((r) => printRecord({ ...r, name: canonicalName(r.name) })));
          // changes while it runs are of the next transfer
          answerer.apply({ revision: 999, upserts: [], deletes: [`s1.a.svc.${zones[0]}`] });
        }
        const soa = `${name} 7 IN SOA ns.dns.${name} hostmaster.${name} ${zone.revision} 7200 1800 86400 7`;
        expect([got[0], got.at(-1)]).toEqual([soa, soa]);
        const want = zone
          .full()
          .upserts.filter((u) => isInZone(u.key, name))
          .flatMap((u) =>
            u.records.sets.flatMap((s) => s.data.map((data) => printRecord({ name: u.key, class: 1, ttl: s.ttl ?? 7, data }))),
          );
        expect(got.slice(1, -1).sort()).toEqual(want.sort());
        answerer.apply(zone.full());
      }
    }),
    runs(40),
  );
});
