import { headerValue } from "../route/request-head.ts";
import type { Route } from "../route/route.ts";
import { endpointKey } from "../upstream/endpoint-picker.ts";
import type { ProxyContext } from "./context.ts";
import type { IncomingRequest } from "./downstream.ts";
import type { RequestFacts } from "./metrics.ts";
import { spanOf } from "./otlp-span.ts";
import type { Trace } from "./trace-context.ts";
import type { UpstreamTries } from "./upstream-tries.ts";

/** What is known of a request that has ended. */
export interface EndedExchange {
  readonly request: IncomingRequest;
  readonly requestId: string;
  readonly clientIp: string;
  readonly route: Route | undefined;
  readonly tries: UpstreamTries | undefined;
  readonly status: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** When it ended; monotonic. */
  readonly endedAt: number;
  readonly trace: Trace | undefined;
  /** A header of the request, by its name in lower case. */
  header(name: string): string | undefined;
  readonly milliseconds: number;
}

/** Counts a request, and writes its line of the access log. */
export function recordExchange(context: ProxyContext, e: EndedExchange): void {
  const { request, route, status, responseBytes } = e;
  const service = e.tries?.pool?.service ?? "";
  const times = endpointTimes(e);
  context.metrics.request({
    route,
    service,
    canary: canaryOf(e),
    method: request.method,
    status,
    milliseconds: e.milliseconds,
    endpoint: times,
    requestBytes: e.requestBytes,
    responseBytes,
  });
  if (e.trace?.sampled === true) context.spans.add(spanOf(e.trace, e, context.clock.now()));
  if (context.accessLog === undefined || route?.accessLog === false || context.table.settings.accessLog === false) return;
  const endpoint = e.tries?.endpoint;
  context.accessLog({
    time: context.clock.now(),
    clientIp: e.clientIp,
    method: request.method,
    host: request.authority,
    target: request.target,
    protocol: request.http2 ? "HTTP/2.0" : "HTTP/1.1",
    status,
    requestBytes: e.requestBytes,
    responseBytes,
    milliseconds: e.milliseconds,
    route: route?.rule ?? "",
    service,
    upstream: endpoint === undefined ? "" : endpointKey(endpoint),
    referer: headerValue(request.fields, "referer") ?? "",
    userAgent: headerValue(request.fields, "user-agent") ?? "",
    requestId: e.requestId,
  });
}

function endpointTimes({ tries, endedAt }: EndedExchange): RequestFacts["endpoint"] {
  if (tries === undefined || tries.answeredAt === 0) return undefined;
  const { startedAt, channelAt, answeredAt } = tries;
  return { connectMs: channelAt - startedAt, headMs: answeredAt - startedAt, wholeMs: endedAt - startedAt };
}

/** The pool that was asked, where the route names another first. */
function canaryOf({ route, tries }: EndedExchange): string {
  const pool = tries?.pool;
  if (pool === undefined || route?.action.kind !== "forward" || route.action.backends[0]?.pool === pool.id) return "";
  return `${pool.service.replace("/", "-")}-${pool.port}`;
}
