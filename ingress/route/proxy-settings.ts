import type { TextTest } from "./filter.ts";
import type { LogFormat } from "./log-format.ts";
import type { PoolId } from "./route.ts";

/**
 * What a cluster says about all requests of its ingress processes, over what their command line says; absent is as the process
 * was started. Seconds and bytes.
 */
export interface ProxySettings {
  /** Ranges whose X-Forwarded-* headers are believed; of anybody: 0.0.0.0/0, ::/0. */
  readonly trustedProxies?: readonly string[];
  /** Lower case; read for the client's address instead of x-forwarded-for. */
  readonly forwardedForHeader?: string;
  /** X-Forwarded-For goes on with all that trusted proxies said, and the peer's address behind it. */
  readonly wholeForwardedFor?: boolean;
  /** Clients (load balancers) begin each connection with the PROXY protocol. */
  readonly proxyProtocol?: boolean;
  /** Ranges of those whose word on the client's address is believed; absent: everybody's. The others' is read and forgotten. */
  readonly proxyProtocolFrom?: readonly string[];
  readonly http2?: boolean;
  readonly keepAliveSeconds?: number;
  readonly keepAliveRequests?: number;
  readonly headSeconds?: number;
  readonly bodySeconds?: number;
  /** How long a connection may go on after the process was asked to end. */
  readonly drainSeconds?: number;
  readonly headBytes?: number;
  /** What one process holds at most for those who are slow. */
  readonly heldBytes?: number;
  readonly underscoresInHeaders?: boolean;
  readonly upstreamIdleConnections?: number;
  readonly upstreamIdleSeconds?: number;
  /** A connection or flow of a StreamService on which nothing moves for so long is over. */
  readonly streamIdleSeconds?: number;
  readonly tls?: {
    readonly minVersion?: "TLSv1.2" | "TLSv1.3";
    readonly maxVersion?: "TLSv1.2" | "TLSv1.3";
    readonly ciphers?: string;
    readonly sessionTickets?: boolean;
    /** Where a certificate names a responder, what that says of it is stapled (RFC 6066 section 8). */
    readonly ocsp?: boolean;
    /** Names without a certificate of their own get none. */
    readonly rejectUnknownNames?: boolean;
  };
  readonly accessLog?: boolean;
  /** Of lines in nginx's format. */
  readonly logFormat?: LogFormat;
  /** Path and query of requests that are not in the access log. */
  readonly unlogged?: readonly TextTest[];
  /** Which answers are compressed, and how well; absent: none. */
  readonly compression?: CompressionSettings;
  readonly tracing?: TracingSettings;
}

export interface CompressionSettings {
  readonly gzip?: { readonly level: number };
  readonly brotli?: { readonly level: number };
  readonly zstd?: { readonly level: number };
  /** Media types; text/html always. `*` for all. */
  readonly types: readonly string[];
  readonly minBytes: number;
}

export type OtlpProtocol = "grpc" | "http/protobuf" | "http/json";

export interface TracingSettings {
  readonly enabled: boolean;
  /** Where spans go: `http://collector:4317`. */
  readonly endpoint?: string;
  /** How they do, as OTEL_EXPORTER_OTLP_PROTOCOL names it; absent: grpc. */
  readonly protocol?: OtlpProtocol;
  readonly serviceName?: string;
  /** A share in [0, 1] of the requests whose client did not decide. */
  readonly ratio?: number;
  readonly trustIncoming?: boolean;
  /** The Service of this cluster that stands for the endpoint's host. */
  readonly pool?: PoolId;
  /** Spans that may wait, how long the first of a batch does, and how many go at once. */
  readonly batch?: { readonly queueSize?: number; readonly delayMs?: number; readonly batchSize?: number };
}
