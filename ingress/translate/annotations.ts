import type { Problem } from "../../src/snapshot/problem.ts";
import {
  isBad,
  oneOf,
  type ParseValue,
  parseBoolean,
  parseCount,
  parseHostName,
  parseLocation,
  parsePath,
  parsePattern,
  parseRanges,
  parseSeconds,
  parseServiceName,
  parseSize,
  parseText,
  parseToken,
} from "./annotation-values.ts";
import { type ExternalAuthOptions, parseExternalAuth, parseUserAuth, type UserAuth } from "./auth-annotations.ts";
import { type ForwardingOptions, parseForwarding } from "./forwarding-annotations.ts";
import { type JwtOptions, parseJwt } from "./jwt-annotations.ts";

export const annotationPrefix = "nginx.ingress.kubernetes.io/";

/** Of what ingress-nginx has no annotation for. */
const ownPrefix = "fairway.dev/";

/** Where an annotation stands in its object; `name` as the reader tells it. */
export function annotationField(name: string): string {
  return `metadata.annotations[${name.startsWith(ownPrefix) ? name : `${annotationPrefix}${name}`}]`;
}

/** proxy-body-size where nobody sets it. */
export const defaultBodyBytes = 1024 * 1024;

/** What the annotations of one Ingress ask for, by value, with ingress-nginx's defaults. */
export interface IngressOptions {
  readonly rewriteTarget?: string;
  readonly useRegex: boolean;
  readonly appRoot?: string;
  readonly sslPassthrough: boolean;
  readonly xForwardedPrefix?: string;
  readonly sslRedirect: boolean;
  readonly forceSslRedirect: boolean;
  readonly redirect?: { readonly status: number; readonly location: string };
  readonly fromToWww: boolean;
  readonly serverAliases: readonly string[];
  readonly rate: {
    readonly perSecond?: number;
    readonly perMinute?: number;
    readonly connections?: number;
    readonly burstMultiplier: number;
    readonly exempt: readonly string[];
  };
  readonly allow: readonly string[];
  readonly deny: readonly string[];
  readonly auth?: UserAuth;
  readonly jwt?: JwtOptions;
  readonly externalAuth?: ExternalAuthOptions;
  /** One of address list, users and other server is enough. */
  readonly satisfyAny: boolean;
  readonly cors?: {
    readonly origins: readonly string[];
    readonly methods: string;
    readonly headers: string;
    readonly exposeHeaders: string;
    readonly credentials: boolean;
    readonly maxAgeSeconds: number;
  };
  readonly bodyBytes: number;
  readonly forwarding: ForwardingOptions;
  readonly upstreamVhost?: string;
  /** Requests go to the Service's own address, and its rules choose the endpoint. */
  readonly serviceUpstream: boolean;
  /** Name of the Service that answers while the backend has no endpoint. */
  readonly defaultBackend?: string;
  readonly connectSeconds: number;
  readonly sendSeconds: number;
  readonly readSeconds: number;
  readonly affinity?: {
    readonly cookie: string;
    readonly path?: string;
    readonly domain?: string;
    readonly maxAgeSeconds?: number;
    readonly secure?: boolean;
    readonly sameSite?: string;
    readonly changeOnFailure: boolean;
  };
  readonly canary?: Canary;
  /** Set: something that guards these paths could not be understood, so nobody gets in. */
  readonly refusal?: string;
}

export interface Canary {
  readonly header?: string;
  readonly headerValue?: string;
  readonly headerPattern?: string;
  readonly cookie?: string;
  readonly weight: number;
  readonly weightTotal: number;
}

/** Told of an annotation that is wrong: its name without the prefix, a reason word, a message. */
export type Complain = (name: string, reason: Problem["reason"], message: string) => void;

/** Reads annotations one by one, and knows at the end which were not asked for. */
class AnnotationReader {
  readonly #values: ReadonlyMap<string, string>;
  readonly #complain: Complain;
  readonly #asked = new Set<string>();
  refusal: string | undefined;

  constructor(annotations: Readonly<Record<string, string>>, complain: Complain) {
    this.#values = new Map(
      Object.entries(annotations)
        .filter(([k]) => k.startsWith(annotationPrefix) || k.startsWith(ownPrefix))
        .map(([k, v]) => [k.startsWith(ownPrefix) ? k : k.slice(annotationPrefix.length), v.trim()]),
    );
    this.#complain = complain;
  }

  /** The value, `undefined` when it is absent, empty or wrong; the latter is complained of. */
  get<T>(name: string, parse: ParseValue<T>): T | undefined {
    this.#asked.add(name);
    const text = this.#values.get(name);
    if (text === undefined || text === "") return undefined;
    const value = parse(text);
    if (!isBad(value)) return value;
    this.#complain(name, "InvalidAnnotation", `"${text}" is not ${value.expected}; the annotation is ignored`);
    return undefined;
  }

  /** For what guards a path: a wrong value shuts the path instead of being ignored. */
  guard<T>(name: string, parse: ParseValue<T>): T | undefined {
    this.#asked.add(name);
    const text = this.#values.get(name);
    if (text === undefined || text === "") return undefined;
    const value = parse(text);
    if (!isBad(value)) return value;
    this.refuse(name, `"${text}" is not ${value.expected}`);
    return undefined;
  }

  refuse(name: string, message: string): void {
    this.refusal ??= `${name.startsWith(ownPrefix) ? "" : annotationPrefix}${name}: ${message}`;
    this.#complain(name, "InvalidAnnotation", `${message}; as it guards these paths, they answer 503 until it is right`);
  }

  complainOfTheRest(): void {
    for (const name of this.#values.keys()) {
      if (this.#asked.has(name)) continue;
      const instead = insteadOf(name);
      if (guards.test(name)) {
        this.refusal ??= `${name.startsWith(ownPrefix) ? "" : annotationPrefix}${name} is not supported`;
        this.#complain(name, "UnsupportedAnnotation", "not supported, and it guards these paths: they answer 503 while it is there");
      } else
        this.#complain(name, "UnsupportedAnnotation", `not supported, the rest is served${instead === undefined ? "" : `; ${instead}`}`);
    }
  }
}

/** Annotations without which a path would be open that should not be. */
const guards = /^(auth-tls-secret|auth-tls-match-cn|enable-global-auth|enable-modsecurity|modsecurity-snippet)$|^fairway\.dev\/jwt-/;

function insteadOf(name: string): string | undefined {
  if (name === "auth-snippet")
    return "snippets of nginx configuration are refused for good: use auth-proxy-set-headers, auth-method, auth-cache-key and auth-response-headers";
  if (name === "configuration-snippet" || name === "server-snippet" || name === "stream-snippet") {
    return "snippets of nginx configuration are refused for good: use the annotations for redirects, rewrites, headers, CORS and limits";
  }
  return undefined;
}

export function parseAnnotations(annotations: Readonly<Record<string, string>>, complain: Complain): IngressOptions {
  const a = new AnnotationReader(annotations, complain);
  const canary = a.get("canary", parseBoolean) === true ? parseCanary(a) : undefined;
  if (canary === undefined) for (const name of canaryNames) a.get(name, parseText);
  const options = {
    ...present("rewriteTarget", a.get("rewrite-target", parseText)),
    useRegex: a.get("use-regex", parseBoolean) ?? false,
    sslPassthrough: a.get("ssl-passthrough", parseBoolean) ?? false,
    ...present("appRoot", a.get("app-root", parsePath)),
    ...present("xForwardedPrefix", a.get("x-forwarded-prefix", parseText)),
    sslRedirect: a.get("ssl-redirect", parseBoolean) ?? true,
    forceSslRedirect: a.get("force-ssl-redirect", parseBoolean) ?? false,
    ...present("redirect", parseRedirect(a)),
    fromToWww: a.get("from-to-www-redirect", parseBoolean) ?? false,
    serverAliases: a.get("server-alias", parseAliases) ?? [],
    rate: {
      ...present("perSecond", positive(a.get("limit-rps", parseCount))),
      ...present("perMinute", positive(a.get("limit-rpm", parseCount))),
      ...present("connections", positive(a.get("limit-connections", parseCount))),
      burstMultiplier: positive(a.get("limit-burst-multiplier", parseCount)) ?? 5,
      exempt: [...(a.get("limit-allowlist", parseRanges) ?? []), ...(a.get("limit-whitelist", parseRanges) ?? [])],
    },
    allow: a.guard("allowlist-source-range", parseRanges) ?? a.guard("whitelist-source-range", parseRanges) ?? [],
    deny: a.guard("denylist-source-range", parseRanges) ?? [],
    ...present("auth", parseUserAuth(a)),
    ...present("jwt", parseJwt(a)),
    ...present("externalAuth", parseExternalAuth(a)),
    satisfyAny: a.guard("satisfy", oneOf("any", "all")) === "any",
    ...present("cors", parseCors(a)),
    bodyBytes: a.get("proxy-body-size", parseSize) ?? defaultBodyBytes,
    forwarding: parseForwarding(a),
    ...present("upstreamVhost", a.get("upstream-vhost", parseHostName)),
    serviceUpstream: a.get("service-upstream", parseBoolean) ?? false,
    ...present("defaultBackend", a.get("default-backend", parseServiceName)),
    connectSeconds: a.get("proxy-connect-timeout", parseSeconds) ?? 5,
    sendSeconds: a.get("proxy-send-timeout", parseSeconds) ?? 60,
    readSeconds: a.get("proxy-read-timeout", parseSeconds) ?? 60,
    ...present("affinity", parseAffinity(a)),
    ...present("canary", canary),
  };
  // what this proxy does anyway, whatever they say: bodies are streamed, upstreams speak HTTP/1.1
  for (const name of [
    "proxy-buffering",
    "proxy-request-buffering",
    "proxy-http-version",
    "proxy-buffer-size",
    "proxy-buffers-number",
    "enable-access-log",
  ])
    a.get(name, parseText);
  a.complainOfTheRest();
  return a.refusal === undefined ? options : { ...options, refusal: a.refusal };
}

function positive(n: number | undefined): number | undefined {
  return n === undefined || n <= 0 ? undefined : n;
}

function present<K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  return (value === undefined ? {} : { [key]: value }) as { readonly [P in K]?: V };
}

const canaryNames = [
  "canary-by-header",
  "canary-by-header-value",
  "canary-by-header-pattern",
  "canary-by-cookie",
  "canary-weight",
  "canary-weight-total",
];

function parseCanary(a: AnnotationReader): Canary {
  const total = a.get("canary-weight-total", parseCount) ?? 100;
  // as ingress-nginx has it, a total below 100 is 100
  const weightTotal = Math.max(total, 100);
  return {
    ...present("header", a.get("canary-by-header", parseToken)?.toLowerCase()),
    ...present("headerValue", a.get("canary-by-header-value", parseText)),
    ...present("headerPattern", a.get("canary-by-header-pattern", parsePattern)),
    ...present("cookie", a.get("canary-by-cookie", parseToken)),
    weight: Math.min(a.get("canary-weight", parseCount) ?? 0, weightTotal),
    weightTotal,
  };
}

/** The temporal redirect counts before the permanent one. */
function parseRedirect(a: AnnotationReader): { status: number; location: string } | undefined {
  const temporal = a.get("temporal-redirect", parseLocation);
  const temporalCode = redirectCode(a.get("temporal-redirect-code", parseCount), 302);
  const permanent = a.get("permanent-redirect", parseLocation);
  const permanentCode = redirectCode(a.get("permanent-redirect-code", parseCount), 301);
  if (temporal !== undefined) return { status: temporalCode, location: temporal };
  return permanent === undefined ? undefined : { status: permanentCode, location: permanent };
}

function redirectCode(code: number | undefined, otherwise: number): number {
  return code !== undefined && code >= 300 && code <= 308 ? code : otherwise;
}

function parseAliases(text: string): readonly string[] {
  return text
    .split(",")
    .map((t) => t.trim().toLowerCase())
    .filter((t) => /^(\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(t));
}

function parseCors(a: AnnotationReader): IngressOptions["cors"] {
  const enabled = a.get("enable-cors", parseBoolean) ?? false;
  const origins = a.get("cors-allow-origin", parseText) ?? "*";
  const cors = {
    origins: origins
      .split(",")
      .map((t) => t.trim())
      .filter((t) => t !== ""),
    methods: a.get("cors-allow-methods", parseText) ?? "GET, PUT, POST, DELETE, PATCH, OPTIONS",
    headers:
      a.get("cors-allow-headers", parseText) ??
      "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization",
    exposeHeaders: a.get("cors-expose-headers", parseText) ?? "",
    credentials: a.get("cors-allow-credentials", parseBoolean) ?? true,
    maxAgeSeconds: a.get("cors-max-age", parseCount) ?? 1_728_000,
  };
  return enabled ? cors : undefined;
}

function parseAffinity(a: AnnotationReader): IngressOptions["affinity"] {
  const kind = a.get("affinity", oneOf("cookie"));
  a.get("affinity-mode", oneOf("balanced", "persistent"));
  a.get("affinity-canary-behavior", oneOf("sticky", "legacy"));
  const expires = a.get("session-cookie-expires", parseCount);
  const affinity = {
    cookie: a.get("session-cookie-name", parseToken) ?? "INGRESSCOOKIE",
    ...present(
      "path",
      a.get("session-cookie-path", (t) => (t.includes(";") ? { expected: "a path" } : parsePath(t))),
    ),
    ...present("domain", a.get("session-cookie-domain", parseHostName)),
    ...present("maxAgeSeconds", a.get("session-cookie-max-age", parseCount) ?? expires),
    ...present("secure", a.get("session-cookie-secure", parseBoolean)),
    ...present("sameSite", a.get("session-cookie-samesite", oneOf("None", "Lax", "Strict"))),
    changeOnFailure: a.get("session-cookie-change-on-failure", parseBoolean) ?? false,
  };
  return kind === undefined ? undefined : affinity;
}
