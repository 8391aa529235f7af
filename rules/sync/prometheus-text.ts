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

const buckets = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60];

/** Of times from half a millisecond to a minute, in seconds. */
export class Histogram {
  readonly #counts = new Array<number>(buckets.length).fill(0);
  #sum = 0;
  #count = 0;

  observe(seconds: number): void {
    this.#sum += seconds;
    this.#count++;
    for (let i = buckets.length - 1; i >= 0 && seconds <= (buckets[i] ?? 0); i--) this.#counts[i] = (this.#counts[i] ?? 0) + 1;
  }

  samples(labels: Readonly<Record<string, string>>): readonly Sample[] {
    const bucket = (le: string, value: number): Sample => ({ suffix: "_bucket", labels: { ...labels, le }, value });
    return [
      ...buckets.map((le, i) => bucket(`${le}`, this.#counts[i] ?? 0)),
      bucket("+Inf", this.#count),
      { suffix: "_sum", labels, value: this.#sum },
      { suffix: "_count", labels, value: this.#count },
    ];
  }
}
