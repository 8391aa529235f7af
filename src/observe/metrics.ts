import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

export type Labels = Readonly<Record<string, string | number>>;

export interface MetricSpec {
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly string[];
}
export interface CounterMetric {
  /** Adds `by` (1 when absent, never negative). */
  add(by?: number, labels?: Labels): void;
}
export interface GaugeMetric {
  set(value: number, labels?: Labels): void;
  /** Forgets one series: what it stood for is gone. */
  remove(labels: Labels): void;
}
export interface HistogramMetric {
  /** One observation, in the unit of the metric's name. */
  observe(value: number, labels?: Labels): void;
}

/** A process's numbers. Names, units and labels follow kube-proxy and CoreDNS where the meaning is the same. */
export interface Metrics {
  counter(spec: MetricSpec): CounterMetric;
  /** With `read`, the value is asked for at each scrape. */
  gauge(spec: MetricSpec & { readonly read?: () => number }): GaugeMetric;
  histogram(spec: MetricSpec & { readonly buckets: readonly number[] }): HistogramMetric;
  /** Adds a room that keeps its own numbers: `source` returns Prometheus text. Returns what takes it out again. */
  collect(source: () => string): () => void;
  /** Prometheus text (version 0.0.4), each family once. */
  print(): Promise<string>;
}

export const metricsContentType = "text/plain; version=0.0.4; charset=utf-8";

export interface MetricsOptions {
  /** Adds the process's and the runtime's own metrics (`process_*`, `nodejs_*`). One registry of a process should have them. */
  readonly processMetrics?: boolean;
}

export function createMetrics(options: MetricsOptions = {}): Metrics {
  const registry = new Registry();
  const sources = new Set<() => string>();
  // The delay of the event loop is sampled by a timer: at the default of 10 ms an idle process would wake 100 times a second.
  if (options.processMetrics === true) collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 500 });
  const base = (spec: MetricSpec): { name: string; help: string; labelNames: string[]; registers: Registry[] } => ({
    name: spec.name,
    help: spec.help,
    labelNames: [...(spec.labels ?? [])],
    registers: [registry],
  });
  return {
    counter: (spec) => {
      const counter = new Counter(base(spec));
      return { add: (by = 1, labels = {}) => counter.inc(labels, by) };
    },
    gauge: (spec) => {
      const { read } = spec;
      const gauge: Gauge = new Gauge({ ...base(spec), ...(read === undefined ? {} : { collect: () => gauge.set(read()) }) });
      return { set: (value, labels = {}) => gauge.set(labels, value), remove: (labels) => gauge.remove(labels) };
    },
    histogram: (spec) => {
      const histogram = new Histogram({ ...base(spec), buckets: [...spec.buckets] });
      return { observe: (value, labels = {}) => histogram.observe(labels, value) };
    },
    collect: (source) => {
      sources.add(source);
      return () => void sources.delete(source);
    },
    print: async () => mergeMetricsText([await registry.metrics(), ...Array.from(sources, (source) => source())]),
  };
}

/**
 * One Prometheus text from several: samples of a family that more than one of them has are put together under the first
 * HELP and TYPE, because scrapers refuse a family that comes twice; and so are samples with the same labels: of counters,
 * histograms and gauges that count connections or tell of processes the sum, of the oldest the smallest, of other gauges the largest.
 */
export function mergeMetricsText(texts: readonly string[]): string {
  const families = new Map<string, { readonly head: Map<string, string>; readonly samples: Map<string, string> }>();
  for (const text of texts) {
    let current: string | undefined;
    for (const line of text.split("\n")) {
      if (line === "" || line === "# EOF") continue;
      const head = /^# (HELP|TYPE) (\S+)/.exec(line);
      if (head === null && line.startsWith("#")) continue;
      if (head !== null) current = head[2] ?? "";
      const name = head === null ? (/^[^{\s]+/.exec(line)?.[0] ?? "") : (current ?? "");
      const family: string = head === null && current !== undefined && belongsTo(name, current) ? current : name;
      let entry = families.get(family);
      if (entry === undefined) {
        entry = { head: new Map(), samples: new Map() };
        families.set(family, entry);
      }
      if (head === null) addSample(entry.samples, line, jointly(family, entry.head.get("TYPE")));
      else if (!entry.head.has(head[1] ?? "")) entry.head.set(head[1] ?? "", line);
    }
  }
  return Array.from(families.values(), ({ head, samples }) =>
    [...head.values(), ...Array.from(samples, ([series, value]) => `${series} ${value}`)].map((l) => `${l}\n`).join(""),
  ).join("");
}

/** `name{labels} value`, without a time. */
function addSample(samples: Map<string, string>, line: string, join: Join): void {
  const at = line.lastIndexOf(" ");
  const series = line.slice(0, at);
  const value = line.slice(at + 1);
  const before = samples.get(series);
  if (before === undefined) samples.set(series, value);
  else samples.set(series, String(join(Number(before), Number(value))));
}

type Join = (a: number, b: number) => number;

const sum: Join = (a, b) => a + b;

function jointly(family: string, type: string | undefined): Join {
  if (type === undefined || !type.endsWith(" gauge") || family.endsWith("_connections")) return sum;
  if (family.endsWith("_oldest_start_time_seconds")) return Math.min;
  return family.startsWith("nginx_ingress_controller_nginx_process_") ? sum : Math.max;
}

function belongsTo(sample: string, family: string): boolean {
  return sample === family || ["_bucket", "_sum", "_count", "_total", "_created", "_info"].some((s) => sample === family + s);
}
