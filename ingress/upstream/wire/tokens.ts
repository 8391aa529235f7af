import { inOnePiece } from "./latin1.ts";

/** RFC 9110 section 5.6.2: what names of methods and headers are made of. */
const tokenChars = new Uint8Array(256);
for (const c of "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") tokenChars[c.charCodeAt(0)] = 1;

export function isToken(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (tokenChars[text.charCodeAt(i) & 255] !== 1 || text.charCodeAt(i) > 255) return false;
  return text.length > 0;
}

/** The name of a header as it was sent, and in lower case. */
export interface HeaderName {
  readonly sent: string;
  readonly lower: string;
}

/** Names seen before, one a place: senders repeat themselves. A name that falls on a taken place takes it over. */
const seenNames: (HeaderName | undefined)[] = new Array<HeaderName | undefined>(512).fill(undefined);
const maxSeenLength = 64;

/** The header name that stands in `text` from `at` to `end`; `undefined` when it is no token. */
export function headerName(text: string, at: number, end: number): HeaderName | undefined {
  const length = end - at;
  if (length <= 0) return undefined;
  const place = (length * 37 + text.charCodeAt(at) * 5 + text.charCodeAt(at + (length >> 1)) * 11 + text.charCodeAt(end - 1)) & 511;
  const seen = seenNames[place];
  if (seen !== undefined && seen.sent.length === length && text.startsWith(seen.sent, at)) return seen;
  const sent = text.slice(at, end);
  if (!isToken(sent)) return undefined;
  if (length > maxSeenLength) return { sent, lower: sent.toLowerCase() };
  // a copy: a slice would keep the whole head it was cut from
  const own = inOnePiece(sent);
  const name = { sent: own, lower: own.toLowerCase() };
  seenNames[place] = name;
  return name;
}

/** Field values: no control byte but the tab (RFC 9110 section 5.5). */
export function isFieldValue(text: string): boolean {
  return !/[^\t\x20-\x7e\x80-\xff]/.test(text);
}

/** The elements of a comma-separated list, trimmed, in lower case, without empty ones. */
export function listTokens(value: string): readonly string[] {
  if (value === "keep-alive") return keepAliveTokens;
  return value
    .split(",")
    .map((t) => t.trim().toLowerCase())
    .filter((t) => t !== "");
}

/** What most senders say in Connection. */
const keepAliveTokens: readonly string[] = ["keep-alive"];
