/** Histograms that every series has, with ingress-nginx's names and buckets. */
export const histograms = [
  { name: "request_duration_seconds", buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] },
  { name: "connect_duration_seconds", buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] },
  { name: "header_duration_seconds", buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] },
  { name: "response_duration_seconds", buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] },
  { name: "request_size", buckets: [10, 20, 30, 40, 50, 60, 70, 80, 90, 100] },
  { name: "response_size", buckets: [10, 20, 30, 40, 50, 60, 70, 80, 90, 100] },
  { name: "bytes_sent", buckets: [10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000] },
] as const;

export type HistogramName = (typeof histograms)[number]["name"];

/** Where each histogram begins in the numbers of a series: a count for each bucket, one for what is above all, the sum. */
const offsets = new Map<HistogramName, number>();
let length = 1;
for (const { name, buckets } of histograms) {
  offsets.set(name, length);
  length += buckets.length + 2;
}
const layout = histograms.map((h) => ({ ...h, at: offsets.get(h.name) ?? 0 }));
const byName = Object.fromEntries(layout.map((h) => [h.name, h])) as Readonly<Record<HistogramName, (typeof layout)[number]>>;

/** The numbers of one set of labels. */
export class Series {
  /** As they stand between braces. */
  readonly labels: string;
  readonly #numbers = new Float64Array(length);

  constructor(labels: string) {
    this.labels = labels;
  }

  get requests(): number {
    return this.#numbers[0] ?? 0;
  }

  count(): void {
    this.#numbers[0] = (this.#numbers[0] ?? 0) + 1;
  }

  observe(name: HistogramName, value: number): void {
    const { at, buckets } = byName[name];
    let i = 0;
    while (i < buckets.length && value > (buckets[i] ?? 0)) i++;
    const numbers = this.#numbers;
    numbers[at + i] = (numbers[at + i] ?? 0) + 1;
    const sum = at + buckets.length + 1;
    numbers[sum] = (numbers[sum] ?? 0) + value;
  }

  /** Lines of the text format; none while nothing was observed. */
  print(name: HistogramName): readonly string[] {
    const { at, buckets } = byName[name];
    const whole = `nginx_ingress_controller_${name}`;
    const lines: string[] = [];
    let count = 0;
    for (const [i, bucket] of buckets.entries()) {
      count += this.#numbers[at + i] ?? 0;
      lines.push(`${whole}_bucket{${this.labels},le="${bucket}"} ${count}`);
    }
    count += this.#numbers[at + buckets.length] ?? 0;
    if (count === 0) return [];
    lines.push(`${whole}_bucket{${this.labels},le="+Inf"} ${count}`);
    lines.push(`${whole}_sum{${this.labels}} ${this.#numbers[at + buckets.length + 1]}`, `${whole}_count{${this.labels}} ${count}`);
    return lines;
  }
}

export function printLabels(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${value.replace(/[\\"\n]/g, (c) => (c === "\n" ? "\\n" : `\\${c}`))}"`)
    .join(",");
}
