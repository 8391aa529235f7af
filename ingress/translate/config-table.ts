import { type AnnotationRow, differs, inert, kept, refused } from "./annotation-row.ts";
import { type AnnotationName, annotationRow, annotationRows } from "./annotation-table.ts";
import {
  oneOf,
  type ParseValue,
  parseBoolean,
  parseBuffers,
  parseCollector,
  parseCount,
  parseDurations,
  parseHeaderTests,
  parseHeldBytes,
  parseList,
  parseNames,
  parseObjectName,
  parsePaths,
  parseProtocols,
  parseRanges,
  parseSeconds,
  parseShare,
  parseText,
  parseToken,
  parseUrl,
  statusFrom,
} from "./annotation-values.ts";
import { parseLogFormat } from "./log-format.ts";
import { parseRequestText } from "./request-text.ts";

const workers = "processes, sockets and buffers are this proxy's own business";
const logs = "the access log is a line a request in the log of the daemon: --access-log json|nginx";
const snippet = "snippets of nginx configuration are refused for good";
const readByValue = "annotations are read by value, never put into a text that is read again";
const otel = "spans go out in batches of OTLP";
const jaeger = "Jaeger takes OTLP: name it by otlp-collector-host";
const tls = "OpenSSL's own choice";

/** Keys of the ConfigMap of ingress-nginx that no annotation has; the others are those of the annotations' table. */
export const configRows = {
  // headers
  "add-headers": kept(parseObjectName, { note: "a ConfigMap with headers of answers" }),
  "proxy-set-headers": kept(parseObjectName, { note: "a ConfigMap with headers for endpoints" }),
  "hide-headers": kept(parseNames),
  "global-allowed-response-headers": kept(parseNames, { note: "for custom-headers" }),
  "allow-backend-server-header": inert("the endpoint's Server goes on, and this proxy says none of its own"),
  "server-tokens": inert("nothing is said of this proxy"),
  "enable-underscores-in-headers": kept(parseBoolean, { initial: "false" }),
  "ignore-invalid-headers": inert("a request with a header that is none gets 400"),
  "generate-request-id": inert("a request's own X-Request-ID counts, and who has none gets one"),
  "proxy-add-original-uri-header": kept(parseBoolean, { initial: "false" }),
  "default-type": inert("an answer's Content-Type is the endpoint's"),
  hsts: kept(parseBoolean, { initial: "true" }),
  "hsts-include-subdomains": kept(parseBoolean, { initial: "true" }),
  "hsts-max-age": kept(parseCount, { initial: "31536000" }),
  "hsts-preload": kept(parseBoolean, { initial: "false" }),

  // clients
  "use-forwarded-headers": kept(parseBoolean, { initial: "false" }),
  "proxy-real-ip-cidr": kept(parseRanges, { initial: "0.0.0.0/0" }),
  "forwarded-for-header": kept(parseToken, { initial: "X-Forwarded-For" }),
  "compute-full-forwarded-for": differs(parseBoolean, "what proxies that are not trusted say is not handed on", { initial: "false" }),
  "enable-real-ip": differs(parseBoolean, "as use-forwarded-headers", { initial: "false" }),
  "use-proxy-protocol": kept(parseBoolean, { initial: "false" }),
  "proxy-protocol-header-timeout": inert("as long as for a request's head"),
  "forwarded-for-proxy-protocol-header": inert("the address of the PROXY protocol goes on as X-Forwarded-For"),
  "client-header-timeout": kept(parseSeconds, { initial: "60" }),
  "client-body-timeout": kept(parseSeconds, { initial: "60" }),
  "keep-alive": kept(parseSeconds, { initial: "75" }),
  "keep-alive-requests": differs(parseCount, "100000 where nobody sets it", { initial: "1000" }),
  "client-header-buffer-size": inert(workers),
  "large-client-header-buffers": differs(parseBuffers, "their sum is what a head may have", { initial: "4 8k" }),
  "http2-max-field-size": inert(workers),
  "http2-max-header-size": inert(workers),
  "http2-max-requests": inert("as keep-alive-requests"),
  "http2-max-concurrent-streams": inert("128"),
  "use-http2": kept(parseBoolean, { initial: "true" }),
  "block-cidrs": kept(parseRanges, { guards: true }),
  "block-user-agents": kept(parseHeaderTests, { guards: true, note: "~ begins a regular expression, ~* one in any case" }),
  "block-referers": kept(parseHeaderTests, { guards: true, note: "~ begins a regular expression, ~* one in any case" }),
  "global-auth-url": kept(parseUrl, { guards: true }),
  "global-auth-method": kept(oneOf("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")),
  "global-auth-signin": kept(parseUrl),
  "global-auth-signin-redirect-param": kept(parseToken, { initial: "rd" }),
  "global-auth-response-headers": kept(parseNames),
  "global-auth-request-redirect": kept(parseRequestText),
  "global-auth-cache-key": kept(parseRequestText),
  "global-auth-cache-duration": kept(parseDurations, { initial: "200 202 401 5m" }),
  "global-auth-snippet": refused(parseText, snippet),
  "global-auth-always-set-cookie": kept(parseBoolean, { initial: "false" }),
  "no-auth-locations": kept(parsePaths, { initial: "/.well-known/acme-challenge" }),
  "no-tls-redirect-locations": kept(parsePaths, { initial: "/.well-known/acme-challenge" }),
  "http-redirect-code": kept(oneOf("301", "302", "307", "308"), { initial: "308" }),
  "limit-req-status-code": kept(statusFrom(400, 599), { initial: "503", note: "400 to 599" }),
  "limit-conn-status-code": kept(statusFrom(400, 599), { initial: "503", note: "400 to 599" }),
  "global-rate-limit-status-code": kept(statusFrom(400, 599), { initial: "429", note: "400 to 599" }),
  "global-rate-limit-memcached-host": inert("counts are shared between ingress processes; nothing else is asked"),
  "global-rate-limit-memcached-port": inert("counts are shared between ingress processes; nothing else is asked"),
  "global-rate-limit-memcached-connect-timeout": inert("counts are shared between ingress processes; nothing else is asked"),
  "global-rate-limit-memcached-max-idle-timeout": inert("counts are shared between ingress processes; nothing else is asked"),
  "global-rate-limit-memcached-pool-size": inert("counts are shared between ingress processes; nothing else is asked"),
  "limit-conn-zone-variable": inert("clients are told apart by their address"),

  // TLS with clients
  "ssl-protocols": differs(parseProtocols, "1.2 and 1.3", { initial: "TLSv1.2 TLSv1.3" }),
  "ssl-session-tickets": kept(parseBoolean, { initial: "false" }),
  "ssl-reject-handshake": kept(parseBoolean, { initial: "false" }),
  "ssl-session-cache": inert(tls),
  "ssl-session-cache-size": inert(tls),
  "ssl-session-ticket-key": refused(parseText, "each node makes keys of its own for its processes, new ones twice a day"),
  "ssl-session-timeout": inert(tls),
  "ssl-buffer-size": inert(tls),
  "ssl-ecdh-curve": inert(tls),
  "ssl-dh-param": inert(tls),
  "enable-ocsp": kept(parseBoolean, { initial: "false" }),

  // memory
  "held-bytes": kept(parseHeldBytes, {
    initial: "128m",
    note: "ours: what one ingress process holds at most for clients and endpoints that are slow; 8m at least",
  }),

  // endpoints
  "retry-non-idempotent": kept(parseBoolean, { initial: "false" }),
  "upstream-keepalive-connections": kept(parseCount, { initial: "320" }),
  "upstream-keepalive-timeout": kept(parseSeconds, { initial: "60" }),
  "upstream-keepalive-requests": inert("a connection is used as long as its endpoint keeps it"),
  "upstream-keepalive-time": inert("a connection is used as long as its endpoint keeps it"),
  "proxy-ssl-location-only": inert("what proxy-ssl-* say is said of their Ingress"),
  "grpc-buffer-size-kb": inert(workers),
  "proxy-stream-timeout": differs(parseSeconds, "a flow of datagrams is over after 60 s of silence where nobody sets it", {
    initial: "600",
  }),
  "proxy-stream-next-upstream": inert("a connection that cannot be made is tried at another endpoint"),
  "proxy-stream-next-upstream-timeout": inert("a connection that cannot be made is tried at another endpoint"),
  "proxy-stream-next-upstream-tries": inert("a connection that cannot be made is tried at another endpoint"),
  "proxy-stream-responses": inert("datagrams go both ways as long as either side sends"),

  // answers
  "use-gzip": kept(parseBoolean, { initial: "false" }),
  "gzip-level": kept(parseCount, { initial: "1" }),
  "gzip-min-length": kept(parseCount, { initial: "256" }),
  "gzip-types": kept(parseList),
  "gzip-disable": inert("who accepts gzip gets it"),
  "enable-brotli": kept(parseBoolean, { initial: "false" }),
  "brotli-level": kept(parseCount, { initial: "4" }),
  "enable-zstd": kept(parseBoolean, { initial: "false", note: "ours; ingress-nginx has no zstd" }),
  "zstd-level": kept(parseCount, { initial: "3", note: "ours; 1 to 19" }),
  "brotli-min-length": differs(parseCount, "gzip-min-length counts for both", { initial: "20" }),
  "brotli-types": differs(parseList, "gzip-types count for both"),

  // what is told
  "disable-access-log": kept(parseBoolean, { initial: "false" }),
  "disable-http-access-log": kept(parseBoolean, { initial: "false" }),
  "access-log-params": inert(logs),
  "access-log-path": inert(logs),
  "http-access-log-path": inert(logs),
  "stream-access-log-path": inert(logs),
  "disable-stream-access-log": inert(logs),
  "enable-access-log-for-default-backend": inert(logs),
  "error-log-path": inert(logs),
  "error-log-level": inert("--log-level"),
  "log-format-upstream": differs(
    parseLogFormat,
    "for --access-log nginx; sizes are of bodies; of what is not told here (`$ssl_…`, `$connection`, `$upstream_http_…`) there is nothing",
  ),
  "log-format-stream": inert(logs),
  "log-format-escape-none": kept(parseBoolean, { initial: "false" }),
  "log-format-escape-json": kept(parseBoolean, { initial: "false" }),
  "skip-access-log-urls": kept(parseHeaderTests, { note: "~ begins a regular expression" }),
  "enable-syslog": refused(parseBoolean, "the daemon's log is its standard error; send that on"),
  "syslog-host": inert("see enable-syslog"),
  "syslog-port": inert("see enable-syslog"),
  "otlp-collector-host": kept(parseCollector, {
    note: "ours: https:// before the name for TLS, where its certificate must be good",
  }),
  "otlp-collector-port": kept(parseCount, { initial: "4317" }),
  "otlp-protocol": kept(oneOf("grpc", "http/protobuf", "http/json"), {
    note: "ours, which ingress-nginx has not: grpc by default, http/protobuf where the port is 4318",
  }),
  "otel-service-name": kept(parseText, { initial: "nginx" }),
  "otel-sampler": kept(oneOf("AlwaysOn", "AlwaysOff", "TraceIdRatioBased"), { initial: "AlwaysOff" }),
  "otel-sampler-ratio": kept(parseShare, { initial: "0.01" }),
  "otel-sampler-parent-based": kept(parseBoolean, { initial: "true" }),
  "otel-max-queuesize": kept(parseCount, { initial: "2048" }),
  "otel-schedule-delay-millis": kept(parseCount, { initial: "5000" }),
  "otel-max-export-batch-size": kept(parseCount, { initial: "512" }),
  "opentelemetry-config": inert(otel),
  "jaeger-collector-host": refused(parseText, jaeger),
  "jaeger-collector-port": refused(parseText, jaeger),
  "jaeger-endpoint": refused(parseText, jaeger),
  "jaeger-service-name": refused(parseText, jaeger),
  "jaeger-propagation-format": refused(parseText, jaeger),
  "jaeger-sampler-type": refused(parseText, jaeger),
  "jaeger-sampler-param": refused(parseText, jaeger),
  "jaeger-sampler-host": refused(parseText, jaeger),
  "jaeger-sampler-port": refused(parseText, jaeger),
  "jaeger-trace-context-header-name": refused(parseText, jaeger),
  "jaeger-debug-header": refused(parseText, jaeger),
  "jaeger-baggage-header": refused(parseText, jaeger),
  "jaeger-trace-baggage-header-prefix": refused(parseText, jaeger),

  // the process
  "worker-shutdown-timeout": kept(parseSeconds, { initial: "240" }),
  "worker-processes": inert("--ingress-processes"),
  "worker-cpu-affinity": inert(workers),
  "max-worker-connections": inert(workers),
  "max-worker-open-files": inert(workers),
  "enable-multi-accept": inert(workers),
  "enable-aio-write": inert(workers),
  "reuse-port": inert(workers),
  "enable-serial-reloads": inert("nothing is ever reloaded"),
  "map-hash-bucket-size": inert(workers),
  "server-name-hash-max-size": inert(workers),
  "server-name-hash-bucket-size": inert(workers),
  "proxy-headers-hash-max-size": inert(workers),
  "proxy-headers-hash-bucket-size": inert(workers),
  "variables-hash-bucket-size": inert(workers),
  "variables-hash-max-size": inert(workers),
  "lua-shared-dicts": inert(workers),
  "debug-connections": inert("--log-level debug"),
  "bind-address": refused(parseText, "--ingress-address says where the ingress listens"),
  "disable-ipv6": inert("--ingress-address says where the ingress listens"),
  "disable-ipv6-dns": inert("names are asked for where auth-url or mirror-target has one, in both families"),
  "nginx-status-ipv4-whitelist": inert("metrics are served by the agent"),
  "nginx-status-ipv6-whitelist": inert("metrics are served by the agent"),
  "allow-cross-namespace-resources": refused(parseBoolean, "Secrets and ConfigMaps of other namespaces are never read for an Ingress"),
  "allow-snippet-annotations": refused(parseBoolean, snippet),
  "annotations-risk-level": inert(readByValue),
  "annotation-value-word-blocklist": inert(readByValue),
  "strict-validate-path-type": inert("a path is compared, never put into a configuration"),
  "enable-owasp-modsecurity-crs": refused(parseBoolean, "there is no ModSecurity here; put a firewall in front"),
  "use-geoip": refused(parseBoolean, "addresses are not looked up"),
  "use-geoip2": refused(parseBoolean, "addresses are not looked up"),
  "geoip2-autoreload-in-minutes": inert("addresses are not looked up"),
  "main-snippet": refused(parseText, snippet),
  "http-snippet": refused(parseText, snippet),
  "server-snippet": refused(parseText, snippet),
  "location-snippet": refused(parseText, snippet),
  "stream-snippet": refused(parseText, snippet),
} as const satisfies Readonly<Record<string, AnnotationRow>>;

export type ConfigName = keyof typeof configRows;
export type ConfigValue<N extends ConfigName> = (typeof configRows)[N] extends AnnotationRow<infer T> ? T : never;

export function configParser<N extends ConfigName>(name: N): ParseValue<ConfigValue<N>> {
  return configRows[name].parse as ParseValue<ConfigValue<N>>;
}

/** Keys of both tables; `undefined` for what ingress-nginx has not either. */
export function configRow(name: string): AnnotationRow | undefined {
  if (Object.hasOwn(configRows, name)) return configRows[name as ConfigName];
  const row = annotationRow(name);
  return row?.config === true ? row : undefined;
}

/** The keys that are defaults of annotations. */
export const sharedNames = (Object.keys(annotationRows) as AnnotationName[]).filter((name) => annotationRows[name].config);
