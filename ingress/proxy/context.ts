import type { Clock } from "../../src/base/clock.ts";
import type { FilterWorld } from "../filter/outcome.ts";
import type { LogFormat } from "../route/log-format.ts";
import type { TextSource } from "../route/request-text.ts";
import type { RouteTable } from "../route/route-table.ts";
import type { EndpointPicker } from "../upstream/endpoint-picker.ts";
import type { Http2Upstreams } from "../upstream/http2-upstreams.ts";
import type { PendingRequests } from "../upstream/pending-requests.ts";
import type { UpstreamPool } from "../upstream/upstream-pool.ts";
import type { HeadLimits } from "../upstream/wire/request-parser.ts";
import type { SpoolBudget } from "./body-spool.ts";
import type { HeldBytes } from "./held-bytes.ts";
import type { ProxyMetrics } from "./metrics.ts";
import type { RequestIds } from "./request-id.ts";
import type { SpanExporter } from "./span-exporter.ts";
import type { Subrequests } from "./subrequest.ts";

export interface ProxyLimits extends HeadLimits {
  /** Bytes of later requests held while one is being answered. */
  readonly heldBytes: number;
  readonly requestsPerConnection: number;
}

/** Milliseconds. */
export interface ProxyTimeouts {
  readonly head: number;
  readonly idle: number;
  readonly body: number;
  readonly linger: number;
  /** While draining, idle connections get this long to meet Connection: close before they are ended. */
  readonly grace: number;
}

/** All endpoints carry what they may, and no more requests may wait for one; or this one has waited as long as it may. */
export type LimitReason = "pending-full" | "pending-timeout";

/** One line of the access log, as data. */
export interface AccessEntry {
  readonly time: number;
  readonly clientIp: string;
  readonly method: string;
  readonly host: string;
  readonly target: string;
  /** `HTTP/1.1` or `HTTP/2.0`. */
  readonly protocol: string;
  readonly status: number;
  /** Bytes of the body. */
  readonly requestBytes: number;
  readonly responseBytes: number;
  readonly milliseconds: number;
  readonly route: string;
  /** `namespace/name` of the Service; "" when none was chosen. */
  readonly service: string;
  /** Address and port of the endpoint that was asked last; "" when none was. */
  readonly upstream: string;
  /** Why this proxy answered itself instead of an endpoint, where its limits are the cause. */
  readonly reason: LimitReason | "";
  readonly referer: string;
  readonly userAgent: string;
  readonly requestId: string;
  /** Who the client has shown to be; "" when it was not asked. */
  readonly user: string;
  readonly namespace: string;
  readonly ingress: string;
  /** Of the Service; 0 when none was chosen. */
  readonly servicePort: number;
  /** The canary's name, where it was chosen: `namespace-name-port`. */
  readonly canary: string;
  /** "" where the request is not traced. */
  readonly traceId: string;
  readonly spanId: string;
  /** Of the endpoint that answered. */
  readonly upstreamTimes: { readonly connectMs: number; readonly headMs: number; readonly wholeMs: number } | undefined;
  /** What texts of the format are filled from. */
  readonly source: TextSource;
  /** For lines in nginx's format, where the cluster has one of its own. */
  readonly format: LogFormat | undefined;
}

/** What the connections of one ingress server share. `table` is swapped as a whole. */
export interface ProxyContext {
  table: RouteTable;
  draining: boolean;
  /** Requests whose bodies are being read before an endpoint is asked. */
  buffering: number;
  /** What waits of them on a disk. */
  readonly spools: SpoolBudget;
  /** Where https is served beside an http port, for redirects. */
  httpsPortBeside: (httpPort: number) => number;
  /** These two are set once the transport is chosen, before the first connection. */
  pool: UpstreamPool;
  http2: Http2Upstreams;
  readonly picker: EndpointPicker;
  readonly pending: PendingRequests;
  readonly held: HeldBytes;
  readonly subrequests: Subrequests;
  readonly spans: SpanExporter;
  /** What the filters of all requests share. */
  readonly world: FilterWorld;
  readonly clock: Clock;
  readonly random: () => number;
  readonly requestIds: RequestIds;
  /** Ranges whose X-Forwarded-* headers are believed. */
  trustedProxies: readonly string[];
  /** These three follow the settings of the table. */
  wire: ProxyLimits;
  timeouts: ProxyTimeouts;
  readonly metrics: ProxyMetrics;
  readonly accessLog: ((entry: AccessEntry) => void) | undefined;
}
