import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { validateZones } from "../../../dns/config/zone-config.ts";
import { queryOnce } from "../../../dns/forward/query-once.ts";
import { type DnsServer, startDnsServer } from "../../../dns/server/dns-server.ts";
import { DnsZone } from "../../../dns/zone/dns-zone.ts";
import { batchFromEmpty } from "../../../src/snapshot/snapshot-store.ts";
import { outcomeOf, printCaseName, pureResolver, snapshotOf, wantedOutcome } from "../../support/dns-cases.ts";
import { externalGroups, optionGroups, optionObjects } from "./zone-options.ts";

describe.each([...optionGroups, ...externalGroups].map((g) => [g.name, g] as const))("%s", (_, group) => {
  const { config, objects = optionObjects, cases } = group;
  const resolve = pureResolver(objects, config);
  let server: DnsServer;
  beforeAll(async () => {
    server = startDnsServer({ ...config, listen: [{ ip: "127.0.0.1", port: 0 }], upstreams: [] });
    await server.ready;
    const zone = new DnsZone(config);
    zone.apply(batchFromEmpty(snapshotOf(objects)));
    server.apply(zone.full());
    server.setSynced();
  });
  afterAll(() => server.close());

  test.each(cases.map((c) => [printCaseName(c), c] as const))("%s", async (_name, c) => {
    expect(outcomeOf(await resolve(c))).toEqual(wantedOutcome(c));
    const at = server.addresses()[0] ?? { ip: "", port: 0 };
    expect(outcomeOf(await queryOnce(at, c.qname, { type: c.qtype }))).toEqual(wantedOutcome(c));
  });
});

test.each<[string, Parameters<typeof validateZones>[0], RegExp | undefined]>([
  ["nothing", {}, undefined],
  ["a ttl too long", { kubernetes: { ttl: 3601 } }, /^kubernetes\.ttl: 3601/],
  ["a ttl that is no whole number", { external: { zones: ["a.b"], ttl: 0.5 } }, /^external\.ttl: 0\.5/],
  ["a zone in capitals", { kubernetes: { zones: ["Cluster.local"] } }, /^kubernetes\.zones: "Cluster\.local"/],
  ["a zone without room", { kubernetes: { zones: [`${"a".repeat(60)}.${"b".repeat(60)}`] } }, /^kubernetes\.zones: .* leaves no room/],
  ["a classless zone", { kubernetes: { zones: ["128/26.2.0.192.in-addr.arpa."] } }, undefined],
  ["a name server with a dot at its end", { kubernetes: { nameServer: "ns.dns." } }, /^kubernetes\.nameServer/],
  ["an apex of two labels", { external: { zones: ["a.b"], apex: "x.y" } }, undefined],
  ["imports in a zone that is not served", { kubernetes: { multicluster: ["clusterset.local"] } }, /^kubernetes\.multicluster: clusterset/],
  ["imports in a served zone", { kubernetes: { zones: ["a.b", "c.d."], multicluster: ["c.d"] } }, undefined],
  ["too many zones", { kubernetes: { zones: Array.from({ length: 4001 }, (_, i) => `z${i}.test`) } }, /^zones: more than 4000/],
])("of %s is said what is wrong", (_, config, want) => {
  const wrong = validateZones(config);
  if (want === undefined) expect(wrong).toEqual([]);
  else expect(wrong.join("; ")).toMatch(want);
});
