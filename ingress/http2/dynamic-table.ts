import type { FieldLine } from "./field-line.ts";

/** Before anything is said about it, and at most, both ways. */
export const usualTableBytes = 4096;
/** No line is smaller than 32. */
const places = usualTableBytes / 32;

/** Lines that both sides remember (RFC 7541 section 2.3.2): the newest has index 0; what finds no room takes the oldest away. */
export class DynamicTable {
  readonly #ring: (FieldLine | undefined)[] = [];
  #added = 0;
  #count = 0;
  #bytes = 0;
  #most = usualTableBytes;
  readonly #onEvicted: ((line: FieldLine) => void) | undefined;

  constructor(onEvicted?: (line: FieldLine) => void) {
    this.#onEvicted = onEvicted;
  }

  /** Lines that were ever added: as long as it is the same, every index says what it said. */
  get added(): number {
    return this.#added;
  }

  at(index: number): FieldLine | undefined {
    return index < this.#count ? this.#ring[(this.#added - 1 - index) % places] : undefined;
  }

  /** At most `usualTableBytes`. */
  resize(most: number): void {
    this.#most = most;
    this.#shrink(most);
  }

  /** One that is larger than the whole table only empties it. */
  add(line: FieldLine): void {
    this.#shrink(this.#most - line.size);
    if (line.size > this.#most) return;
    this.#ring[this.#added % places] = line;
    this.#added++;
    this.#count++;
    this.#bytes += line.size;
  }

  #shrink(most: number): void {
    while (this.#bytes > most && this.#count > 0) {
      const place = (this.#added - this.#count) % places;
      const oldest = this.#ring[place];
      this.#ring[place] = undefined;
      this.#count--;
      if (oldest === undefined) continue;
      this.#bytes -= oldest.size;
      this.#onEvicted?.(oldest);
    }
  }
}
