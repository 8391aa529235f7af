/** RFC 9110 section 5.6.2: what names of methods and headers are made of. */
const tokenChars = new Uint8Array(256);
for (const c of "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") tokenChars[c.charCodeAt(0)] = 1;

export function isToken(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (tokenChars[text.charCodeAt(i) & 255] !== 1 || text.charCodeAt(i) > 255) return false;
  return text.length > 0;
}

/** Names seen before, as they were sent, and what they are in lower case: senders repeat themselves. Bounded, as senders are many. */
const knownNames = new Map<string, string>();
const maxKnownNames = 1024;
const maxKnownLength = 64;

/** The name of a header in lower case; `undefined` when it is no token. */
export function headerName(name: string): string | undefined {
  const known = knownNames.get(name);
  if (known !== undefined) return known;
  if (!isToken(name)) return undefined;
  if (name.length > maxKnownLength) return name.toLowerCase();
  if (knownNames.size >= maxKnownNames) knownNames.clear();
  // a copy: a slice would keep the whole head it was cut from
  const own = Buffer.from(name, "latin1").toString("latin1");
  const lower = own.toLowerCase();
  knownNames.set(own, lower);
  return lower;
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
