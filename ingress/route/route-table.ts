import { Map as PersistentMap } from "immutable";
import { findRoute, type HostRoutes, hostRoutes, mismatch, printPath } from "./host-routes.ts";
import type { ProxySettings } from "./proxy-settings.ts";
import type { RequestHead } from "./request-head.ts";
import type { Certificate, HostMatch, HostTls, Pool, PoolId, Route, RouteDelta, RouteId, StreamService } from "./route.ts";
import { sharedWith } from "./shared-parts.ts";

/** All routes, pools and certificates at one revision: a value. A delta makes the next one, sharing what did not change. */
export interface RouteTable {
  readonly revision: number;
  readonly routes: PersistentMap<RouteId, Route>;
  readonly pools: PersistentMap<PoolId, Pool>;
  /** By host: `a.example.com`, `*.example.com`. */
  readonly certificates: PersistentMap<string, Certificate>;
  /** Some host's TLS goes unopened to its endpoints. */
  readonly hasPassthrough: boolean;
  /** Ports that go to Services as they are, by id. */
  readonly streams: PersistentMap<string, StreamService>;
  readonly settings: ProxySettings;
  /** Where TLS for a server name (normalised) goes unopened. */
  passthrough(serverName: string): Pool | undefined;
  /** Some host has terms of TLS of its own. */
  readonly hasHostTls: boolean;
  /** The terms of TLS for a server name (normalised), where its host has terms of its own. */
  hostTls(serverName: string): HostTls | undefined;
  match(head: RequestHead): Match | undefined;
  with(delta: RouteDelta): RouteTable;
}

export interface Match {
  readonly route: Route;
  /** For people: what was chosen, and what was passed over. Computed when asked. */
  why(): readonly string[];
}

interface State {
  readonly revision: number;
  readonly routes: PersistentMap<RouteId, Route>;
  readonly pools: PersistentMap<PoolId, Pool>;
  readonly certificates: PersistentMap<string, Certificate>;
  readonly hosts: PersistentMap<string, HostRoutes>;
  /** Keyed as `hosts`. */
  readonly passthrough: PersistentMap<string, PoolId>;
  /** Keyed as `hosts`. */
  readonly hostTls: PersistentMap<string, HostTls>;
  readonly streams: PersistentMap<string, StreamService>;
  readonly settings: ProxySettings;
}

/** Keys of `hosts`: the name, `.suffix` for a wildcard, "" for no host. */
function hostKey(host: HostMatch): string {
  switch (host.kind) {
    case "exact":
      return host.name;
    case "wildcard":
      return host.suffix;
    case "any":
      return "";
  }
}

export const emptyRouteTable: RouteTable = tableOf({
  revision: 0,
  routes: PersistentMap(),
  pools: PersistentMap(),
  certificates: PersistentMap(),
  hosts: PersistentMap(),
  passthrough: PersistentMap(),
  hostTls: PersistentMap(),
  streams: PersistentMap(),
  settings: {},
});

function tableOf(state: State): RouteTable {
  return {
    revision: state.revision,
    routes: state.routes,
    pools: state.pools,
    certificates: state.certificates,
    hasPassthrough: state.passthrough.size > 0,
    streams: state.streams,
    settings: state.settings,
    passthrough: (serverName) => passthroughIn(state, serverName),
    hasHostTls: state.hostTls.size > 0,
    hostTls: (serverName) => byServerName(state.hostTls, serverName),
    match: (head) => matchIn(state, head),
    with: (delta) => tableOf(nextState(state, delta)),
  };
}

function matchIn(state: State, head: RequestHead): Match | undefined {
  const { host } = head;
  const dot = host.indexOf(".");
  const route =
    findIn(state, host, head) ??
    (dot > 0 ? findIn(state, host.slice(dot), head) : undefined) ??
    (host === "" ? undefined : findIn(state, "", head));
  return route === undefined ? undefined : { route, why: () => explain(state, head, route) };
}

function passthroughIn(state: State, serverName: string): Pool | undefined {
  const id = byServerName(state.passthrough, serverName);
  return id === undefined ? undefined : state.pools.get(id);
}

function byServerName<V>(hosts: PersistentMap<string, V>, serverName: string): V | undefined {
  const dot = serverName.indexOf(".");
  return hosts.get(serverName) ?? (dot > 0 ? hosts.get(serverName.slice(dot)) : undefined);
}

function findIn(state: State, key: string, head: RequestHead): Route | undefined {
  const routes = state.hosts.get(key);
  return routes === undefined ? undefined : findRoute(routes, head);
}

/** Where a host may be found, best first. */
function hostKeys(host: string): readonly string[] {
  const dot = host.indexOf(".");
  // a wildcard stands for one label that is there
  return dot > 0 ? [host, host.slice(dot), ""] : host === "" ? [""] : [host, ""];
}

const maxExplained = 20;

function explain(state: State, head: RequestHead, chosen: Route): readonly string[] {
  const why: string[] = [];
  for (const key of hostKeys(head.host)) {
    const routes = state.hosts.get(key);
    if (routes === undefined) {
      why.push(key === "" ? "no rule without a host" : `no rule for host ${key.startsWith(".") ? `*${key}` : key}`);
      continue;
    }
    for (const route of routes.ordered) {
      if (route.id === chosen.id) {
        why.push(`${route.rule} of ${route.object.kind} ${route.object.namespace ?? ""}/${route.object.name} matches: ${printPath(route)}`);
        return why;
      }
      if (why.length < maxExplained) why.push(`not ${route.rule}: ${mismatch(route, head) ?? "it matches too, and comes after"}`);
    }
  }
  return why;
}

function nextState(state: State, delta: RouteDelta): State {
  const base = delta.full ? undefined : state;
  const routes = (base?.routes ?? PersistentMap<RouteId, Route>()).asMutable();
  const touched = new Map<string, Map<RouteId, Route | undefined>>();
  const touch = (route: Route, now: Route | undefined): void => {
    const key = hostKey(route.host);
    let changes = touched.get(key);
    if (changes === undefined) {
      changes = new Map();
      touched.set(key, changes);
    }
    changes.set(route.id, now);
  };
  for (const id of delta.routes.deletes) {
    const old = routes.get(id);
    if (old !== undefined) touch(old, undefined);
    routes.delete(id);
  }
  let last: Route | undefined;
  for (const upsert of delta.routes.upserts) {
    const route = last === undefined ? upsert : sharedWith(upsert, last);
    last = route;
    const old = routes.get(route.id);
    if (old !== undefined) touch(old, undefined);
    touch(route, route);
    routes.set(route.id, route);
  }
  const hosts = (base?.hosts ?? PersistentMap<string, HostRoutes>()).asMutable();
  const passthrough = (base?.passthrough ?? PersistentMap<string, PoolId>()).asMutable();
  const hostTls = (base?.hostTls ?? PersistentMap<string, HostTls>()).asMutable();
  for (const [key, changes] of touched) {
    const merged = new Map(hosts.get(key)?.ordered.map((r) => [r.id, r]));
    for (const [id, route] of changes) {
      if (route === undefined) merged.delete(id);
      else merged.set(id, route);
    }
    if (merged.size === 0) hosts.delete(key);
    else hosts.set(key, hostRoutes(merged.values()));
    const pool = hosts.get(key)?.ordered.find((r) => r.passthrough !== undefined)?.passthrough;
    if (pool === undefined) passthrough.delete(key);
    else passthrough.set(key, pool);
    const tls = hosts.get(key)?.ordered.find((r) => r.hostTls !== undefined)?.hostTls;
    if (tls === undefined) hostTls.delete(key);
    else hostTls.set(key, tls);
  }
  return {
    revision: delta.revision,
    routes: routes.asImmutable(),
    hosts: hosts.asImmutable(),
    passthrough: passthrough.asImmutable(),
    hostTls: hostTls.asImmutable(),
    streams: changed(base?.streams, delta.streams?.upserts ?? [], delta.streams?.deletes ?? [], (s) => s.id),
    settings: delta.settings ?? base?.settings ?? {},
    pools: changed(base?.pools, delta.pools.upserts, delta.pools.deletes, (p) => p.id),
    certificates: changed(base?.certificates, delta.certificates.upserts, delta.certificates.deletes, (c) => c.host),
  };
}

function changed<V>(
  base: PersistentMap<string, V> | undefined,
  upserts: readonly V[],
  deletes: readonly string[],
  keyOf: (value: V) => string,
): PersistentMap<string, V> {
  return (base ?? PersistentMap<string, V>()).withMutations((m) => {
    for (const key of deletes) m.delete(key);
    for (const value of upserts) m.set(keyOf(value), value);
  });
}
