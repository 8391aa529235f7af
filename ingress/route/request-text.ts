import { cookieValue, headerValue, normalizeHost, normalizePath } from "./request-head.ts";
import { queryValue } from "./value-match.ts";

/**
 * One part of a text that is filled from a request. `path` is the normalised one the client asked for, `uri` path and query
 * as sent, `escapedUri` the same for use in a query, `queryString` what is behind the `?`. Absent headers, cookies and parameters are empty.
 */
export type TextPart =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "clientIp" | "scheme" | "authority" | "host" | "path" | "uri" | "escapedUri" | "queryString" | "method" }
  | { readonly kind: "header" | "cookie" | "query"; readonly name: string };

/** What texts are filled from. `authority` is Host as the client wrote it, `headers` flat, names in lower case. */
export interface TextSource {
  readonly method: string;
  readonly authority: string;
  readonly target: string;
  readonly headers: readonly string[];
  readonly clientIp: string;
  readonly secure: boolean;
}

export function fillText(parts: readonly TextPart[], source: TextSource): string {
  let text = "";
  for (const part of parts) text += partText(part, source);
  return text;
}

/** What one part gives. */
export function partText(part: TextPart, s: TextSource): string {
  switch (part.kind) {
    case "text":
      return part.text;
    case "clientIp":
      return s.clientIp;
    case "scheme":
      return s.secure ? "https" : "http";
    case "authority":
      return s.authority;
    case "host":
      return normalizeHost(s.authority);
    case "path":
      return normalizePath(s.target.split("?", 1)[0] ?? "") ?? "";
    case "uri":
      return s.target;
    case "queryString":
      return s.target.slice(s.target.includes("?") ? s.target.indexOf("?") + 1 : s.target.length);
    case "escapedUri":
      return encodeURIComponent(s.target);
    case "method":
      return s.method;
    case "header":
      return headerValue(s.headers, part.name.toLowerCase()) ?? "";
    case "cookie":
      return cookieValue(s.headers, part.name) ?? "";
    case "query": {
      const question = s.target.indexOf("?");
      return question < 0 ? "" : (queryValue(s.target.slice(question + 1), part.name) ?? "");
    }
  }
}
