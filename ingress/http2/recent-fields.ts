import type { FieldLine } from "./field-line.ts";

/** Sets of fields remembered. */
const places = 8;

interface Recent<T> {
  readonly lines: readonly FieldLine[];
  readonly from: number;
  readonly terms: number;
  readonly read: T;
}

/**
 * What fields of one connection's messages say. The other side says the same with most of them, by the same lines of its table: so what
 * they say is found out once.
 */
export class RecentFields<T extends object> {
  readonly #recent: (Recent<T> | undefined)[] = [];
  readonly #read: (lines: readonly FieldLine[], from: number, terms: number) => T | undefined;

  /** `read` says the same of the same lines from `from` on, on the same terms; `undefined` is not remembered. */
  constructor(read: (lines: readonly FieldLine[], from: number, terms: number) => T | undefined) {
    this.#read = read;
  }

  of(lines: readonly FieldLine[], from: number, terms: number): T | undefined {
    const place = (lines.length - from) % places;
    const recent = this.#recent[place];
    if (recent !== undefined && recent.terms === terms && areSame(recent, lines, from)) return recent.read;
    const read = this.#read(lines, from, terms);
    if (read !== undefined) this.#recent[place] = { lines, from, terms, read };
    return read;
  }
}

function areSame<T>(recent: Recent<T>, lines: readonly FieldLine[], from: number): boolean {
  if (recent.lines.length - recent.from !== lines.length - from) return false;
  for (let i = recent.from, j = from; j < lines.length; i++, j++) {
    const one = recent.lines[i];
    const other = lines[j];
    if (one !== other && (one?.name !== other?.name || one?.value !== other?.value)) return false;
  }
  return true;
}
