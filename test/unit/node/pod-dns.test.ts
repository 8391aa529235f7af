import { expect, test } from "vitest";
import type { PodSpec } from "../../../src/api/types/core-v1.generated.ts";
import { parseResolvConf, podDns, podHostname, printHostNetworkHosts, printHosts, printResolvConf } from "../../../src/node/pod-dns.ts";

const cluster = {
  ips: ["10.96.0.10"],
  domain: "cluster.local",
  host: { nameservers: ["192.0.2.53"], search: ["corp.example"], options: ["timeout:1"] },
};
const resolvOf = (spec: PodSpec): string => printResolvConf(podDns({ metadata: { name: "p", namespace: "shop" }, spec }, cluster));
const first = "search shop.svc.cluster.local svc.cluster.local cluster.local corp.example\nnameserver 10.96.0.10\noptions ndots:5\n";
const host = "search corp.example\nnameserver 192.0.2.53\noptions timeout:1\n";

test.each<{ name: string; spec: PodSpec; want: string }>([
  { name: "ClusterFirst is what a pod gets", spec: {}, want: first },
  { name: "on the node's network ClusterFirst is Default", spec: { hostNetwork: true, dnsPolicy: "ClusterFirst" }, want: host },
  { name: "ClusterFirstWithHostNet", spec: { hostNetwork: true, dnsPolicy: "ClusterFirstWithHostNet" }, want: first },
  { name: "Default", spec: { dnsPolicy: "Default" }, want: host },
  { name: "None with a config", spec: { dnsPolicy: "None", dnsConfig: { nameservers: ["192.0.2.1"] } }, want: "nameserver 192.0.2.1\n" },
  {
    name: "a config adds, and replaces options of the same name",
    spec: {
      dnsConfig: {
        nameservers: ["192.0.2.1", "10.96.0.10"],
        searches: ["x.example"],
        options: [{ name: "ndots", value: "2" }, { name: "edns0" }],
      },
    },
    want: "search shop.svc.cluster.local svc.cluster.local cluster.local corp.example x.example\nnameserver 10.96.0.10\nnameserver 192.0.2.1\noptions ndots:2 edns0\n",
  },
])("resolv.conf: $name", ({ spec, want }) => {
  expect(resolvOf(spec)).toBe(want);
});

test("parseResolvConf is the inverse, and passes over what it does not know", () => {
  const dns = { nameservers: ["1.1.1.1", "fd00::1"], search: ["a.b", "c"], options: ["ndots:5", "edns0"] };
  expect(parseResolvConf(printResolvConf(dns))).toEqual(dns);
  expect(parseResolvConf("# note\nsortlist 1.2.3.4\ndomain old\nsearch .\n\n")).toEqual({ nameservers: [], search: [], options: [] });
});

test("search lists are cut where the resolver would", () => {
  const searches = Array.from({ length: 60 }, (_, i) => `${"x".repeat(60)}${i}.example`);
  const { search } = podDns({ spec: { dnsConfig: { searches } } }, cluster);
  expect(search.join(" ").length).toBeLessThanOrEqual(2048);
  expect(search.length).toBeLessThanOrEqual(32);
});

test("host names and /etc/hosts", () => {
  const pod = {
    metadata: { name: "web-0", namespace: "shop" },
    spec: { hostname: "zero", subdomain: "web", hostAliases: [{ ip: "192.0.2.7", hostnames: ["a", "b"] }] },
  };
  expect(podHostname(pod, "cluster.local")).toEqual({ hostname: "zero", fqdn: "zero.web.shop.svc.cluster.local" });
  expect(podHostname({ ...pod, spec: { ...pod.spec, setHostnameAsFQDN: true } }, "cluster.local").hostname).toBe(
    "zero.web.shop.svc.cluster.local",
  );
  expect(podHostname({ metadata: { name: `${"x".repeat(62)}-y` } }, "c").hostname).toBe("x".repeat(62));
  const hosts = printHosts(pod, ["10.0.0.2"], "cluster.local");
  expect(hosts).toContain("127.0.0.1\tlocalhost\n");
  expect(hosts).toContain("10.0.0.2\tzero.web.shop.svc.cluster.local\tzero\n");
  expect(hosts).toContain("192.0.2.7\ta\tb\n");
  expect(printHostNetworkHosts(pod, "127.0.0.1 localhost")).toContain(
    "127.0.0.1 localhost\n\n# Entries added by HostAliases.\n192.0.2.7\ta\tb\n",
  );
});
