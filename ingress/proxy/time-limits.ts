/** Ends what takes longer than it may, by one timer for all. */
export class TimeLimits<T> {
  readonly #end: (late: T) => void;
  /** Milliseconds of performance.now. */
  readonly #until = new Map<T, number>();
  #timer: NodeJS.Timeout | undefined;
  #rings = Number.POSITIVE_INFINITY;

  constructor(end: (late: T) => void) {
    this.#end = end;
  }

  get size(): number {
    return this.#until.size;
  }

  add(item: T, withinMs: number): void {
    const until = performance.now() + withinMs;
    this.#until.set(item, until);
    if (until < this.#rings) this.#ring(until, withinMs);
  }

  /** It was in time. */
  delete(item: T): void {
    this.#until.delete(item);
  }

  /** Ends all. */
  endAll(): void {
    for (const item of this.#until.keys()) this.#end(item);
    this.#until.clear();
  }

  #ring(at: number, inMs: number): void {
    clearTimeout(this.#timer);
    this.#rings = at;
    // a timer may come a little early
    this.#timer = setTimeout(() => this.#endLate(), inMs + 1).unref();
  }

  #endLate(): void {
    const now = performance.now();
    let next = Number.POSITIVE_INFINITY;
    for (const [item, until] of this.#until)
      if (until > now) next = Math.min(next, until);
      else {
        this.#until.delete(item);
        this.#end(item);
      }
    if (next < Number.POSITIVE_INFINITY) this.#ring(next, next - now);
    else this.#rings = next;
  }
}
