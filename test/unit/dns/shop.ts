import type { AnyObject, Case } from "../../support/dns-cases.ts";

/** A cluster with one Service of each sort. */
export const shop: readonly AnyObject[] = [
  object("Namespace", { name: "shop" }),
  object("Namespace", { name: "empty" }),
  object(
    "Service",
    { namespace: "shop", name: "web" },
    {
      clusterIP: "10.96.0.20",
      clusterIPs: ["10.96.0.20"],
      ports: [
        { name: "http", port: 80, protocol: "TCP" },
        { name: "metrics", port: 9090 },
      ],
    },
  ),
  object("Service", { namespace: "shop", name: "plain" }, { clusterIP: "10.96.0.21", ports: [{ port: 53, protocol: "UDP" }] }),
  object(
    "Service",
    { namespace: "shop", name: "dual" },
    {
      clusterIP: "10.96.0.22",
      clusterIPs: ["10.96.0.22", "fd00:96::22"],
      ports: [{ name: "http", port: 80 }],
    },
  ),
  object("Service", { namespace: "shop", name: "store" }, { clusterIP: "None", ports: [{ name: "db", port: 5432 }] }),
  object("Service", { namespace: "shop", name: "asleep" }, { clusterIP: "None", ports: [{ name: "db", port: 5432 }] }),
  object("Service", { namespace: "shop", name: "portless" }, { clusterIP: "None" }),
  object("Service", { namespace: "shop", name: "alias" }, { type: "ExternalName", externalName: "web.shop.svc.cluster.local" }),
  object("Service", { namespace: "shop", name: "outside" }, { type: "ExternalName", externalName: "db.example.org" }),
  object("Service", { namespace: "shop", name: "circle" }, { type: "ExternalName", externalName: "circle.shop.svc.cluster.local" }),
  object("Service", { namespace: "shop", name: "address" }, { type: "ExternalName", externalName: "10.1.2.3" }),
  object("Service", { namespace: "unlisted", name: "only" }, { clusterIP: "10.96.0.30", ports: [{ name: "x", port: 1 }] }),
  slice("web-1", "web", [{ addresses: ["10.244.1.9"], conditions: { ready: true } }], [{ name: "http", port: 8080, protocol: "TCP" }]),
  slice(
    "store-1",
    "store",
    [
      { addresses: ["10.244.1.2"], hostname: "store-0" },
      { addresses: ["10.244.1.3"], hostname: "store-1", conditions: { ready: true } },
      { addresses: ["10.244.1.4"], hostname: "store-2", conditions: { ready: false, serving: true } },
    ],
    [{ name: "db", port: 5432, protocol: "TCP" }],
  ),
  slice("store-6", "store", [{ addresses: ["fd00:244::"] }], [{ name: "db", port: 5432, protocol: "TCP" }]),
  slice("asleep-1", "asleep", [{ addresses: ["10.244.1.5"], conditions: { ready: false } }], [{ name: "db", port: 5432 }]),
  slice("portless-1", "portless", [{ addresses: ["10.244.1.3"] }], []),
];

export const reverse = ["96.10.in-addr.arpa.", "244.10.in-addr.arpa.", "4.4.2.0.0.0.d.f.ip6.arpa."];

const soa = ["cluster.local. 5 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5"];
const nxdomain = { rcode: "NXDOMAIN", authority: soa } as const;
const noData = { rcode: "NOERROR", authority: soa } as const;

export const shopCases: readonly Case[] = [
  // Services with a cluster IP
  yes("web.shop.svc.cluster.local.", "A", ["10.96.0.20"]),
  { qname: "web.shop.svc.cluster.local.", qtype: "AAAA", ...noData },
  { qname: "web.shop.svc.cluster.local.", qtype: "TYPE999", ...noData },
  {
    qname: "web.shop.svc.cluster.local.",
    qtype: "SRV",
    rcode: "NOERROR",
    answer: [
      "web.shop.svc.cluster.local. 5 IN SRV 0 50 80 web.shop.svc.cluster.local.",
      "web.shop.svc.cluster.local. 5 IN SRV 0 50 9090 web.shop.svc.cluster.local.",
    ],
    additional: ["web.shop.svc.cluster.local. 5 IN A 10.96.0.20"],
  },
  {
    qname: "_metrics._tcp.web.shop.svc.cluster.local.",
    qtype: "SRV",
    rcode: "NOERROR",
    answer: ["_metrics._tcp.web.shop.svc.cluster.local. 5 IN SRV 0 100 9090 web.shop.svc.cluster.local."],
    additional: ["web.shop.svc.cluster.local. 5 IN A 10.96.0.20"],
  },
  { qname: "_metrics._udp.web.shop.svc.cluster.local.", qtype: "SRV", ...nxdomain },
  { qname: "_metrics._tcp.web.shop.svc.cluster.local.", qtype: "A", ...noData },
  { qname: "_tcp.web.shop.svc.cluster.local.", qtype: "SRV", ...noData },
  {
    qname: "plain.shop.svc.cluster.local.",
    qtype: "SRV",
    rcode: "NOERROR",
    answer: ["plain.shop.svc.cluster.local. 5 IN SRV 0 100 53 plain.shop.svc.cluster.local."],
    additional: ["plain.shop.svc.cluster.local. 5 IN A 10.96.0.21"],
  },
  yes("dual.shop.svc.cluster.local.", "AAAA", ["fd00:96::22"]),
  {
    qname: "_http._tcp.dual.shop.svc.cluster.local.",
    qtype: "SRV",
    rcode: "NOERROR",
    answer: ["_http._tcp.dual.shop.svc.cluster.local. 5 IN SRV 0 50 80 dual.shop.svc.cluster.local."],
    additional: ["dual.shop.svc.cluster.local. 5 IN A 10.96.0.22", "dual.shop.svc.cluster.local. 5 IN AAAA fd00:96::22"],
  },
  yes("10-244-1-9.web.shop.svc.cluster.local.", "A", ["10.244.1.9"]),
  // headless
  yes("store.shop.svc.cluster.local.", "A", ["10.244.1.2", "10.244.1.3"]),
  yes("store.shop.svc.cluster.local.", "AAAA", ["fd00:244::"]),
  yes("store-0.store.shop.svc.cluster.local.", "A", ["10.244.1.2"]),
  yes("fd00-244--0.store.shop.svc.cluster.local.", "AAAA", ["fd00:244::"]),
  { qname: "store-2.store.shop.svc.cluster.local.", qtype: "A", ...nxdomain },
  {
    qname: "_db._tcp.store.shop.svc.cluster.local.",
    qtype: "SRV",
    rcode: "NOERROR",
    answer: ["store-0", "store-1", "fd00-244--0"].map(
      (h) => `_db._tcp.store.shop.svc.cluster.local. 5 IN SRV 0 33 5432 ${h}.store.shop.svc.cluster.local.`,
    ),
    additional: [
      "store-0.store.shop.svc.cluster.local. 5 IN A 10.244.1.2",
      "store-1.store.shop.svc.cluster.local. 5 IN A 10.244.1.3",
      "fd00-244--0.store.shop.svc.cluster.local. 5 IN AAAA fd00:244::",
    ],
  },
  { qname: "asleep.shop.svc.cluster.local.", qtype: "A", ...nxdomain },
  { qname: "portless.shop.svc.cluster.local.", qtype: "SRV", ...noData },
  yes("portless.shop.svc.cluster.local.", "A", ["10.244.1.3"]),
  // aliases
  { qname: "alias.shop.svc.cluster.local.", qtype: "CNAME", rcode: "NOERROR", answer: [cname("alias", "web.shop.svc.cluster.local.")] },
  {
    qname: "alias.shop.svc.cluster.local.",
    qtype: "A",
    rcode: "NOERROR",
    answer: [cname("alias", "web.shop.svc.cluster.local."), "web.shop.svc.cluster.local. 5 IN A 10.96.0.20"],
  },
  {
    qname: "alias.shop.svc.cluster.local.",
    qtype: "AAAA",
    rcode: "NOERROR",
    answer: [cname("alias", "web.shop.svc.cluster.local.")],
    authority: soa,
  },
  { qname: "outside.shop.svc.cluster.local.", qtype: "A", rcode: "NOERROR", answer: [cname("outside", "db.example.org.")] },
  {
    qname: "circle.shop.svc.cluster.local.",
    qtype: "A",
    rcode: "SERVFAIL",
    answer: Array.from({ length: 9 }, () => cname("circle", "circle.shop.svc.cluster.local.")),
  },
  { qname: "address.shop.svc.cluster.local.", qtype: "A", ...nxdomain },
  // what is not there, and what only has names below it
  { qname: "nope.shop.svc.cluster.local.", qtype: "A", ...nxdomain },
  { qname: "web.nope.svc.cluster.local.", qtype: "A", ...nxdomain },
  { qname: "www.example.org.shop.svc.cluster.local.", qtype: "A", ...nxdomain },
  { qname: "nope.cluster.local.", qtype: "A", ...nxdomain },
  { qname: "svc.cluster.local.", qtype: "A", ...noData },
  { qname: "pod.cluster.local.", qtype: "A", ...noData },
  { qname: "shop.svc.cluster.local.", qtype: "A", ...noData },
  { qname: "empty.svc.cluster.local.", qtype: "A", ...noData },
  { qname: "unlisted.svc.cluster.local.", qtype: "A", ...noData },
  { qname: "cluster.local.", qtype: "A", ...noData },
  { qname: "cluster.local.", qtype: "SOA", rcode: "NOERROR", answer: soa },
  {
    qname: "cluster.local.",
    qtype: "NS",
    rcode: "NOERROR",
    answer: ["cluster.local. 5 IN NS ns.dns.cluster.local."],
    additional: ["ns.dns.cluster.local. 5 IN A 127.0.0.1"],
  },
  yes("ns.dns.cluster.local.", "A", ["127.0.0.1"]),
  { qname: "dns-version.cluster.local.", qtype: "TXT", rcode: "NOERROR", answer: ['dns-version.cluster.local. 28800 IN TXT "1.1.0"'] },
  { qname: "web.shop.svc.cluster.local.", qtype: "ANY", rcode: "NOERROR", answer: ['web.shop.svc.cluster.local. 0 IN HINFO "RFC8482" ""'] },
  { qname: "cluster.local.", qtype: "AXFR", rcode: "REFUSED" },
  // pods
  yes("10-1-2-3.shop.pod.cluster.local.", "A", ["10.1.2.3"]),
  { qname: "10-1-2-3.shop.pod.cluster.local.", qtype: "AAAA", ...noData },
  yes("fd00--1.shop.pod.cluster.local.", "AAAA", ["fd00::1"]),
  { qname: "10-1-2-300.shop.pod.cluster.local.", qtype: "A", ...nxdomain },
  { qname: "10-1-2-3.nope.pod.cluster.local.", qtype: "A", ...nxdomain },
  // addresses
  ptr("20.0.96.10.in-addr.arpa.", ["web.shop.svc.cluster.local."]),
  ptr("2.1.244.10.in-addr.arpa.", ["store-0.store.shop.svc.cluster.local."]),
  ptr("3.1.244.10.in-addr.arpa.", ["10-244-1-3.portless.shop.svc.cluster.local.", "store-1.store.shop.svc.cluster.local."]),
  { qname: "4.1.244.10.in-addr.arpa.", qtype: "PTR", rcode: "NXDOMAIN", authority: ["244.10.in-addr.arpa. 5 IN SOA a. b. 0 0 0 0 0"] },
  { qname: "1.244.10.in-addr.arpa.", qtype: "PTR", rcode: "NOERROR", authority: ["244.10.in-addr.arpa. 5 IN SOA a. b. 0 0 0 0 0"] },
  ptr("0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.4.4.2.0.0.0.d.f.ip6.arpa.", ["fd00-244--0.store.shop.svc.cluster.local."]),
  // not ours, and nobody to ask
  { qname: "www.example.org.", qtype: "A", rcode: "REFUSED" },
  { qname: "local.", qtype: "A", rcode: "REFUSED" },
  { qname: ".", qtype: "NS", rcode: "REFUSED" },
];

function yes(qname: string, qtype: "A" | "AAAA", addresses: readonly string[]): Case {
  return { qname, qtype, rcode: "NOERROR", answer: addresses.map((a) => `${qname} 5 IN ${qtype} ${a}`) };
}

function ptr(qname: string, targets: readonly string[]): Case {
  return { qname, qtype: "PTR", rcode: "NOERROR", answer: targets.map((t) => `${qname} 5 IN PTR ${t}`) };
}

function cname(name: string, target: string): string {
  return `${name}.shop.svc.cluster.local. 5 IN CNAME ${target}`;
}

function object(kind: string, metadata: object, spec: object = {}): AnyObject & { readonly spec: object } {
  return { kind, metadata, spec };
}

function slice(name: string, service: string, endpoints: readonly object[], ports: readonly object[]): AnyObject {
  const metadata = { namespace: "shop", name, labels: { "kubernetes.io/service-name": service } };
  const body = { addressType: name.endsWith("-6") ? "IPv6" : "IPv4", endpoints, ports };
  return { kind: "EndpointSlice", metadata, ...body };
}
