import type { Route } from "../route/route.ts";
import type { RouteTable } from "../route/route-table.ts";
import { certificateFigures } from "./certificate-metrics.ts";
import { configHash } from "./config-hash.ts";
import type { LimitReason } from "./context.ts";
import { histograms, printLabels, Series } from "./metric-series.ts";
import type { ProcessFigures } from "./process-figures.ts";

/** One finished request, for counting. Times in milliseconds; those of the endpoint are of the last that was asked. */
export interface RequestFacts {
  readonly route: Route | undefined;
  /** `namespace/name`, or "" when none was chosen. */
  readonly service: string;
  /** The canary's, where it was chosen, as ingress-nginx names it: `namespace-name-port`; else "". */
  readonly canary: string;
  readonly method: string;
  readonly status: number;
  readonly milliseconds: number;
  /** Absent while nobody answered. */
  readonly endpoint: { readonly connectMs: number; readonly headMs: number; readonly wholeMs: number } | undefined;
  /** Of bodies. */
  readonly requestBytes: number;
  readonly responseBytes: number;
}

/** What there is to print beside what was counted. */
export interface MetricsContext {
  readonly table: RouteTable;
  readonly limitPeers: number;
  /** Requests that wait for an endpoint. */
  readonly pending: number;
  /** Of who is slow, and how many such were let go. */
  readonly held: { readonly bytes: number; readonly letGo: number };
  /** Connections with a request under way. */
  readonly busy: number;
  /** When the table was last changed; milliseconds since 1970. */
  readonly changedAt: number;
  readonly process: ProcessFigures;
}

interface Recent {
  readonly method: string;
  readonly status: number;
  readonly service: string;
  readonly canary: string;
  readonly series: Series;
}

const maxRecent = 8;

const knownMethods: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]);

/** Series with all labels; past it, requests are counted by Ingress, Service and class of status alone. */
const maxDetailed = 2_000;
/** All series; past it, requests are counted under `other`. */
const maxSeries = 10_000;

/** Counters of one ingress process, with ingress-nginx's names where the meaning is the same. */
export class ProxyMetrics {
  connections = 0;
  accepted = 0;
  retries = 0;
  upstreamFailures = 0;
  readonly refused: Record<LimitReason, number> = { "pending-full": 0, "pending-timeout": 0 };
  readonly mirrors = { underWay: 0, sent: 0, failed: 0, skipped: 0 };
  readonly spans = { sent: 0, dropped: 0 };
  #requests = 0;
  readonly #series = new Map<string, Series>();
  /** The series of each route that were counted last, so that not every request spells out its labels. */
  readonly #recent = new WeakMap<Route, Recent[]>();

  request(f: RequestFacts): void {
    this.#requests++;
    // clients choose the method: what is unheard of is one kind
    const method = knownMethods.has(f.method) ? f.method : "OTHER";
    const series = this.#recentSeries(f, method) ?? this.#lookUp(f, method);
    series.count();
    series.observe("request_duration_seconds", f.milliseconds / 1000);
    series.observe("request_size", f.requestBytes);
    series.observe("response_size", f.responseBytes);
    series.observe("bytes_sent", f.responseBytes);
    if (f.endpoint === undefined) return;
    series.observe("connect_duration_seconds", f.endpoint.connectMs / 1000);
    series.observe("header_duration_seconds", f.endpoint.headMs / 1000);
    series.observe("response_duration_seconds", f.endpoint.wholeMs / 1000);
  }

  #recentSeries(f: RequestFacts, method: string): Series | undefined {
    const list = f.route === undefined ? undefined : this.#recent.get(f.route);
    if (list === undefined) return undefined;
    for (const r of list)
      if (r.status === f.status && r.method === method && r.service === f.service && r.canary === f.canary) return r.series;
    return undefined;
  }

  #lookUp(f: RequestFacts, method: string): Series {
    const { route } = f;
    const series = this.#seriesOf(f, method);
    if (route !== undefined) {
      const list = this.#recent.get(route) ?? [];
      if (list.length >= maxRecent) list.shift();
      list.push({ method, status: f.status, service: f.service, canary: f.canary, series });
      this.#recent.set(route, list);
    }
    return series;
  }

  #seriesOf(f: RequestFacts, method: string): Series {
    const { route, canary } = f;
    const host =
      route === undefined || route.host.kind === "any" ? "" : route.host.kind === "exact" ? route.host.name : `*${route.host.suffix}`;
    const namespace = route?.object.namespace ?? "";
    const ingress = route?.object.name ?? "";
    const service = f.service.split("/")[1] ?? "";
    const path = route === undefined ? "" : route.rule.slice(Math.max(0, route.rule.indexOf("/")));
    const detailed = { host, method, status: String(f.status), namespace, ingress, service, path, canary };
    const coarse = { ...detailed, host: "", method: "", path: "", status: `${Math.floor(f.status / 100)}xx` };
    const other = { ...coarse, status: "", namespace: "", ingress: "other", service: "", canary: "" };
    for (const [labels, most] of [
      [detailed, maxDetailed],
      [coarse, maxSeries],
      [other, Number.POSITIVE_INFINITY],
    ] as const) {
      const key = printLabels(labels);
      const known = this.#series.get(key);
      if (known !== undefined) return known;
      if (this.#series.size >= most) continue;
      const series = new Series(key);
      this.#series.set(key, series);
      return series;
    }
    throw new Error("the last kind of series has no limit");
  }

  /** The text format of Prometheus. */
  print(c: MetricsContext): string {
    const controller = "nginx_ingress_controller_";
    const all = [...this.#series.values()];
    const { mirrors, spans } = this;
    const certificates = certificateFigures(c.table);
    const hash = configHash(c.table);
    const lines = [
      ...family(
        `${controller}requests`,
        "counter",
        "Requests that have ended",
        all.map((s) => [s.labels, s.requests] as const),
      ),
      ...histograms.flatMap(({ name }) => [`# TYPE ${controller}${name} histogram`, ...all.flatMap((s) => s.print(name))]),
      ...family(`${controller}nginx_process_connections`, "gauge", "Connections of clients", [
        ['state="active"', this.connections],
        ['state="writing"', c.busy],
        ['state="waiting"', Math.max(0, this.connections - c.busy)],
      ]),
      ...family(`${controller}nginx_process_connections_total`, "counter", "Connections of clients so far", [
        ['state="accepted"', this.accepted],
        ['state="handled"', this.accepted],
      ]),
      ...family(`${controller}nginx_process_requests_total`, "counter", "Requests that have ended", [["", this.#requests]]),
      ...processFamilies(`${controller}nginx_process_`, c.process),
      ...family(
        `${controller}ssl_expire_time_seconds`,
        "gauge",
        "When certificates expire, in seconds since 1970",
        certificates.map(({ expiry }) => [expiry.labels, expiry.seconds] as const),
      ),
      ...family(
        `${controller}ssl_certificate_info`,
        "gauge",
        "Certificates that are served",
        certificates.map(({ info }) => [info, 1] as const),
      ),
      ...(hash === undefined ? [] : family(`${controller}config_hash`, "gauge", "What routes and settings come to", [["", hash]])),
      ...family(`${controller}config_last_reload_successful`, "gauge", "1: routes are never reloaded, only changed", [["", 1]]),
      ...family(`${controller}config_last_reload_successful_timestamp_seconds`, "gauge", "When routes last changed", [
        ["", c.changedAt / 1000],
      ]),
      ...family("fairway_ingress_mirror_requests_total", "counter", "Copies of requests", [
        ['result="sent"', mirrors.sent],
        ['result="failed"', mirrors.failed],
        ['result="skipped"', mirrors.skipped],
      ]),
      ...family("fairway_ingress_spans_total", "counter", "Spans of traces", [
        ['result="sent"', spans.sent],
        ['result="dropped"', spans.dropped],
      ]),
      ...family("fairway_ingress_retries_total", "counter", "Further tries of requests", [["", this.retries]]),
      ...family(
        "fairway_ingress_upstream_failures_total",
        "counter",
        "Tries for which an endpoint gave no answer, or none in time, or not the whole of it",
        [["", this.upstreamFailures]],
      ),
      ...family("fairway_ingress_held_bytes", "gauge", "Bytes held for clients and endpoints that are slow", [["", c.held.bytes]]),
      ...family("fairway_ingress_held_let_go_total", "counter", "Slow ones that were let go since too much was held", [["", c.held.letGo]]),
      ...family("fairway_ingress_pending_requests", "gauge", "Requests that wait for an endpoint with room", [["", c.pending]]),
      ...family(
        "fairway_ingress_pending_refused_total",
        "counter",
        "Requests for which no endpoint had room",
        Object.entries(this.refused).map(([reason, n]) => [`reason="${reason}"`, n] as const),
      ),
      ...family("fairway_ingress_limit_peers", "gauge", "Processes with which limits are shared", [["", c.limitPeers]]),
      ...family("fairway_ingress_route_table_revision", "gauge", "Changes of routes so far", [["", c.table.revision]]),
    ];
    return `${lines.join("\n")}\n`;
  }
}

function family(
  name: string,
  type: string,
  help: string,
  samples: readonly (readonly [labels: string, value: number])[],
): readonly string[] {
  return [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} ${type}`,
    ...samples.map(([labels, value]) => `${name}${labels === "" ? "" : `{${labels}}`} ${value}`),
  ];
}

function processFamilies(prefix: string, p: ProcessFigures): readonly string[] {
  return [
    ...family(`${prefix}num_procs`, "gauge", "Processes", [["", 1]]),
    ...family(`${prefix}cpu_seconds_total`, "counter", "Processor time, in seconds", [["", p.cpuSeconds]]),
    ...family(`${prefix}oldest_start_time_seconds`, "gauge", "When it began, in seconds since 1970", [["", p.startedAt]]),
    ...family(`${prefix}read_bytes_total`, "counter", "Bytes read from storage", [["", p.readBytes]]),
    ...family(`${prefix}write_bytes_total`, "counter", "Bytes written to storage", [["", p.writeBytes]]),
    ...family(`${prefix}resident_memory_bytes`, "gauge", "Memory in use", [["", p.residentBytes]]),
    ...family(`${prefix}virtual_memory_bytes`, "gauge", "Address space in use", [["", p.virtualBytes]]),
  ];
}
