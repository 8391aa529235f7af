import { expect, test } from "vitest";
import { resolveOffline, searchNames } from "../../../dns/handler/resolve-offline.ts";
import { snapshotOf } from "../../support/dns-cases.ts";
import { shop } from "./shop.ts";

const pod = { kind: "Pod", metadata: { namespace: "shop", name: "p" }, ...{ status: { podIP: "10.244.2.2" } } };
const snapshot = snapshotOf([...shop, pod]);
const web = { name: "web.shop.svc.cluster.local.", type: "A", ttl: 5, data: "10.96.0.20" };

test.each([
  ["web", { from: "shop/any" }],
  ["web", { from: "10.244.2.2" }],
  ["web.shop", { from: "shop/any" }],
  ["web.shop", { from: "other/any" }],
  ["web.shop.svc", { from: "other/any" }],
  ["web.shop.svc.cluster.local", {}],
  ["web.shop.svc.cluster.local.", {}],
])("%s is found from %j through the search path", async (name, options) => {
  expect(await resolveOffline(snapshot, name, "a", { ...options, search: true })).toEqual({
    rcode: "NOERROR",
    authoritative: true,
    answers: [web],
    authority: [],
    additional: [],
    handlers: ["kubernetes"],
  });
});

test("from another namespace the bare name is not found, nor without the search path", async () => {
  expect((await resolveOffline(snapshot, "web", "A", { from: "other/any", search: true })).rcode).toBe("NXDOMAIN");
  // outside of the cluster nobody is asked
  expect((await resolveOffline(snapshot, "www.example.org", "A", { from: "other/any", search: true })).rcode).toBe("REFUSED");
  expect((await resolveOffline(snapshot, "web", "A", { from: "shop/any" })).rcode).toBe("REFUSED");
});

test("negative answers show the SOA, aliases their target, other zones their own domain", async () => {
  const missing = await resolveOffline(snapshot, "nope.shop.svc.cluster.local", "A");
  expect(missing).toMatchObject({ rcode: "NXDOMAIN", answers: [], authority: [{ name: "cluster.local.", type: "SOA", ttl: 5 }] });
  const alias = await resolveOffline(snapshot, "outside.shop.svc.cluster.local", "AAAA");
  expect(alias).toMatchObject({ rcode: "NOERROR", answers: [{ type: "CNAME", data: "db.example.org." }], authority: [] });
  const other = await resolveOffline(snapshot, "web.shop.svc.k8s.test", "A", { clusterDomain: "k8s.test" });
  expect(other.answers).toEqual([{ ...web, name: "web.shop.svc.k8s.test." }]);
  const reverse = await resolveOffline(snapshot, "20.0.96.10.in-addr.arpa", "PTR");
  expect(reverse.answers).toMatchObject([{ type: "PTR", data: "web.shop.svc.cluster.local." }]);
});

test("a type that is none is named with what would be one", async () => {
  await expect(resolveOffline(snapshot, "web", "AA")).rejects.toThrow(/AA is not a record type; try A, AAAA/);
});

test.each([
  ["web", ["web.shop.svc.cluster.local.", "web.svc.cluster.local.", "web.cluster.local.", "web."]],
  ["web.", ["web."]],
  ["a.b.c.d.e", ["a.b.c.d.e.shop.svc.cluster.local.", "a.b.c.d.e.svc.cluster.local.", "a.b.c.d.e.cluster.local.", "a.b.c.d.e."]],
  ["a.b.c.d.e.f", ["a.b.c.d.e.f.", "a.b.c.d.e.f.shop.svc.cluster.local.", "a.b.c.d.e.f.svc.cluster.local.", "a.b.c.d.e.f.cluster.local."]],
])("a pod's resolver tries for %s: %j", (name, want) => {
  expect(searchNames(name, "shop", "cluster.local.")).toEqual(want);
});
