import { isRecord } from "./json-value.ts";

/** What strict parsing gives: the value, and what a lenient parser would have passed over. */
export interface StrictJson {
  readonly value: unknown;
  /** `duplicate field "spec.x"`, in the order found. The last value wins, as everywhere. */
  readonly duplicates: readonly string[];
}

/** Deeper documents are refused: nothing that Kubernetes has is. */
const maxDepth = 1000;

/**
 * Parses JSON and tells of keys that stand twice in one object. Throws a SyntaxError for what is no JSON. Documents
 * without a repeated key, which are nearly all, cost one JSON.parse and two counts of keys.
 */
export function parseJsonStrict(text: string): StrictJson {
  const written = countKeys(text);
  const value: unknown = JSON.parse(text);
  return { value, duplicates: keysIn(value) === written ? [] : new Scanner(text).duplicates() };
}

/** The colons outside strings: one a key. Throws when the brackets go too deep for what walks the value later. */
function countKeys(text: string): number {
  let depth = 0;
  let keys = 0;
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case 0x22: // a string: on to its end
        for (i++; i < text.length && text.charCodeAt(i) !== 0x22; i++) if (text.charCodeAt(i) === 0x5c) i++;
        break;
      case 0x3a:
        keys++;
        break;
      case 0x7b:
      case 0x5b:
        if (++depth > maxDepth) throw new SyntaxError("exceeded max depth");
        break;
      case 0x7d:
      case 0x5d:
        depth--;
        break;
    }
  }
  return keys;
}

function keysIn(value: unknown): number {
  let keys = 0;
  if (Array.isArray(value)) for (const item of value) keys += keysIn(item);
  else if (isRecord(value)) for (const key of Object.keys(value)) keys += 1 + keysIn(value[key]);
  return keys;
}

/** Walks the text of a document that JSON.parse has accepted, so it need not check the grammar again. */
class Scanner {
  readonly #text: string;
  readonly #found: string[] = [];
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  duplicates(): readonly string[] {
    this.#value("");
    return this.#found;
  }

  #value(path: string): void {
    this.#space();
    const c = this.#text[this.#at];
    if (c === "{") this.#object(path);
    else if (c === "[") this.#array(path);
    else if (c === '"') this.#skipString();
    else while (this.#at < this.#text.length && !endsScalar(this.#text.charCodeAt(this.#at))) this.#at++;
  }

  #object(path: string): void {
    this.#at++;
    const seen = new Set<string>();
    const told = new Set<string>();
    for (;;) {
      this.#space();
      if (this.#text[this.#at] === "}") break;
      const start = this.#at;
      this.#skipString();
      const key = JSON.parse(this.#text.slice(start, this.#at)) as string;
      const inner = path === "" ? key : `${path}.${key}`;
      if (seen.has(key) && !told.has(key)) {
        told.add(key);
        this.#found.push(`duplicate field ${JSON.stringify(inner)}`);
      }
      seen.add(key);
      this.#space();
      this.#at++; // the colon
      this.#value(inner);
      this.#space();
      if (this.#text[this.#at] !== ",") break;
      this.#at++;
    }
    this.#at++;
  }

  #array(path: string): void {
    this.#at++;
    for (let i = 0; ; i++) {
      this.#space();
      if (this.#text[this.#at] === "]") break;
      this.#value(`${path}[${i}]`);
      this.#space();
      if (this.#text[this.#at] !== ",") break;
      this.#at++;
    }
    this.#at++;
  }

  #skipString(): void {
    for (this.#at++; this.#text[this.#at] !== '"'; this.#at++) if (this.#text[this.#at] === "\\") this.#at++;
    this.#at++;
  }

  #space(): void {
    while (isSpace(this.#text.charCodeAt(this.#at))) this.#at++;
  }
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
}

function endsScalar(code: number): boolean {
  return isSpace(code) || code === 0x2c || code === 0x5d || code === 0x7d;
}
