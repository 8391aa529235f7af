import { expect, test } from "vitest";
import { printCidr } from "../../../src/base/cidr.ts";
import { resolveClusterConfig, type UpOptions } from "../../../src/daemon/cluster-config.ts";

const resolve = (o: UpOptions, mode: "full" | "plain" = "full") =>
  resolveClusterConfig(o, mode, { home: "/home/u", root: mode === "full" });

test("defaults of the command line", () => {
  const c = resolve({});
  expect(c.name).toBe("fairway");
  expect(c.dataDir).toBe("/var/lib/fairway/fairway");
  expect(c.kubeconfig).toBe("/var/lib/fairway/fairway/kubeconfig");
  expect(c.nodes).toEqual(["node-1", "node-2", "node-3"]);
  expect(c.api).toEqual({ address: "127.0.0.1", port: 6443 });
  expect([...c.serviceCidrs, ...c.clusterCidrs].map(printCidr)).toEqual(["10.96.0.0/16", "10.244.0.0/16"]);
  expect(c.clusterDns).toEqual(["10.96.0.10"]);
  expect(c.ingress).toEqual({ address: "127.0.0.1", http: 80, https: 443 });
  expect(c.clusterDomain).toBe("cluster.local");
  expect(["1", "3", "auto"].map((ingressProcesses) => resolve({ ingressProcesses }).ingressProcesses)).toEqual([1, 3, 0]);
  expect(c.ingressProcesses).toBe(1);
  expect([c, resolve({ accessLog: "json" })].map((x) => x.ingressAccessLog)).toEqual([undefined, "json"]);
});

test("plain mode: one node, this user's folder, everything in 127.64.0.0/10", () => {
  const c = resolve({ nodes: "3" }, "plain");
  expect(c.nodes).toEqual(["node-1"]);
  expect(c.dataDir).toBe("/home/u/.local/share/fairway/fairway");
  for (const cidr of [...c.serviceCidrs, ...c.clusterCidrs, ...c.nodeCidrs])
    expect(printCidr(cidr)).toMatch(/^127\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\./);
});

test("the default ranges of nodes go by the number that the cluster holds", () => {
  const dual = { serviceCidr: "10.96.0.0/16,fd00:96::/112", clusterCidr: "10.244.0.0/16,fd00:244::/48" };
  const of = (o: UpOptions, mode: "full" | "plain") =>
    resolveClusterConfig(o, mode, { home: "/h", root: true, nodeSlot: 200 }).nodeCidrs.map(printCidr);
  expect(of({}, "plain")).toEqual(["127.127.200.0/24"]);
  expect(of({}, "full")).toEqual(["172.28.200.0/24"]);
  expect(of(dual, "full")).toEqual(["172.28.200.0/24", "fd00:fa:c8::/64"]);
  expect(of({ nodeCidr: "192.0.2.0/24" }, "full")).toEqual(["192.0.2.0/24"]);
});

test("a second family comes with node addresses, a DNS address and LoadBalancer addresses of its own", () => {
  const dual = { serviceCidr: "10.96.0.0/16,fd00:96::/112", clusterCidr: "10.244.0.0/16,fd00:244::/48" };
  const c = resolve({ ...dual, nodeCidr: "172.28.7.0/24,fd00:fa:7::/64" });
  expect(c.clusterDns).toEqual(["10.96.0.10", "fd00:96::a"]);
  expect(c.lbPool.map(printCidr)).toEqual(["172.28.7.128/25", "fd00:fa:7:0:8000::/65"]);
  expect(resolve(dual).nodeCidrs.map((r) => r.family)).toEqual([4, 6]);
  expect(resolve({ ...dual, lbPool: "192.0.2.0/28" }).lbPool.map(printCidr)).toEqual(["192.0.2.0/28"]);
});

test.each<[UpOptions, RegExp]>([
  [{ name: "Bad_Name" }, /^--name Bad_Name: /],
  [{ nodes: "0" }, /^--nodes 0: give a number from 1 to 100$/],
  [{ nodes: "many" }, /^--nodes many: /],
  [{ ingressProcesses: "0" }, /^--ingress-processes 0: give a number from 1 to 64$/],
  [{ accessLog: "apache" }, /^--access-log: apache is neither json nor nginx$/],
  [{ apiPort: "70000" }, /^--api-port 70000: give a number from 0 to 65535$/],
  [{ apiAddress: "here" }, /^--api-address here: not an IP address$/],
  [{ serviceCidr: "10.96.0.0" }, /^--service-cidr 10\.96\.0\.0: not a range/],
  [{ serviceCidr: "10.96.0.0/16", clusterCidr: "10.96.128.0/17" }, /overlap/],
  [{ lbPool: "192.0.2.0/28,10.96.8.0/24" }, /^--lb-pool 10\.96\.8\.0\/24 and --service-cidr 10\.96\.0\.0\/16 overlap/],
  [{ lbPool: "10.244.8.0/24" }, /^--lb-pool 10\.244\.8\.0\/24 and --cluster-cidr .* overlap/],
  [{ serviceCidr: "10.96.0.0/16,fd00::/112" }, /^--cluster-cidr: the service range has IPv6/],
  [{ nodeCidr: "172.28.7.0/29" }, /^--node-cidr: /],
  [{ nodeCidr: "172.28.7.0/24,fd00:fa:7::1/128" }, /^--node-cidr: give an IPv4 range, and each range at least 16 addresses$/],
  [{ nodeCidr: "fd00:fa:7::/64" }, /^--node-cidr: give an IPv4 range/],
  [{ nodes: "20", nodeCidr: "172.28.7.0/28" }, /^--nodes 20: the node range .* is too small$/],
  [{ backend: "ebpf" }, /^--backend ebpf: there are /],
  [{ clusterDomain: "not a domain" }, /^--cluster-domain /],
])("wrong usage is one line that names the option: %j", (options, message) => {
  expect(() => resolve(options)).toThrow(message);
});
