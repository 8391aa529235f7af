import { parseAllDocuments } from "yaml";
import { parseCidr } from "../../../src/base/cidr.ts";
import { withObject } from "../../../src/snapshot/apply-event.ts";
import {
  emptySnapshot,
  type Kind,
  objectKey,
  type Snapshot,
  type SnapshotKinds,
  snapshotKinds,
} from "../../../src/snapshot/cluster-snapshot.ts";

/** Objects of YAML documents as a snapshot; kinds that no dataplane reads are a mistake of the test. */
export function makeSnapshot(yaml: string): Snapshot {
  let snapshot = emptySnapshot;
  for (const document of parseAllDocuments(yaml)) {
    const object = document.toJS() as (SnapshotKinds[Kind] & { readonly kind: Kind }) | null;
    if (object === null) continue;
    if (!snapshotKinds.includes(object.kind)) throw new Error(`no kind of the snapshot: ${object.kind}`);
    snapshot = withObject(snapshot, object.kind, objectKey(object), object);
  }
  return snapshot;
}

export const loopback = [parseCidr("127.0.0.0/8")].filter((c) => c !== undefined);

/** A Service of one port with its slice, as YAML. */
export function makeService(name: string, endpoints: readonly string[], port = 80): string {
  const [, targetPort = "8080"] = (endpoints[0] ?? "").split(":");
  return `
kind: Service
metadata: {name: ${name}, namespace: shop}
spec: {clusterIP: 10.96.0.1, ports: [{name: http, port: ${port}, targetPort: ${targetPort}}]}
---
kind: EndpointSlice
metadata: {name: ${name}-1, namespace: shop, labels: {kubernetes.io/service-name: ${name}}}
addressType: IPv4
ports: [{name: http, port: ${targetPort}}]
endpoints: [${endpoints.map((e) => `{addresses: ["${e.split(":")[0]}"], conditions: {ready: true}}`).join(", ")}]
---`;
}

/** An Ingress of namespace shop as YAML; `spec` and `annotations` are flow YAML. */
export function makeIngress(name: string, o: { readonly annotations?: string; readonly spec: string; readonly created?: string }): string {
  return `
kind: Ingress
metadata: {name: ${name}, namespace: shop, creationTimestamp: "${o.created ?? "2026-01-01T00:00:00Z"}", annotations: {${o.annotations ?? ""}}}
spec: {ingressClassName: fairway, ${o.spec}}
---`;
}

/** `rules:` of one host: path, type, Service. */
export function makeRules(host: string, ...paths: readonly (readonly [path: string, pathType: string, service: string])[]): string {
  const list = paths.map(([p, t, s]) => `{path: "${p}", pathType: ${t}, backend: {service: {name: ${s}, port: {number: 80}}}}`);
  return `rules: [{${host === "" ? "" : `host: "${host}", `}http: {paths: [${list.join(", ")}]}}]`;
}
