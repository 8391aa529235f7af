import { pathPattern } from "./pattern.ts";
import { cookieValue, escapePath, headerValue, normalizeHost, normalizePath } from "./request-head.ts";

/** What a text may say of the route itself; known to who makes it, and filled in there (translate/route-texts.ts). */
export type RouteVariable = "namespace" | "ingress" | "service" | "servicePort" | "upstream" | "path" | "server";

/**
 * One part of a text that is filled from a request. `path` is the normalised one the client asked for, with what may not stand in
 * a header or a URL escaped; `uri` path and query as sent, `escapedUri` the same for use in a query, `queryString` what is behind the
 * `?`, `isArgs` a `?` where there is that. `port` is the one the client asked for. `seconds` is the time. `forwardedFor` is X-Forwarded-For as the client sent it, and the client behind it. Headers, cookies and
 * parameters (as they were sent, not decoded) are empty where they are absent.
 */
export type TextPart =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "clientIp" | "scheme" | "authority" | "host" | "path" | "uri" | "escapedUri" | "queryString" | "method" }
  | { readonly kind: "isArgs" | "port" | "https" | "requestId" | "seconds" | "forwardedFor" }
  | { readonly kind: "header" | "cookie" | "query"; readonly name: string }
  | { readonly kind: "route"; readonly name: RouteVariable }
  /** What a group of the route's pattern found in the path; nothing where its path is no pattern. Bound as `route`. */
  | { readonly kind: "group"; readonly number: number; readonly pattern?: string };

/** What texts are filled from. `authority` is Host as the client wrote it, `headers` flat, names in lower case. */
export interface TextSource {
  readonly method: string;
  readonly authority: string;
  readonly target: string;
  readonly headers: readonly string[];
  readonly clientIp: string;
  readonly secure: boolean;
  /** That the client asked for. */
  readonly port: number;
  readonly requestId: string;
  /** Milliseconds since 1970. */
  time(): number;
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
      return escapePath(normalizedPath(s));
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
    case "query":
      return queryText(s.target, part.name);
    case "isArgs":
      return s.target.includes("?") && !s.target.endsWith("?") ? "?" : "";
    case "port":
      return String(s.port);
    case "https":
      return s.secure ? "on" : "";
    case "requestId":
      return s.requestId;
    case "seconds":
      return (s.time() / 1000).toFixed(3);
    case "forwardedFor": {
      const before = headerValue(s.headers, "x-forwarded-for");
      return before === undefined ? s.clientIp : `${before}, ${s.clientIp}`;
    }
    case "route":
      return "";
    case "group":
      return groupText(part, s);
  }
}

function groupText({ number, pattern }: Extract<TextPart, { kind: "group" }>, s: TextSource): string {
  if (pattern === undefined) return "";
  return escapePath(pathPattern(pattern, true).groups(normalizedPath(s))?.[number] ?? "");
}

/** The path that rules were compared with. */
export function normalizedPath({ target }: TextSource): string {
  return normalizePath(target.split("?", 1)[0] ?? "") ?? "";
}

/** As it was sent: decoded, it could end the line of a header. */
function queryText(target: string, name: string): string {
  const question = target.indexOf("?");
  if (question < 0) return "";
  for (const pair of target.slice(question + 1).split("&")) {
    const equals = pair.indexOf("=");
    if (equals > 0 && pair.slice(0, equals) === name) return pair.slice(equals + 1);
  }
  return "";
}
