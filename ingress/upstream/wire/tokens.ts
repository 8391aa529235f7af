/** RFC 9110 section 5.6.2: what names of methods and headers are made of. */
const tokenChars = new Uint8Array(256);
for (const c of "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") tokenChars[c.charCodeAt(0)] = 1;

export function isToken(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (tokenChars[text.charCodeAt(i) & 255] !== 1 || text.charCodeAt(i) > 255) return false;
  return text.length > 0;
}

/** Field values: no control byte but the tab (RFC 9110 section 5.5). */
export function isFieldValue(text: string): boolean {
  return !/[^\t\x20-\x7e\x80-\xff]/.test(text);
}

/** The elements of a comma-separated list, trimmed, in lower case, without empty ones. */
export function listTokens(value: string): readonly string[] {
  return value
    .split(",")
    .map((t) => t.trim().toLowerCase())
    .filter((t) => t !== "");
}
