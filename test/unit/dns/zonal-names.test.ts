import { afterAll, beforeAll, expect, test } from "vitest";
import { readCorefile } from "../../../dns/corefile/server-blocks.ts";
import { queryOnce } from "../../../dns/forward/query-once.ts";
import { type DnsServer, startDnsServer } from "../../../dns/server/dns-server.ts";
import { printRcode } from "../../../dns/wire/record-type.ts";
import { printRecord } from "../../../dns/wire/zone-file.ts";
import { DnsZone } from "../../../dns/zone/dns-zone.ts";
import { batchFromEmpty } from "../../../src/snapshot/snapshot-store.ts";
import { snapshotOf } from "../../support/dns-cases.ts";

const objects = [
  { kind: "Service", metadata: { name: "db", namespace: "prod" }, spec: { clusterIP: "None" } },
  {
    kind: "EndpointSlice",
    metadata: { name: "db-1", namespace: "prod", labels: { "kubernetes.io/service-name": "db" } },
    addressType: "IPv4",
    ports: [{ name: "pg", port: 5432, protocol: "TCP" }],
    endpoints: [
      { addresses: ["10.244.0.1"], hostname: "db-0", zone: "west-2a", conditions: { ready: true } },
      { addresses: ["10.244.0.2"], hostname: "db-1", zone: "corp.example.com", conditions: { ready: true } },
      { addresses: ["10.244.0.3"], hostname: "db-2", conditions: { ready: true } },
    ],
  },
  { kind: "Service", metadata: { name: "web", namespace: "prod" }, spec: { clusterIP: "10.96.0.1", ports: [{ port: 80 }] } },
];

let server: DnsServer;
beforeAll(async () => {
  const blocks = readCorefile(".:53 {\n kubernetes cluster.local {\n  zonal\n }\n}", "Corefile", { folder: "/" });
  server = startDnsServer({ listen: [{ ip: "127.0.0.1", port: 0 }], blocks, upstreams: [] });
  await server.ready;
  const zone = new DnsZone(blocks.zones);
  zone.apply(batchFromEmpty(snapshotOf(objects)));
  server.apply(zone.full());
  server.setSynced();
});
afterAll(() => server.close());

const srv = (zone: string, host: string): string =>
  `${zone}._zone.db.prod.svc.cluster.local. 5 IN SRV 0 100 5432 ${host}.db.prod.svc.cluster.local.`;
const a = (zone: string, n: number): string => `${zone}._zone.db.prod.svc.cluster.local. 5 IN A 10.244.0.${n}`;

test.each<[string, string, readonly string[]]>([
  ["west-2a.pin._zone.db.prod", "A", ["NOERROR", a("west-2a.pin", 1)]],
  ["west-2a.prefer._zone.db.prod", "A", ["NOERROR", a("west-2a.prefer", 1)]],
  ["corp.example.com.pin._zone.db.prod", "A", ["NOERROR", a("corp.example.com.pin", 2)]],
  ["west-2a.pin._zone.db.prod", "SRV", ["NOERROR", srv("west-2a.pin", "db-0")]],
  ["gone.pin._zone.db.prod", "A", ["NOERROR"]],
  ["gone.pin._zone.db.prod", "SRV", ["NOERROR"]],
  ["gone.prefer._zone.db.prod", "A", ["NOERROR", ...[1, 2, 3].map((n) => a("gone.prefer", n))]],
  ["a.b.Prefer._ZONE.db.prod", "TXT", ["NOERROR"]],
  ["gone.near._zone.db.prod", "A", ["NXDOMAIN"]],
  ["gone.pin._zone.web.prod", "A", ["NXDOMAIN"]],
  ["gone.prefer._zone.nope.prod", "A", ["NXDOMAIN"]],
  ["nope.prod", "A", ["NXDOMAIN"]],
])("%s %s", async (name, type, want) => {
  const at = server.addresses()[0] ?? { ip: "", port: 0 };
  const answer = await queryOnce(at, `${name}.svc.cluster.local`, { type, timeout: 20_000 });
  expect([printRcode(answer.rcode), ...answer.answers.map(printRecord).sort()]).toEqual(want);
  expect(answer.authority.length).toBe(want.length > 1 ? 0 : 1);
});
