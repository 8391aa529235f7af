import type { Ip } from "../../src/base/ip.ts";
import type { DnsTransport } from "../answer/edns-answers.ts";
import { printRcode, printType, typeNumbers } from "../wire/record-type.ts";

/** Types counted by name, as CoreDNS counts them; all others are `other`. */
const countedTypes = new Set<number>(
  (["A", "AAAA", "MX", "SOA", "CNAME", "PTR", "TXT", "NS", "SRV", "DS", "DNSKEY", "RRSIG", "NSEC", "NSEC3", "HTTPS", "ANY"] as const).map(
    (name) => typeNumbers[name],
  ),
);
const typeSlots = 258;
/** Seconds; 16 doublings from a quarter of a millisecond, CoreDNS's buckets. */
const buckets = Array.from({ length: 16 }, (_, i) => 0.00025 * 2 ** i);

class Histogram {
  readonly #counts = new Float64Array(buckets.length + 1);
  #sum = 0;

  /** Milliseconds. */
  observe(milliseconds: number): void {
    const seconds = milliseconds / 1000;
    let i = 0;
    while (i < buckets.length && seconds > (buckets[i] ?? 0)) i++;
    this.#counts[i] = (this.#counts[i] ?? 0) + 1;
    this.#sum += seconds;
  }

  *lines(name: string, labels: string): Iterable<string> {
    let total = 0;
    for (const [i, le] of buckets.entries()) {
      total += this.#counts[i] ?? 0;
      yield `${name}_bucket{${labels},le="${Number(le.toPrecision(12))}"} ${total}`;
    }
    total += this.#counts[buckets.length] ?? 0;
    yield `${name}_bucket{${labels},le="+Inf"} ${total}`;
    yield `${name}_sum{${labels}} ${this.#sum}`;
    yield `${name}_count{${labels}} ${total}`;
  }
}

/** What an upstream's answers came to. */
interface UpstreamCounts {
  readonly rcodes: Map<number, number>;
  readonly times: Histogram;
  failed: number;
  checkFailed: number;
}

/** Numbers under CoreDNS's names. Counting a query touches arrays only: it happens on the hot path. */
export class DnsMetrics {
  /** By transport, family and type. */
  readonly #requests = new Float64Array(4 * typeSlots);
  readonly #responses = new Map<string, Float64Array>();
  readonly #times = new Histogram();
  readonly #cache = new Map<string, number>();
  readonly #upstreams = new Map<string, UpstreamCounts>();
  readonly #named = new Map<string, Map<string, number>>();
  /** Since the last print. */
  #staleSeconds = 0;
  readonly #single = { allDown: 0, rejected: 0, panics: 0, dropped: 0, slipped: 0 };

  count(
    q: { readonly transport: DnsTransport; readonly client: Ip; readonly type: number },
    rcode: number,
    plugin: string,
    ms: number,
  ): void {
    const type = countedTypes.has(q.type) ? q.type : 0;
    const at = ((q.transport === "udp" ? 0 : 1) * 2 + (q.client.includes(":") ? 1 : 0)) * typeSlots + type;
    this.#requests[at] = (this.#requests[at] ?? 0) + 1;
    let codes = this.#responses.get(plugin);
    if (codes === undefined) {
      codes = new Float64Array(32);
      this.#responses.set(plugin, codes);
    }
    codes[rcode & 31] = (codes[rcode & 31] ?? 0) + 1;
    this.#times.observe(ms);
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
    counts.rcodes.set(rcode, (counts.rcodes.get(rcode) ?? 0) + 1);
    counts.times.observe(ms);
  }

  countFailure(upstream: string, what: "failed" | "checkFailed"): void {
    this.#upstream(upstream)[what]++;
  }

  countSingle(what: "allDown" | "rejected" | "panics" | "dropped" | "slipped"): void {
    this.#single[what]++;
  }

  /** Prometheus text; `port` is in the label by which dashboards tell servers apart: `dns://:53`. */
  print(now: {
    readonly port: number;
    readonly cacheEntries: { readonly success: number; readonly denial: number };
    readonly cacheEvictions: number;
    readonly names: number;
  }): string {
    const own = `server="dns://:${now.port}"`;
    const server = `${own},zone="."`;
    const lines: string[] = [];
    const family = (name: string, type: string, help: string): void => {
      lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    };
    family("coredns_dns_requests_total", "counter", "Counter of DNS requests made per zone, protocol and family.");
    for (const [i, n] of this.#requests.entries()) {
      if (n === 0) continue;
      const kind = Math.floor(i / typeSlots);
      const type = i % typeSlots;
      lines.push(
        `coredns_dns_requests_total{${server},view="",proto="${kind < 2 ? "udp" : "tcp"}",family="${(kind & 1) + 1}",type="${type === 0 ? "other" : printType(type)}"} ${n}`,
      );
    }
    family("coredns_dns_responses_total", "counter", "Counter of response status codes.");
    for (const [plugin, codes] of this.#responses) {
      for (const [rcode, n] of codes.entries()) {
        if (n > 0) lines.push(`coredns_dns_responses_total{${server},view="",rcode="${printRcode(rcode)}",plugin="${plugin}"} ${n}`);
      }
    }
    family("coredns_dns_request_duration_seconds", "histogram", "Histogram of the time each request took.");
    lines.push(...this.#times.lines("coredns_dns_request_duration_seconds", `${server},view=""`));
    family("coredns_panics_total", "counter", "Requests that ended in a fault of this program.");
    lines.push(`coredns_panics_total ${this.#single.panics}`);

    family(
      "fairway_dns_rate_limited_total",
      "counter",
      "Answers that a range of clients had too many of: left out, or sent empty with TC.",
    );
    lines.push(`fairway_dns_rate_limited_total{what="dropped"} ${this.#single.dropped}`);
    lines.push(`fairway_dns_rate_limited_total{what="slipped"} ${this.#single.slipped}`);

    family("coredns_cache_entries", "gauge", "Answers in the cache.");
    for (const type of ["success", "denial"] as const) lines.push(`coredns_cache_entries{${own},type="${type}"} ${now.cacheEntries[type]}`);
    family("coredns_cache_evictions_total", "counter", "Answers that went for want of room.");
    lines.push(`coredns_cache_evictions_total{${own}} ${now.cacheEvictions}`);
    for (const [name, help] of [
      ["hits", "Answers from the cache."],
      ["misses", "Questions the cache had no answer to."],
      ["served_stale", "Answers from the cache whose time was over, because no upstream answered."],
      ["prefetch", "Answers asked for again ahead of their end."],
    ] as const) {
      family(`coredns_cache_${name}_total`, "counter", help);
      for (const [event, n] of this.#cache) {
        const [what, kind] = event.split(" ");
        if (what === name) lines.push(`coredns_cache_${name}_total{${own}${kind === undefined ? "" : `,type="${kind}"`}} ${n}`);
      }
    }
    family("coredns_forward_request_duration_seconds", "histogram", "Time upstreams took to answer.");
    for (const [to, u] of this.#upstreams) lines.push(...u.times.lines("coredns_forward_request_duration_seconds", `to="${to}"`));
    family("coredns_forward_responses_total", "counter", "Answers of upstreams by code.");
    for (const [to, u] of this.#upstreams) {
      for (const [rcode, n] of u.rcodes) lines.push(`coredns_forward_responses_total{to="${to}",rcode="${printRcode(rcode)}"} ${n}`);
    }
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
      for (const [labels, n] of counts) lines.push(`${name}{${own}${labels}} ${n}`);
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
      counts = { rcodes: new Map(), times: new Histogram(), failed: 0, checkFailed: 0 };
      this.#upstreams.set(name, counts);
    }
    return counts;
  }
}
