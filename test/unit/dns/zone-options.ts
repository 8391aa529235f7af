import type { ZonesConfig } from "../../../dns/config/zone-config.ts";
import { parseLabelSelector } from "../../../src/api/selector.ts";
import type { AnyObject, Case } from "../../support/dns-cases.ts";

/** What one configuration makes of some objects. */
export interface OptionGroup {
  readonly name: string;
  readonly config: ZonesConfig;
  readonly objects?: readonly AnyObject[];
  readonly cases: readonly Case[];
}

const namespace = (name: string, labels: object = {}): AnyObject => ({ kind: "Namespace", metadata: { name, labels } });
const service = (key: string, spec: object, more: object = {}): AnyObject => {
  const [ns, name] = key.split("/");
  const { labels = {}, ...rest } = more as { labels?: object };
  return { kind: "Service", metadata: { namespace: ns, name, labels }, spec, ...rest } as AnyObject;
};
const slice = (key: string, endpoints: readonly object[], ports: readonly object[] = [{ name: "http", port: 8080 }]): AnyObject => {
  const [ns, name] = key.split("/");
  const metadata = { namespace: ns, name: `${name}-1`, labels: { "kubernetes.io/service-name": name } };
  return { kind: "EndpointSlice", metadata, addressType: "IPv4", endpoints, ports } as AnyObject;
};
const pod = (key: string, ip: string, more: object = {}, labels: object = {}): AnyObject => {
  const [ns, name] = key.split("/");
  return { kind: "Pod", metadata: { namespace: ns, name, labels }, status: { podIP: ip, podIPs: [{ ip }] }, ...more } as AnyObject;
};

/** Two namespaces; a Service with and one without endpoints, a headless one whose endpoints are pods in two zones. */
export const optionObjects: readonly AnyObject[] = [
  namespace("a", { team: "red" }),
  namespace("b", { team: "blue" }),
  service("a/web", { clusterIP: "10.96.0.1", ports: [{ name: "http", port: 80 }] }, { labels: { dns: "yes" } }),
  service("a/empty", { clusterIP: "10.96.0.2", ports: [{ name: "http", port: 80 }] }),
  service("a/db", { clusterIP: "None", ports: [{ name: "db", port: 5432 }] }),
  service("b/web", { clusterIP: "10.96.0.3", ports: [{ name: "http", port: 80 }] }),
  slice("a/web", [{ addresses: ["10.244.0.1"], targetRef: { kind: "Pod", name: "web-x7" } }]),
  slice("a/db", [
    { addresses: ["10.244.0.2"], hostname: "db-0", targetRef: { kind: "Pod", name: "db-0" }, zone: "east" },
    { addresses: ["10.244.0.3"], targetRef: { kind: "Pod", name: "db-q1" }, zone: "west" },
    { addresses: ["10.244.0.4"], zone: "west" },
    { addresses: ["10.244.0.5"], zone: "west", conditions: { ready: false }, targetRef: { name: "db-q2" } },
  ]),
  pod("a/loose", "10.244.0.9"),
  pod("a/ending", "10.244.0.10", { metadata: { namespace: "a", name: "ending", deletionTimestamp: "2026-01-01T00:00:00Z" } }),
  pod("a/ended", "10.244.0.11", { status: { phase: "Succeeded", podIP: "10.244.0.11" } }),
  pod("b/host", "192.168.0.1", { spec: { hostNetwork: true } }),
];

const soa = (zone = "cluster.local."): readonly string[] => [`${zone} 5 IN SOA ns.dns.${zone} hostmaster.${zone} 0 7200 1800 86400 5`];
const none = (qname: string, qtype: string, zone?: string): Case => ({ qname, qtype, rcode: "NXDOMAIN", authority: soa(zone) });
const noData = (qname: string, qtype: string, zone?: string): Case => ({ qname, qtype, rcode: "NOERROR", authority: soa(zone) });
const refused = (qname: string, qtype: string): Case => ({ qname, qtype, rcode: "REFUSED" });
const yes = (qname: string, qtype: string, data: readonly string[], more: Partial<Case> & { readonly ttl?: number } = {}): Case => {
  const { ttl = 5, ...rest } = more;
  return { qname, qtype, rcode: "NOERROR", answer: data.map((d) => `${qname} ${ttl} IN ${qtype} ${d}`), ...rest };
};

const imported = (key: string, spec: object): AnyObject => {
  const [ns, name] = key.split("/");
  return { kind: "ServiceImport", metadata: { namespace: ns, name }, spec } as AnyObject;
};
/** Of another cluster, or of none that it tells. */
const foreignSlice = (key: string, cluster: string | undefined, endpoints: readonly object[]): AnyObject => {
  const [ns, name] = key.split("/");
  const labels = { "multicluster.kubernetes.io/service-name": name, "multicluster.kubernetes.io/source-cluster": cluster };
  return {
    kind: "EndpointSlice",
    metadata: { namespace: ns, name: `${name}-of-${cluster}`, labels },
    addressType: "IPv4",
    endpoints,
    ports: [{ name: "pg", port: 5432 }],
  } as AnyObject;
};
const clusterset = "clusterset.local.";

/** A set's address, a headless one of two clusters, one without endpoints; a Service of the first one's name. */
const importObjects: readonly AnyObject[] = [
  namespace("a"),
  service("a/web", { clusterIP: "10.96.0.1", ports: [{ name: "http", port: 80 }] }),
  imported("a/web", { type: "ClusterSetIP", ips: ["10.112.0.1", "fd00::1"], ports: [{ name: "http", port: 80 }, { port: 81 }] }),
  foreignSlice("a/web", "east", [{ addresses: ["10.1.0.9"], hostname: "web-0" }]),
  imported("a/pending", { type: "ClusterSetIP", ports: [] }),
  imported("a/db", { type: "Headless", ports: [{ name: "pg", port: 5432 }] }),
  foreignSlice("a/db", "east", [
    { addresses: ["10.1.0.1"], hostname: "db-0", targetRef: { kind: "Pod", name: "db-0" } },
    { addresses: ["10.1.0.2"], conditions: { ready: false } },
  ]),
  foreignSlice("a/db", "west", [{ addresses: ["10.2.0.1"], hostname: "db-0" }, { addresses: ["10.2.0.3"] }]),
  foreignSlice("a/db", undefined, [{ addresses: ["10.3.0.1"] }]),
  imported("a/none", { type: "Headless", ports: [{ name: "pg", port: 5432 }] }),
  imported("c/far", { type: "ClusterSetIP", ips: ["10.112.0.3"], ports: [] }),
];

export const optionGroups: readonly OptionGroup[] = [
  {
    name: "nothing said",
    config: {},
    cases: [
      yes("web.a.svc.cluster.local.", "A", ["10.96.0.1"]),
      yes("empty.a.svc.cluster.local.", "A", ["10.96.0.2"]),
      yes("10-244-0-4.db.a.svc.cluster.local.", "A", ["10.244.0.4"]),
      yes("1-2-3-4.a.pod.cluster.local.", "A", ["1.2.3.4"]),
      yes("3.0.244.10.in-addr.arpa.", "PTR", ["10-244-0-3.db.a.svc.cluster.local."]),
      none("east._zone.db.a.svc.cluster.local.", "A"),
    ],
  },
  {
    name: "ttl 30",
    config: { kubernetes: { ttl: 30 } },
    cases: [
      yes("web.a.svc.cluster.local.", "A", ["10.96.0.1"], { ttl: 30 }),
      yes("web.a.svc.cluster.local.", "SRV", ["0 100 80 web.a.svc.cluster.local."], {
        ttl: 30,
        additional: ["web.a.svc.cluster.local. 30 IN A 10.96.0.1"],
      }),
      { qname: "x.a.svc.cluster.local.", qtype: "A", rcode: "NXDOMAIN", authority: soa() },
      yes("cluster.local.", "SOA", ["ns.dns.cluster.local. hostmaster.cluster.local. 0 7200 1800 86400 30"], { ttl: 30 }),
      yes("dns-version.cluster.local.", "TXT", ['"1.1.0"'], { ttl: 28800 }),
      yes("1-2-3-4.a.pod.cluster.local.", "A", ["1.2.3.4"], { ttl: 30 }),
    ],
  },
  {
    name: "ttl 0",
    config: { kubernetes: { ttl: 0 } },
    cases: [yes("web.a.svc.cluster.local.", "A", ["10.96.0.1"], { ttl: 0 })],
  },
  {
    name: "what other clusters export",
    config: { kubernetes: { zones: ["cluster.local", clusterset, "in-addr.arpa."], multicluster: [clusterset], pods: "verified" } },
    objects: importObjects,
    cases: [
      yes("web.a.svc.clusterset.local.", "A", ["10.112.0.1"]),
      yes("web.a.svc.clusterset.local.", "AAAA", ["fd00::1"]),
      noData("web.a.svc.clusterset.local.", "TXT", clusterset),
      yes("_http._tcp.web.a.svc.clusterset.local.", "SRV", ["0 50 80 web.a.svc.clusterset.local."], {
        additional: ["web.a.svc.clusterset.local. 5 IN A 10.112.0.1", "web.a.svc.clusterset.local. 5 IN AAAA fd00::1"],
      }),
      // one address stands for all clusters, and nobody is led past it
      none("web-0.east.web.a.svc.clusterset.local.", "A", clusterset),
      none("pending.a.svc.clusterset.local.", "A", clusterset),
      yes("db.a.svc.clusterset.local.", "A", ["10.1.0.1", "10.2.0.1", "10.2.0.3"]),
      yes("db-0.east.db.a.svc.clusterset.local.", "A", ["10.1.0.1"]),
      yes("db-0.west.db.a.svc.clusterset.local.", "A", ["10.2.0.1"]),
      yes("10-2-0-3.west.db.a.svc.clusterset.local.", "A", ["10.2.0.3"]),
      none("10-1-0-2.east.db.a.svc.clusterset.local.", "A", clusterset),
      none("10-3-0-1.db.a.svc.clusterset.local.", "A", clusterset),
      none("db-0.db.a.svc.clusterset.local.", "A", clusterset),
      noData("west.db.a.svc.clusterset.local.", "A", clusterset),
      yes(
        "_pg._tcp.db.a.svc.clusterset.local.",
        "SRV",
        ["db-0.east", "db-0.west", "10-2-0-3.west"].map((name) => `0 33 5432 ${name}.db.a.svc.clusterset.local.`),
        {
          additional: [
            "db-0.east.db.a.svc.clusterset.local. 5 IN A 10.1.0.1",
            "db-0.west.db.a.svc.clusterset.local. 5 IN A 10.2.0.1",
            "10-2-0-3.west.db.a.svc.clusterset.local. 5 IN A 10.2.0.3",
          ],
        },
      ),
      none("none.a.svc.clusterset.local.", "A", clusterset),
      yes("dns-version.clusterset.local.", "TXT", ['"1.0.0"'], { ttl: 28800 }),
      yes("1.0.112.10.in-addr.arpa.", "PTR", ["web.a.svc.clusterset.local."]),
      yes("1.0.2.10.in-addr.arpa.", "PTR", ["db-0.west.db.a.svc.clusterset.local."]),
      noData("a.svc.clusterset.local.", "A", clusterset),
      yes("far.c.svc.clusterset.local.", "A", ["10.112.0.3"]),
      none("10-2-0-1.a.pod.clusterset.local.", "A", clusterset),
      // each zone has its own kind of names
      yes("web.a.svc.cluster.local.", "A", ["10.96.0.1"]),
      none("db.a.svc.cluster.local.", "A"),
      none("10-1-0-1.a.pod.cluster.local.", "A"),
    ],
  },
  {
    name: "imports without endpoints are not told",
    config: { kubernetes: { zones: ["cluster.local", clusterset], multicluster: [clusterset], ignoreEmptyServices: true } },
    objects: importObjects,
    cases: [yes("web.a.svc.clusterset.local.", "A", ["10.112.0.1"]), none("far.c.svc.clusterset.local.", "A", clusterset)],
  },
  {
    name: "pods disabled",
    config: { kubernetes: { pods: "disabled" } },
    cases: [none("10-244-0-9.a.pod.cluster.local.", "A"), none("a.pod.cluster.local.", "A"), noData("pod.cluster.local.", "A")],
  },
  {
    name: "pods verified: by Pods, and by slices that name theirs",
    config: { kubernetes: { pods: "verified" } },
    cases: [
      yes("10-244-0-9.a.pod.cluster.local.", "A", ["10.244.0.9"]),
      noData("10-244-0-9.a.pod.cluster.local.", "AAAA"),
      yes("10-244-0-1.a.pod.cluster.local.", "A", ["10.244.0.1"]),
      yes("10-244-0-5.a.pod.cluster.local.", "A", ["10.244.0.5"]),
      none("10-244-0-4.a.pod.cluster.local.", "A"),
      none("10-244-0-9.b.pod.cluster.local.", "A"),
      none("1-2-3-4.a.pod.cluster.local.", "A"),
      none("10-244-0-10.a.pod.cluster.local.", "A"),
      none("10-244-0-11.a.pod.cluster.local.", "A"),
      none("192-168-0-1.b.pod.cluster.local.", "A"),
      noData("b.pod.cluster.local.", "A"),
    ],
  },
  {
    name: "endpoints called by their pods",
    config: { kubernetes: { endpointPodNames: true } },
    cases: [
      yes("db-0.db.a.svc.cluster.local.", "A", ["10.244.0.2"]),
      yes("db-q1.db.a.svc.cluster.local.", "A", ["10.244.0.3"]),
      yes("10-244-0-4.db.a.svc.cluster.local.", "A", ["10.244.0.4"]),
      none("10-244-0-3.db.a.svc.cluster.local.", "A"),
      yes("3.0.244.10.in-addr.arpa.", "PTR", ["db-q1.db.a.svc.cluster.local."]),
    ],
  },
  {
    name: "no endpoints",
    config: { kubernetes: { noEndpoints: true } },
    cases: [
      none("db.a.svc.cluster.local.", "A"),
      none("db-0.db.a.svc.cluster.local.", "A"),
      none("10-244-0-1.web.a.svc.cluster.local.", "A"),
      yes("web.a.svc.cluster.local.", "A", ["10.96.0.1"]),
      refused("2.0.244.10.in-addr.arpa.", "PTR"),
      yes("1.0.96.10.in-addr.arpa.", "PTR", ["web.a.svc.cluster.local."]),
    ],
  },
  {
    name: "one namespace",
    config: { kubernetes: { namespaces: ["a"] } },
    cases: [
      yes("web.a.svc.cluster.local.", "A", ["10.96.0.1"]),
      none("web.b.svc.cluster.local.", "A"),
      none("b.svc.cluster.local.", "A"),
      none("1-2-3-4.b.pod.cluster.local.", "A"),
      noData("a.svc.cluster.local.", "A"),
      refused("3.0.96.10.in-addr.arpa.", "PTR"),
    ],
  },
  {
    name: "namespaces by label",
    config: { kubernetes: { namespaceLabels: parseLabelSelector("team=blue") } },
    cases: [
      yes("web.b.svc.cluster.local.", "A", ["10.96.0.3"]),
      none("web.a.svc.cluster.local.", "A"),
      none("a.svc.cluster.local.", "A"),
      refused("2.0.244.10.in-addr.arpa.", "PTR"),
    ],
  },
  {
    name: "objects by label",
    config: { kubernetes: { labels: parseLabelSelector("dns in (yes, maybe)"), pods: "verified" } },
    cases: [
      yes("web.a.svc.cluster.local.", "A", ["10.96.0.1"]),
      none("empty.a.svc.cluster.local.", "A"),
      none("db.a.svc.cluster.local.", "A"),
      none("10-244-0-9.a.pod.cluster.local.", "A"),
    ],
  },
  {
    name: "Services without endpoints ignored",
    config: { kubernetes: { ignoreEmptyServices: true } },
    cases: [
      yes("web.a.svc.cluster.local.", "A", ["10.96.0.1"]),
      none("empty.a.svc.cluster.local.", "A"),
      none("_http._tcp.empty.a.svc.cluster.local.", "SRV"),
      yes("2.0.96.10.in-addr.arpa.", "PTR", ["empty.a.svc.cluster.local."]),
    ],
  },
  {
    name: "fall-through of all zones",
    config: { kubernetes: { zones: ["cluster.local", "96.10.in-addr.arpa"], fallthrough: ["."] } },
    cases: [
      yes("web.a.svc.cluster.local.", "A", ["10.96.0.1"]),
      noData("web.a.svc.cluster.local.", "AAAA"),
      refused("x.a.svc.cluster.local.", "A"),
      refused("9.0.96.10.in-addr.arpa.", "PTR"),
    ],
  },
  {
    name: "fall-through of one zone, and of a part of another",
    config: {
      kubernetes: { zones: ["cluster.local", "96.10.in-addr.arpa"], fallthrough: ["in-addr.arpa", "b.svc.cluster.local"] },
    },
    cases: [
      none("x.a.svc.cluster.local.", "A"),
      refused("x.b.svc.cluster.local.", "A"),
      yes("web.b.svc.cluster.local.", "A", ["10.96.0.3"]),
      refused("9.0.96.10.in-addr.arpa.", "PTR"),
      yes("1.0.96.10.in-addr.arpa.", "PTR", ["web.a.svc.cluster.local."]),
    ],
  },
  {
    name: "two forward zones: reverse names lead to the first",
    config: { kubernetes: { zones: ["cluster.local", "other.test", "96.10.in-addr.arpa"] } },
    cases: [
      yes("web.a.svc.cluster.local.", "A", ["10.96.0.1"]),
      yes("web.a.svc.other.test.", "A", ["10.96.0.1"]),
      yes("web.a.svc.other.test.", "SRV", ["0 100 80 web.a.svc.other.test."], { additional: ["web.a.svc.other.test. 5 IN A 10.96.0.1"] }),
      yes("1-2-3-4.a.pod.other.test.", "A", ["1.2.3.4"]),
      yes("dns-version.other.test.", "TXT", ['"1.1.0"'], { ttl: 28800 }),
      none("x.a.svc.other.test.", "A", "other.test."),
      yes("1.0.96.10.in-addr.arpa.", "PTR", ["web.a.svc.cluster.local."]),
      none("9.0.96.10.in-addr.arpa.", "PTR", "96.10.in-addr.arpa."),
    ],
  },
  {
    name: "classless reverse zones: by prefix and by range",
    config: { kubernetes: { zones: ["cluster.local", "0/30.0.96.10.in-addr.arpa", "4-127.0.244.10.in-addr.arpa"] } },
    cases: [
      yes("1.0/30.0.96.10.in-addr.arpa.", "PTR", ["web.a.svc.cluster.local."]),
      none("9.0/30.0.96.10.in-addr.arpa.", "PTR", "0/30.0.96.10.in-addr.arpa."),
      yes("4.4-127.0.244.10.in-addr.arpa.", "PTR", ["10-244-0-4.db.a.svc.cluster.local."]),
      none("2.4-127.0.244.10.in-addr.arpa.", "PTR", "4-127.0.244.10.in-addr.arpa."),
      yes("1.0.96.10.in-addr.arpa.", "PTR", ["web.a.svc.cluster.local."]),
    ],
  },
  {
    name: "a name server of another name",
    config: { kubernetes: { nameServer: "coredns.kube-system.svc" } },
    cases: [
      yes("cluster.local.", "NS", ["coredns.kube-system.svc.cluster.local."], {
        additional: ["coredns.kube-system.svc.cluster.local. 5 IN A 127.0.0.1"],
      }),
      yes("cluster.local.", "SOA", ["coredns.kube-system.svc.cluster.local. hostmaster.cluster.local. 0 7200 1800 86400 5"]),
      yes("coredns.kube-system.svc.cluster.local.", "A", ["127.0.0.1"]),
      none("ns.dns.cluster.local.", "A"),
    ],
  },
  {
    name: "names of topology zones",
    config: { kubernetes: { zonalNames: true } },
    cases: [
      yes("east.pin._zone.db.a.svc.cluster.local.", "A", ["10.244.0.2"]),
      yes("west.pin._zone.db.a.svc.cluster.local.", "A", ["10.244.0.3", "10.244.0.4"]),
      yes("EAST.Prefer._zone.db.a.svc.cluster.local.", "A", ["10.244.0.2"]),
      noData("west.pin._zone.db.a.svc.cluster.local.", "AAAA"),
      noData("west.pin._zone.db.a.svc.cluster.local.", "TXT"),
      noData("_zone.db.a.svc.cluster.local.", "A"),
      noData("pin._zone.db.a.svc.cluster.local.", "A"),
      none("east.near._zone.db.a.svc.cluster.local.", "A"),
      none("east.pin._zone.web.a.svc.cluster.local.", "A"),
    ],
  },
  {
    name: "aliases: in the zone, in the other zone, in a circle of two, outside",
    config: { kubernetes: { zones: ["cluster.local", "other.test"] } },
    objects: [
      service("a/web", { clusterIP: "10.96.0.1", ports: [{ name: "http", port: 80 }] }),
      service("a/near", { type: "ExternalName", externalName: "web.a.svc.cluster.local." }),
      service("a/far", { type: "ExternalName", externalName: "WEB.a.svc.other.test" }),
      service("a/twice", { type: "ExternalName", externalName: "far.a.svc.cluster.local", ports: [{ name: "http", port: 80 }] }),
      service("a/away", { type: "ExternalName", externalName: "www.example.org" }),
      service("a/gone", { type: "ExternalName", externalName: "gone.b.svc.cluster.local" }),
    ],
    cases: [
      {
        qname: "near.a.svc.cluster.local.",
        qtype: "SRV",
        rcode: "NOERROR",
        answer: [
          "near.a.svc.cluster.local. 5 IN CNAME web.a.svc.cluster.local.",
          "web.a.svc.cluster.local. 5 IN SRV 0 100 80 web.a.svc.cluster.local.",
        ],
        additional: ["web.a.svc.cluster.local. 5 IN A 10.96.0.1"],
      },
      {
        qname: "twice.a.svc.cluster.local.",
        qtype: "A",
        rcode: "NOERROR",
        answer: [
          "twice.a.svc.cluster.local. 5 IN CNAME far.a.svc.cluster.local.",
          "far.a.svc.cluster.local. 5 IN CNAME web.a.svc.other.test.",
          "web.a.svc.other.test. 5 IN A 10.96.0.1",
        ],
      },
      none("_http._tcp.twice.a.svc.cluster.local.", "SRV"),
      {
        qname: "away.a.svc.cluster.local.",
        qtype: "A",
        rcode: "NOERROR",
        answer: ["away.a.svc.cluster.local. 5 IN CNAME www.example.org."],
      },
      {
        qname: "gone.a.svc.cluster.local.",
        qtype: "A",
        rcode: "NXDOMAIN",
        answer: ["gone.a.svc.cluster.local. 5 IN CNAME gone.b.svc.cluster.local."],
        authority: soa(),
      },
    ],
  },
];

const externalSoa = ["example.com. 30 IN SOA ns1.dns.example.com. hostmaster.example.com. 0 7200 1800 86400 30"];
const reached: readonly AnyObject[] = [
  ...optionObjects,
  service(
    "a/lb",
    {
      clusterIP: "10.96.0.7",
      ports: [
        { name: "http", port: 80 },
        { port: 53, protocol: "UDP" },
      ],
    },
    {
      status: { loadBalancer: { ingress: [{ ip: "203.0.113.7" }, { ip: "2001:db8::7" }] } },
    },
  ),
  service(
    "a/both",
    { clusterIP: "10.96.0.8", externalIPs: ["203.0.113.8"], ports: [] },
    {
      status: { loadBalancer: { ingress: [{ ip: "203.0.113.8" }, { ip: "203.0.113.9" }] } },
    },
  ),
  service(
    "a/named",
    { clusterIP: "10.96.0.9", ports: [{ name: "https", port: 443 }] },
    {
      status: { loadBalancer: { ingress: [{ hostname: "LB.cloud.example" }] } },
    },
  ),
  service("b/local", { clusterIP: "10.96.0.10", externalIPs: ["203.0.113.10"], ports: [] }),
];

export const externalGroups: readonly OptionGroup[] = [
  {
    name: "external names with their ttl, apex and reverse zone",
    config: { external: { zones: ["example.com", "113.0.203.in-addr.arpa"], ttl: 30 } },
    objects: reached,
    cases: [
      yes("lb.a.example.com.", "A", ["203.0.113.7"], { ttl: 30 }),
      yes("lb.a.example.com.", "AAAA", ["2001:db8::7"], { ttl: 30 }),
      yes("lb.a.example.com.", "SRV", ["0 25 80 lb.a.example.com.", "0 25 53 lb.a.example.com."], {
        ttl: 30,
        additional: ["lb.a.example.com. 30 IN A 203.0.113.7", "lb.a.example.com. 30 IN AAAA 2001:db8::7"],
      }),
      yes("_http._tcp.lb.a.example.com.", "SRV", ["0 50 80 lb.a.example.com."], {
        ttl: 30,
        additional: ["lb.a.example.com. 30 IN A 203.0.113.7", "lb.a.example.com. 30 IN AAAA 2001:db8::7"],
      }),
      yes("both.a.example.com.", "A", ["203.0.113.8", "203.0.113.9"], { ttl: 30 }),
      {
        qname: "named.a.example.com.",
        qtype: "A",
        rcode: "NOERROR",
        answer: ["named.a.example.com. 30 IN CNAME lb.cloud.example."],
      },
      yes("_https._tcp.named.a.example.com.", "SRV", ["0 100 443 lb.cloud.example."], { ttl: 30 }),
      { qname: "web.a.example.com.", qtype: "A", rcode: "NXDOMAIN", authority: externalSoa },
      { qname: "db.a.example.com.", qtype: "A", rcode: "NXDOMAIN", authority: externalSoa },
      { qname: "a.example.com.", qtype: "A", rcode: "NOERROR", authority: externalSoa },
      { qname: "x.example.com.", qtype: "A", rcode: "NXDOMAIN", authority: externalSoa },
      { qname: "example.com.", qtype: "A", rcode: "NOERROR", authority: externalSoa },
      { qname: "dns.example.com.", qtype: "A", rcode: "NOERROR", authority: externalSoa },
      { qname: "example.com.", qtype: "SOA", rcode: "NOERROR", answer: externalSoa },
      yes("example.com.", "NS", ["ns1.dns.example.com."], { ttl: 30, additional: ["ns1.dns.example.com. 30 IN A 127.0.0.1"] }),
      yes("ns1.dns.example.com.", "A", ["127.0.0.1"], { ttl: 30 }),
      yes("7.113.0.203.in-addr.arpa.", "PTR", ["lb.a.example.com."], { ttl: 30 }),
      {
        qname: "1.113.0.203.in-addr.arpa.",
        qtype: "PTR",
        rcode: "NXDOMAIN",
        authority: ["113.0.203.in-addr.arpa. 30 IN SOA a. b. 0 0 0 0 0"],
      },
      // the cluster's own names stay as they are
      yes("lb.a.svc.cluster.local.", "A", ["10.96.0.7"]),
      yes("7.0.96.10.in-addr.arpa.", "PTR", ["lb.a.svc.cluster.local."]),
      none("x.a.svc.cluster.local.", "A"),
    ],
  },
  {
    name: "external names of headless Services, of one namespace, with another apex, falling through",
    config: {
      kubernetes: { namespaces: ["a"] },
      external: { zones: ["example.com", "in-addr.arpa"], headless: true, apex: "names", fallthrough: ["example.com"] },
    },
    objects: reached,
    cases: [
      yes("db.a.example.com.", "A", ["10.244.0.2", "10.244.0.3", "10.244.0.4"]),
      yes("db-0.db.a.example.com.", "A", ["10.244.0.2"]),
      yes(
        "_http._tcp.db.a.example.com.",
        "SRV",
        ["db-0", "10-244-0-3", "10-244-0-4"].map((h) => `0 33 8080 ${h}.db.a.example.com.`),
        {
          additional: ["db-0 2", "10-244-0-3 3", "10-244-0-4 4"].map((x) => {
            const [host, last] = x.split(" ");
            return `${host}.db.a.example.com. 5 IN A 10.244.0.${last}`;
          }),
        },
      ),
      // where only the external names have the reverse zone, they are what an address is called
      yes("2.0.244.10.in-addr.arpa.", "PTR", ["db-0.db.a.example.com."]),
      refused("local.b.example.com.", "A"),
      refused("x.example.com.", "A"),
      yes("example.com.", "NS", ["ns1.names.example.com."], { additional: ["ns1.names.example.com. 5 IN A 127.0.0.1"] }),
    ],
  },
];
