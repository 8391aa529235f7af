import { hashOf } from "../balance/hash-ring.ts";
import { cookieValue, headerValue, normalizeHost, normalizePath } from "../route/request-head.ts";
import type { HashBalance, HashPart } from "../route/route.ts";
import { queryValue } from "../route/value-match.ts";
import type { IncomingRequest } from "./downstream.ts";

/** The hash by which a request finds its endpoint. */
export function requestHash(balance: HashBalance, request: IncomingRequest, clientIp: string): number {
  return hashOf(balance.key.map((part) => textOf(part, request, clientIp)).join(""));
}

function textOf(part: HashPart, r: IncomingRequest, clientIp: string): string {
  switch (part.kind) {
    case "text":
      return part.text;
    case "clientIp":
      return clientIp;
    case "host":
      return normalizeHost(r.authority);
    case "path":
      return normalizePath(r.target.split("?", 1)[0] ?? "") ?? "";
    case "uri":
      return r.target;
    case "method":
      return r.method;
    case "header":
      return headerValue(r.fields, part.name.toLowerCase()) ?? "";
    case "cookie":
      return cookieValue(r.fields, part.name) ?? "";
    case "query": {
      const question = r.target.indexOf("?");
      return question < 0 ? "" : (queryValue(r.target.slice(question + 1), part.name) ?? "");
    }
  }
}
