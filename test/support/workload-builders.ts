import type { Pod, PodSpec, Service, ServiceSpec } from "../../src/api/types/core-v1.generated.ts";
import type { ObjectMeta } from "../../src/api/types/meta-v1.generated.ts";
import type { Write } from "../../src/controllers/outcome.ts";

export interface PodOptions {
  readonly ip?: string | readonly string[];
  /** Default: ready since the beginning of 2030. */
  readonly ready?: boolean | string;
  readonly phase?: string;
  readonly node?: string;
  readonly going?: boolean;
  readonly meta?: ObjectMeta;
  readonly spec?: PodSpec;
}

/** A running, ready pod of namespace shop with the label app=web and a container port http 8080. */
export function makePod(name: string, o: PodOptions = {}): Pod {
  const ips = o.ip === undefined ? [] : typeof o.ip === "string" ? [o.ip] : o.ip;
  const since = typeof o.ready === "string" ? o.ready : "2030-01-01T00:00:00Z";
  return {
    metadata: {
      namespace: "shop",
      name,
      uid: `uid-${name}`,
      resourceVersion: "1",
      labels: { app: "web" },
      ...(o.going === true ? { deletionTimestamp: "2030-01-01T00:00:00Z" } : {}),
      ...o.meta,
    },
    spec: {
      ...(o.node === undefined ? {} : { nodeName: o.node }),
      containers: [{ name: "main", ports: [{ name: "http", containerPort: 8080 }] }],
      ...o.spec,
    },
    status: {
      phase: o.phase ?? "Running",
      ...(ips[0] === undefined ? {} : { podIP: ips[0], podIPs: ips.map((ip) => ({ ip })) }),
      conditions: [{ type: "Ready", status: o.ready === false ? "False" : "True", lastTransitionTime: since }],
    },
  };
}

/** Service shop/web for app=web, port 80 to the container port http. */
export function makeService(spec: ServiceSpec = {}, meta: ObjectMeta = {}): Service {
  return {
    metadata: { namespace: "shop", name: "web", uid: "uid-web", creationTimestamp: "2029-12-31T00:00:00Z", ...meta },
    spec: { selector: { app: "web" }, ports: [{ port: 80, targetPort: "http" }], clusterIP: "10.96.0.1", ipFamilies: ["IPv4"], ...spec },
  };
}

/** Writes as short lines: `create pods`, `patch replicasets/web spec={…}`; parallel ones are flattened. */
export function printWrites(writes: readonly Write[]): readonly string[] {
  return flatWrites(writes).map(printWrite);
}

function printWrite(w: Write): string {
  switch (w.kind) {
    case "create":
      return `create ${w.of.plural} ${w.object.metadata?.name ?? ""}`.trim();
    case "update":
      return `update ${w.of.plural}${w.subresource === undefined ? "" : `/${w.subresource}`} ${w.object.metadata?.name}`;
    case "patch":
      return `patch ${w.of.plural}${w.subresource === undefined ? "" : `/${w.subresource}`} ${w.at.name}`;
    case "delete":
      return `delete ${w.of.plural} ${w.object.metadata?.name}${w.propagation === undefined ? "" : ` ${w.propagation}`}`;
    case "event":
      return `${w.note.reason}: ${w.note.message}`;
    case "parallel":
    case "sequence":
      return w.kind;
  }
}

/** All writes, those inside others too. */
export function flatWrites(writes: readonly Write[]): readonly Write[] {
  return writes.flatMap((w) => (w.kind === "parallel" || w.kind === "sequence" ? flatWrites(w.writes) : [w]));
}
