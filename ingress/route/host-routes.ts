import { compareRoutes } from "./match-order.ts";
import { pathPattern } from "./pattern.ts";
import type { RequestHead } from "./request-head.ts";
import { headerValue } from "./request-head.ts";
import type { Route } from "./route.ts";
import { queryValue, valueMatches } from "./value-match.ts";

/** The routes of one host, best first, and indexes for the look-up. Never changed once made. */
export interface HostRoutes {
  readonly ordered: readonly Route[];
  readonly exact: ReadonlyMap<string, readonly Placed[]>;
  /** Keyed by the path without its closing slash; the root is "". */
  readonly prefix: ReadonlyMap<string, readonly Placed[]>;
  /** Characters of the longest key of `prefix`; -1 when there is none. */
  readonly longestPrefix: number;
  /** What no hash finds (strings, regular expressions, fallbacks), best first. */
  readonly scanned: readonly Placed[];
}

/** A route and its place in the order. */
interface Placed {
  readonly route: Route;
  readonly at: number;
}

export function hostRoutes(routes: Iterable<Route>): HostRoutes {
  const ordered = [...routes].sort(compareRoutes);
  let exact: Map<string, Placed[]> | undefined;
  let prefix: Map<string, Placed[]> | undefined;
  let scanned: Placed[] | undefined;
  for (const [at, route] of ordered.entries()) {
    if (route.path.kind === "exact") exact = added(exact, route.path.path, { route, at });
    else if (route.path.kind === "prefix") prefix = added(prefix, withoutSlash(route.path.path), { route, at });
    else (scanned ??= []).push({ route, at });
  }
  let longestPrefix = -1;
  for (const key of prefix?.keys() ?? []) longestPrefix = Math.max(longestPrefix, key.length);
  return { ordered, exact: exact ?? noneKeyed, prefix: prefix ?? noneKeyed, longestPrefix, scanned: scanned ?? none };
}

// hosts are many, and most have one kind of path
const noneKeyed: ReadonlyMap<string, readonly Placed[]> = new Map();
const none: readonly Placed[] = [];

/** The best route of the host: exact paths, then prefixes from the longest, then what must be tried one by one. */
export function findRoute(routes: HostRoutes, head: RequestHead): Route | undefined {
  const { path } = head;
  const exact = routes.exact.size === 0 ? undefined : routes.exact.get(path);
  if (exact !== undefined) for (const { route } of exact) if (restMatches(route, head)) return route;
  let best: Placed | undefined;
  let at = routes.longestPrefix < 0 ? -1 : path.length;
  while (best === undefined && at >= 0) {
    // what is longer than every prefix is none of them: it is not even cut out
    if (at <= routes.longestPrefix) best = routes.prefix.get(path.slice(0, at))?.find(({ route }) => restMatches(route, head));
    at = at === 0 ? -1 : path.lastIndexOf("/", at - 1);
  }
  for (const { route, at } of routes.scanned) {
    if (best !== undefined && best.at < at) break;
    if (pathMatches(route, head.path) && restMatches(route, head)) return route;
  }
  return best?.route;
}

/** The plain version, which findRoute must equal: the first that matches. */
export function findRouteSlowly(routes: HostRoutes, head: RequestHead): Route | undefined {
  return routes.ordered.find((route) => mismatch(route, head) === undefined);
}

/** Why a route of the right host does not take a request; `undefined` when it does. */
export function mismatch(route: Route, head: RequestHead): string | undefined {
  if (!pathMatches(route, head.path)) return `path ${head.path} is not matched by ${printPath(route)}`;
  if (route.methods !== undefined && !route.methods.includes(head.method))
    return `method ${head.method} is not one of ${route.methods.join(", ")}`;
  for (const match of route.headers ?? []) {
    if (!valueMatches(match, headerValue(head.headers, match.name))) return `header ${match.name} differs`;
  }
  for (const match of route.query ?? []) {
    if (!valueMatches(match, queryValue(head.query, match.name))) return `query parameter ${match.name} differs`;
  }
  return undefined;
}

export function printPath(route: Route): string {
  const { path } = route;
  switch (path.kind) {
    case "exact":
    case "prefix":
      return `${path.kind === "exact" ? "Exact" : "Prefix"} ${path.path}`;
    case "string":
      return `the beginning ${path.path}`;
    case "regex":
      return `the pattern ^${path.pattern}${path.ignoreCase ? " (any case)" : ""}`;
    case "fallback":
      return "anything else of the host";
  }
}

function pathMatches(route: Route, path: string): boolean {
  const match = route.path;
  switch (match.kind) {
    case "exact":
      return path === match.path;
    case "prefix": {
      const prefix = withoutSlash(match.path);
      return path.startsWith(prefix) && (path.length === prefix.length || path.charCodeAt(prefix.length) === 0x2f);
    }
    case "string":
      return path.startsWith(match.path);
    case "regex":
      return pathPattern(match.pattern, match.ignoreCase).test(path);
    case "fallback":
      return true;
  }
}

function restMatches(route: Route, head: RequestHead): boolean {
  if (route.methods === undefined && route.headers === undefined && route.query === undefined) return true;
  return mismatch(route, head) === undefined;
}

function withoutSlash(path: string): string {
  return path.endsWith("/") ? path.slice(0, -1) : path;
}

function added(map: Map<string, Placed[]> | undefined, key: string, placed: Placed): Map<string, Placed[]> {
  const all = map ?? new Map<string, Placed[]>();
  const list = all.get(key);
  if (list === undefined) all.set(key, [placed]);
  else list.push(placed);
  return all;
}
