import { expect, test } from "vitest";
import type { Container, Pod, Service } from "../../../src/api/types/core-v1.generated.ts";
import { containerEnv, expandVariables, serviceEnv } from "../../../src/node/pod-env.ts";
import { servedPortOf } from "../../../src/node/served-port.ts";

const pod: Pod = {
  metadata: { name: "p", namespace: "shop", uid: "u", labels: { app: "web" }, annotations: { note: "a\nb" } },
  spec: { serviceAccountName: "runner", containers: [{ name: "other", resources: { limits: { memory: "64Mi" } } }] },
};
const sources = {
  configMap: (name: string) => (name === "c" ? { data: { A: "1", B: "2" } } : undefined),
  secret: (name: string) => (name === "s" ? { data: { K: Buffer.from("v").toString("base64") } } : undefined),
};
const context = { nodeName: "n1", hostIps: ["192.0.2.1"], podIps: ["10.0.0.2", "fd00::2"], allocatable: { cpu: "4", memory: "8Gi" } };
const envOf = (container: Partial<Container>, services: readonly Service[] = []) =>
  containerEnv(pod, { name: "c", ...container }, { services, sources, context, imageEnv: { PATH: "/bin", A: "image" } });
const field = (fieldPath: string) => ({ name: "X", valueFrom: { fieldRef: { fieldPath } } });
const resource = (name: string, divisor?: string, containerName?: string) => ({
  name: "X",
  valueFrom: {
    resourceFieldRef: {
      resource: name,
      ...(divisor === undefined ? {} : { divisor }),
      ...(containerName === undefined ? {} : { containerName }),
    },
  },
});

test.each([
  ["$(A) $(B)", "1 2"],
  ["$$(A) $(NO) $A $", "$(A) $(NO) $A $"],
  ["$$$(A)", "$1"],
  ["$(A", "$(A"],
])("expandVariables %s", (text, want) => {
  expect(expandVariables(text, (name) => ({ A: "1", B: "2" })[name])).toBe(want);
});

test.each([
  ["metadata.name", "p"],
  ["metadata.namespace", "shop"],
  ["metadata.labels['app']", "web"],
  ["metadata.annotations['note']", "a\nb"],
  ["spec.nodeName", "n1"],
  ["spec.serviceAccountName", "runner"],
  ["status.hostIP", "192.0.2.1"],
  ["status.podIP", "10.0.0.2"],
  ["status.podIPs", "10.0.0.2,fd00::2"],
])("field %s", (path, want) => {
  expect(envOf({ env: [field(path)] })["X"]).toBe(want);
});

test.each([
  [resource("limits.cpu"), "2"],
  [resource("requests.cpu", "1m"), "1500"],
  [resource("limits.memory"), String(8 * 2 ** 30)],
  [resource("limits.memory", "1Mi", "other"), "64"],
  [resource("requests.memory", "1Mi"), "0"],
])("resource %j", (variable, want) => {
  const resources = { limits: { cpu: "1500m" }, requests: {} };
  expect(envOf({ env: [variable], resources })["X"]).toBe(want);
});

test("later sources win: image, services, envFrom, env", () => {
  const env = envOf({
    envFrom: [{ configMapRef: { name: "c" } }, { prefix: "S_", secretRef: { name: "s" } }],
    env: [{ name: "B", value: "$(A)-$(S_K)" }],
  });
  expect(env).toEqual({ PATH: "/bin", A: "1", B: "1-v", S_K: "v" });
});

test.each([
  [{ envFrom: [{ configMapRef: { name: "none" } }] }, 'configmap "none" not found'],
  [{ env: [{ name: "X", valueFrom: { secretKeyRef: { name: "s", key: "no" } } }] }, "couldn't find key no in Secret shop/s"],
  [{ env: [{ name: "X", valueFrom: { configMapKeyRef: { name: "none", key: "k" } } }] }, 'configmap "none" not found'],
  [{ env: [field("status.phase")] }, "unsupported fieldPath: status.phase"],
])("a reference that leads nowhere: %j", (container, message) => {
  expect(() => envOf(container)).toThrow(message);
});

test("optional references may lead nowhere", () => {
  const optional = { configMapKeyRef: { name: "none", key: "k", optional: true } };
  expect(
    envOf({ envFrom: [{ secretRef: { name: "none", optional: true } }], env: [{ name: "X", valueFrom: optional }] }),
  ).not.toHaveProperty("X");
});

const service = (namespace: string, name: string, clusterIP: string, ports: NonNullable<Service["spec"]>["ports"]): Service => ({
  metadata: { namespace, name },
  spec: { clusterIP, ports: ports ?? [] },
});
const services = [
  service("default", "kubernetes", "10.96.0.1", [{ name: "https", port: 443 }]),
  service("shop", "web-api", "fd00::9", [
    { name: "http-main", port: 80 },
    { port: 53, protocol: "UDP" },
  ]),
  service("shop", "headless", "None", [{ port: 1 }]),
  service("other", "far", "10.96.0.7", [{ port: 1 }]),
];

test("services of the pod's namespace and the API server, as Docker links were", () => {
  expect(serviceEnv(services, "shop", true)).toEqual({
    KUBERNETES_SERVICE_HOST: "10.96.0.1",
    KUBERNETES_SERVICE_PORT: "443",
    KUBERNETES_SERVICE_PORT_HTTPS: "443",
    KUBERNETES_PORT: "tcp://10.96.0.1:443",
    KUBERNETES_PORT_443_TCP: "tcp://10.96.0.1:443",
    KUBERNETES_PORT_443_TCP_PROTO: "tcp",
    KUBERNETES_PORT_443_TCP_PORT: "443",
    KUBERNETES_PORT_443_TCP_ADDR: "10.96.0.1",
    WEB_API_SERVICE_HOST: "fd00::9",
    WEB_API_SERVICE_PORT: "80",
    WEB_API_SERVICE_PORT_HTTP_MAIN: "80",
    WEB_API_PORT: "tcp://[fd00::9]:80",
    WEB_API_PORT_80_TCP: "tcp://[fd00::9]:80",
    WEB_API_PORT_80_TCP_PROTO: "tcp",
    WEB_API_PORT_80_TCP_PORT: "80",
    WEB_API_PORT_80_TCP_ADDR: "fd00::9",
    WEB_API_PORT_53_UDP: "udp://[fd00::9]:53",
    WEB_API_PORT_53_UDP_PROTO: "udp",
    WEB_API_PORT_53_UDP_PORT: "53",
    WEB_API_PORT_53_UDP_ADDR: "fd00::9",
  });
  expect(Object.keys(serviceEnv(services, "shop", false)).every((name) => name.startsWith("KUBERNETES_"))).toBe(true);
});

test("plain mode: names go by the Service's port, values by where it is served", () => {
  const served = servedPortOf({ status: "Name:\tnode\nCapEff:\t0000000000000000\n", firstFree: "1024\n" });
  expect(serviceEnv(services, "shop", true, served)).toMatchObject({
    KUBERNETES_SERVICE_PORT: "8443",
    KUBERNETES_SERVICE_PORT_HTTPS: "8443",
    KUBERNETES_PORT: "tcp://10.96.0.1:8443",
    KUBERNETES_PORT_443_TCP: "tcp://10.96.0.1:8443",
    KUBERNETES_PORT_443_TCP_PORT: "8443",
    WEB_API_SERVICE_PORT_HTTP_MAIN: "8080",
    WEB_API_PORT_53_UDP_PORT: "8053",
  });
});

test.each([
  ["no rights", "0", "1024", [8053, 9023, 1024, 8080]],
  ["ports from 80 on are anybody's", "0", "80", [8053, 1023, 1024, 8080]],
  ["all ports are anybody's", "0", "0", [53, 1023, 1024, 8080]],
  ["the capability to bind them", "400", "1024", [53, 1023, 1024, 8080]],
  ["another capability", "800", "1024", [8053, 9023, 1024, 8080]],
  ["ports above 1024 are closed too: they do not move", "0", "2000", [8053, 9023, 1024, 8080]],
])("where a port is served: %s", (_, capabilities, firstFree, want) => {
  const served = servedPortOf({ status: `CapPrm:\tffff\nCapEff:\t${capabilities.padStart(16, "0")}\n`, firstFree });
  expect([53, 1023, 1024, 8080].map(served)).toEqual(want);
});
