/** What a zone lost and got from one serial number to another. */
export interface ZoneChange<R> {
  readonly removed: readonly R[];
  readonly added: readonly R[];
}

interface Entry<R> extends ZoneChange<R> {
  readonly from: number;
  readonly to: number;
}

/** More is not kept: who is so far behind gets the whole zone. */
const mostRecords = 20_000;
const mostEntries = 2000;

/** The last changes of zones with one serial number, for those who keep copies of them (RFC 1995). */
export class ChangeJournal<R> {
  readonly #keyOf: (record: R) => string;
  readonly #entries: Entry<R>[] = [];
  #records = 0;

  /** Records of one key are the same. */
  constructor(keyOf: (record: R) => string) {
    this.#keyOf = keyOf;
  }

  /** A change that does not begin where the last one ended begins the journal anew. */
  add(from: number, to: number, { removed, added }: ZoneChange<R>): void {
    if ((this.#entries.at(-1)?.to ?? from) !== from) this.clear();
    if (from === to) {
      // nobody could ask for what has no number of its own
      if (removed.length + added.length > 0) this.clear();
      return;
    }
    this.#entries.push({ from, to, removed, added });
    this.#records += removed.length + added.length;
    while (this.#records > mostRecords || this.#entries.length > mostEntries) {
      const oldest = this.#entries.shift();
      if (oldest === undefined) return;
      this.#records -= oldest.removed.length + oldest.added.length;
    }
  }

  clear(): void {
    this.#entries.length = 0;
    this.#records = 0;
  }

  /** All changes from a serial number until now, as one: what came and went meanwhile is not in it. Undefined when that is not known. */
  since(serial: number): ZoneChange<R> | undefined {
    const first = this.#entries.findIndex((e) => e.from === serial);
    if (first < 0) return undefined;
    const removed = new Map<string, R>();
    const added = new Map<string, R>();
    for (const entry of this.#entries.slice(first)) {
      for (const r of entry.removed) if (!added.delete(this.#keyOf(r))) removed.set(this.#keyOf(r), r);
      for (const r of entry.added) if (!removed.delete(this.#keyOf(r))) added.set(this.#keyOf(r), r);
    }
    return { removed: Array.from(removed.values()), added: Array.from(added.values()) };
  }
}
