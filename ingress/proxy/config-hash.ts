import { fnv1a } from "../../src/base/hash.ts";
import type { Route } from "../route/route.ts";
import type { RouteTable } from "../route/route-table.ts";

/** Routes told apart in one scrape at most, some 20 ms: requests wait meanwhile. */
const mostAtOnce = 5_000;

const hashes = new WeakMap<Route, number>();
const known = new WeakMap<RouteTable["routes"], number>();

/**
 * What the routes and settings of a table come to, whatever their order: the same wherever the same is served, another after each
 * change but that of endpoints, as at ingress-nginx. `undefined` while not all routes of a large table have been looked at.
 */
export function configHash(table: RouteTable): number | undefined {
  let routes = known.get(table.routes);
  if (routes === undefined) {
    routes = hashOfRoutes(table.routes.values());
    if (routes === undefined) return undefined;
    known.set(table.routes, routes);
  }
  return (routes + fnv1a(JSON.stringify(table.settings))) >>> 0;
}

function hashOfRoutes(routes: Iterable<Route>): number | undefined {
  let sum = 0;
  let fresh = 0;
  for (const route of routes) {
    let hash = hashes.get(route);
    if (hash === undefined) {
      if (++fresh > mostAtOnce) continue;
      hash = fnv1a(JSON.stringify(route));
      hashes.set(route, hash);
    }
    sum = (sum + hash) >>> 0;
  }
  return fresh > mostAtOnce ? undefined : sum;
}
