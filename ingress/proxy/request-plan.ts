import { applyFilters, type ChainResult } from "../filter/chain.ts";
import type { FilteredRequest, Reply, RequestContext } from "../filter/outcome.ts";
import { schemeOf } from "../filter/redirects.ts";
import { PathTooLong } from "../route/pattern.ts";
import { normalizeHost, normalizePath, type RequestHead } from "../route/request-head.ts";
import type { ClientCertificates, Forwarding, RedirectTarget, Route } from "../route/route.ts";
import type { Match, RouteTable } from "../route/route-table.ts";
import type { IncomingRequest } from "./downstream.ts";
import type { ClientIdentity } from "./forwarded.ts";

/** What is to be done with a request. `reply` or `forward`; the rest goes on whichever it is. */
export interface RequestPlan {
  readonly route: Route | undefined;
  readonly reply: Reply | undefined;
  readonly forward: Forwarding | undefined;
  readonly chain: ChainResult | undefined;
}

/** Route, filters, action: everything before the first byte leaves for an endpoint. */
export function planRequest(
  table: RouteTable,
  request: IncomingRequest,
  client: ClientIdentity,
  context: RequestContext,
): RequestPlan | Promise<RequestPlan> {
  const question = request.target.indexOf("?");
  const rawPath = question < 0 ? request.target : request.target.slice(0, question);
  const query = question < 0 ? "" : request.target.slice(question + 1);
  const path = rawPath === "*" ? "/" : normalizePath(rawPath);
  if (path === undefined) return replied(undefined, 400);
  const found = matchOf(table, { method: request.method, host: normalizeHost(request.authority), path, query, headers: request.fields });
  if (found === "too long") return replied(undefined, 414);
  if (found === undefined) return replied(undefined, 404);
  const { route } = found;
  if (request.tls && !wasAskedBy(route.hostTls?.clientCertificates, request.askedBy)) return replied(route, 421);
  const filtered: FilteredRequest = {
    method: request.method,
    authority: request.authority,
    path,
    target: request.target,
    query,
    headers: request.fields,
    clientIp: client.ip,
    secure: client.secure,
    port: client.port,
    requestId: context.requestId,
    time: context.world.time,
    clientCertificate: request.clientCertificate,
    bodyBytes: request.framing.kind === "length" ? request.framing.bytes : 0,
  };
  const chain = applyFilters(route.filters, filtered, context);
  return chain instanceof Promise ? chain.then((c) => act(route, c)) : act(route, chain);
}

/** As `table.match`; a path that no pattern can be held against is nobody's. */
export function matchOf(table: RouteTable, head: RequestHead): Match | undefined | "too long" {
  try {
    return table.match(head);
  } catch (error) {
    if (error instanceof PathTooLong) return "too long";
    throw error;
  }
}

/**
 * A client may send requests for several hosts over one connection (RFC 9110 section 15.5.20); what it showed was judged by
 * the terms of the host it greeted.
 */
function wasAskedBy(due: ClientCertificates | undefined, asked: ClientCertificates | undefined): boolean {
  if (due === undefined || due === asked) return true;
  return asked !== undefined && due.ca === asked.ca && due.depth === asked.depth && due.crl === asked.crl;
}

function act(route: Route, chain: ChainResult): RequestPlan {
  const { action } = route;
  if (chain.reply !== undefined) return { route, reply: chain.reply, forward: undefined, chain };
  switch (action.kind) {
    case "forward":
      return { route, reply: undefined, forward: action, chain };
    case "redirect":
      return {
        route,
        reply: { status: action.status, headers: [{ name: "Location", value: locationOf(action.location, chain.request) }], by: "route" },
        forward: undefined,
        chain,
      };
    case "respond":
      return { route, reply: { status: action.status, headers: [], by: "route" }, forward: undefined, chain };
    case "none":
      return { route, reply: { status: 404, headers: [], by: "route" }, forward: undefined, chain };
  }
}

function locationOf(location: RedirectTarget, r: FilteredRequest): string {
  switch (location.kind) {
    case "text":
      return location.text;
    case "path":
      return `${location.relative === true ? "" : `${schemeOf(r)}://${r.authority}`}${location.path}${r.query === "" ? "" : `?${r.query}`}`;
    case "host":
      return `${schemeOf(r)}://${location.host}${r.target}`;
  }
}

function replied(route: Route | undefined, status: number): RequestPlan {
  return { route, reply: { status, headers: [], by: "proxy" }, forward: undefined, chain: undefined };
}
