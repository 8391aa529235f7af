/**
 * Whether commits come one by one or many in a turn of the event loop. One by one, each is written at once; of many, those of a turn
 * share a transaction, which the first of them would otherwise hold up.
 */
export class CommitPace {
  /** Of this turn, and of the last one that had any. */
  #now = 0;
  #last = 0;

  /** To be asked once for each commit: whether it need not wait for others of its turn. */
  comesAlone(): boolean {
    if (this.#now === 0) setImmediate(() => this.#turn());
    return ++this.#now === 1 && this.#last <= 1;
  }

  #turn(): void {
    this.#last = this.#now;
    this.#now = 0;
  }
}
