import type { Namespace, Service } from "../../src/api/types/core-v1.generated.ts";
import type { EndpointSlice } from "../../src/api/types/discovery-v1.generated.ts";

/** 10,000 Services in 100 namespaces, a tenth of them headless, with ten endpoints each. */
export const services = 10_000;
export const endpointsEach = 10;

export const namespaceOf = (s: number): string => `ns-${s % 100}`;
const addressOf = (i: number): string => `10.${128 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`;

export const namespaces: readonly Namespace[] = Array.from({ length: 100 }, (_, i) => ({
  metadata: { name: `ns-${i}`, resourceVersion: "1" },
}));

export function makeService(s: number): Service {
  const ports = [{ name: "http", port: 80, protocol: "TCP" }];
  const metadata = { namespace: namespaceOf(s), name: `svc-${s}`, resourceVersion: "1" };
  if (s % 10 === 0) return { metadata, spec: { type: "ClusterIP", clusterIP: "None", clusterIPs: ["None"], ports } };
  const ip = `10.96.${s >> 8}.${s & 255}`;
  return { metadata, spec: { type: "ClusterIP", clusterIP: ip, clusterIPs: [ip], ipFamilies: ["IPv4"], ports } };
}

export function makeSlice(s: number, count: number): EndpointSlice {
  return {
    metadata: {
      namespace: namespaceOf(s),
      name: `svc-${s}-x`,
      labels: { "kubernetes.io/service-name": `svc-${s}` },
      resourceVersion: String(count),
    },
    addressType: "IPv4",
    ports: [{ name: "http", port: 8080, protocol: "TCP" }],
    endpoints: Array.from({ length: count }, (_, k) => ({
      addresses: [addressOf(s * endpointsEach + k)],
      conditions: { ready: true },
    })),
  };
}

/** Services asked for, spread over all of them. */
export const some: readonly number[] = Array.from({ length: 5000 }, (_, i) => (i * 7919) % services);
