import { inOnePiece } from "./latin1.ts";

/** Texts remembered. */
const places = 512;
/** Characters of a text; what is longer is read each time. */
const mostKept = 4 * 1024;
/** Characters of a text that its place is found by. */
const samples = 16;

interface Kept<T> {
  readonly text: string;
  readonly terms: number;
  readonly value: T;
}

/**
 * What texts were read as, of those seen lately: who speaks HTTP/1 says the same again and again, and to compare a head costs a tenth of
 * reading it. A text that comes twice in a row to its place is kept there; so what never comes again costs next to nothing.
 */
export class RecentTexts<T> {
  readonly #kept: (Kept<T> | undefined)[] = new Array<Kept<T> | undefined>(places).fill(undefined);
  readonly #seen = new Int32Array(places);
  readonly #read: (text: string, terms: number) => T;

  /** `read` must give the same for the same text and terms, and what it gives must never be changed. */
  constructor(read: (text: string, terms: number) => T) {
    this.#read = read;
  }

  of(text: string, terms: number): T {
    const sample = sampleOf(text);
    const place = sample & (places - 1);
    const kept = this.#kept[place];
    if (kept !== undefined && kept.terms === terms && kept.text === text) return kept.value;
    if (this.#seen[place] !== sample || text.length > mostKept) {
      this.#seen[place] = sample;
      return this.#read(text, terms);
    }
    // a copy: a slice would keep the whole head it was cut from
    const own = inOnePiece(text);
    const value = this.#read(own, terms);
    this.#kept[place] = { text: own, terms, value };
    return value;
  }
}

function sampleOf(text: string): number {
  const { length } = text;
  const step = length < samples ? 1 : Math.floor(length / samples);
  let sample = length;
  for (let i = 0; i < length; i += step) sample = Math.imul(sample, 31) + text.charCodeAt(i);
  return sample ^ (sample >>> 15);
}
