import { inOnePiece } from "./latin1.ts";
import { headerName, isFieldValue } from "./tokens.ts";

/** Whether a header goes on to the next hop; `named` are the tokens of Connection. */
export type PassRule = (name: string, named: readonly string[]) => boolean;

/** Header fields in the order of the wire. Values are trimmed latin1. */
export class HeaderBlock {
  /** As sent. */
  readonly names: readonly string[];
  /** Flat: name in lower case, value, name, value. */
  readonly fields: readonly string[];
  readonly #wire: WireLines | undefined;
  // blocks live long (see RecentTexts), and are asked the same each time
  #linesRule: PassRule | undefined;
  #lines = "";
  #areInOnePiece = false;
  #passingRule: PassRule | undefined;
  #passing: readonly string[] = [];

  constructor(names: readonly string[], fields: readonly string[], wire?: WireLines) {
    this.names = names;
    this.fields = fields;
    this.#wire = wire;
  }

  /** The lines that go on, each with its CRLF. A rule must always say the same. */
  linesOf(rule: PassRule, named: readonly string[]): string {
    if (rule !== this.#linesRule) {
      this.#lines = this.#wire === undefined ? this.#printed(rule, named) : this.#cut(rule, named, this.#wire);
      this.#linesRule = rule;
      this.#areInOnePiece = false;
    } else if (!this.#areInOnePiece) {
      this.#lines = inOnePiece(this.#lines);
      this.#areInOnePiece = true;
    }
    return this.#lines;
  }

  /** The fields that go on, flat: name as sent, value. */
  passingOf(rule: PassRule, named: readonly string[]): readonly string[] {
    if (rule !== this.#passingRule) {
      const { names, fields } = this;
      const passing: string[] = [];
      for (let i = 0; i < names.length; i++) if (rule(fields[2 * i] ?? "", named)) passing.push(names[i] ?? "", fields[2 * i + 1] ?? "");
      this.#passing = passing;
      this.#passingRule = rule;
    }
    return this.#passing;
  }

  /** Lines that follow each other are one piece of the text. */
  #cut(rule: PassRule, named: readonly string[], { text, starts }: WireLines): string {
    const { names, fields } = this;
    let lines = "";
    let from = -1;
    for (let i = 0; i < names.length; i++) {
      const start = starts[i] ?? 0;
      if (rule(fields[2 * i] ?? "", named)) {
        if (from < 0) from = start;
      } else if (from >= 0) {
        lines += text.slice(from, start);
        from = -1;
      }
    }
    return from < 0 ? lines : `${lines}${text.slice(from, starts[names.length])}\r\n`;
  }

  #printed(rule: PassRule, named: readonly string[]): string {
    const { names, fields } = this;
    let lines = "";
    for (let i = 0; i < names.length; i++) if (rule(fields[2 * i] ?? "", named)) lines += `${names[i]}: ${fields[2 * i + 1]}\r\n`;
    return lines;
  }
}

/** Lines that stand on the wire as they are printed here. */
interface WireLines {
  readonly text: string;
  /** Where each line begins, and the end of the last. */
  readonly starts: readonly number[];
}

export interface HeaderFault {
  readonly fault: string;
  readonly tooMany?: boolean;
}

/**
 * Lines `name: value` from `at` to the end of `text`, which ends before the empty line. Strict: CRLF only, no folding, no
 * space before the colon, no control byte.
 */
export function parseHeaderBlock(text: string, at: number, maxHeaders: number): HeaderBlock | HeaderFault {
  const names: string[] = [];
  const fields: string[] = [];
  const starts: number[] = [];
  // one look at the whole costs less than one at each value; what it doubts is looked at line by line
  const clean = !doubtful.test(text);
  let asPrinted = true;
  while (at < text.length) {
    let end = text.indexOf("\r\n", at);
    if (end < 0) end = text.length;
    const colon = text.indexOf(":", at);
    if (colon < 0 || colon > end) return { fault: "a header line without a colon" };
    const name = headerName(text, at, colon);
    if (name === undefined) return { fault: "a header name that is no token" };
    let from = colon + 1;
    let to = end;
    while (from < to && isBlank(text.charCodeAt(from))) from++;
    while (to > from && isBlank(text.charCodeAt(to - 1))) to--;
    if (from !== colon + 2 || to !== end || text.charCodeAt(colon + 1) !== 0x20) asPrinted = false;
    const value = text.slice(from, to);
    if (!clean && !isFieldValue(value)) return { fault: "a control character in a header value" };
    names.push(name.sent);
    fields.push(name.lower, value);
    starts.push(at);
    if (names.length > maxHeaders) return { fault: "too many headers", tooMany: true };
    at = end + 2;
  }
  // the end of the last line
  starts.push(at - 2);
  return asPrinted ? new HeaderBlock(names, fields, { text, starts }) : new HeaderBlock(names, fields);
}

/** A control byte, or a CR or LF that is no end of a line. */
const doubtful = /[^\t\x20-\x7e\x80-\xff](?<!\r(?=\n)|\r\n)/;

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
