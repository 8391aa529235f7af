import { type AnnotationRow, differs, inert, kept, refused } from "./annotation-row.ts";
import type { ParseValue } from "./annotation-values.ts";
import {
  oneOf,
  parseAliases,
  parseBoolean,
  parseCount,
  parseDurations,
  parseHost,
  parseHostName,
  parseKiB,
  parseLocation,
  parseNames,
  parseObjectName,
  parseOnOff,
  parsePath,
  parsePattern,
  parseProtocols,
  parseRanges,
  parseRealm,
  parseRequestPath,
  parseSeconds,
  parseServiceName,
  parseSize,
  parseStatuses,
  parseTarget,
  parseText,
  parseToken,
  parseUrl,
  statusFrom,
} from "./annotation-values.ts";
import { parseCanaryStatus, parsePercent, parseSteps } from "./canary-progress.ts";
import { parseHashKey, parseRetryOn } from "./forwarding-values.ts";
import { parseClaimHeaders, parseKeySource, parseWords } from "./jwt-values.ts";
import { parseRequestText } from "./request-text.ts";
import { parseChange, parsePairChange } from "./text-change-values.ts";

export const annotationPrefix = "nginx.ingress.kubernetes.io/";
/** Of what ingress-nginx has no annotation for. */
export const ownPrefix = "fairway.dev/";

/** Where an annotation stands in its object. */
export function annotationField(name: string): string {
  return `metadata.annotations[${wholeName(name)}]`;
}

export function wholeName(name: string): string {
  return name.startsWith(ownPrefix) ? name : `${annotationPrefix}${name}`;
}

const streamed =
  "answers are never kept, only slowed down: a client that reads slowly slows its endpoint down; nothing is written to a disk";
const instead = "use the annotations for redirects, rewrites, headers, CORS and limits";
const snippet = `snippets of nginx configuration are refused for good; ${instead}`;
const firewall = "there is no ModSecurity here; put a firewall in front, or behind as a Service of its own";
const keptConnections = "connections to that server are always kept, 256 at most";

/**
 * Every annotation of ingress-nginx, by its name without the prefix, and fairway's own by their whole names: how it is read
 * here, and what becomes of it.
 */
export const annotationRows = {
  // where requests go
  "rewrite-target": kept(parseTarget, {
    note: "makes every path of its host a regular expression, of all Ingresses; expressions are RE2's, which run in linear time",
  }),
  "use-regex": kept(parseBoolean, {
    initial: "false",
    note: "makes every path of its host a regular expression, of all Ingresses: any case, found at the start, longer first",
  }),
  "app-root": kept(parseRequestPath),
  "server-alias": kept(parseAliases, { note: "a host that a rule names goes before an alias, whichever is older" }),
  "from-to-www-redirect": kept(parseBoolean, { initial: "false", note: "where nobody claims the other host" }),
  "default-backend": differs(parseServiceName, "a stand-in for each backend of its Ingress without endpoints, and for the pages of errors"),
  "service-upstream": kept(parseBoolean, { initial: "false", config: true }),
  "upstream-vhost": kept(parseHost),
  "backend-protocol": differs(
    oneOf("HTTP", "HTTPS", "AUTO_HTTP", "GRPC", "GRPCS", "FCGI"),
    "FCGI is refused: put a server that speaks HTTP beside it",
    { initial: "HTTP" },
  ),
  "fastcgi-index": refused(parseText, "FastCGI is not spoken here: put a server that speaks HTTP beside it"),
  "fastcgi-params-configmap": refused(parseText, "FastCGI is not spoken here: put a server that speaks HTTP beside it"),
  "ssl-passthrough": differs(parseBoolean, "needs no flag at the start; the backend of / takes the host's TLS", { initial: "false" }),
  "x-forwarded-prefix": kept(parseRequestText, { note: "with rewrite-target only" }),

  // redirects
  "ssl-redirect": kept(parseBoolean, { initial: "true", config: true, note: "where TLS is set" }),
  "force-ssl-redirect": kept(parseBoolean, { initial: "false", config: true }),
  "preserve-trailing-slash": inert("redirects to https keep the path as it is", { config: true }),
  "permanent-redirect": kept(parseLocation, { note: "variables of the request are filled in" }),
  "permanent-redirect-code": kept(statusFrom(300, 308), { initial: "301", note: "300 to 308" }),
  "temporal-redirect": kept(parseLocation, { note: "goes before permanent-redirect" }),
  "temporal-redirect-code": kept(statusFrom(300, 307), { initial: "302", note: "300 to 307" }),
  "relative-redirects": kept(parseBoolean, { initial: "false", config: true }),
  "use-port-in-redirects": inert("redirects keep the port that the client asked for", { config: true }),
  "proxy-redirect-from": kept(parseChange, { initial: "off", config: true }),
  "proxy-redirect-to": kept(parseChange, { initial: "off", config: true }),

  // who may come in
  "allowlist-source-range": kept(parseRanges, { guards: true, config: true }),
  "whitelist-source-range": kept(parseRanges, { guards: true, config: true, note: "the older name of allowlist-source-range" }),
  "denylist-source-range": kept(parseRanges, { guards: true, config: true }),
  satisfy: kept(oneOf("any", "all"), { initial: "all", guards: true }),
  "auth-type": kept(oneOf("basic", "digest"), {
    guards: true,
    note: "digest: qop=auth only; who sends auth-int, over the body too, gets 401",
  }),
  "auth-secret": differs(parseObjectName, "of its own namespace only", { guards: true }),
  "auth-secret-type": kept(oneOf("auth-file", "auth-map"), { initial: "auth-file", guards: true }),
  "auth-realm": kept(parseRealm),
  "auth-url": differs(parseUrl, "5 s for an answer; a Service is asked at its endpoints; certificates must be good", { guards: true }),
  "auth-method": kept(oneOf("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"), { initial: "GET", guards: true }),
  "auth-signin": kept(parseUrl),
  "auth-signin-redirect-param": kept(parseToken, { initial: "rd" }),
  "auth-request-redirect": kept(parseRequestText),
  "auth-response-headers": kept(parseNames),
  "auth-proxy-set-headers": differs(parseObjectName, "of its own namespace only", { guards: true }),
  "auth-cache-key": kept(parseRequestText),
  "auth-cache-duration": kept(parseDurations, { initial: "200 202 401 5m" }),
  "auth-always-set-cookie": kept(parseBoolean, { initial: "false" }),
  "auth-keepalive": inert(keptConnections),
  "auth-keepalive-requests": inert(keptConnections),
  "auth-keepalive-timeout": inert(keptConnections),
  "auth-keepalive-share-vars": inert("X-Request-ID is the same for the judge and the endpoint"),
  "auth-snippet": refused(parseText, `${snippet}; auth-proxy-set-headers sets headers for the judge`),
  "enable-global-auth": kept(parseBoolean, { initial: "true", guards: true }),
  "auth-tls-secret": differs(parseObjectName, "of its own namespace only; its ca.crt, and ca.crl where it has one", { guards: true }),
  "auth-tls-verify-client": kept(oneOf("on", "off", "optional", "optional_no_ca"), { initial: "on", guards: true }),
  "auth-tls-verify-depth": kept(parseCount, { initial: "1", guards: true }),
  "auth-tls-error-page": kept(parseLocation),
  "auth-tls-pass-certificate-to-upstream": kept(parseBoolean, { initial: "false" }),
  "auth-tls-match-cn": differs(parsePattern, "looked for in the common name, not anywhere in the subject", { guards: true }),
  "enable-modsecurity": refused(parseBoolean, firewall, { guards: true, config: true }),
  "enable-owasp-core-rules": refused(parseBoolean, firewall, { guards: true }),
  "modsecurity-transaction-id": refused(parseText, firewall),
  "modsecurity-snippet": refused(parseText, firewall, { guards: true, config: true }),

  // how much of it
  "limit-rps": differs(parseCount, "403 for an address comes before any limit"),
  "limit-rpm": differs(parseCount, "403 for an address comes before any limit"),
  "limit-burst-multiplier": kept(parseCount, { initial: "5" }),
  "limit-connections": differs(parseCount, "counts requests in flight of an address, which over HTTP/1 are connections"),
  "limit-allowlist": kept(parseRanges),
  "limit-whitelist": kept(parseRanges, { note: "the older name of limit-allowlist" }),
  "global-rate-limit": differs(parseCount, "counted by all ingress processes together, which tell each other: no memcached"),
  "global-rate-limit-window": kept(parseSeconds),
  "global-rate-limit-key": kept(parseRequestText, { initial: "$remote_addr" }),
  "global-rate-limit-ignored-cidrs": kept(parseRanges),
  "limit-rate": kept(parseKiB, { initial: "0", config: true, note: "KiB a second of one response" }),
  "limit-rate-after": kept(parseKiB, { initial: "0", config: true, note: "KiB" }),
  "proxy-body-size": kept(parseSize, { initial: "1m", config: true }),
  "client-body-buffer-size": kept(parseSize, { initial: "1m", config: true, note: "1 MiB at most" }),

  // between this proxy and the endpoints
  "proxy-connect-timeout": kept(parseSeconds, { initial: "5", config: true }),
  "proxy-send-timeout": kept(parseSeconds, { initial: "60", config: true }),
  "proxy-read-timeout": kept(parseSeconds, { initial: "60", config: true }),
  "proxy-next-upstream": kept(parseRetryOn, { initial: "error timeout", config: true }),
  "proxy-next-upstream-timeout": kept(parseSeconds, { initial: "0", config: true }),
  "proxy-next-upstream-tries": kept(parseCount, { initial: "3", config: true, note: "0: as many as there are endpoints" }),
  "proxy-buffering": inert(streamed, { config: true }),
  "proxy-buffers-number": inert(streamed, { config: true }),
  "proxy-buffer-size": inert(streamed, { config: true }),
  "proxy-busy-buffers-size": inert(streamed, { config: true }),
  "proxy-max-temp-file-size": inert(streamed, { config: true }),
  "proxy-request-buffering": differs(
    parseOnOff,
    "off by default; on: an endpoint is asked once the body is there, of 128 requests at once; above client-body-buffer-size it waits on a disk, 1 GiB of all",
    {
      initial: "off",
      config: true,
    },
  ),
  "proxy-http-version": inert("endpoints are spoken to in HTTP/1.1, which those of 1.0 understand", { config: true }),
  "connection-proxy-header": kept(parseText, { note: "an Upgrade goes on as one" }),
  "load-balance": differs(oneOf("round_robin", "ewma", "least_requests"), "least_requests is fairway's own", {
    initial: "round_robin",
    config: true,
  }),
  "upstream-hash-by": differs(parseHashKey, "a ring of its own: keys go to other endpoints than at nginx, once"),
  "upstream-hash-by-subset": kept(parseBoolean, { initial: "false" }),
  "upstream-hash-by-subset-size": kept(parseCount, { initial: "3" }),
  affinity: kept(oneOf("cookie")),
  "affinity-mode": kept(oneOf("balanced", "persistent"), {
    initial: "balanced",
    note: "balanced: endpoints that come take over their share of the clients; persistent: a client leaves its endpoint only when that is gone",
  }),
  "affinity-canary-behavior": kept(oneOf("sticky", "legacy"), {
    initial: "sticky",
    note: "legacy: a canary has its own affinity, or none",
  }),
  "session-cookie-name": kept(parseToken, { initial: "INGRESSCOOKIE" }),
  "session-cookie-path": kept((t: string) => (t.includes(";") ? { expected: "a path" } : parsePath(t)), { initial: "/" }),
  "session-cookie-domain": kept(parseHostName),
  "session-cookie-max-age": kept(parseCount),
  "session-cookie-expires": kept(parseCount, { note: "seconds" }),
  "session-cookie-secure": kept(parseBoolean, { note: "by default where the client speaks TLS" }),
  "session-cookie-samesite": kept(oneOf("None", "Lax", "Strict")),
  "session-cookie-conditional-samesite-none": kept(parseBoolean, { initial: "false" }),
  "session-cookie-change-on-failure": kept(parseBoolean, { initial: "false" }),
  "proxy-ssl-secret": differs(parseObjectName, "of its own namespace only", { guards: true }),
  "proxy-ssl-verify": kept(parseOnOff, { initial: "off", guards: true }),
  "proxy-ssl-verify-depth": kept(parseCount, { initial: "1" }),
  "proxy-ssl-name": kept(parseHost),
  "proxy-ssl-server-name": kept(parseOnOff, { initial: "off" }),
  "proxy-ssl-ciphers": kept(parseText),
  "proxy-ssl-protocols": differs(parseProtocols, "by default 1.3 too", { initial: "TLSv1.2 TLSv1.3" }),
  "mirror-target": differs(parseUrl, "a slow mirror slows nobody down; past 256 requests under way there, some are not mirrored"),
  "mirror-request-body": differs(parseOnOff, "bodies above 64 KiB are not mirrored", { initial: "on" }),
  "mirror-host": kept(parseHost),

  // what the client gets
  "enable-cors": kept(parseBoolean, { initial: "false" }),
  "cors-allow-origin": kept(parseText, { initial: "*" }),
  "cors-allow-methods": kept(parseText, { initial: "GET, PUT, POST, DELETE, PATCH, OPTIONS" }),
  "cors-allow-headers": kept(parseText, {
    initial: "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization",
  }),
  "cors-expose-headers": kept(parseText),
  "cors-allow-credentials": kept(parseBoolean, { initial: "true" }),
  "cors-max-age": kept(parseCount, { initial: "1728000" }),
  "custom-headers": differs(parseObjectName, "what cannot be set is left out, and the paths are served", {
    note: "names that global-allowed-response-headers allows",
  }),
  "custom-http-errors": kept(parseStatuses, { config: true }),
  "disable-proxy-intercept-errors": kept(parseBoolean, { initial: "false", config: true }),
  "proxy-cookie-domain": kept(parsePairChange, { initial: "off", config: true }),
  "proxy-cookie-path": kept(parsePairChange, { initial: "off", config: true }),
  "ssl-ciphers": kept(parseText, { config: true, note: "for TLS 1.2, and all paths of the host" }),
  "ssl-prefer-server-ciphers": kept(parseBoolean, { initial: "true", config: true }),
  "http2-push-preload": inert("browsers have given up pushes"),

  // what is told of it
  "enable-access-log": kept(parseBoolean, { initial: "true" }),
  "enable-rewrite-log": inert("fairway route says what becomes of a request"),
  "enable-opentelemetry": kept(parseBoolean, { initial: "false", config: true }),
  "opentelemetry-trust-incoming-span": kept(parseBoolean, { initial: "true", config: true }),
  "opentelemetry-operation-name": inert("spans are named by method and rule", { config: true }),

  // canaries
  canary: kept(parseBoolean, { initial: "false" }),
  "canary-by-header": kept(parseToken),
  "canary-by-header-value": kept(parseText),
  "canary-by-header-pattern": kept(parsePattern),
  "canary-by-cookie": kept(parseToken),
  "canary-weight": kept(parseCount, { initial: "0" }),
  "canary-weight-total": kept(parseCount, { initial: "100", note: "at least 100" }),

  // fairway's own: canaries
  "fairway.dev/canary-match": kept(oneOf("any", "all"), {
    initial: "any",
    note: "all: the weight counts only for requests that a header or cookie chooses",
  }),
  "fairway.dev/canary-steps": kept(parseSteps, {
    note: "per cent, one after the other: the share grows by itself, instead of canary-weight",
  }),
  "fairway.dev/canary-interval": kept(parseSeconds, { initial: "60", note: "the least time of a step, in seconds" }),
  "fairway.dev/canary-success-rate": kept(parsePercent, { initial: "99", note: "per cent that must not be 5xx, or it is rolled back" }),
  "fairway.dev/canary-latency": kept(parseSeconds, { note: "what 95 of 100 requests may take: `300ms`, `2s`" }),
  "fairway.dev/canary-requests": kept(parseCount, { initial: "20", note: "a step is judged by so many at least" }),
  "fairway.dev/canary-pause": kept(parseBoolean, { initial: "false", note: "stays at its share" }),
  "fairway.dev/canary-rollback": kept(parseBoolean, { initial: "false", note: "its share is 0 at once" }),
  "fairway.dev/canary-status": kept(parseCanaryStatus, { note: "written by fairway: where it is; without it the steps begin anew" }),

  // fairway's own: tokens
  "fairway.dev/jwt-keys": kept(parseKeySource, { guards: true, note: "secret/NAME, configmap/NAME or a URL with a JWK Set" }),
  "fairway.dev/jwt-issuer": kept(parseText, { guards: true }),
  "fairway.dev/jwt-audience": kept(parseWords, { guards: true, note: "the token must be for one of them" }),
  "fairway.dev/jwt-claims-to-headers": kept(parseClaimHeaders, { guards: true, note: "sub=X-User, realm.roles=X-Roles" }),
  "fairway.dev/jwt-cookie": kept(parseToken, { guards: true, note: "where a token may stand besides Authorization" }),
  "fairway.dev/jwt-leeway": kept(parseCount, { initial: "60", note: "seconds that clocks may be apart" }),
  "fairway.dev/jwt-realm": kept(parseRealm, { note: "by default the host that is asked for" }),

  // snippets
  "configuration-snippet": refused(parseText, snippet),
  "server-snippet": refused(parseText, snippet),
  "stream-snippet": refused(parseText, snippet),
} as const satisfies Readonly<Record<string, AnnotationRow>>;

export type AnnotationName = keyof typeof annotationRows;
export type AnnotationValue<N extends AnnotationName> = (typeof annotationRows)[N] extends AnnotationRow<infer T> ? T : never;

/** `undefined` for what ingress-nginx has not either. */
export function annotationRow(name: string): AnnotationRow | undefined {
  return Object.hasOwn(annotationRows, name) ? annotationRows[name as AnnotationName] : undefined;
}

/** What of a value's reader is known: what its text gives. */
export function parserOf<N extends AnnotationName>(name: N): ParseValue<AnnotationValue<N>> {
  return annotationRows[name].parse as ParseValue<AnnotationValue<N>>;
}

/** Words of nginx's configuration that keep somebody out: a snippet with one of them is no ornament. */
const guardingWords =
  /\b(deny|allow|auth_basic|auth_request|auth_jwt|satisfy|secure_link|limit_except|limit_req|ssl_verify_client|access_by_lua\w*|modsecurity\w*|return\s+4[0-9]{2}|internal)\b/;

/** True where an annotation that is not served stood between somebody and the paths, so that these must not be open. */
export function guardsPaths(name: string, text: string): boolean {
  if (name.endsWith("-snippet") && guardingWords.test(text)) return true;
  if (name.startsWith(`${ownPrefix}jwt-`)) return true;
  const found = annotationRow(name);
  return found?.state === "refused" && found.guards && found.parse(text) !== false;
}
