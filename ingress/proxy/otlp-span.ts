import { headerValue, normalizeHost } from "../route/request-head.ts";
import type { EndedExchange } from "./exchange-record.ts";
import type { Trace } from "./trace-context.ts";

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

/** SPAN_KIND_SERVER and STATUS_CODE_ERROR of opentelemetry-proto's trace.proto. */
const server = 2;
const failed = 2;

/** The span of a request that has ended, with the names of OpenTelemetry's conventions for HTTP. `time`: milliseconds since 1970. */
export function spanOf(trace: Trace, e: EndedExchange, time: number): OtlpSpan {
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
