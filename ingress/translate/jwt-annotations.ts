import type { JwtAuth } from "../route/filter.ts";
import { isBad, type Parsed, type ParseValue, parseCount, parseRealm, parseText, parseToken } from "./annotation-values.ts";

/** Where keys are: in an object of the same namespace, or behind a URL. */
export type KeySource = { readonly kind: "Secret" | "ConfigMap"; readonly name: string } | { readonly kind: "url"; readonly url: string };

export type JwtOptions = Omit<JwtAuth, "kind" | "keys"> & { readonly source: KeySource };

/** The parts of the reader of annotations that are needed here. */
interface Reader {
  get<T>(name: string, parse: ParseValue<T>): T | undefined;
  guard<T>(name: string, parse: ParseValue<T>): T | undefined;
  refuse(name: string, message: string): void;
}

const prefix = "fairway.dev/jwt-";

/** Tokens instead of users: ours, since ingress-nginx has nothing like it. */
export function parseJwt(a: Reader): JwtOptions | undefined {
  const source = a.guard(`${prefix}keys`, parseSource);
  const issuer = a.guard(`${prefix}issuer`, parseText);
  const audiences = a.guard(`${prefix}audience`, parseWords) ?? [];
  const claimHeaders = a.guard(`${prefix}claims-to-headers`, parseClaimHeaders) ?? [];
  const cookie = a.guard(`${prefix}cookie`, parseToken);
  const leewaySeconds = a.get(`${prefix}leeway`, parseCount) ?? 60;
  const realm = a.get(`${prefix}realm`, parseRealm) ?? "";
  if (source === undefined) {
    if (issuer !== undefined || audiences.length > 0) a.refuse(`${prefix}keys`, "tokens cannot be checked without keys");
    return undefined;
  }
  return {
    source,
    realm,
    audiences,
    leewaySeconds,
    claimHeaders,
    ...(issuer === undefined ? {} : { issuer }),
    ...(cookie === undefined ? {} : { cookie }),
  };
}

function parseSource(text: string): Parsed<KeySource> {
  const object = /^(secret|configmap)\/([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)$/.exec(text);
  if (object !== null) return { kind: object[1] === "secret" ? "Secret" : "ConfigMap", name: object[2] ?? "" };
  if (/^https?:\/\/[A-Za-z0-9[][!-~]*$/.test(text) && URL.canParse(text)) return { kind: "url", url: text };
  return { expected: "secret/NAME, configmap/NAME, or an http or https URL" };
}

function parseWords(text: string): Parsed<readonly string[]> {
  const words = text
    .split(",")
    .map((t) => t.trim())
    .filter((t) => t !== "");
  return words.length > 0 ? words : { expected: "names, comma-separated" };
}

/** `sub=X-User, realm.roles=X-Roles`. */
function parseClaimHeaders(text: string): Parsed<JwtAuth["claimHeaders"]> {
  const pairs = text
    .split(",")
    .map((t) => t.trim())
    .filter((t) => t !== "")
    .map((t) => ({ claim: t.slice(0, Math.max(0, t.lastIndexOf("="))).trim(), header: t.slice(t.lastIndexOf("=") + 1).trim() }));
  const good = pairs.every(({ claim, header }) => claim !== "" && !isBad(parseToken(header)));
  return good ? pairs : { expected: "claims and headers, such as sub=X-User, email=X-Email" };
}
