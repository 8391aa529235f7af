import type { FilterOf, HeaderField } from "../route/filter.ts";
import { cookieValue, headerValue, normalizeHost } from "../route/request-head.ts";
import { type Claims, type JwtVerdict, readKeys, type VerificationKey, verifyJwt } from "./jwt.ts";
import type { FilterContext, FilteredRequest, FilterOutcome } from "./outcome.ts";

/** Lets in who carries a token that is good (RFC 6750), and tells the endpoint what it says. */
export function applyJwtAuth(
  f: FilterOf<"jwt">,
  r: FilteredRequest,
  c: FilterContext,
): FilterOutcome | undefined | Promise<FilterOutcome | undefined> {
  const token = tokenOf(f, r);
  if (token === undefined) return refusal(f, r, undefined);
  const time = c.world.time();
  const known = remembered(f, token, time);
  if (known !== undefined) return admission(f, known);
  const check = (keys: readonly VerificationKey[]): JwtVerdict =>
    verifyJwt(token, keys, {
      time,
      leewaySeconds: f.leewaySeconds,
      audiences: f.audiences,
      ...(f.issuer === undefined ? {} : { issuer: f.issuer }),
    });
  const answer = (verdict: JwtVerdict): FilterOutcome => {
    if ("fault" in verdict) return refusal(f, r, verdict.fault);
    remember(f, token, verdict, time);
    return admission(f, verdict.claims);
  };
  if (f.keys.kind === "inline") return answer(check(inlineKeys(f.keys.sets)));
  const { url, pool } = f.keys;
  return c.world.keySets.of(url, pool, "kept").then(async (keys) => {
    if (keys === undefined) return { reply: { status: 503, headers: [], by: "jwt" } };
    const verdict = check(keys);
    if (!("fault" in verdict) || verdict.unknownKey !== true) return answer(verdict);
    // keys are changed from time to time: the newest may know it
    return answer(check((await c.world.keySets.of(url, pool, "newest")) ?? keys));
  });
}

function tokenOf(f: FilterOf<"jwt">, r: FilteredRequest): string | undefined {
  const bearer = /^bearer +([!-~]+) *$/i.exec(headerValue(r.headers, "authorization") ?? "")?.[1];
  return bearer ?? (f.cookie === undefined ? undefined : cookieValue(r.headers, f.cookie));
}

function refusal(f: FilterOf<"jwt">, r: FilteredRequest, fault: string | undefined): FilterOutcome {
  const why = fault === undefined ? "" : `, error="invalid_token", error_description="${fault}"`;
  // RFC 6750 section 3: a challenge has a parameter at least, and an empty realm says nothing (RFC 9110 section 11.5)
  const realm = f.realm === "" ? normalizeHost(r.authority).replace(/["\\]/g, "") : f.realm;
  return { reply: { status: 401, headers: [{ name: "WWW-Authenticate", value: `Bearer realm="${realm}"${why}` }], by: "jwt" } };
}

function admission(f: FilterOf<"jwt">, claims: Claims): FilterOutcome {
  const sub = claims["sub"];
  // a claim that is not there must not be the client's own word for it
  const requestHeaders: HeaderField[] = f.claimHeaders.map(({ claim, header }) => ({ name: header, value: headerText(claims, claim) }));
  return { requestHeaders, ...(typeof sub === "string" ? { user: sub } : {}) };
}

/** `a.b` is what `b` is in `a`; lists are joined by commas; what cannot stand in a header is empty. */
function headerText(claims: Claims, path: string): string {
  let value: unknown = claims[path];
  if (value === undefined) {
    value = claims;
    for (const step of path.split("."))
      value = typeof value === "object" && value !== null && Object.hasOwn(value, step) ? (value as Claims)[step] : undefined;
  }
  const words = (Array.isArray(value) ? value : [value]).map((v: unknown) =>
    typeof v === "string" || typeof v === "number" || typeof v === "boolean" ? String(v) : "",
  );
  const text = words.filter((w) => w !== "").join(",");
  return /^[\x20-\x7e]*$/.test(text) ? text : "";
}

const read = new WeakMap<readonly string[], readonly VerificationKey[]>();

/** What cannot be read was told of where the route was made. */
function inlineKeys(sets: readonly string[]): readonly VerificationKey[] {
  let keys = read.get(sets);
  if (keys === undefined) {
    keys = sets.flatMap((text) => readKeys(text, { shared: true }).keys);
    read.set(sets, keys);
  }
  return keys;
}

const maxRemembered = 1_000;
const rememberedMs = 60_000;

interface GoodToken {
  readonly claims: Claims;
  /** Milliseconds since 1970. */
  readonly expires: number;
}

const good = new WeakMap<FilterOf<"jwt">, Map<string, GoodToken>>();

/** Checking a signature costs up to a tenth of a millisecond, and the same token comes with every request of a client. */
function remember(f: FilterOf<"jwt">, token: string, verdict: GoodToken, time: number): void {
  const tokens = good.get(f) ?? new Map<string, GoodToken>();
  good.set(f, tokens);
  if (tokens.size >= maxRemembered) tokens.clear();
  // not for long: the key that signed it may be taken away
  tokens.set(token, { claims: verdict.claims, expires: Math.min(verdict.expires, time + rememberedMs) });
}

function remembered(f: FilterOf<"jwt">, token: string, time: number): Claims | undefined {
  const verdict = good.get(f)?.get(token);
  return verdict !== undefined && time < verdict.expires ? verdict.claims : undefined;
}
