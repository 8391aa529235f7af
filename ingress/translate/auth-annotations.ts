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
export const defaultCacheSeconds = { 200: 300, 202: 300, 401: 300 };

export function parseExternalAuth(a: AnnotationReader): ExternalAuthOptions | undefined {
  const url = a.get("auth-url");
  const signIn = a.get("auth-signin");
  const redirectParameter = a.get("auth-signin-redirect-param") ?? "rd";
  const key = a.get("auth-cache-key");
  const seconds = a.get("auth-cache-duration") ?? defaultCacheSeconds;
  a.get("auth-always-set-cookie");
  const rest = {
    responseHeaders: a.get("auth-response-headers") ?? [],
    ...present("method", a.get("auth-method")),
    ...present("requestRedirect", a.get("auth-request-redirect")),
    ...present("headersFrom", a.get("auth-proxy-set-headers")),
  };
  if (url === undefined) return undefined;
  return {
    url,
    ...rest,
    ...(signIn === undefined ? {} : { signIn: { url: signIn, redirectParameter } }),
    ...(key === undefined ? {} : { cache: { key, seconds } }),
  };
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
