import type { ExternalAuth } from "../route/filter.ts";
import type { TextPart } from "../route/request-text.ts";
import { isBad, oneOf, type Parsed, type ParseValue, parseRealm, parseText, parseToken } from "./annotation-values.ts";
import { parseRequestText } from "./request-text.ts";

/** Users of a Secret. */
export interface UserAuth {
  readonly scheme: "basic" | "digest";
  readonly secret: string;
  readonly type: "auth-file" | "auth-map";
  readonly realm: string;
}

export type ExternalAuthOptions = Omit<ExternalAuth, "kind" | "pool" | "setHeaders"> & {
  /** Name of the ConfigMap with headers for the server that judges. */
  readonly headersFrom?: string;
};

/** The parts of the reader of annotations that are needed here. */
interface Reader {
  get<T>(name: string, parse: ParseValue<T>): T | undefined;
  guard<T>(name: string, parse: ParseValue<T>): T | undefined;
  refuse(name: string, message: string): void;
}

export function parseUserAuth(a: Reader): UserAuth | undefined {
  const type = a.guard("auth-type", oneOf("basic", "digest"));
  const secret = a.guard<string>("auth-secret", (t) =>
    /^([a-z0-9.-]+\/)?[a-z0-9.-]+$/.test(t) ? t : { expected: "the name of a Secret" },
  );
  const secretType = a.guard("auth-secret-type", oneOf("auth-file", "auth-map")) ?? "auth-file";
  const realm = a.get("auth-realm", parseRealm) ?? "";
  if (type === undefined) return undefined;
  if (secret === undefined) {
    a.refuse("auth-secret", "auth-type needs the name of a Secret with the users");
    return undefined;
  }
  return { scheme: type, secret, type: secretType, realm };
}

/** As ingress-nginx has it. */
const defaultCacheSeconds = { 200: 300, 202: 300, 401: 300 };

export function parseExternalAuth(a: Reader): ExternalAuthOptions | undefined {
  const url = a.guard("auth-url", parseUrl);
  const method = a.guard("auth-method", oneOf("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"));
  const signIn = a.get("auth-signin", parseUrl);
  const redirectParameter = a.get("auth-signin-redirect-param", parseToken) ?? "rd";
  const requestRedirect = a.get("auth-request-redirect", parseRequestText);
  const responseHeaders = a.get("auth-response-headers", parseNames) ?? [];
  const headersFrom = a.guard("auth-proxy-set-headers", parseObjectName);
  const key = a.get("auth-cache-key", parseRequestText);
  const seconds = a.get("auth-cache-duration", parseDurations) ?? defaultCacheSeconds;
  // connections are always kept, cookies of a judgement always handed on
  for (const name of ["auth-keepalive", "auth-keepalive-requests", "auth-keepalive-timeout", "auth-keepalive-share-vars"])
    a.get(name, parseText);
  a.get("auth-always-set-cookie", parseText);
  if (url === undefined) return undefined;
  return {
    url,
    responseHeaders,
    ...(headersFrom === undefined ? {} : { headersFrom }),
    ...(method === undefined ? {} : { method }),
    ...(signIn === undefined ? {} : { signIn: { url: signIn, redirectParameter } }),
    ...(requestRedirect === undefined ? {} : { requestRedirect }),
    ...(key === undefined ? {} : { cache: { key, seconds } }),
  };
}

function parseObjectName(text: string): Parsed<string> {
  return /^([a-z0-9.-]+\/)?[a-z0-9.-]+$/.test(text) ? text : { expected: "the name of a ConfigMap" };
}

/** An http or https URL in which variables may stand; its scheme and what begins its host must be told. */
function parseUrl(text: string): Parsed<readonly TextPart[]> {
  if (!/^https?:\/\/[A-Za-z0-9[$][!-~]*$/.test(text)) return { expected: "an http or https URL" };
  return parseRequestText(text);
}

function parseNames(text: string): Parsed<readonly string[]> {
  const names = text
    .split(",")
    .map((t) => t.trim().toLowerCase())
    .filter((t) => t !== "");
  return names.every((n) => !isBad(parseToken(n))) ? names : { expected: "names of headers, comma-separated" };
}

const unitSeconds: Readonly<Record<string, number>> = { "": 1, s: 1, m: 60, h: 3600, d: 86_400 };

/** `200 202 401 5m, 403 30s`: seconds by status. */
function parseDurations(text: string): Parsed<Readonly<Record<number, number>>> {
  const seconds: Record<number, number> = {};
  for (const entry of text.split(",")) {
    const words = entry.trim().split(/\s+/);
    const time = /^([0-9]{1,7})([smhd]?)$/.exec(words.pop() ?? "");
    if (time === null || words.length === 0 || words.some((w) => !/^[1-5][0-9]{2}$/.test(w)))
      return { expected: "statuses and how long they are remembered, such as 200 202 10m" };
    for (const status of words) seconds[Number(status)] = Number(time[1]) * (unitSeconds[time[2] ?? ""] ?? 1);
  }
  return seconds;
}

/** The Service of this cluster that a URL names, as the pool of its port: `http://auth.shop.svc.cluster.local:8080/x`. */
export function serviceOfUrl(url: readonly TextPart[]): { readonly service: string; readonly port: number } | undefined {
  const [first, ...rest] = url;
  if (first?.kind !== "text") return undefined;
  const m = /^(https?):\/\/([a-z0-9-]+)\.([a-z0-9-]+)\.svc(?:\.[a-z0-9.-]+)?(?::([0-9]+))?([/?]|$)/i.exec(first.text);
  // the name may go on in a variable
  if (m === null || (m[5] === "" && rest.length > 0)) return undefined;
  const [, scheme, name, namespace, port] = m;
  return { service: `${namespace}/${name}`.toLowerCase(), port: port === undefined ? (scheme === "https" ? 443 : 80) : Number(port) };
}
