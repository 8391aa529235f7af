/** A histogram's buckets and sum, as Prometheus has them. */
export class MetricHistogram {
  readonly #bounds: readonly number[];
  readonly #counts: Float64Array;
  #sum = 0;

  /** The upper bounds, growing. */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    let i = 0;
    while (i < this.#bounds.length && value > (this.#bounds[i] ?? 0)) i++;
    this.#counts[i] = (this.#counts[i] ?? 0) + 1;
    this.#sum += value;
  }

  get isEmpty(): boolean {
    return this.#counts.every((n) => n === 0);
  }

  *lines(name: string, labels: string): Iterable<string> {
    let total = 0;
    for (const [i, le] of this.#bounds.entries()) {
      total += this.#counts[i] ?? 0;
      yield `${name}_bucket{${labels},le="${Number(le.toPrecision(12))}"} ${total}`;
    }
    total += this.#counts[this.#bounds.length] ?? 0;
    yield `${name}_bucket{${labels},le="+Inf"} ${total}`;
    yield `${name}_sum{${labels}} ${this.#sum}`;
    yield `${name}_count{${labels}} ${total}`;
  }
}

/** Seconds; 16 doublings from a quarter of a millisecond, CoreDNS's buckets. */
export const durationBounds: readonly number[] = Array.from({ length: 16 }, (_, i) => 0.00025 * 2 ** i);
/** Bytes of messages, CoreDNS's buckets. */
export const sizeBounds: readonly number[] = [0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16_000, 32_000, 48_000, 64_000];
