import { Map as PersistentMap } from "immutable";
import { findRoute, type HostRoutes, hostRoutes, mismatch, printPath } from "./host-routes.ts";
import { NameIndex } from "./name-index.ts";
import type { ProxySettings } from "./proxy-settings.ts";
import type { RequestHead } from "./request-head.ts";
import type { Certificate, HostMatch, HostTls, Pool, PoolId, Route, RouteDelta, RouteId, StreamService } from "./route.ts";
import { sharedWith } from "./shared-parts.ts";

/** All routes, pools and certificates at one revision: a value. A delta makes the next one, sharing what did not change. */
export interface RouteTable {
  readonly revision: number;
  readonly routes: PersistentMap<RouteId, Route>;
  readonly pools: NameIndex<Pool>;
  /** By host: `a.example.com`, `*.example.com`. */
  readonly certificates: NameIndex<Certificate>;
  /** Some host's TLS goes unopened to its endpoints. */
  readonly hasPassthrough: boolean;
  /** Ports that go to Services as they are, by id. */
  readonly streams: NameIndex<StreamService>;
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
  readonly pools: NameIndex<Pool>;
  readonly certificates: NameIndex<Certificate>;
  readonly hosts: NameIndex<HostRoutes>;
  /** Keyed as `hosts`. */
  readonly passthrough: NameIndex<PoolId>;
  /** Keyed as `hosts`. */
  readonly hostTls: NameIndex<HostTls>;
  readonly streams: NameIndex<StreamService>;
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
  pools: NameIndex.of(),
  certificates: NameIndex.of(),
  hosts: NameIndex.of(),
  passthrough: NameIndex.of(),
  hostTls: NameIndex.of(),
  streams: NameIndex.of(),
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

function byServerName<V>(hosts: NameIndex<V>, serverName: string): V | undefined {
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
  const hosts = new Map<string, HostRoutes | undefined>();
  for (const [key, changes] of touched) {
    const merged = new Map(base?.hosts.get(key)?.ordered.map((r) => [r.id, r]));
    for (const [id, route] of changes) {
      if (route === undefined) merged.delete(id);
      else merged.set(id, route);
    }
    hosts.set(key, merged.size === 0 ? undefined : hostRoutes(merged.values()));
  }
  return {
    revision: delta.revision,
    routes: routes.asImmutable(),
    hosts: (base?.hosts ?? NameIndex.of<HostRoutes>()).with(hosts),
    passthrough: (base?.passthrough ?? NameIndex.of<PoolId>()).with(firstOf(hosts, (r) => r.passthrough)),
    hostTls: (base?.hostTls ?? NameIndex.of<HostTls>()).with(firstOf(hosts, (r) => r.hostTls)),
    streams: changed(base?.streams, delta.streams, (s) => s.id),
    settings: delta.settings ?? base?.settings ?? {},
    pools: changed(base?.pools, delta.pools, (p) => p.id),
    certificates: changed(base?.certificates, delta.certificates, (c) => c.host),
  };
}

/** What the best route of each host that says it says. */
function* firstOf<V>(
  hosts: ReadonlyMap<string, HostRoutes | undefined>,
  said: (route: Route) => V | undefined,
): IterableIterator<readonly [string, V | undefined]> {
  for (const [key, routes] of hosts) {
    const route = routes?.ordered.find((r) => said(r) !== undefined);
    yield [key, route === undefined ? undefined : said(route)];
  }
}

function changed<V>(
  base: NameIndex<V> | undefined,
  delta: { readonly upserts: readonly V[]; readonly deletes: readonly string[] } | undefined,
  keyOf: (value: V) => string,
): NameIndex<V> {
  const before = base ?? NameIndex.of<V>();
  if (delta === undefined || delta.upserts.length + delta.deletes.length === 0) return before;
  const changes = new Map<string, V | undefined>(delta.deletes.map((key) => [key, undefined]));
  for (const value of delta.upserts) changes.set(keyOf(value), value);
  return before.with(changes);
}
