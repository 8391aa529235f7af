import { describe, expect, test } from "vitest";
import { DnsZone } from "../../../dns/zone/dns-zone.ts";
import { addressOfLabel, endpointLabel } from "../../../dns/zone/endpoint-name.ts";
import { reverseName, reverseZones } from "../../../dns/zone/reverse-zone.ts";
import { parseCidr } from "../../../src/base/cidr.ts";
import { batchFromEmpty } from "../../../src/snapshot/snapshot-store.ts";
import { type AnyObject, snapshotOf } from "../../support/dns-cases.ts";

function problems(service: object, clusterDomain = "cluster.local"): readonly string[] {
  const object = { kind: "Service", ...service } as AnyObject;
  const zone = new DnsZone({ kubernetes: { zones: [clusterDomain] } });
  zone.apply(batchFromEmpty(snapshotOf([object])));
  return Array.from(zone.problems(), (p) => `${p.reason} ${p.field}: ${p.message}`);
}

describe("what cannot be a name becomes a Problem that says what to do", () => {
  test.each<[string, object, RegExp | undefined]>([
    ["a Service as it should be", { metadata: { namespace: "a", name: "b" }, spec: { clusterIP: "10.0.0.1" } }, undefined],
    ["one without an address yet", { metadata: { namespace: "a", name: "b" }, spec: {} }, undefined],
    [
      "a name with a dot",
      { metadata: { namespace: "a", name: "b.c" }, spec: { clusterIP: "10.0.0.1" } },
      /^InvalidName metadata\.name: Service a\/b\.c /,
    ],
    [
      "a cluster IP that is none",
      { metadata: { namespace: "a", name: "b" }, spec: { clusterIP: "10.0.0.300" } },
      /^InvalidAddress spec\.clusterIPs: .*"10\.0\.0\.300"/,
    ],
    [
      "an ExternalName that is an address",
      { metadata: { namespace: "a", name: "b" }, spec: { type: "ExternalName", externalName: "10.0.0.1" } },
      /^InvalidExternalName spec\.externalName: .*EndpointSlice$/,
    ],
    [
      "an ExternalName that is empty",
      { metadata: { namespace: "a", name: "b" }, spec: { type: "ExternalName" } },
      /^InvalidExternalName .*"" is not a host name/,
    ],
  ])("%s", (_, service, want) => {
    const found = problems(service);
    if (want === undefined) expect(found).toEqual([]);
    else expect(found.join()).toMatch(want);
  });

  test("a name that is too long with its cluster domain", () => {
    const label = "a".repeat(63);
    const service = { metadata: { namespace: label, name: label }, spec: { clusterIP: "10.0.0.1" } };
    expect(problems(service)).toEqual([]);
    expect(problems(service, `${label}.${label}`).join()).toMatch(/^NameTooLong/);
  });
});

test("the revision grows with each change that is one", () => {
  const zone = new DnsZone({ revision: 10 });
  const batch = batchFromEmpty(snapshotOf([{ kind: "Namespace", metadata: { name: "a" } }]));
  expect(zone.apply(batch).delta).toMatchObject({ revision: 11, deletes: [] });
  expect(zone.apply(batch).delta).toEqual({ revision: 11, upserts: [], edits: [], deletes: [] });
});

test.each([
  ["web-0", "10.0.0.1", "web-0"],
  [undefined, "10.0.0.1", "10-0-0-1"],
  ["", "fd00::1", "fd00--1"],
  [undefined, "fd00::", "fd00--0"],
])("the endpoint with hostname %j at %s is called %s", (hostname, ip, want) => {
  expect(endpointLabel(hostname, ip)).toBe(want);
});

test.each([
  ["10-0-0-1", "10.0.0.1"],
  ["fd00--1", "fd00::1"],
  ["1-2-3-4-5-6-7-8", "1:2:3:4:5:6:7:8"],
  ["10-0-0", undefined],
  ["010-0-0-1", undefined],
  ["web", undefined],
  ["", undefined],
])("the label %j spells %j", (label, want) => {
  expect(addressOfLabel(label)).toBe(want);
});

test.each([
  ["10.96.0.0/16", ["96.10.in-addr.arpa."]],
  ["10.96.0.0/14", ["96.10.in-addr.arpa.", "97.10.in-addr.arpa.", "98.10.in-addr.arpa.", "99.10.in-addr.arpa."]],
  ["10.1.2.128/31", ["128.2.1.10.in-addr.arpa.", "129.2.1.10.in-addr.arpa."]],
  ["fd00:96::/32", ["6.9.0.0.0.0.d.f.ip6.arpa."]],
  ["fd00::/15", ["0.0.d.f.ip6.arpa.", "1.0.d.f.ip6.arpa."]],
])("the reverse zones of %s are %j", (cidr, want) => {
  const parsed = parseCidr(cidr);
  expect(parsed === undefined ? undefined : reverseZones(parsed)).toEqual(want);
});

test("an address's reverse name is in its range's zone", () => {
  expect(reverseName("10.96.1.2")).toBe("2.1.96.10.in-addr.arpa.");
  expect(reverseName("fd00:96::2")).toBe(`2.${"0.".repeat(23)}6.9.0.0.0.0.d.f.ip6.arpa.`);
});
