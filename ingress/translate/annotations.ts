import type { TextPart } from "../route/request-text.ts";
import { type AnnotationDefaults, AnnotationReader, type Complain } from "./annotation-reader.ts";
import { present } from "./annotation-values.ts";
import { type AnswerOptions, parseAnswer } from "./answer-annotations.ts";
import {
  type ClientTls,
  type ExternalAuthOptions,
  parseClientTls,
  parseExternalAuth,
  parseUserAuth,
  type UserAuth,
} from "./auth-annotations.ts";
import { type Canary, parseCanary } from "./canary-annotations.ts";
import { type ForwardingOptions, parseForwarding } from "./forwarding-annotations.ts";
import { type JwtOptions, parseJwt } from "./jwt-annotations.ts";
import { parseRate, type RateOptions } from "./limit-annotations.ts";
import { parseRedirect, type RedirectOptions } from "./redirect-annotations.ts";
import { type AffinityOptions, parseAffinity } from "./session-annotations.ts";

/** proxy-body-size where nobody sets it. */
export const defaultBodyBytes = 1024 * 1024;

/** What the annotations of one Ingress ask for, by value, with ingress-nginx's defaults. */
export interface IngressOptions extends RedirectOptions, AnswerOptions {
  readonly rewriteTarget?: { readonly text: string; readonly parts: readonly TextPart[] };
  readonly useRegex: boolean;
  readonly appRoot?: readonly TextPart[];
  readonly sslPassthrough: boolean;
  readonly xForwardedPrefix?: readonly TextPart[];
  readonly serverAliases: readonly string[];
  readonly rate: RateOptions;
  readonly allow: readonly string[];
  readonly deny: readonly string[];
  readonly auth?: UserAuth;
  readonly jwt?: JwtOptions;
  readonly externalAuth?: ExternalAuthOptions;
  /** The judge that the ConfigMap names for all, unless this Ingress has its own. */
  readonly globalAuth: boolean;
  readonly clientTls?: ClientTls;
  /** One of address list, users and other server is enough. */
  readonly satisfyAny: boolean;
  readonly bodyBytes: number;
  readonly forwarding: ForwardingOptions;
  readonly upstreamVhost?: readonly TextPart[];
  /** Requests go to the Service's own address, and its rules choose the endpoint. */
  readonly serviceUpstream: boolean;
  /** Name of the Service that answers while the backend has no endpoint. */
  readonly defaultBackend?: string;
  readonly connectSeconds: number;
  readonly sendSeconds: number;
  readonly readSeconds: number;
  readonly affinity?: AffinityOptions;
  readonly canary?: Canary;
  /** Set: something that guards these paths could not be understood, so nobody gets in. */
  readonly refusal?: string;
}

export const noDefaults: AnnotationDefaults = new Map();

export function parseAnnotations(
  annotations: Readonly<Record<string, string>>,
  complain: Complain,
  defaults: AnnotationDefaults = noDefaults,
): IngressOptions {
  const a = new AnnotationReader(annotations, defaults, complain);
  const options = {
    ...present("rewriteTarget", a.get("rewrite-target")),
    useRegex: a.get("use-regex") ?? false,
    sslPassthrough: a.get("ssl-passthrough") ?? false,
    ...present("appRoot", a.get("app-root")),
    ...present("xForwardedPrefix", a.get("x-forwarded-prefix")),
    ...parseRedirect(a),
    serverAliases: a.get("server-alias") ?? [],
    rate: parseRate(a),
    allow: a.get("allowlist-source-range") ?? a.get("whitelist-source-range") ?? [],
    deny: a.get("denylist-source-range") ?? [],
    ...present("auth", parseUserAuth(a)),
    ...present("jwt", parseJwt(a)),
    ...present("externalAuth", parseExternalAuth(a)),
    globalAuth: a.get("enable-global-auth") ?? true,
    ...present("clientTls", parseClientTls(a)),
    satisfyAny: a.get("satisfy") === "any",
    bodyBytes: a.get("proxy-body-size") ?? defaultBodyBytes,
    forwarding: parseForwarding(a),
    ...present("upstreamVhost", a.get("upstream-vhost")),
    serviceUpstream: a.get("service-upstream") ?? false,
    ...present("defaultBackend", a.get("default-backend")),
    connectSeconds: a.get("proxy-connect-timeout") ?? 5,
    sendSeconds: a.get("proxy-send-timeout") ?? 60,
    readSeconds: a.get("proxy-read-timeout") ?? 60,
    ...present("affinity", parseAffinity(a)),
    ...parseAnswer(a),
    ...present("canary", parseCanary(a)),
  };
  a.complainOfRefused();
  return a.refusal === undefined ? options : { ...options, refusal: a.refusal };
}
