import { printRcode } from "../wire/record-type.ts";
import { durationBounds, MetricHistogram } from "./metric-histogram.ts";
import { QueryCounts } from "./query-counts.ts";

/** What an upstream's answers came to. */
interface UpstreamCounts {
  /** Times by code. */
  readonly rcodes: Map<number, { count: number; readonly times: MetricHistogram }>;
  readonly times: MetricHistogram;
  failed: number;
  checkFailed: number;
}

/** Numbers under CoreDNS's names. Counting a query touches arrays only: it happens on the hot path. */
export class DnsMetrics {
  readonly #listeners = new Map<string, QueryCounts>();
  readonly #cache = new Map<string, number>();
  readonly #upstreams = new Map<string, UpstreamCounts>();
  readonly #named = new Map<string, Map<string, number>>();
  /** Since the last print. */
  #staleSeconds = 0;
  readonly #single = { allDown: 0, rejected: 0, panics: 0, dropped: 0, slipped: 0 };

  /** The counts of those listeners that are called the same: `dns://:53`. */
  listener(server: string): QueryCounts {
    let counts = this.#listeners.get(server);
    if (counts === undefined) {
      counts = new QueryCounts();
      this.#listeners.set(server, counts);
    }
    return counts;
  }

  countCache(event: "hits success" | "hits denial" | "misses" | "served_stale" | "prefetch"): void {
    this.#cache.set(event, (this.#cache.get(event) ?? 0) + 1);
  }

  /** An answer was served so many seconds after its end. */
  countStale(seconds: number): void {
    this.countCache("served_stale");
    this.#staleSeconds = Math.max(this.#staleSeconds, seconds);
  }

  /** Any other counter, by its whole name. */
  countNamed(name: string, labels: Readonly<Record<string, string>> = {}): void {
    const key = Object.entries(labels)
      .map(([label, value]) => `,${label}="${value}"`)
      .join("");
    let counts = this.#named.get(name);
    if (counts === undefined) {
      counts = new Map();
      this.#named.set(name, counts);
    }
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }

  countAnswer(upstream: string, rcode: number, ms: number): void {
    const counts = this.#upstream(upstream);
    const own = counts.rcodes.get(rcode) ?? { count: 0, times: new MetricHistogram(durationBounds) };
    counts.rcodes.set(rcode, own);
    own.count++;
    own.times.observe(ms / 1000);
    counts.times.observe(ms / 1000);
  }

  countFailure(upstream: string, what: "failed" | "checkFailed"): void {
    this.#upstream(upstream)[what]++;
  }

  countSingle(what: "allDown" | "rejected" | "panics" | "dropped" | "slipped"): void {
    this.#single[what]++;
  }

  /** Prometheus text; `port` is in the label by which dashboards tell servers apart, where a number is the whole server's. */
  print(now: {
    readonly port: number;
    /** Of all blocks, by their first zone. */
    readonly plugins: readonly { readonly zone: string; readonly name: string }[];
    readonly cacheEntries: { readonly success: number; readonly denial: number };
    readonly cacheEvictions: number;
    readonly names: number;
  }): string {
    const own = `server="dns://:${now.port}"`;
    const lines: string[] = [];
    const family = (name: string, type: string, help: string): void => {
      lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    };
    family("coredns_dns_requests_total", "counter", "Counter of DNS requests made per zone, protocol and family.");
    const listeners = Array.from(this.#listeners, ([server, counts]) => ({ labels: `server="${server}",zone=".",view=""`, counts }));
    for (const { labels, counts } of listeners) counts.requests((l, n) => lines.push(`coredns_dns_requests_total{${labels},${l}} ${n}`));
    family("coredns_dns_responses_total", "counter", "Counter of response status codes.");
    for (const { labels, counts } of listeners) counts.responses((l, n) => lines.push(`coredns_dns_responses_total{${labels},${l}} ${n}`));
    family("coredns_dns_request_duration_seconds", "histogram", "Histogram of the time each request took.");
    for (const { labels, counts } of listeners) lines.push(...counts.times.lines("coredns_dns_request_duration_seconds", labels));
    for (const side of ["request", "response"] as const) {
      family(`coredns_dns_${side}_size_bytes`, "histogram", `Bytes of each ${side}.`);
      for (const { labels, counts } of listeners) lines.push(...counts.sizeLines(side, labels));
    }
    family("coredns_plugin_enabled", "gauge", "Plugins of the Corefile, by the first zone of their block.");
    for (const { zone, name } of now.plugins) lines.push(`coredns_plugin_enabled{${own},zone="${zone}",view="",name="${name}"} 1`);
    family("coredns_panics_total", "counter", "Requests that ended in a fault of this program.");
    lines.push(`coredns_panics_total ${this.#single.panics}`);

    family(
      "fairway_dns_rate_limited_total",
      "counter",
      "Answers that a range of clients had too many of: left out, or sent empty with TC.",
    );
    lines.push(`fairway_dns_rate_limited_total{what="dropped"} ${this.#single.dropped}`);
    lines.push(`fairway_dns_rate_limited_total{what="slipped"} ${this.#single.slipped}`);

    const cache = `${own},zones=".",view=""`;
    const asked = ["hits success", "hits denial", "misses"].reduce((sum, event) => sum + (this.#cache.get(event) ?? 0), 0);
    family("coredns_cache_requests_total", "counter", "Questions to the cache.");
    lines.push(`coredns_cache_requests_total{${cache}} ${asked}`);
    family("coredns_cache_entries", "gauge", "Answers in the cache.");
    for (const type of ["success", "denial"] as const)
      lines.push(`coredns_cache_entries{${cache},type="${type}"} ${now.cacheEntries[type]}`);
    family("coredns_cache_evictions_total", "counter", "Answers that went for want of room.");
    lines.push(`coredns_cache_evictions_total{${cache}} ${now.cacheEvictions}`);
    for (const [name, help] of [
      ["hits", "Answers from the cache."],
      ["misses", "Questions the cache had no answer to."],
      ["served_stale", "Answers from the cache whose time was over, because no upstream answered."],
      ["prefetch", "Answers asked for again ahead of their end."],
    ] as const) {
      family(`coredns_cache_${name}_total`, "counter", help);
      for (const [event, n] of this.#cache) {
        const [what, kind] = event.split(" ");
        if (what === name) lines.push(`coredns_cache_${name}_total{${cache}${kind === undefined ? "" : `,type="${kind}"`}} ${n}`);
      }
    }
    family("coredns_forward_request_duration_seconds", "histogram", "Time upstreams took to answer.");
    for (const [to, u] of this.#upstreams) lines.push(...u.times.lines("coredns_forward_request_duration_seconds", `to="${to}"`));
    family("coredns_forward_responses_total", "counter", "Answers of upstreams by code.");
    for (const [to, u] of this.#upstreams) {
      for (const [rcode, { count }] of u.rcodes)
        lines.push(`coredns_forward_responses_total{to="${to}",rcode="${printRcode(rcode)}"} ${count}`);
    }
    family("coredns_proxy_request_duration_seconds", "histogram", "Time upstreams took to answer, by code.");
    for (const [to, u] of this.#upstreams) {
      for (const [rcode, { times }] of u.rcodes) {
        const labels = `proxy_name="forward",to="${to}",rcode="${printRcode(rcode)}"`;
        lines.push(...times.lines("coredns_proxy_request_duration_seconds", labels));
      }
    }
    family("coredns_proxy_healthcheck_failures_total", "counter", "Looks at an upstream that found it dead.");
    for (const [to, u] of this.#upstreams)
      lines.push(`coredns_proxy_healthcheck_failures_total{proxy_name="forward",to="${to}"} ${u.checkFailed}`);
    family("coredns_forward_failures_total", "counter", "Questions an upstream did not answer.");
    for (const [to, u] of this.#upstreams) lines.push(`coredns_forward_failures_total{to="${to}"} ${u.failed}`);
    family("coredns_forward_healthcheck_failures_total", "counter", "Looks at an upstream that found it dead.");
    for (const [to, u] of this.#upstreams) lines.push(`coredns_forward_healthcheck_failures_total{to="${to}"} ${u.checkFailed}`);
    family("coredns_forward_healthcheck_broken_total", "counter", "Questions asked while every upstream was down.");
    lines.push(`coredns_forward_healthcheck_broken_total ${this.#single.allDown}`);
    family("coredns_forward_max_concurrent_rejects_total", "counter", "Questions refused because too many were on their way.");
    lines.push(`coredns_forward_max_concurrent_rejects_total ${this.#single.rejected}`);
    for (const [name, counts] of this.#named) {
      family(name, "counter", "As CoreDNS counts it.");
      for (const [labels, n] of counts) lines.push(`${name}{${own},view=""${labels}} ${n}`);
    }
    family(
      "fairway_dns_stale_seconds",
      "gauge",
      "The oldest answer that was served after its end since the last scrape, by its age since then.",
    );
    lines.push(`fairway_dns_stale_seconds ${this.#staleSeconds}`);
    this.#staleSeconds = 0;
    family("fairway_dns_names", "gauge", "Names in the cluster's zones.");
    lines.push(`fairway_dns_names ${now.names}`);
    return `${lines.join("\n")}\n`;
  }

  #upstream(name: string): UpstreamCounts {
    let counts = this.#upstreams.get(name);
    if (counts === undefined) {
      counts = { rcodes: new Map(), times: new MetricHistogram(durationBounds), failed: 0, checkFailed: 0 };
      this.#upstreams.set(name, counts);
    }
    return counts;
  }
}
