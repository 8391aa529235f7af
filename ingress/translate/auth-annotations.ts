import type { ClientCertificate, ExternalAuth } from "../route/filter.ts";
import type { TextPart } from "../route/request-text.ts";
import type { ClientCertificates } from "../route/route.ts";
import type { AnnotationReader } from "./annotation-reader.ts";
import { present } from "./annotation-values.ts";

/** Users of a Secret. */
export interface UserAuth {
  readonly scheme: "basic" | "digest";
  readonly secret: string;
  readonly type: "auth-file" | "auth-map";
  readonly realm: string;
}

export type ExternalAuthOptions = Omit<ExternalAuth, "kind" | "pool" | "setHeaders"> & {
  /** A ConfigMap with headers for the judge. */
  readonly headersFrom?: string;
};

/** Certificates of clients, by the authorities of a Secret. */
export type ClientTls = Omit<ClientCertificate, "kind"> &
  Pick<ClientCertificates, "depth"> & {
    readonly secret: string;
  };

export function parseUserAuth(a: AnnotationReader): UserAuth | undefined {
  const scheme = a.get("auth-type");
  const secret = a.get("auth-secret");
  const type = a.get("auth-secret-type") ?? "auth-file";
  const realm = a.get("auth-realm") ?? "";
  if (scheme === undefined) return undefined;
  if (secret === undefined) {
    a.refuse("auth-secret", "auth-type needs the name of a Secret with the users");
    return undefined;
  }
  return { scheme, secret, type, realm };
}

/** As ingress-nginx has it. */
const defaultCacheSeconds = { 200: 300, 202: 300, 401: 300 };

/** What an Ingress and the ConfigMap's global-auth keys say of a judge; undefined where nothing is said. */
export interface ExternalAuthSettings {
  readonly url: ExternalAuth["url"] | undefined;
  readonly method: ExternalAuth["method"] | undefined;
  readonly signIn: readonly TextPart[] | undefined;
  readonly redirectParameter: string | undefined;
  readonly responseHeaders: ExternalAuth["responseHeaders"] | undefined;
  readonly requestRedirect: ExternalAuth["requestRedirect"] | undefined;
  readonly cacheKey: readonly TextPart[] | undefined;
  readonly cacheSeconds: Readonly<Record<number, number>> | undefined;
  readonly alwaysSetCookie: boolean | undefined;
  readonly headersFrom?: string | undefined;
}

/** A judge as its settings say, with ingress-nginx's defaults; undefined without a URL. */
export function externalAuthOf(s: ExternalAuthSettings): ExternalAuthOptions | undefined {
  if (s.url === undefined) return undefined;
  return {
    url: s.url,
    responseHeaders: s.responseHeaders ?? [],
    ...present("method", s.method),
    ...present("requestRedirect", s.requestRedirect),
    ...(s.alwaysSetCookie === true ? { alwaysSetCookie: true } : {}),
    ...present("headersFrom", s.headersFrom),
    ...(s.signIn === undefined ? {} : { signIn: { url: s.signIn, redirectParameter: s.redirectParameter ?? "rd" } }),
    ...(s.cacheKey === undefined ? {} : { cache: { key: s.cacheKey, seconds: s.cacheSeconds ?? defaultCacheSeconds } }),
  };
}

export function parseExternalAuth(a: AnnotationReader): ExternalAuthOptions | undefined {
  return externalAuthOf({
    url: a.get("auth-url"),
    method: a.get("auth-method"),
    signIn: a.get("auth-signin"),
    redirectParameter: a.get("auth-signin-redirect-param"),
    responseHeaders: a.get("auth-response-headers"),
    requestRedirect: a.get("auth-request-redirect"),
    cacheKey: a.get("auth-cache-key"),
    cacheSeconds: a.get("auth-cache-duration"),
    alwaysSetCookie: a.get("auth-always-set-cookie"),
    headersFrom: a.get("auth-proxy-set-headers"),
  });
}

export function parseClientTls(a: AnnotationReader): ClientTls | undefined {
  const secret = a.get("auth-tls-secret");
  const verify = a.get("auth-tls-verify-client") ?? "on";
  const depth = a.get("auth-tls-verify-depth") ?? 1;
  const errorPage = a.get("auth-tls-error-page");
  const commonName = a.get("auth-tls-match-cn");
  const passOn = a.get("auth-tls-pass-certificate-to-upstream") ?? false;
  if (secret === undefined) {
    if (commonName !== undefined) a.refuse("auth-tls-match-cn", "it needs auth-tls-secret, the authorities of certificates");
    return undefined;
  }
  if (verify === "off") return undefined;
  const [page] = errorPage ?? [];
  return {
    secret,
    verify,
    depth,
    passOn,
    ...(page?.kind === "text" && errorPage?.length === 1 ? { errorPage: page.text } : {}),
    ...present("commonName", commonName),
  };
}

/** The Service of this cluster that a URL names, as the pool of its port: `http://auth.shop.svc.cluster.local:8080/x`. */
export function serviceOfUrl(url: readonly TextPart[]): { readonly service: string; readonly port: number } | undefined {
  const [first, ...rest] = url;
  if (first?.kind !== "text") return undefined;
  const m = /^(https?):\/\/([a-z0-9-]+)\.([a-z0-9-]+)\.svc(?:\.[a-z0-9.-]+)?(?::([0-9]+))?([/?]|$)/i.exec(first.text);
  // the name may go on in a variable, but not where the path begins
  if (m === null || (m[5] === "" && rest.length > 0 && rest[0]?.kind !== "uri")) return undefined;
  const [, scheme, name, namespace, port] = m;
  return { service: `${namespace}/${name}`.toLowerCase(), port: port === undefined ? (scheme === "https" ? 443 : 80) : Number(port) };
}
