/** One line: `NAME SUFFIX {labels} value`. */
export interface Sample {
  /** `_bucket`, of a histogram. */
  readonly suffix?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A family in Prometheus' text form; nothing where it has no sample. Values of labels need no escaping. */
export function printFamily(
  name: string,
  type: "counter" | "gauge" | "histogram",
  help: string,
  samples: readonly Sample[],
): readonly string[] {
  if (samples.length === 0) return [];
  const lines = samples.map(({ suffix = "", labels = {}, value }) => {
    const said = Object.entries(labels).map(([label, text]) => `${label}="${text}"`);
    return `${name}${suffix}${said.length === 0 ? "" : `{${said.join(",")}}`} ${value}`;
  });
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines];
}

const steps = (first: number, step: number, count: number): readonly number[] => Array.from({ length: count }, (_, i) => first + i * step);

/** Of transactions, in seconds: kube-proxy's, from a millisecond to 16 s, and two below. */
export const transactionBuckets: readonly number[] = [0.000_25, 0.000_5, ...Array.from({ length: 15 }, (_, i) => 2 ** i / 1000)];

/** Of changes from the cluster's beginning to the rules, in seconds: kube-proxy's, from a quarter of a second to 5 minutes, and some below. */
export const programmingBuckets: readonly number[] = [
  ...[0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5],
  ...steps(1, 1, 59),
  ...steps(60, 5, 12),
  ...steps(120, 30, 7),
];

/** Of times in seconds; `buckets` ascend. */
export class Histogram {
  readonly #buckets: readonly number[];
  readonly #counts: number[];
  #sum = 0;
  #count = 0;

  constructor(buckets: readonly number[]) {
    this.#buckets = buckets;
    this.#counts = new Array<number>(buckets.length).fill(0);
  }

  observe(seconds: number): void {
    this.#sum += seconds;
    this.#count++;
    for (let i = this.#buckets.length - 1; i >= 0 && seconds <= (this.#buckets[i] ?? 0); i--) this.#counts[i] = (this.#counts[i] ?? 0) + 1;
  }

  samples(labels: Readonly<Record<string, string>>): readonly Sample[] {
    const bucket = (le: string, value: number): Sample => ({ suffix: "_bucket", labels: { ...labels, le }, value });
    return [
      ...this.#buckets.map((le, i) => bucket(`${le}`, this.#counts[i] ?? 0)),
      bucket("+Inf", this.#count),
      { suffix: "_sum", labels, value: this.#sum },
      { suffix: "_count", labels, value: this.#count },
    ];
  }
}
