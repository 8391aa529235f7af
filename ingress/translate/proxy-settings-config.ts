import type { CompressionSettings, ProxySettings, TracingSettings } from "../route/proxy-settings.ts";
import type { AnnotationDefaults } from "./annotation-reader.ts";
import { parserOf } from "./annotation-table.ts";
import { isBad, present } from "./annotation-values.ts";
import { serviceOfUrl } from "./auth-annotations.ts";
import type { ConfigReader } from "./ingress-config.ts";
import { proxiedFormat } from "./log-format.ts";
import { poolId } from "./pool-plan.ts";

const everybody = ["0.0.0.0/0", "::/0"];

/** What a ConfigMap says of whole processes. */
export function settingsOf(r: ConfigReader, defaults: AnnotationDefaults): ProxySettings {
  const believed = r.get("use-forwarded-headers") === true || r.get("enable-real-ip") === true;
  const trusted = r.get("proxy-real-ip-cidr");
  const wholeForwardedFor = r.get("compute-full-forwarded-for");
  const header = r.get("forwarded-for-header")?.toLowerCase();
  const withoutLog = r.get("disable-access-log") === true || r.get("disable-http-access-log") === true;
  const format = r.get("log-format-upstream");
  const inJson = r.get("log-format-escape-json") === true;
  const how = r.get("log-format-escape-none") === true ? "none" : inJson ? "json" : "default";
  return {
    ...(believed ? { trustedProxies: trusted === undefined || trusted.includes("0.0.0.0/0") ? everybody : trusted } : {}),
    ...present("forwardedForHeader", header === "x-forwarded-for" ? undefined : header),
    ...present("wholeForwardedFor", wholeForwardedFor),
    ...present("proxyProtocol", r.get("use-proxy-protocol")),
    ...present("proxyProtocolFrom", trusted?.includes("0.0.0.0/0") === true ? undefined : trusted),
    ...present("http2", r.get("use-http2")),
    ...present("keepAliveSeconds", r.get("keep-alive")),
    ...present("keepAliveRequests", r.get("keep-alive-requests")),
    ...present("headSeconds", r.get("client-header-timeout")),
    ...present("bodySeconds", r.get("client-body-timeout")),
    ...present("drainSeconds", r.get("worker-shutdown-timeout")),
    ...present("headBytes", r.get("large-client-header-buffers")),
    ...present("heldBytes", r.get("held-bytes")),
    ...present("underscoresInHeaders", r.get("enable-underscores-in-headers")),
    ...present("upstreamIdleConnections", r.get("upstream-keepalive-connections")),
    ...present("upstreamIdleSeconds", r.get("upstream-keepalive-timeout")),
    ...present("streamIdleSeconds", r.get("proxy-stream-timeout")),
    ...present("tls", tlsOf(r, defaults)),
    ...(withoutLog ? { accessLog: false } : {}),
    ...present(
      "logFormat",
      format === undefined ? undefined : { ...(r.get("use-proxy-protocol") === true ? proxiedFormat(format) : format), escape: how },
    ),
    ...present("unlogged", r.get("skip-access-log-urls")),
    ...present("compression", compressionOf(r)),
    ...present("tracing", tracingOf(r, defaults)),
  };
}

function tlsOf(r: ConfigReader, defaults: AnnotationDefaults): ProxySettings["tls"] {
  const tls = {
    ...r.get("ssl-protocols"),
    ...present("ciphers", defaults.get("ssl-ciphers")),
    ...present("sessionTickets", r.get("ssl-session-tickets")),
    ...present("ocsp", r.get("enable-ocsp")),
    ...present("rejectUnknownNames", r.get("ssl-reject-handshake")),
  };
  return Object.keys(tls).length === 0 ? undefined : tls;
}

/** ingress-nginx's list. */
const compressedTypes = [
  "application/atom+xml",
  "application/javascript",
  "application/x-javascript",
  "application/json",
  "application/rss+xml",
  "application/vnd.ms-fontobject",
  "application/x-font-ttf",
  "application/x-web-app-manifest+json",
  "application/xhtml+xml",
  "application/xml",
  "font/opentype",
  "image/svg+xml",
  "image/x-icon",
  "text/css",
  "text/javascript",
  "text/plain",
  "text/x-component",
];

function compressionOf(r: ConfigReader): CompressionSettings | undefined {
  const gzip = r.get("use-gzip") === true;
  const level = r.get("gzip-level") ?? 1;
  const brotli = r.get("enable-brotli") === true;
  const quality = r.get("brotli-level") ?? 4;
  const smallest = r.get("gzip-min-length");
  const brotliSmallest = r.get("brotli-min-length");
  const types = r.get("gzip-types") ?? r.get("brotli-types") ?? compressedTypes;
  const zstd = r.get("enable-zstd") === true;
  const zstdLevel = r.get("zstd-level") ?? 3;
  if (!gzip && !brotli && !zstd) return undefined;
  return {
    ...(gzip ? { gzip: { level: Math.min(Math.max(level, 1), 9) } } : {}),
    ...(brotli ? { brotli: { level: Math.min(quality, 11) } } : {}),
    ...(zstd ? { zstd: { level: Math.min(Math.max(zstdLevel, 1), 19) } } : {}),
    types,
    minBytes: smallest ?? (gzip || !brotli ? 256 : (brotliSmallest ?? 20)),
  };
}

function tracingOf(r: ConfigReader, defaults: AnnotationDefaults): TracingSettings | undefined {
  const on = flag(defaults, "enable-opentelemetry");
  const collector = r.get("otlp-collector-host");
  const port = r.get("otlp-collector-port") ?? 4317;
  // the port that collectors have for HTTP
  const protocol = r.get("otlp-protocol") ?? (port === 4318 ? "http/protobuf" : "grpc");
  const serviceName = r.get("otel-service-name");
  const sampler = r.get("otel-sampler");
  const share = r.get("otel-sampler-ratio") ?? 0.01;
  const byParent = r.get("otel-sampler-parent-based") ?? true;
  if (on === undefined && collector === undefined) return undefined;
  const endpoint = collector === undefined ? undefined : `${collector.scheme}://${collector.host}:${port}`;
  const service = endpoint === undefined ? undefined : serviceOfUrl([{ kind: "text", text: endpoint }]);
  const batch = {
    ...present("queueSize", r.get("otel-max-queuesize")),
    ...present("delayMs", r.get("otel-schedule-delay-millis")),
    ...present("batchSize", r.get("otel-max-export-batch-size")),
  };
  return {
    enabled: on ?? false,
    ...(endpoint === undefined ? {} : { endpoint, protocol }),
    ...present("serviceName", serviceName),
    ...(sampler === undefined ? {} : { ratio: sampler === "AlwaysOn" ? 1 : sampler === "AlwaysOff" ? 0 : share }),
    ...(service === undefined ? {} : { pool: poolId(service.service, service.port, { serviceUpstream: false }) }),
    ...(Object.keys(batch).length === 0 ? {} : { batch }),
    trustIncoming: flag(defaults, "opentelemetry-trust-incoming-span") ?? byParent,
  };
}

function flag(defaults: AnnotationDefaults, name: "enable-opentelemetry" | "opentelemetry-trust-incoming-span"): boolean | undefined {
  const text = defaults.get(name);
  const value = text === undefined ? undefined : parserOf(name)(text);
  return value === undefined || isBad(value) ? undefined : value;
}
