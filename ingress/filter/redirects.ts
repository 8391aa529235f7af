import type { FilterKind, FilterOf } from "../route/filter.ts";
import { fillText } from "../route/request-text.ts";
import type { FilterContext, FilteredRequest, FilterOutcome } from "./outcome.ts";

export function applySslRedirect(f: FilterOf<"sslRedirect">, r: FilteredRequest, c: FilterContext): FilterOutcome | undefined {
  if (r.secure) return undefined;
  const host = withoutPort(r.authority);
  const port = c.httpsPort === 443 ? "" : `:${c.httpsPort}`;
  return redirect("sslRedirect", f.status, `https://${host}${port}${r.target}`);
}

export function applyAppRoot(f: FilterOf<"appRoot">, r: FilteredRequest): FilterOutcome | undefined {
  return r.path === "/" ? redirect("appRoot", 302, `${schemeOf(r)}://${r.authority}${fillText(f.path, r)}`) : undefined;
}

/** A location that is a path becomes one of the host that was asked for, as nginx makes it. */
export function applyRedirect(f: FilterOf<"redirect">, r: FilteredRequest): FilterOutcome {
  const location = fillText(f.location, r);
  const whole = location.startsWith("/") && f.relative !== true ? `${schemeOf(r)}://${r.authority}${location}` : location;
  return redirect("redirect", f.status, whole);
}

export function redirect(by: FilterKind, status: number, location: string): FilterOutcome {
  return { reply: { status, headers: [{ name: "Location", value: location }], by } };
}

export function schemeOf(r: FilteredRequest): "http" | "https" {
  return r.secure ? "https" : "http";
}

function withoutPort(authority: string): string {
  return authority.replace(/:[0-9]*$/, "");
}
