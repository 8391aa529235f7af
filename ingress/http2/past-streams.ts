/** Of each, the newest so many. */
const most = 256;

/** What is remembered of streams that are no more: enough to tell what still crosses their end from what nobody may send. */
export class PastStreams {
  readonly #reset = new Set<number>();
  /** First and last number of each run that was passed over. */
  readonly #skipped: (readonly [first: number, last: number])[] = [];

  /** This side gave it up while the other could still send: what comes of it was on its way. */
  reset(stream: number): void {
    this.#reset.add(stream);
    if (this.#reset.size <= most) return;
    for (const oldest of this.#reset) {
      this.#reset.delete(oldest);
      return;
    }
  }

  /** The other side began `next` after `last`: those between can no longer begin (RFC 9113 section 5.1.1). */
  begun(last: number, next: number): void {
    if (next <= last + 2) return;
    this.#skipped.push([last + 1, next - 1]);
    if (this.#skipped.length > most) this.#skipped.shift();
  }

  wasReset(stream: number): boolean {
    return this.#reset.has(stream);
  }

  neverBegan(stream: number): boolean {
    return this.#skipped.some(([first, last]) => stream >= first && stream <= last);
  }
}
