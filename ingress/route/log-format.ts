import type { TextPart } from "./request-text.ts";

/** What a line of the access log can say of a request that has ended, by nginx's and ingress-nginx's names. */
export const loggedNames = [
  "body_bytes_sent",
  "bytes_sent",
  "ingress_name",
  "location_path",
  "msec",
  "namespace",
  "proxy_alternative_upstream_name",
  "proxy_host",
  "proxy_protocol_addr",
  "proxy_upstream_name",
  "remote_user",
  "req_id",
  "request",
  "request_id",
  "request_length",
  "request_time",
  "server_name",
  "server_protocol",
  "service_name",
  "service_port",
  "status",
  "time_iso8601",
  "time_local",
  "upstream_addr",
  "upstream_connect_time",
  "upstream_header_time",
  "upstream_response_length",
  "upstream_response_time",
  "upstream_status",
  "opentelemetry_trace_id",
  "opentelemetry_span_id",
] as const;

export type LoggedName = (typeof loggedNames)[number];

/** `unsaid`: what nginx knows and this proxy does not tell; as nginx writes what there is nothing of. */
export type LogPart = TextPart | { readonly kind: "logged"; readonly name: LoggedName } | { readonly kind: "unsaid" };

export interface LogFormat {
  readonly parts: readonly LogPart[];
  /** What becomes of bytes that would not stay within their quotes. */
  readonly escape: "default" | "json" | "none";
}
