/**
 * How the length of a body is told. `close`: until the connection ends (responses only). `trailed`: trailers may follow all the same, as
 * they may in HTTP/2.
 */
export type BodyFraming =
  | { readonly kind: "none" }
  | { readonly kind: "length"; readonly bytes: number; readonly trailed?: true }
  | { readonly kind: "chunked" }
  | { readonly kind: "close" };

export const noBody: BodyFraming = { kind: "none" };

export interface FramingFault {
  readonly fault: string;
}

/**
 * RFC 9112 section 6, strictly: digits only and once, or `chunked` alone and once on HTTP/1.1; never both. `undefined`
 * when neither header is there.
 */
export function declaredFraming(fields: readonly string[], minor: number): BodyFraming | FramingFault | undefined {
  let length: string | undefined;
  let coding: string | undefined;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i];
    if (name === "content-length") {
      if (length !== undefined) return { fault: "more than one Content-Length" };
      length = fields[i + 1] ?? "";
    } else if (name === "transfer-encoding") {
      if (coding !== undefined) return { fault: "more than one Transfer-Encoding" };
      coding = fields[i + 1] ?? "";
    }
  }
  if (coding !== undefined) {
    if (length !== undefined) return { fault: "Content-Length beside Transfer-Encoding" };
    if (minor !== 1) return { fault: "Transfer-Encoding on HTTP/1.0" };
    if (coding.toLowerCase() !== "chunked") return { fault: "a transfer coding other than chunked" };
    return { kind: "chunked" };
  }
  if (length === undefined) return undefined;
  const bytes = decimal(length);
  return bytes < 0 ? { fault: "a Content-Length that is no number" } : { kind: "length", bytes };
}

/** Up to 15 digits, and nothing else; -1 for anything else. */
function decimal(text: string): number {
  if (text.length === 0 || text.length > 15) return -1;
  let n = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    n = n * 10 + digit;
  }
  return n;
}
