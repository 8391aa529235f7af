import type { Compiled, Problem } from "../../src/snapshot/problem.ts";
import { inFilterOrder } from "../filter/chain.ts";
import type { FilledHeader, Filter } from "../route/filter.ts";
import { compareText } from "../route/match-order.ts";
import { pathPatternFault } from "../route/pattern.ts";
import { wireText } from "../route/request-head.ts";
import type { Forwarding, HostMatch, HostTls, PathMatch, Route, RouteAction } from "../route/route.ts";
import { annotationField } from "./annotation-table.ts";
import { present } from "./annotation-values.ts";
import { sharedBackends } from "./canary-backends.ts";
import type { IngressPlan, PathClaim } from "./ingress-plan.ts";
import { rateFilters } from "./limit-annotations.ts";
import { serviceOfPool } from "./pool-plan.ts";
import { bindTexts, type RouteFacts } from "./route-texts.ts";

/** All that is claimed of one host. */
export interface HostClaims {
  /** Lower case; "" for requests that no host claims. */
  readonly host: string;
  /** Those with a claim on the host, in any order. */
  readonly plans: readonly IngressPlan[];
  /** A certificate is asked for this host, by whomever. */
  readonly tls: boolean;
}

interface Claimed {
  readonly plan: IngressPlan;
  readonly claim: PathClaim;
}

/** Settles what several Ingresses want of one host: the oldest wins a path, canaries join it, one regex makes all paths regex. */
export function compileHost(h: HostClaims): Compiled<readonly Route[] | undefined> {
  const claimed = h.plans
    .toSorted(compareAge)
    .flatMap((plan) => plan.claims.filter((c) => c.host === h.host).map((claim) => ({ plan, claim })));
  // who names a host goes before whose alias it is, as at ingress-nginx
  const named = claimed.filter((c) => c.claim.alias !== true);
  const all = named.length > 0 ? named : claimed;
  const main = all.filter((c) => c.plan.options.canary === undefined);
  const canaries = all.filter((c) => c.plan.options.canary !== undefined);
  const problems: Problem[] = aliasConflicts(claimed, named);
  const regex = main.some(wantsRegex);
  const winners = new Map<string, Claimed>();
  for (const c of main) {
    const key = claimKey(c.claim, regex);
    const winner = winners.get(key);
    if (winner === undefined) winners.set(key, c);
    else if (winner.plan !== c.plan || winner.claim.field !== c.claim.field) problems.push(conflict(c, winner, h.host));
  }
  if (regex) problems.push(...[...winners.values()].flatMap(brokenPattern));
  const joined = new Map<string, Claimed[]>();
  for (const c of canaries) {
    const key = claimKey(c.claim, regex);
    if (winners.has(key)) joined.set(key, [...(joined.get(key) ?? []), c]);
    else problems.push(lonelyCanary(c));
  }
  const hostTls = hostTlsOf(all);
  const routes = [...winners].map(([key, c]) => routeOf(h, c, { key, regex, canaries: joined.get(key) ?? [], hostTls }));
  if (!regex) routes.push(...slashRedirects(h, winners));
  const www = winners.size === 0 ? wwwRedirect(h) : undefined;
  if (www !== undefined) routes.push(www);
  const fallback = www === undefined ? fallbackOf(h) : undefined;
  if (fallback !== undefined) routes.push(fallback);
  return { plan: routes.length === 0 ? undefined : routes, problems };
}

/** The oldest Ingress first, then by namespace and name. */
function compareAge(a: IngressPlan, b: IngressPlan): number {
  return (
    compareText(a.created, b.created) ||
    compareText(a.object.namespace ?? "", b.object.namespace ?? "") ||
    compareText(a.object.name, b.object.name)
  );
}

/** A rewrite to somewhere else implies use-regex, as at ingress-nginx. */
function wantsRegex({ plan, claim }: Claimed): boolean {
  const { useRegex, rewriteTarget } = plan.options;
  return useRegex || (rewriteTarget !== undefined && rewriteTarget.text !== claim.path);
}

function claimKey(c: PathClaim, regex: boolean): string {
  if (regex) return `regex ${c.path}`;
  switch (c.pathType) {
    case "Exact":
      return `exact ${c.path}`;
    case "Prefix":
      return `prefix ${c.path.endsWith("/") ? c.path.slice(0, -1) : c.path}`;
    case "ImplementationSpecific":
      return `string ${c.path}`;
  }
}

function routeOf(
  h: HostClaims,
  c: Claimed,
  o: { readonly key: string; readonly regex: boolean; readonly canaries: readonly Claimed[]; readonly hostTls: HostTls | undefined },
): Route {
  const { plan, claim } = c;
  const path = pathMatch(claim, o.regex);
  const facts = { ...factsOf(h, c), ...(path.kind === "regex" ? { pattern: path.pattern } : {}) };
  return {
    id: `${h.host} ${o.key}`,
    object: plan.object,
    rule: `${h.host === "" ? "*" : h.host}${claim.path}`,
    host: hostMatch(h.host),
    path,
    created: plan.created,
    filters: bindTexts(filtersOf(h, c, o.regex), facts),
    action: bindTexts(actionOf(c, o.canaries), facts),
    ...(o.hostTls === undefined ? {} : { hostTls: o.hostTls }),
    ...(plan.options.accessLog ? {} : { accessLog: false }),
    ...(plan.options.tracing === undefined ? {} : { tracing: plan.options.tracing }),
    // as ingress-nginx has it, the backend of the root takes the host's TLS
    ...(plan.options.sslPassthrough && claim.path === "/" && claim.pool !== undefined ? { passthrough: claim.pool } : {}),
  };
}

/** What ingress-nginx sets as variables of a location. */
function factsOf(h: HostClaims, { plan, claim }: Claimed): RouteFacts {
  const namespace = plan.object.namespace ?? "";
  const key = claim.pool === undefined ? "" : serviceOfPool(claim.pool);
  const service = key.slice(key.indexOf("/") + 1);
  const servicePort = claim.pool?.slice(key.length + 1).replace(/@.*$/, "") ?? "";
  const upstream = claim.pool === undefined ? "" : `${namespace}-${service}-${servicePort}`;
  return { namespace, ingress: plan.object.name, service, servicePort, upstream, path: claim.path, server: h.host === "" ? "_" : h.host };
}

function hostMatch(host: string): HostMatch {
  if (host === "") return { kind: "any" };
  return host.startsWith("*.") ? { kind: "wildcard", suffix: host.slice(1) } : { kind: "exact", name: host };
}

function pathMatch(claim: PathClaim, regex: boolean): PathMatch {
  const path = wireText(claim.path);
  if (regex) return { kind: "regex", pattern: validPattern(path), ignoreCase: true };
  switch (claim.pathType) {
    case "Exact":
      return { kind: "exact", path };
    case "Prefix":
      return { kind: "prefix", path };
    case "ImplementationSpecific":
      return { kind: "string", path };
  }
}

/** A path that is no regular expression is taken by its letters. */
function validPattern(path: string): string {
  const pattern = anyCase(path);
  return pathPatternFault(pattern) === undefined ? pattern : path.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

/** `(?i)` says what holds for all of them. */
function anyCase(path: string): string {
  return path.replaceAll("(?i)", "");
}

function brokenPattern({ plan, claim }: Claimed): readonly Problem[] {
  const fault = pathPatternFault(anyCase(wireText(claim.path)));
  if (fault === undefined) return [];
  return [
    {
      object: plan.object,
      field: `${claim.field}.path`,
      reason: "InvalidPattern",
      message: `paths of host ${claim.host === "" ? "*" : claim.host} are regular expressions, and "${claim.path}" is none of RE2 (${fault}): it is compared by its letters`,
    },
  ];
}

/** How TLS is spoken for the host: each part as the oldest Ingress says that says something. */
function hostTlsOf(all: readonly Claimed[]): HostTls | undefined {
  const clientCertificates = all.find(({ plan }) => plan.clientCertificates !== undefined)?.plan.clientCertificates;
  const own = all.find(({ plan }) => plan.options.hostTls !== undefined)?.plan.options.hostTls;
  if (clientCertificates === undefined && own === undefined) return undefined;
  return { ...own, ...(clientCertificates === undefined ? {} : { clientCertificates }) };
}

function filtersOf(h: HostClaims, { plan, claim }: Claimed, regex: boolean): readonly Filter[] {
  const o = plan.options;
  const { config } = plan;
  const owner = `${plan.object.namespace ?? ""}/${plan.object.name}`;
  const filters: Filter[] = [];
  if (h.tls && config.hsts !== undefined)
    filters.push({ kind: "responseHeaders", onlyTls: true, set: [{ name: "Strict-Transport-Security", value: config.hsts }] });
  if (plan.answerHeaders.length > 0) filters.push(answerHeaders(plan.answerHeaders));
  if ((o.forceSslRedirect || (o.sslRedirect && h.tls)) && !isUnder(config.plainPaths, claim.path))
    filters.push({ kind: "sslRedirect", status: config.httpsRedirectStatus });
  if (o.appRoot !== undefined && claim.path === "/") filters.push({ kind: "appRoot", path: o.appRoot });
  if (o.redirect !== undefined) filters.push({ kind: "redirect", ...o.redirect, ...(o.relativeRedirects ? { relative: true } : {}) });
  filters.push(...rateFilters(o.rate, owner, config));
  if (o.cors !== undefined) filters.push({ kind: "cors", ...o.cors });
  if (config.blockedRanges.length > 0) filters.push({ kind: "addressList", allow: [], deny: config.blockedRanges });
  if (config.blockedAgents.length > 0 || config.blockedReferers.length > 0)
    filters.push({ kind: "agentBlock", userAgents: config.blockedAgents, referers: config.blockedReferers });
  filters.push(...(isUnder(config.openPaths, claim.path) ? plan.openGuards : plan.guards));
  filters.push({ kind: "bodyLimit", bytes: o.bodyBytes });
  const filled = [...plan.requestHeaders];
  if (config.originalUri) filled.push({ name: "X-Original-URI", value: [{ kind: "uri" }] });
  if (regex && o.rewriteTarget !== undefined && o.rewriteTarget.text !== claim.path) {
    filters.push({ kind: "rewrite", pattern: validPattern(wireText(claim.path)), ignoreCase: true, target: o.rewriteTarget.parts });
    if (o.xForwardedPrefix !== undefined) filled.push({ name: "X-Forwarded-Prefix", value: o.xForwardedPrefix });
  }
  if (filled.length > 0) filters.push({ kind: "filledHeaders", set: filled });
  return inFilterOrder(filters);
}

/** Most say the same to everybody, and are not filled in anew for each. */
function answerHeaders(headers: readonly FilledHeader[]): Filter {
  const fixed = headers.flatMap(({ name, value }) =>
    value.every((p) => p.kind === "text") ? [{ name, value: value.map((p) => p.text).join("") }] : [],
  );
  const filled = headers.filter(({ value }) => value.some((p) => p.kind !== "text"));
  return { kind: "responseHeaders", set: fixed, ...(filled.length === 0 ? {} : { filled }) };
}

/** As ingress-nginx compares: by the letters of the rule's path. */
function isUnder(beginnings: readonly string[], path: string): boolean {
  return beginnings.some((b) => path.startsWith(b));
}

function actionOf({ plan, claim }: Claimed, canaries: readonly Claimed[]): RouteAction {
  const o = plan.options;
  if (o.refusal !== undefined) return { kind: "respond", status: 503, why: o.refusal };
  const { pool } = claim;
  if (pool === undefined) return { kind: "respond", status: 503, why: "its backend cannot be used" };
  const joined = canaries.flatMap((c) => (c.claim.pool === undefined ? [] : [{ pool: c.claim.pool, options: c.plan.options }]));
  return {
    kind: "forward",
    ...forwardingOf(plan),
    ...sharedBackends({ pool, options: o, standIn: plan.standIn }, joined),
    ...(o.upstreamVhost === undefined ? {} : { host: o.upstreamVhost }),
    timeouts: { connectSeconds: o.connectSeconds, sendSeconds: o.sendSeconds, readSeconds: o.readSeconds },
  };
}

/** What the Ingress says of the way to its endpoints, and of their answers. */
function forwardingOf(plan: IngressPlan): Omit<Forwarding, "kind" | "backends" | "overrides" | "timeouts"> {
  const { options: o, config, mirror, standIn, upstreamPair } = plan;
  const { tlsSecret: _, tls, retry, ...rest } = o.forwarding;
  const hide = config.hiddenHeaders;
  const answer = o.changes === undefined && hide.length === 0 ? undefined : { ...o.changes, ...(hide.length === 0 ? {} : { hide }) };
  const again = config.retryNonIdempotent
    ? { ...(retry ?? { on: ["error", "timeout"] as const, withinSeconds: 0 }), nonIdempotent: true }
    : retry;
  return {
    ...rest,
    ...present("tls", tls === undefined ? undefined : { ...tls, ...upstreamPair }),
    ...present("retry", again),
    ...present("answer", answer),
    ...present("mirror", mirror),
    ...(o.errorStatuses.length === 0 ? {} : { errorPages: { statuses: o.errorStatuses, ...present("pool", standIn) } }),
  };
}

/** nginx's quirk: a location `/a/` that proxies makes `/a` a 301 to it, unless `/a` is claimed itself. */
function slashRedirects(h: HostClaims, winners: ReadonlyMap<string, Claimed>): readonly Route[] {
  const routes: Route[] = [];
  const seen = new Set<string>();
  for (const { plan, claim } of winners.values()) {
    if (claim.pathType === "Exact" || !claim.path.endsWith("/") || claim.path === "/") continue;
    const bare = claim.path.slice(0, -1);
    const prefix = winners.get(`prefix ${bare}`);
    const claimed = winners.has(`exact ${bare}`) || winners.has(`string ${bare}`) || (prefix !== undefined && prefix.claim !== claim);
    if (claimed || seen.has(bare)) continue;
    seen.add(bare);
    routes.push({
      id: `${h.host} slash ${bare}`,
      object: plan.object,
      rule: `${h.host === "" ? "*" : h.host}${claim.path}`,
      host: hostMatch(h.host),
      path: { kind: "exact", path: wireText(bare) },
      created: plan.created,
      filters: [],
      action: {
        kind: "redirect",
        status: 301,
        location: { kind: "path", path: claim.path, ...(plan.options.relativeRedirects ? { relative: true } : {}) },
      },
    });
  }
  return routes;
}

/** The other of `example.com` and `www.example.com`; `undefined` for what has none. */
export function wwwCounterpart(host: string): string | undefined {
  if (host === "" || host.startsWith("*.")) return undefined;
  return host.startsWith("www.") ? host.slice(4) : `www.${host}`;
}

/** from-to-www-redirect: a host that nobody claims, beside one that asks for it. */
function wwwRedirect(h: HostClaims): Route | undefined {
  // of www.www.x the other is www.x, and of that x: who asks is looked at, not this host
  const askedBy = (p: IngressPlan): string | undefined =>
    p.options.fromToWww ? p.claims.find((c) => c.alias !== true && wwwCounterpart(c.host) === h.host)?.host : undefined;
  const plan = h.plans.toSorted(compareAge).find((p) => askedBy(p) !== undefined);
  const target = plan === undefined ? undefined : askedBy(plan);
  if (plan === undefined || target === undefined) return undefined;
  return {
    id: `${h.host} www`,
    object: plan.object,
    rule: h.host,
    host: hostMatch(h.host),
    path: { kind: "fallback" },
    created: plan.created,
    filters: [],
    action: { kind: "redirect", status: 308, location: { kind: "host", host: target } },
  };
}

/** What takes the paths of the host that no rule takes: its Ingress's default backend, else nobody (404). */
function fallbackOf(h: HostClaims): Route | undefined {
  const candidates = h.plans.filter((p) => p.options.canary === undefined).toSorted(compareAge);
  const withDefault = candidates.filter((p) => p.defaultPool !== undefined);
  // hosts of no rule go to an Ingress that is nothing but a default backend before one that has rules too
  const plan =
    (h.host === "" ? (withDefault.find((p) => !p.hasRules) ?? withDefault[0]) : withDefault[0]) ??
    (h.host === "" ? undefined : candidates[0]);
  if (plan === undefined) return undefined;
  const claim: PathClaim = { host: h.host, path: "/", pathType: "Prefix", field: "spec.defaultBackend", pool: plan.defaultPool };
  const served = plan.defaultPool !== undefined;
  const facts = factsOf(h, { plan, claim });
  return {
    id: `${h.host} fallback`,
    object: plan.object,
    rule: `${h.host === "" ? "*" : h.host}`,
    host: hostMatch(h.host),
    path: { kind: "fallback" },
    created: plan.created,
    filters: served ? bindTexts(filtersOf(h, { plan, claim }, false), facts) : [],
    action: served ? bindTexts(actionOf({ plan, claim }, []), facts) : { kind: "none" },
  };
}

/** One problem for each alias that somebody's rule names. */
function aliasConflicts(claimed: readonly Claimed[], named: readonly Claimed[]): Problem[] {
  const winner = named[0]?.plan.object;
  if (winner === undefined) return [];
  const losers = new Map(claimed.filter((c) => c.claim.alias === true).map((c) => [c.plan, c.claim.host]));
  return [...losers].map(([plan, host]) => ({
    object: plan.object,
    field: annotationField("server-alias"),
    reason: "AliasConflict",
    message: `${host} is a host of ${winner.kind} ${winner.namespace ?? ""}/${winner.name}; it is no alias here`,
  }));
}

function conflict(loser: Claimed, winner: Claimed, host: string): Problem {
  const { object } = winner.plan;
  return {
    object: loser.plan.object,
    field: `${loser.claim.field}.path`,
    reason: "PathConflict",
    message: `${loser.claim.pathType} ${loser.claim.path} of host ${host === "" ? "*" : host} is already taken by ${object.kind} ${object.namespace ?? ""}/${object.name}, which is older; this one is not served`,
  };
}

function lonelyCanary({ plan, claim }: Claimed): Problem {
  return {
    object: plan.object,
    field: `${claim.field}.path`,
    reason: "CanaryWithoutMain",
    message: `no Ingress without the canary annotation has ${claim.pathType} ${claim.path} on host ${claim.host === "" ? "*" : claim.host}; this canary is not served`,
  };
}
