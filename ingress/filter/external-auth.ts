import type { FilterOf, HeaderField } from "../route/filter.ts";
import { fillText } from "../route/request-text.ts";
import type { AuthorityQuestion, FilterContext, FilteredRequest, FilterOutcome, Verdict } from "./outcome.ts";
import { schemeOf } from "./redirects.ts";
import { headStep } from "./response-step.ts";

export async function applyExternalAuth(f: FilterOf<"externalAuth">, r: FilteredRequest, c: FilterContext): Promise<FilterOutcome> {
  const verdict = await c.world.authority.ask(questionOf(f, r));
  const { status } = verdict;
  // the authority's cookies are the client's, whatever it decided
  const cookies = verdict.headers.filter((h) => h.name === "set-cookie").map((h) => ({ name: "Set-Cookie", value: h.value }));
  if (status >= 200 && status < 300) return { requestHeaders: handedOn(f, verdict), ...cookiesOfLetIn(f, cookies) };
  if (status === 401 && f.signIn !== undefined) {
    const location = { name: "Location", value: signInUrl(f.signIn, r) };
    return { reply: { status: 302, headers: [location, ...cookies], by: "externalAuth" } };
  }
  if (status !== 401 && status !== 403) return { reply: { status: 500, headers: [], by: "externalAuth" } };
  const challenges = verdict.headers
    .filter((h) => h.name === "www-authenticate")
    .map((h) => ({ name: "WWW-Authenticate", value: h.value }));
  return { reply: { status, headers: [...challenges, ...cookies], by: "externalAuth" } };
}

/** The statuses to which nginx's add_header adds. */
const goodStatuses: ReadonlySet<number> = new Set([200, 201, 204, 206, 301, 302, 303, 304, 307, 308]);

function cookiesOfLetIn(f: FilterOf<"externalAuth">, cookies: readonly HeaderField[]): FilterOutcome {
  if (cookies.length === 0) return {};
  if (f.alwaysSetCookie === true) return { responseHeaders: cookies };
  const lines = cookies.flatMap((h) => [h.name, h.value]);
  return { responseStep: headStep((head) => (goodStatuses.has(head.status) ? { ...head, headers: [...head.headers, ...lines] } : head)) };
}

/** Headers of a body that is not sent along, and of one hop. */
const keptBack: ReadonlySet<string> = new Set([
  "host",
  "content-length",
  "transfer-encoding",
  "expect",
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "upgrade",
  "x-original-url",
  "x-original-method",
  "x-sent-from",
  "x-real-ip",
  "x-forwarded-for",
  "x-auth-request-redirect",
]);

function questionOf(f: FilterOf<"externalAuth">, r: FilteredRequest): AuthorityQuestion {
  const headers: HeaderField[] = [];
  const set = (f.setHeaders ?? []).map((h) => ({ name: h.name, value: fillText(h.value, r) }));
  const own = new Set(set.map((h) => h.name.toLowerCase()));
  for (let i = 0; i < r.headers.length; i += 2) {
    const name = r.headers[i] ?? "";
    if (!keptBack.has(name) && !own.has(name)) headers.push({ name, value: r.headers[i + 1] ?? "" });
  }
  headers.push(
    { name: "X-Original-URL", value: originalUrl(r) },
    { name: "X-Original-Method", value: r.method },
    { name: "X-Sent-From", value: "fairway" },
    { name: "X-Real-IP", value: r.clientIp },
    { name: "X-Forwarded-For", value: r.clientIp },
    { name: "X-Auth-Request-Redirect", value: f.requestRedirect === undefined ? r.target : fillText(f.requestRedirect, r) },
    ...set.filter((h) => h.value !== ""),
  );
  return {
    method: f.method ?? "GET",
    url: fillText(f.url, r),
    headers,
    ...(f.pool === undefined ? {} : { pool: f.pool }),
    ...(f.cache === undefined ? {} : { cache: { key: fillText(f.cache.key, r), seconds: f.cache.seconds } }),
  };
}

function originalUrl(r: FilteredRequest): string {
  return `${schemeOf(r)}://${r.authority}${r.target}`;
}

/** A header the authority does not set must not be the client's own word for it. */
function handedOn(f: FilterOf<"externalAuth">, verdict: Verdict): readonly HeaderField[] {
  return f.responseHeaders.map((name) => ({
    name,
    value: verdict.headers
      .filter((h) => h.name === name)
      .map((h) => h.value)
      .join(", "),
  }));
}

function signInUrl(signIn: NonNullable<FilterOf<"externalAuth">["signIn"]>, r: FilteredRequest): string {
  const url = fillText(signIn.url, r);
  const parameter = `${signIn.redirectParameter}=`;
  if (url.includes(`?${parameter}`) || url.includes(`&${parameter}`)) return url;
  return `${url}${url.includes("?") ? "&" : "?"}${parameter}${encodeURIComponent(originalUrl(r))}`;
}
