import { headerValue, normalizeHost } from "../route/request-head.ts";
import type { EndedExchange } from "./exchange-record.ts";
import type { Trace } from "./trace-context.ts";
import type { TryRecord } from "./upstream-tries.ts";

type AttributeValue = { readonly stringValue: string } | { readonly intValue: string };

/** A span as OTLP has it in JSON. */
export interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly traceState?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly { readonly key: string; readonly value: AttributeValue }[];
  readonly status: { readonly code?: number };
}

/** SPAN_KIND_SERVER, SPAN_KIND_CLIENT and STATUS_CODE_ERROR of opentelemetry-proto's trace.proto. */
const server = 2;
const client = 3;
const failed = 2;

/** The span of a request that has ended, and those of its tries. `time`: milliseconds since 1970. */
export function spansOf(trace: Trace, e: EndedExchange, time: number): readonly OtlpSpan[] {
  const tries = e.tries?.records ?? [];
  return [spanOf(trace, e, time), ...tries.map((t, i) => trySpanOf(trace, e, { record: t, before: i, time }))];
}

function trySpanOf(
  trace: Trace,
  e: EndedExchange,
  o: { readonly record: TryRecord; readonly before: number; readonly time: number },
): OtlpSpan {
  const { spanId, endpoint, startedAt, endedAt, status, failed: broken } = o.record;
  const at = (monotonic: number): string => nanos(o.time - (e.endedAt - monotonic));
  return {
    traceId: trace.traceId,
    spanId,
    parentSpanId: trace.spanId,
    ...(trace.state === "" ? {} : { traceState: trace.state }),
    name: e.request.method,
    kind: client,
    startTimeUnixNano: at(startedAt),
    endTimeUnixNano: at(Math.min(endedAt, e.endedAt)),
    attributes: attributes({
      "http.request.method": e.request.method,
      "http.response.status_code": status === 0 ? undefined : status,
      "http.request.resend_count": o.before === 0 ? undefined : o.before,
      "server.address": endpoint.ip,
      "server.port": endpoint.port,
      "error.type": broken ? "upstream" : status >= 400 ? String(status) : undefined,
    }),
    // as the conventions have it for clients: 4xx is an error too
    status: broken || status >= 400 ? { code: failed } : {},
  };
}

/** With the names of OpenTelemetry's conventions for HTTP. */
function spanOf(trace: Trace, e: EndedExchange, time: number): OtlpSpan {
  const { request, route, tries } = e;
  const question = request.target.indexOf("?");
  const path = question < 0 ? request.target : request.target.slice(0, question);
  const rule = route === undefined ? undefined : route.rule.slice(Math.max(0, route.rule.indexOf("/")));
  return {
    traceId: trace.traceId,
    spanId: trace.spanId,
    ...(trace.parentId === "" ? {} : { parentSpanId: trace.parentId }),
    ...(trace.state === "" ? {} : { traceState: trace.state }),
    name: rule === undefined ? request.method : `${request.method} ${rule}`,
    kind: server,
    startTimeUnixNano: nanos(time - e.milliseconds),
    endTimeUnixNano: nanos(time),
    attributes: attributes({
      "http.request.method": request.method,
      "http.route": rule,
      "http.response.status_code": e.status,
      "http.response.body.size": e.responseBytes,
      "http.request.body.size": e.requestBytes,
      "http.request.resend_count": tries !== undefined && tries.count > 1 ? tries.count - 1 : undefined,
      "url.scheme": request.tls ? "https" : "http",
      "url.path": path,
      "url.query": question < 0 ? undefined : request.target.slice(question + 1),
      "server.address": normalizeHost(request.authority),
      "server.port": request.localPort,
      "client.address": e.client.ip,
      "network.protocol.version": request.http2 ? "2" : "1.1",
      "user_agent.original": headerValue(request.fields, "user-agent"),
      "error.type": e.status >= 500 ? String(e.status) : undefined,
      "k8s.namespace.name": route?.object.namespace,
      "k8s.ingress.name": route?.object.name,
      "k8s.service.name": tries?.pool?.service.split("/")[1],
      "fairway.request_id": e.requestId,
    }),
    // as the conventions have it for servers: what the client did wrong is no error of the server
    status: e.status >= 500 ? { code: failed } : {},
  };
}

function attributes(values: Readonly<Record<string, string | number | undefined>>): OtlpSpan["attributes"] {
  return Object.entries(values).flatMap(([key, value]) => {
    if (value === undefined || value === "") return [];
    return [{ key, value: typeof value === "number" ? { intValue: String(value) } : { stringValue: value } }];
  });
}

/** Nanoseconds since 1970, more than a number holds. */
function nanos(ms: number): string {
  const whole = Math.floor(ms);
  return `${whole}${String(Math.floor((ms - whole) * 1e6)).padStart(6, "0")}`;
}

/** The body of an export. */
export function printExport(spans: readonly OtlpSpan[], serviceName: string): string {
  const resource = { attributes: attributes({ "service.name": serviceName }) };
  return JSON.stringify({ resourceSpans: [{ resource, scopeSpans: [{ scope: { name: "fairway" }, spans }] }] });
}
