import type { Cors } from "../route/filter.ts";
import type { TextPart } from "../route/request-text.ts";
import type { AnswerChanges, HostTls, Route } from "../route/route.ts";
import type { AnnotationReader } from "./annotation-reader.ts";
import { present } from "./annotation-values.ts";
import { type ChangeSide, changeOf } from "./text-change-values.ts";

/** What is asked of answers, and of what is told of them. */
export interface AnswerOptions {
  readonly cors?: Omit<Cors, "kind">;
  readonly changes?: AnswerChanges;
  /** A ConfigMap with headers of the answer. */
  readonly customHeaders?: string;
  /** Answers that are replaced by the default backend's. */
  readonly errorStatuses: readonly number[];
  readonly mirror?: { readonly url: readonly TextPart[]; readonly withBody: boolean; readonly host?: readonly TextPart[] };
  readonly hostTls?: Pick<HostTls, "ciphers" | "preferServerCiphers">;
  readonly accessLog: boolean;
  readonly tracing?: NonNullable<Route["tracing"]>;
}

export function parseAnswer(a: AnnotationReader): AnswerOptions {
  const withoutPages = a.get("disable-proxy-intercept-errors") ?? false;
  const statuses = a.get("custom-http-errors") ?? [];
  const ciphers = a.get("ssl-ciphers");
  const preferServerCiphers = a.get("ssl-prefer-server-ciphers");
  const tracing = a.get("enable-opentelemetry");
  const trustIncoming = a.get("opentelemetry-trust-incoming-span");
  return {
    ...present("cors", parseCors(a)),
    ...present("changes", parseChanges(a)),
    ...present("customHeaders", a.get("custom-headers")),
    errorStatuses: withoutPages ? [] : statuses,
    ...present("mirror", parseMirror(a)),
    ...(ciphers === undefined && preferServerCiphers === undefined
      ? {}
      : { hostTls: { ...present("ciphers", ciphers), ...present("preferServerCiphers", preferServerCiphers) } }),
    accessLog: a.get("enable-access-log") ?? true,
    ...(tracing === undefined ? {} : { tracing: { enabled: tracing, ...present("trustIncoming", trustIncoming) } }),
  };
}

function parseCors(a: AnnotationReader): AnswerOptions["cors"] {
  const enabled = a.get("enable-cors") ?? false;
  const origins = a.get("cors-allow-origin") ?? "*";
  const cors = {
    origins: origins
      .split(",")
      .map((t) => t.trim())
      .filter((t) => t !== ""),
    methods: a.get("cors-allow-methods") ?? "GET, PUT, POST, DELETE, PATCH, OPTIONS",
    headers:
      a.get("cors-allow-headers") ??
      "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization",
    exposeHeaders: a.get("cors-expose-headers") ?? "",
    credentials: a.get("cors-allow-credentials") ?? true,
    maxAgeSeconds: a.get("cors-max-age") ?? 1_728_000,
  };
  return enabled ? cors : undefined;
}

const off: ChangeSide = { kind: "off" };

function parseChanges(a: AnnotationReader): AnswerChanges | undefined {
  const location = changeOf("prefix", a.get("proxy-redirect-from") ?? off, a.get("proxy-redirect-to") ?? off);
  const domain = a.get("proxy-cookie-domain");
  const path = a.get("proxy-cookie-path");
  const cookieDomain = domain === undefined ? undefined : changeOf("whole", domain.from, domain.to);
  const cookiePath = path === undefined ? undefined : changeOf("prefix", path.from, path.to);
  if (location === undefined && cookieDomain === undefined && cookiePath === undefined) return undefined;
  return {
    ...(location === undefined ? {} : { location: [location] }),
    ...(cookieDomain === undefined ? {} : { cookieDomain: [cookieDomain] }),
    ...(cookiePath === undefined ? {} : { cookiePath: [cookiePath] }),
  };
}

function parseMirror(a: AnnotationReader): AnswerOptions["mirror"] {
  const url = a.get("mirror-target");
  const withBody = a.get("mirror-request-body") ?? true;
  const host = a.get("mirror-host");
  return url === undefined ? undefined : { url, withBody, ...present("host", host) };
}
