import type { FilterOf, HeaderField } from "../route/filter.ts";
import { headerValue } from "../route/request-head.ts";
import type { FilteredRequest, FilterOutcome } from "./outcome.ts";

/** Answers preflights itself, and names the allowed origin on every response. */
export function applyCors(f: FilterOf<"cors">, r: FilteredRequest): FilterOutcome | undefined {
  const origin = headerValue(r.headers, "origin");
  const allowed = allowedOrigin(f.origins, origin);
  if (allowed === undefined) return undefined;
  const headers: HeaderField[] = [{ name: "Access-Control-Allow-Origin", value: allowed }];
  if (allowed !== "*") headers.push({ name: "Vary", value: "Origin" });
  if (f.credentials) headers.push({ name: "Access-Control-Allow-Credentials", value: "true" });
  if (f.exposeHeaders !== "") headers.push({ name: "Access-Control-Expose-Headers", value: f.exposeHeaders });
  if (r.method !== "OPTIONS") return { responseHeaders: headers };
  headers.push(
    { name: "Access-Control-Allow-Methods", value: f.methods },
    { name: "Access-Control-Allow-Headers", value: f.headers },
    { name: "Access-Control-Max-Age", value: String(f.maxAgeSeconds) },
  );
  return { reply: { status: 204, headers, by: "cors" } };
}

/** `*` for all; `https://*.example.com` for one label below. */
function allowedOrigin(origins: readonly string[], origin: string | undefined): string | undefined {
  for (const pattern of origins) {
    if (pattern === "*") return "*";
    if (origin === undefined) continue;
    if (pattern === origin) return origin;
    const star = pattern.indexOf("*");
    if (star < 0) continue;
    const label = origin.slice(star, origin.length - (pattern.length - star - 1));
    if (origin.startsWith(pattern.slice(0, star)) && origin.endsWith(pattern.slice(star + 1)) && /^[A-Za-z0-9-]+$/.test(label))
      return origin;
  }
  return undefined;
}
