import { type LogFormat, type LogPart, loggedNames } from "../route/log-format.ts";
import { isBad, type Parsed } from "./annotation-values.ts";
import { parseWith, requestPart } from "./request-text.ts";

/**
 * What nginx and the modules of ingress-nginx can say of a request and this proxy does not: a line has nothing in its place, and
 * keeps its form. Beginnings of names end with `_`.
 */
const unsaid = [
  ...["connection", "connection_requests", "connection_time", "connections_", "gzip_ratio", "hostname", "nginx_version", "pid", "pipe"],
  ...["proxy_protocol_", "proxy_port", "proxy_internal_host", "realip_", "remote_port", "request_body", "request_completion"],
  ...["sent_http_", "sent_trailer_", "server_addr", "http2", "http3", "ssl_", "tcpinfo_", "geoip_", "geoip2_", "limit_req_status"],
  ...["limit_conn_status", "upstream_bytes_received", "upstream_bytes_sent", "upstream_cache_status", "upstream_http_"],
  ...["upstream_cookie_", "upstream_trailer_", "modsecurity_transaction_id", "brotli_ratio", "global_rate_limit_exceeding"],
];

/** `log-format-upstream`: text with nginx's variables; those that nginx does not know either are told. */
export function parseLogFormat(text: string): Parsed<LogFormat> {
  // ${name} keeps a name apart from what follows it; line ends would end the entry
  if (/[\r\n]/.test(text)) return { expected: "one line" };
  const parts = parseWith(text, (name): LogPart | undefined => {
    const logged = loggedNames.find((n) => n === name);
    if (logged !== undefined) return { kind: "logged", name: logged };
    if (unsaid.some((known) => name === known || (known.endsWith("_") && name.startsWith(known)))) return { kind: "unsaid" };
    const part = requestPart(name);
    // a line is one for all routes
    return part?.kind === "route" ? undefined : part;
  });
  return isBad(parts) ? parts : { parts, escape: "default" };
}

/** Where clients come by the PROXY protocol, whom it names is who they are. */
export function proxiedFormat(format: LogFormat): LogFormat {
  const parts = format.parts.map((p): LogPart => (p.kind === "logged" && p.name === "proxy_protocol_addr" ? { kind: "clientIp" } : p));
  return { ...format, parts };
}
