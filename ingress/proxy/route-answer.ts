import type { Cidr } from "../../src/base/cidr.ts";
import { systemClock } from "../../src/base/clock.ts";
import { printHostPort } from "../../src/base/ip.ts";
import type { Snapshot } from "../../src/snapshot/cluster-snapshot.ts";
import { printObjectRef } from "../../src/snapshot/problem.ts";
import { batchFromEmpty } from "../../src/snapshot/snapshot-store.ts";
import { backendsFor, overrideFor } from "../route/backend-choice.ts";
import type { Filter } from "../route/filter.ts";
import { normalizeHost, normalizePath } from "../route/request-head.ts";
import { fillText } from "../route/request-text.ts";
import type { Forwarding, ValueMatch } from "../route/route.ts";
import { emptyRouteTable, type RouteTable } from "../route/route-table.ts";
import { defaultBodyBytes } from "../translate/annotations.ts";
import { IngressTranslator } from "../translate/ingress-translator.ts";
import { HeaderBlock } from "../upstream/wire/header-block.ts";
import type { IncomingRequest } from "./downstream.ts";
import { questionWorld } from "./filter-world.ts";
import { type ClientIdentity, clientIdentity, forwardingHeaders } from "./forwarded.ts";
import { matchOf, planRequest } from "./request-plan.ts";
import { textSource } from "./text-source.ts";

export interface RouteQuestion {
  readonly method?: string;
  /** `http://host[:port]/path?query` or https. */
  readonly url: string;
  /** Pairs of name and value. */
  readonly headers?: readonly (readonly [name: string, value: string])[];
  /** The client's address; 203.0.113.1 when absent (an address of documentation). */
  readonly from?: string;
  /** Where https is served; 443 when absent. */
  readonly httpsPort?: number;
}

export interface AnsweredBackend {
  /** `namespace/name`. */
  readonly service: string;
  readonly port: number;
  /** A share of 100. */
  readonly weight: number;
  readonly endpoints: readonly string[];
}

/** What `fairway route` prints. */
export interface RouteAnswer {
  readonly outcome: "forward" | "redirect" | "respond" | "none";
  readonly status?: number;
  readonly location?: string;
  readonly listener: "http" | "https";
  readonly backends: readonly AnsweredBackend[];
  readonly object?: string;
  readonly rule?: string;
  readonly request: { readonly path: string; readonly setHeaders: Readonly<Record<string, string>> };
  readonly filters: readonly string[];
  readonly why: readonly string[];
}

/** Answers from objects alone: the same table, filters and choices as the proxy's. Throws a TypeError for what is no URL. */
export async function routeOffline(
  snapshot: Snapshot,
  question: RouteQuestion,
  options: { readonly allowedEndpoints?: readonly Cidr[] } = {},
): Promise<RouteAnswer> {
  const translator = new IngressTranslator(options);
  translator.apply(batchFromEmpty(snapshot));
  return answerRoute(emptyRouteTable.with(translator.full()), question);
}

/** Answers from a route table. Limits are named, not counted. */
export async function answerRoute(table: RouteTable, question: RouteQuestion): Promise<RouteAnswer> {
  const { listener, authority, target } = parseUrl(question.url);
  const secure = listener === "https";
  const asked = incoming(question, { authority, target, secure });
  // over TLS the client was asked for a certificate where the host wants one; it has none to show here
  const askedBy = secure ? table.hostTls(normalizeHost(asked.authority))?.clientCertificates : undefined;
  const request = askedBy === undefined ? asked : { ...asked, askedBy };
  const client = clientIdentity(request, request.fields, { trustedProxies: table.settings.trustedProxies ?? [], table });
  const [rawPath, query] = split(request.target);
  const head = {
    method: request.method,
    host: normalizeHost(request.authority),
    path: normalizePath(rawPath) ?? rawPath,
    query,
    headers: request.fields,
  };
  const found = matchOf(table, head);
  const match = found === "too long" ? undefined : found;
  const plan = await planRequest(table, request, client, {
    now: 0,
    httpsPort: question.httpsPort ?? 443,
    world: questionWorld(systemClock),
    requestId: "",
  });
  const { route, reply, chain } = plan;
  const set = Object.fromEntries(
    // a header that is set to nothing is taken away
    [...forwardingHeaders(client, ""), ...(chain?.requestHeaders ?? [])].filter((h) => h.value !== "").map((h) => [h.name, h.value]),
  );
  const action = route?.action;
  const forward = action?.kind === "forward" ? action : undefined;
  const location = reply?.headers.find((h) => h.name === "Location")?.value;
  const backends = forward === undefined ? [] : shares(table, forward, request.fields);
  const nobody = reply === undefined && backends.every((b) => b.endpoints.length === 0);
  const why = [
    ...(match?.why() ?? [
      found === "too long" ? "the path is too long for a pattern of its host" : `no rule for host ${head.host}, and no default backend`,
    ]),
  ];
  if (reply !== undefined && reply.by !== "route") why.push(`answered by ${reply.by}: ${reply.status}`);
  if (action?.kind === "respond") why.push(action.why);
  if (nobody) why.push("no endpoint is ready");
  if (forward !== undefined && reply === undefined) why.push(...choiceOf(table, forward, request.fields), ...besides(forward));
  const status = reply?.status ?? (nobody ? 503 : undefined);
  return {
    outcome: outcomeOf(action?.kind, status, location),
    ...(status === undefined ? {} : { status }),
    ...(location === undefined ? {} : { location }),
    listener,
    backends,
    ...(route === undefined || action?.kind === "none" ? {} : { object: printObjectRef(route.object), rule: route.rule }),
    request: {
      path: chain?.request.target ?? request.target,
      setHeaders: forward === undefined ? {} : { Host: hostFor(forward, request, client), ...set },
    },
    filters: [...new Set((route?.filters ?? []).filter((f) => isTold(f, secure)).map((f) => f.kind))],
    why,
  };
}

function hostFor({ host }: Forwarding, request: IncomingRequest, client: ClientIdentity): string {
  return host === undefined ? request.authority : fillText(host, textSource(request, client, { requestId: "", clock: systemClock }));
}

/** Filters that may act on the request and that somebody asked for: not HSTS nor the body limit every path has. */
function isTold(filter: Filter, secure: boolean): boolean {
  switch (filter.kind) {
    case "sslRedirect":
      return !secure;
    case "responseHeaders":
      return filter.onlyTls !== true;
    case "bodyLimit":
      return filter.bytes > 0 && filter.bytes !== defaultBodyBytes;
    default:
      return true;
  }
}

/** Why these backends and not the others: which header or cookie chose them, and who stands in for whom. */
function choiceOf(table: RouteTable, forward: Forwarding, headers: readonly string[]): readonly string[] {
  const override = overrideFor(forward, headers);
  const told: string[] = [];
  if (override !== undefined) told.push(`${override.on} ${override.match.name} ${printWanted(override.match.value)}: it chooses`);
  else if (forward.overrides.length > 0) {
    const names = new Set(forward.overrides.map((o) => `${o.on} ${o.match.name}`));
    told.push(`by weight: of ${[...names].join(", ")} none says which backend`);
  }
  for (const b of override?.backends ?? forward.backends)
    if (b.weight > 0 && b.standIn !== undefined && (table.pools.get(b.pool)?.endpoints.length ?? 0) === 0)
      told.push(`${b.pool} has no endpoint: ${b.standIn} stands in for it`);
  return told;
}

function printWanted(value: ValueMatch["value"]): string {
  return value.kind === "exact" ? `is ${value.text}` : `matches ${value.pattern}`;
}

/** What else is done with a request that goes to an endpoint, and with its answer. */
function besides({ mirror, errorPages, answer, affinity }: Forwarding): readonly string[] {
  const told: string[] = [];
  if (affinity !== undefined) told.push(`the cookie ${affinity.cookie} binds the client to its endpoint`);
  if (mirror !== undefined)
    told.push(`a copy goes to ${mirror.pool ?? "the host of mirror-target"}${mirror.withBody ? "" : ", without its body"}`);
  if (errorPages !== undefined)
    told.push(`answers with ${errorPages.statuses.join(", ")} are replaced by ${errorPages.pool ?? "this proxy's own pages"}`);
  if (answer !== undefined) told.push(`in answers is changed: ${Object.keys(answer).join(", ")}`);
  return told;
}

function outcomeOf(kind: string | undefined, status: number | undefined, location: string | undefined): RouteAnswer["outcome"] {
  if (location !== undefined) return "redirect";
  if (kind === undefined || kind === "none") return status === 404 || status === undefined ? "none" : "respond";
  return status === undefined ? "forward" : "respond";
}

function shares(table: RouteTable, forward: Forwarding, headers: readonly string[]): readonly AnsweredBackend[] {
  const chosen = backendsFor(forward, headers, table.pools).filter((b) => b.weight > 0);
  const total = chosen.reduce((sum, b) => sum + b.weight, 0);
  return chosen.map((b) => {
    const pool = table.pools.get(b.pool);
    return {
      service: pool?.service ?? b.pool.slice(0, b.pool.lastIndexOf(":")),
      port: pool?.port ?? (Number(b.pool.slice(b.pool.lastIndexOf(":") + 1)) || 0),
      weight: (b.weight / total) * 100,
      endpoints: (pool?.endpoints ?? []).map((e) => printHostPort(e.ip, e.port)),
    };
  });
}

/** By hand: URL would resolve dot segments and escapes, which are the router's business. */
function parseUrl(url: string): { listener: "http" | "https"; authority: string; target: string } {
  const m = /^(?:(https?):\/\/)?([^/?#\s]+)(\/[^?#\s]*)?(\?[^#\s]*)?(?:#\S*)?$/i.exec(url);
  if (m === null) throw new TypeError(`"${url}" is no http or https URL`);
  const path = Buffer.from(`${m[3] ?? "/"}${m[4] ?? ""}`, "utf8").toString("latin1");
  return { listener: (m[1] ?? "http").toLowerCase() === "https" ? "https" : "http", authority: m[2] ?? "", target: path };
}

function incoming(q: RouteQuestion, o: { authority: string; target: string; secure: boolean }): IncomingRequest {
  const headers = (q.headers ?? []).map(([n, v]) => [n, v.trim()] as const);
  const host = headers.find(([n]) => n.toLowerCase() === "host")?.[1] ?? o.authority;
  const others = headers.filter(([n]) => n.toLowerCase() !== "host");
  const fields = ["host", host, ...others.flatMap(([n, v]) => [n.toLowerCase(), v])];
  return {
    method: q.method ?? "GET",
    target: o.target,
    authority: host,
    block: new HeaderBlock(["Host", ...others.map(([n]) => n)], fields),
    fields,
    framing: { kind: "none" },
    connectionTokens: [],
    http2: false,
    upgrade: undefined,
    remoteIp: q.from ?? "203.0.113.1",
    localPort: o.secure ? 443 : 80,
    tls: o.secure,
  };
}

function split(target: string): readonly [string, string] {
  const question = target.indexOf("?");
  return question < 0 ? [target, ""] : [target.slice(0, question), target.slice(question + 1)];
}
