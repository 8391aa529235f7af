import { isOneOf } from "../filter/agent-block.ts";
import type { ProxySettings } from "../route/proxy-settings.ts";
import { headerValue } from "../route/request-head.ts";
import type { PoolEndpoint, Route } from "../route/route.ts";
import { endpointKey } from "../upstream/endpoint-picker.ts";
import type { ProxyContext } from "./context.ts";
import type { IncomingRequest } from "./downstream.ts";
import type { ClientIdentity } from "./forwarded.ts";
import type { RequestFacts } from "./metrics.ts";
import { spansOf } from "./otlp-span.ts";
import { textSource } from "./text-source.ts";
import type { Trace } from "./trace-context.ts";
import type { UpstreamTries } from "./upstream-tries.ts";

/** What is known of a request that has ended. */
export interface EndedExchange {
  readonly request: IncomingRequest;
  readonly requestId: string;
  readonly client: ClientIdentity;
  /** Who the client has shown to be. */
  readonly user: string;
  readonly route: Route | undefined;
  readonly tries: UpstreamTries | undefined;
  readonly status: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** When it ended; monotonic. */
  readonly endedAt: number;
  readonly trace: Trace | undefined;
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
  if (e.trace?.sampled === true) for (const span of spansOf(e.trace, e, context.clock.now())) context.spans.add(span);
  if (context.accessLog === undefined || !isLogged(context.table.settings, e)) return;
  context.accessLog({
    time: context.clock.now(),
    clientIp: e.client.ip,
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
    upstream: endpointText(e.tries?.endpoint),
    reason: e.tries?.refusal ?? "",
    referer: headerValue(request.fields, "referer") ?? "",
    userAgent: headerValue(request.fields, "user-agent") ?? "",
    requestId: e.requestId,
    user: e.user,
    namespace: route?.object.namespace ?? "",
    ingress: route?.object.name ?? "",
    servicePort: e.tries?.pool?.port ?? 0,
    canary: canaryOf(e),
    traceId: e.trace?.traceId ?? "",
    spanId: e.trace?.spanId ?? "",
    upstreamTimes: times,
    source: textSource(request, e.client, { requestId: e.requestId, clock: context.clock }),
    format: context.table.settings.logFormat,
  });
}

/** Spelt out once each: lines are put together from texts that are known again. */
const endpointTexts = new WeakMap<PoolEndpoint, string>();

function endpointText(endpoint: PoolEndpoint | undefined): string {
  if (endpoint === undefined) return "";
  let text = endpointTexts.get(endpoint);
  if (text === undefined) {
    text = endpointKey(endpoint);
    endpointTexts.set(endpoint, text);
  }
  return text;
}

/** Neither the cluster nor the route, nor a list of URLs, wants it left out. */
function isLogged({ accessLog, unlogged }: ProxySettings, { route, request }: EndedExchange): boolean {
  if (accessLog === false || route?.accessLog === false) return false;
  return unlogged === undefined || !isOneOf(unlogged, request.target);
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
