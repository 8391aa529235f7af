import type { Filter } from "../../ingress/route/filter.ts";
import type { Pool, Route, RouteDelta } from "../../ingress/route/route.ts";

/** A route as an Ingress without annotations compiles to. */
export function benchRoute(host: string, path: string, o: { readonly pool: string; readonly filters?: readonly Filter[] }): Route {
  return {
    id: `${host}${path}`,
    object: { kind: "Ingress", namespace: "bench", name: host },
    rule: `${host}${path}`,
    host: { kind: "exact", name: host },
    path: { kind: "prefix", path },
    created: "",
    filters: [...(o.filters ?? []), { kind: "bodyLimit", bytes: 1024 * 1024 }],
    action: {
      kind: "forward",
      backends: [{ pool: o.pool, weight: 1 }],
      overrides: [],
      protocol: o.pool.startsWith("grpc") ? "grpc" : "http",
      timeouts: { connectSeconds: 5, sendSeconds: 60, readSeconds: 60 },
      tries: 3,
      balance: "round_robin",
    },
  };
}

export function benchPool(id: string, port: number): Pool {
  return { id, service: `bench/${id}`, port: 80, endpoints: [{ ip: "127.0.0.1", port }] };
}

export function fullDelta(routes: readonly Route[], pools: readonly Pool[]): RouteDelta {
  return {
    revision: 1,
    full: true,
    routes: { upserts: routes, deletes: [] },
    pools: { upserts: pools, deletes: [] },
    certificates: { upserts: [], deletes: [] },
  };
}
