/**
 * Values by name, as requests look them up: two native maps, what changed lately over what was there before. A persistent map hashes
 * each name anew, which costs a request more than all else of its look-up. Never changed once made; the next one shares the larger
 * map, and copies the smaller, of about its square root.
 */
export class NameIndex<V> {
  static of<V>(): NameIndex<V> {
    return new NameIndex(new Map(), new Map(), 0);
  }

  readonly size: number;
  readonly #settled: ReadonlyMap<string, V>;
  /** Goes before `settled`; `gone` where it was taken away. */
  readonly #recent: ReadonlyMap<string, V | typeof gone>;

  private constructor(settled: ReadonlyMap<string, V>, recent: ReadonlyMap<string, V | typeof gone>, size: number) {
    this.#settled = settled;
    this.#recent = recent;
    this.size = size;
  }

  get(name: string): V | undefined {
    if (this.#recent.size > 0) {
      const recent = this.#recent.get(name);
      if (recent !== undefined) return recent === gone ? undefined : recent;
    }
    return this.#settled.get(name);
  }

  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  /** In no order that means anything. */
  *entries(): IterableIterator<[string, V]> {
    for (const [name, value] of this.#recent) if (value !== gone) yield [name, value];
    for (const entry of this.#settled) if (!this.#recent.has(entry[0])) yield entry;
  }

  *keys(): IterableIterator<string> {
    for (const [name] of this.entries()) yield name;
  }

  *values(): IterableIterator<V> {
    for (const [, value] of this.entries()) yield value;
  }

  /** With these; `undefined` takes a name away. */
  with(changes: Iterable<readonly [string, V | undefined]>): NameIndex<V> {
    const recent = new Map(this.#recent);
    let { size } = this;
    for (const [name, value] of changes) {
      const before = recent.has(name) ? recent.get(name) !== gone : this.#settled.has(name);
      size += Number(value !== undefined) - Number(before);
      if (value !== undefined) recent.set(name, value);
      else if (this.#settled.has(name)) recent.set(name, gone);
      else recent.delete(name);
    }
    if (recent.size === 0) return this.#recent.size === 0 ? this : new NameIndex(this.#settled, recent, size);
    const next = new NameIndex(this.#settled, recent, size);
    return recent.size * recent.size <= Math.max(this.#settled.size, fewest)
      ? next
      : new NameIndex(new Map(next.entries()), new Map(), size);
  }
}

const gone = Symbol("gone");
/** A map of so many is copied whole at once. */
const fewest = 256;
