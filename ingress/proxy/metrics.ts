import type { Route } from "../route/route.ts";

/** One finished request, for counting. */
export interface RequestFacts {
  readonly route: Route | undefined;
  /** `namespace/name`, or "" when none was chosen. */
  readonly service: string;
  readonly method: string;
  readonly status: number;
  readonly seconds: number;
  readonly responseBytes: number;
}

const buckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

interface Series {
  readonly labels: string;
  count: number;
  seconds: number;
  bytes: number;
  readonly below: number[];
}

interface Recent {
  readonly method: string;
  readonly status: number;
  readonly service: string;
  readonly series: Series;
}

interface Labels {
  readonly host: string;
  readonly ingress: string;
  readonly namespace: string;
  readonly service: string;
}

const maxRecent = 8;

const knownMethods: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]);

/** Series kept; requests of more kinds than that are counted under `other`. */
const maxSeries = 10_000;

/** Counters of one ingress process, with ingress-nginx's names where the meaning is the same. */
export class ProxyMetrics {
  connections = 0;
  accepted = 0;
  retries = 0;
  upstreamFailures = 0;
  readonly #series = new Map<string, Series>();
  /** The series of each route that were counted last, so that not every request spells out its labels. */
  readonly #recent = new WeakMap<Route, Recent[]>();

  request(f: RequestFacts): void {
    // clients choose the method: what is unheard of is one kind
    const method = knownMethods.has(f.method) ? f.method : "OTHER";
    const series = this.#recentSeries(f, method) ?? this.#lookUp(f, method);
    series.count++;
    series.seconds += f.seconds;
    series.bytes += f.responseBytes;
    let at = 0;
    while (at < buckets.length && f.seconds > (buckets[at] ?? 0)) at++;
    if (at < buckets.length) series.below[at] = (series.below[at] ?? 0) + 1;
  }

  #recentSeries(f: RequestFacts, method: string): Series | undefined {
    const list = f.route === undefined ? undefined : this.#recent.get(f.route);
    if (list === undefined) return undefined;
    for (const r of list) if (r.status === f.status && r.method === method && r.service === f.service) return r.series;
    return undefined;
  }

  #lookUp(f: RequestFacts, method: string): Series {
    const { route } = f;
    const labels = {
      host: route === undefined || route.host.kind === "any" ? "" : route.host.kind === "exact" ? route.host.name : `*${route.host.suffix}`,
      ingress: route?.object.name ?? "",
      namespace: route?.object.namespace ?? "",
      service: f.service.split("/")[1] ?? "",
    };
    const series = this.#seriesOf(labels, method, f.status);
    if (route !== undefined) {
      const list = this.#recent.get(route) ?? [];
      if (list.length >= maxRecent) list.shift();
      list.push({ method, status: f.status, service: f.service, series });
      this.#recent.set(route, list);
    }
    return series;
  }

  #seriesOf(f: Labels, method: string, status: number): Series {
    let key = `${method}\n${status}\n${f.namespace}\n${f.ingress}\n${f.service}\n${f.host}`;
    let series = this.#series.get(key);
    if (series === undefined) {
      const full = this.#series.size >= maxSeries;
      if (full) key = "other";
      series = this.#series.get(key) ?? {
        labels: full
          ? 'host="",method="",status="",namespace="",ingress="other",service=""'
          : `host="${escaped(f.host)}",method="${method}",status="${status}",namespace="${f.namespace}",ingress="${f.ingress}",service="${f.service}"`,
        count: 0,
        seconds: 0,
        bytes: 0,
        below: buckets.map(() => 0),
      };
      this.#series.set(key, series);
    }
    return series;
  }

  /** The text format of Prometheus. */
  print({ revision, limitPeers }: { readonly revision: number; readonly limitPeers: number }): string {
    const lines = [
      "# TYPE nginx_ingress_controller_requests counter",
      ...this.#lines((s) => [`nginx_ingress_controller_requests{${s.labels}} ${s.count}`]),
      "# TYPE nginx_ingress_controller_request_duration_seconds histogram",
      ...this.#lines((s) => this.#histogram(s)),
      "# TYPE nginx_ingress_controller_bytes_sent counter",
      ...this.#lines((s) => [`nginx_ingress_controller_bytes_sent{${s.labels}} ${s.bytes}`]),
      "# TYPE nginx_ingress_controller_nginx_process_connections gauge",
      `nginx_ingress_controller_nginx_process_connections{state="active"} ${this.connections}`,
      "# TYPE nginx_ingress_controller_nginx_process_connections_total counter",
      `nginx_ingress_controller_nginx_process_connections_total{state="accepted"} ${this.accepted}`,
      "# TYPE fairway_ingress_retries_total counter",
      `fairway_ingress_retries_total ${this.retries}`,
      "# TYPE fairway_ingress_upstream_failures_total counter",
      `fairway_ingress_upstream_failures_total ${this.upstreamFailures}`,
      "# TYPE fairway_ingress_limit_peers gauge",
      `fairway_ingress_limit_peers ${limitPeers}`,
      "# TYPE fairway_ingress_route_table_revision gauge",
      `fairway_ingress_route_table_revision ${revision}`,
    ];
    return `${lines.join("\n")}\n`;
  }

  #lines(of: (s: Series) => readonly string[]): readonly string[] {
    return [...this.#series.values()].flatMap(of);
  }

  #histogram(s: Series): readonly string[] {
    let sum = 0;
    const name = "nginx_ingress_controller_request_duration_seconds";
    const steps = buckets.map((b, i) => {
      sum += s.below[i] ?? 0;
      return `${name}_bucket{${s.labels},le="${b}"} ${sum}`;
    });
    return [
      ...steps,
      `${name}_bucket{${s.labels},le="+Inf"} ${s.count}`,
      `${name}_sum{${s.labels}} ${s.seconds}`,
      `${name}_count{${s.labels}} ${s.count}`,
    ];
  }
}

function escaped(text: string): string {
  return text.replace(/[\\"\n]/g, (c) => (c === "\n" ? "\\n" : `\\${c}`));
}
