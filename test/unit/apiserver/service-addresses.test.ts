import { expect, test } from "vitest";
import { printFieldError } from "../../../src/api/field-error.ts";
import { type Draft, draftOf } from "../../../src/api/json-value.ts";
import type { Service, ServiceSpec } from "../../../src/api/types/core-v1.generated.ts";
import { completeService } from "../../../src/apiserver/services/complete-service.ts";
import { IpAllocator, staticBand } from "../../../src/apiserver/services/ip-allocator.ts";
import { PortAllocator } from "../../../src/apiserver/services/port-allocator.ts";
import { ServiceAddresses } from "../../../src/apiserver/services/service-addresses.ts";
import { type Cidr, parseCidr } from "../../../src/base/cidr.ts";

const cidr = (text: string): Cidr => {
  const parsed = parseCidr(text);
  if (parsed === undefined) throw new Error(text);
  return parsed;
};
/** Always the first place that may be. */
const first = (): number => 0;
const addresses = (...cidrs: string[]) =>
  new ServiceAddresses({ cidrs: cidrs.map(cidr), nodePorts: { first: 30000, last: 32767 }, random: first });

/** Writes a Service as the API server does; the spec as it would be stored, or the refusals. */
function write(to: ServiceAddresses, key: string, spec: ServiceSpec, old?: Service): Draft<Service> | string[] {
  const service = draftOf<Service>({ spec: { type: "ClusterIP", ...spec } });
  completeService(service, old);
  const allocation = to.allocate(key, service, old);
  if (allocation.errors.length > 0) return allocation.errors.map(printFieldError);
  allocation.done();
  return service;
}
const specOf = (written: Draft<Service> | string[]): Draft<ServiceSpec> | string[] =>
  Array.isArray(written) ? written : (written.spec ?? {});
const port = (n: number, more: object = {}) => ({ port: n, protocol: "TCP", ...more });

test.each([
  { usable: 65_534, band: 256 },
  { usable: 4094, band: 255 },
  { usable: 254, band: 16 },
  { usable: 16, band: 0 },
  { usable: 14, band: 0 },
])("of $usable addresses $band are kept for static choice", ({ usable, band }) => {
  expect(staticBand(usable)).toBe(band);
});

test("addresses: the upper part first, then the lower, never the network's, the broadcast, the API's or DNS's", () => {
  const range = new IpAllocator(cidr("10.0.0.0/27"), first);
  const given = Array.from({ length: 40 }, (_, i) => range.takeAny(`s${i}`)).filter((ip) => ip !== undefined);
  expect(given.slice(0, 2)).toEqual(["10.0.0.17", "10.0.0.18"]);
  expect(given[14]).toBe("10.0.0.2");
  expect(given).toHaveLength(28);
  for (const kept of [0, 1, 10, 31]) expect(given).not.toContain(`10.0.0.${kept}`);
  expect(range.take("10.0.0.10", "dns")).toBeUndefined();
  expect(range.take("10.0.0.10", "dns")).toBeUndefined();
  expect(range.take("10.0.0.10", "other")).toBe("provided IP is already allocated");
  expect(range.take("10.0.0.0", "x")).toBe("the provided IP (10.0.0.0) is not in the valid range. The range of valid IPs is 10.0.0.0/27");
  range.release("10.0.0.10", "other");
  expect(range.ownerOf("10.0.0.10")).toBe("dns");
  range.release("10.0.0.10", "dns");
  expect(range.ownerOf("10.0.0.10")).toBeUndefined();
});

test("ports: the upper part first; outside the range, and taken ones, are refused", () => {
  const ports = new PortAllocator({ first: 30000, last: 30031 }, first);
  expect([ports.takeAny("a"), ports.takeAny("b")]).toEqual([30016, 30017]);
  expect(ports.take(30016, "c")).toBe("provided port is already allocated");
  expect(ports.take(80, "c")).toBe("provided port is not in the valid range. The range of valid ports is 30000-30031");
  const all = Array.from({ length: 40 }, (_, i) => ports.takeAny(`s${i}`)).filter((p) => p !== undefined);
  expect(new Set(all).size).toBe(30);
});

test.each<{ name: string; cidrs: string[]; spec: ServiceSpec; want: object | string[] }>([
  {
    name: "any address",
    cidrs: ["10.0.0.0/16"],
    spec: {},
    want: { clusterIP: "10.0.1.1", clusterIPs: ["10.0.1.1"], ipFamilies: ["IPv4"], ipFamilyPolicy: "SingleStack" },
  },
  { name: "its own address", cidrs: ["10.0.0.0/16"], spec: { clusterIP: "10.0.0.10" }, want: { clusterIPs: ["10.0.0.10"] } },
  {
    name: "headless",
    cidrs: ["10.0.0.0/16"],
    spec: { clusterIP: "None", selector: { a: "b" } },
    want: { clusterIP: "None", clusterIPs: ["None"], ipFamilies: ["IPv4"] },
  },
  {
    name: "headless without a selector",
    cidrs: ["10.0.0.0/16"],
    spec: { clusterIP: "None" },
    want: { ipFamilies: ["IPv4", "IPv6"], ipFamilyPolicy: "RequireDualStack" },
  },
  {
    name: "an external name",
    cidrs: ["10.0.0.0/16"],
    spec: { type: "ExternalName", externalName: "x.example" },
    want: { type: "ExternalName" },
  },
  {
    name: "prefer dual-stack, which the cluster is",
    cidrs: ["10.0.0.0/16", "fd00::/108"],
    spec: { ipFamilyPolicy: "PreferDualStack" },
    want: { clusterIPs: ["10.0.1.1", "fd00::101"], ipFamilies: ["IPv4", "IPv6"] },
  },
  {
    name: "prefer dual-stack, which the cluster is not",
    cidrs: ["10.0.0.0/16"],
    spec: { ipFamilyPolicy: "PreferDualStack" },
    want: { clusterIPs: ["10.0.1.1"], ipFamilies: ["IPv4"], ipFamilyPolicy: "PreferDualStack" },
  },
  {
    name: "the other family first",
    cidrs: ["10.0.0.0/16", "fd00::/108"],
    spec: { ipFamilies: ["IPv6"], ipFamilyPolicy: "RequireDualStack" },
    want: { clusterIPs: ["fd00::101", "10.0.1.1"], ipFamilies: ["IPv6", "IPv4"] },
  },
  {
    name: "the family of the address",
    cidrs: ["10.0.0.0/16", "fd00::/108"],
    spec: { clusterIP: "fd00::7" },
    want: { clusterIPs: ["fd00::7"], ipFamilies: ["IPv6"] },
  },
  {
    name: "dual-stack required where it is not",
    cidrs: ["10.0.0.0/16"],
    spec: { ipFamilyPolicy: "RequireDualStack" },
    want: ['spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services'],
  },
  {
    name: "a family that is not there",
    cidrs: ["10.0.0.0/16"],
    spec: { ipFamilies: ["IPv6"] },
    want: ['spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster'],
  },
  {
    name: "an address outside",
    cidrs: ["10.0.0.0/16"],
    spec: { clusterIP: "192.168.0.1" },
    want: [
      'spec.clusterIPs: Invalid value: ["192.168.0.1"]: failed to allocate IP 192.168.0.1: the provided IP (192.168.0.1) is not in the valid range. The range of valid IPs is 10.0.0.0/16',
    ],
  },
  {
    name: "node ports",
    cidrs: ["10.0.0.0/16"],
    spec: { type: "NodePort", ports: [port(80), port(81, { nodePort: 30086 })] },
    want: { ports: [port(80, { nodePort: 30087 }), port(81, { nodePort: 30086 })] },
  },
  {
    name: "one node port for TCP and UDP of a port",
    cidrs: ["10.0.0.0/16"],
    spec: { type: "NodePort", ports: [port(53), port(53, { protocol: "UDP" })] },
    want: { ports: [port(53, { nodePort: 30086 }), port(53, { protocol: "UDP", nodePort: 30086 })] },
  },
  {
    name: "a load balancer that wants no node ports",
    cidrs: ["10.0.0.0/16"],
    spec: { type: "LoadBalancer", allocateLoadBalancerNodePorts: false, ports: [port(80)] },
    want: { ports: [port(80)] },
  },
  {
    name: "a load balancer with local traffic: a health check port",
    cidrs: ["10.0.0.0/16"],
    spec: { type: "LoadBalancer", externalTrafficPolicy: "Local", ports: [port(80)] },
    want: { ports: [port(80, { nodePort: 30086 })], healthCheckNodePort: 30087 },
  },
  {
    name: "a port out of range",
    cidrs: ["10.0.0.0/16"],
    spec: { type: "NodePort", ports: [port(80, { nodePort: 99 })] },
    want: ["spec.ports[0].nodePort: Invalid value: 99: provided port is not in the valid range. The range of valid ports is 30000-32767"],
  },
])("a new Service: $name", ({ cidrs, spec, want }) => {
  const got = specOf(write(addresses(...cidrs), "n/s", spec));
  if (Array.isArray(want)) expect(got).toEqual(want);
  else expect(got).toMatchObject(want);
});

test("an external name gets no address and no family", () => {
  const spec = { type: "ExternalName", externalName: "x.example" };
  expect(specOf(write(addresses("10.0.0.0/16"), "n/s", spec))).toEqual(spec);
});

test("a refused Service holds nothing", () => {
  const to = addresses("10.0.0.0/16");
  write(to, "n/a", { type: "NodePort", ports: [port(80, { nodePort: 30000 })] });
  expect(write(to, "n/b", { type: "NodePort", clusterIP: "10.0.0.20", ports: [port(80, { nodePort: 30000 })] })).toEqual([
    "spec.ports[0].nodePort: Invalid value: 30000: provided port is already allocated",
  ]);
  expect(write(to, "n/c", { clusterIP: "10.0.0.20" })).not.toBeInstanceOf(Array);
});

test("an update keeps what it leaves out, frees what it gives up, and takes what it needs", () => {
  const to = addresses("10.0.0.0/16", "fd00::/108");
  const made = write(to, "n/a", { type: "NodePort", ports: [port(80)] }) as Service;
  const again = write(to, "n/a", { type: "NodePort", ports: [port(80), port(81)] }, made) as Service;
  expect(again.spec).toMatchObject({ clusterIP: "10.0.1.1", ports: [port(80, { nodePort: 30086 }), port(81, { nodePort: 30087 })] });
  const plain = write(to, "n/a", { ...made.spec, type: "ClusterIP", ports: [port(80)] }, again) as Service;
  expect(specOf(write(to, "n/b", { type: "NodePort", ports: [port(80, { nodePort: 30086 })] }))).not.toBeInstanceOf(Array);
  const dual = write(to, "n/a", { ...plain.spec, ipFamilyPolicy: "PreferDualStack" }, plain) as Service;
  expect(dual.spec?.clusterIPs).toEqual(["10.0.1.1", "fd00::101"]);
  const single = write(to, "n/a", { ...dual.spec, ipFamilyPolicy: "SingleStack" }, dual) as Service;
  expect([single.spec?.clusterIPs, single.spec?.ipFamilies]).toEqual([["10.0.1.1"], ["IPv4"]]);
  expect(specOf(write(to, "n/c", { clusterIP: "fd00::101" }))).not.toBeInstanceOf(Array);
  write(to, "n/a", { type: "ExternalName", externalName: "x" }, single);
  expect(specOf(write(to, "n/d", { clusterIP: "10.0.1.1" }))).not.toBeInstanceOf(Array);
});

test("what stored Services hold is adopted; two that hold the same are told", () => {
  const to = addresses("10.0.0.0/16");
  expect(to.adopt("n/a", { spec: { clusterIP: "10.0.0.5", clusterIPs: ["10.0.0.5"], ports: [port(80, { nodePort: 30001 })] } })).toEqual(
    [],
  );
  expect(to.adopt("n/b", { spec: { clusterIP: "10.0.0.5", clusterIPs: ["10.0.0.5"], ports: [port(80, { nodePort: 30001 })] } })).toEqual([
    "Service n/b: 10.0.0.5: provided IP is already allocated",
    "Service n/b: node port 30001: provided port is already allocated",
  ]);
  to.release("n/a", { spec: { clusterIPs: ["10.0.0.5"], ports: [port(80, { nodePort: 30001 })] } });
  expect(to.adopt("n/b", { spec: { clusterIPs: ["10.0.0.5"], ports: [port(80, { nodePort: 30001 })] } })).toEqual([]);
});

test("a Service keeps what it has when the ranges have been changed", () => {
  const spec = {
    type: "NodePort",
    clusterIP: "10.7.0.5",
    clusterIPs: ["10.7.0.5"],
    ipFamilies: ["IPv4"],
    ports: [port(80, { nodePort: 40000 })],
  };
  const to = addresses("10.0.0.0/16");
  const service = { spec };
  expect(to.adopt("n/a", service)).toHaveLength(2);
  expect(specOf(write(to, "n/a", { ...spec, sessionAffinity: "ClientIP" }, service))).toMatchObject({
    clusterIP: "10.7.0.5",
    ports: spec.ports,
  });
  expect(write(to, "n/b", spec)).toHaveLength(1);
});
