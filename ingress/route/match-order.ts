import type { Route } from "./route.ts";

/** How good a match is, as numbers: the first difference decides, larger is better. */
export interface MatchSummary {
  /** exact host 2, wildcard 1, none 0. */
  readonly host: number;
  readonly hostLength: number;
  /** exact 3, prefix or string 2, regex 1, fallback 0. */
  readonly path: number;
  readonly pathLength: number;
  readonly method: number;
  readonly headers: number;
  readonly query: number;
}

export function matchSummary(route: Route): MatchSummary {
  const { host, path } = route;
  return {
    host: host.kind === "exact" ? 2 : host.kind === "wildcard" ? 1 : 0,
    hostLength: host.kind === "wildcard" ? host.suffix.length : 0,
    path: { exact: 3, prefix: 2, string: 2, regex: 1, fallback: 0 }[path.kind],
    pathLength: pathLength(route),
    method: route.methods === undefined ? 0 : 1,
    headers: route.headers?.length ?? 0,
    query: route.query?.length ?? 0,
  };
}

const order: readonly (keyof MatchSummary)[] = ["host", "hostLength", "path", "pathLength", "method", "headers", "query"];

/** Best first. What summaries leave open: the older object, then its name, then the route's id. */
export function compareRoutes(a: Route, b: Route): number {
  const x = matchSummary(a);
  const y = matchSummary(b);
  for (const key of order) if (x[key] !== y[key]) return y[key] - x[key];
  return (
    // ingress-nginx: of two regular expressions of one length, the later in the alphabet comes first
    (a.path.kind === "regex" && b.path.kind === "regex" ? compareText(b.path.pattern, a.path.pattern) : 0) ||
    compareText(a.created, b.created) ||
    compareText(a.object.namespace ?? "", b.object.namespace ?? "") ||
    compareText(a.object.name, b.object.name) ||
    compareText(a.id, b.id)
  );
}

/** By code units. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** A prefix counts its closing slash: `/a` as a prefix is longer than `/a` as a string, as nginx sees them. */
function pathLength(route: Route): number {
  const { path } = route;
  switch (path.kind) {
    case "exact":
    case "string":
      return path.path.length;
    case "prefix":
      return path.path.endsWith("/") ? path.path.length : path.path.length + 1;
    case "regex":
      return path.pattern.length;
    case "fallback":
      return 0;
  }
}
