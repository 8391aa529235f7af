import { expect, test } from "vitest";
import { trimObject } from "../../../src/daemon/trim.ts";

test("what no dataplane reads is not kept", () => {
  const slice = trimObject("EndpointSlice", {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: "a-1",
      namespace: "x",
      creationTimestamp: "2030-01-01T00:00:00Z",
      generateName: "a-",
      generation: 3,
      labels: { "kubernetes.io/service-name": "a" },
      annotations: { "kubectl.kubernetes.io/last-applied-configuration": "{}", kept: "yes" },
      ownerReferences: [{ apiVersion: "v1", kind: "Service", name: "a", uid: "1" }],
      managedFields: [{ manager: "kubectl" }],
    },
    addressType: "IPv4",
    endpoints: [{ addresses: ["10.0.0.1"], nodeName: "n", conditions: { ready: true }, targetRef: { kind: "Pod", name: "p" } }],
  });
  expect(slice).toEqual({
    metadata: { name: "a-1", namespace: "x", labels: { "kubernetes.io/service-name": "a" }, annotations: { kept: "yes" } },
    addressType: "IPv4",
    endpoints: [{ addresses: ["10.0.0.1"], nodeName: "n", conditions: { ready: true }, targetRef: { name: "p" } }],
  });
});

test.each([
  { name: "none yet", status: { loadBalancer: {} }, kept: {} },
  {
    name: "an address of a load balancer",
    status: { loadBalancer: { ingress: [{ ip: "192.0.2.1" }] } },
    kept: { status: { loadBalancer: { ingress: [{ ip: "192.0.2.1" }] } } },
  },
])("of a Service's status, $name", ({ status, kept }) => {
  const metadata = { name: "a", namespace: "x", creationTimestamp: "2030-01-01T00:00:00Z", uid: "u" };
  const spec = { type: "LoadBalancer", clusterIP: "10.0.0.1", clusterIPs: ["10.0.0.1", "fd00::1"], ports: [{ port: 80 }] };
  const given = { apiVersion: "v1", kind: "Service", metadata, spec: { ...spec, ipFamilyPolicy: "PreferDualStack" }, status };
  expect(trimObject("Service", given)).toEqual({ metadata, spec, ...kept });
});

test.each(["alone", "with its text"])("null says what an absent field says: %s", (how) => {
  const slice = {
    metadata: { name: "a-1", namespace: "x", labels: null },
    addressType: "IPv4",
    endpoints: null,
    ports: [null, { name: "p", port: null }],
  };
  const text = how === "alone" ? undefined : JSON.stringify(slice);
  expect(trimObject("EndpointSlice", slice as never, text)).toEqual({
    metadata: { name: "a-1", namespace: "x" },
    addressType: "IPv4",
    ports: [{ name: "p" }],
  });
});

test("of a Pod its addresses are kept, and what says whether it has them still", () => {
  const metadata = { name: "a", namespace: "x", resourceVersion: "7", labels: { app: "a" } };
  const containers = [{ name: "c", image: "i", env: [{ name: "A", value: "B" }] }];
  const pod = (spec: object, status: object, more = {}) =>
    trimObject("Pod", { metadata: { ...metadata, uid: "u", annotations: { a: "b" }, ...more }, spec: { containers, ...spec }, status });
  const conditions = [{ type: "Ready", status: "True" }];
  expect(pod({ nodeName: "n" }, { phase: "Running", podIP: "10.0.0.1", podIPs: [{ ip: "10.0.0.1" }], conditions })).toEqual({
    metadata,
    status: { phase: "Running", podIP: "10.0.0.1" },
  });
  const both = [{ ip: "10.0.0.1" }, { ip: "fd00::1" }];
  expect(pod({ hostNetwork: true }, { podIP: "10.0.0.1", podIPs: both }, { deletionTimestamp: "2030-01-01T00:00:00Z" })).toEqual({
    metadata: { ...metadata, deletionTimestamp: "2030-01-01T00:00:00Z" },
    spec: { containers: [], hostNetwork: true },
    status: { podIP: "10.0.0.1", podIPs: both },
  });
});

test("only Secrets that an Ingress can name keep their data", () => {
  const data = { "tls.crt": "YQ==" };
  for (const [type, kept] of [
    ["kubernetes.io/tls", true],
    ["Opaque", true],
    ["kubernetes.io/service-account-token", false],
  ] as const) {
    const trimmed = trimObject("Secret", { metadata: { name: "s", namespace: "x" }, type, data });
    expect(trimmed.data !== undefined, type).toBe(kept);
  }
});

test("of ConfigMaps what may be settings is kept", () => {
  const map = trimObject("ConfigMap", {
    metadata: { name: "a", namespace: "x" },
    data: { "keep-alive": "5", program: "x".repeat(70_000) },
    binaryData: { b: "AA==" },
  });
  expect(map).toEqual({ metadata: { name: "a", namespace: "x" }, data: { "keep-alive": "5" } });
  const ca = trimObject("ConfigMap", { metadata: { name: "kube-root-ca.crt", namespace: "x" }, data: { "ca.crt": "PEM" } });
  expect(ca).toEqual({ metadata: { name: "kube-root-ca.crt", namespace: "x" } });
});
