import { headerName, isFieldValue } from "./tokens.ts";

/** Header fields in the order of the wire. The three lists have one length; `values` are trimmed latin1. */
export interface HeaderBlock {
  /** As sent. */
  readonly names: readonly string[];
  /** Flat: name in lower case, value, name, value. */
  readonly fields: readonly string[];
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
  // one look at the whole costs less than one at each value; what it doubts is looked at line by line
  const clean = !doubtful.test(text);
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
    const value = text.slice(from, to);
    if (!clean && !isFieldValue(value)) return { fault: "a control character in a header value" };
    names.push(name.sent);
    fields.push(name.lower, value);
    if (names.length > maxHeaders) return { fault: "too many headers", tooMany: true };
    at = end + 2;
  }
  return { names, fields };
}

/** A control byte, or a CR or LF that is no end of a line. */
const doubtful = /[^\t\x20-\x7e\x80-\xff](?<!\r(?=\n)|\r\n)/;

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
