import type { ConfigMap } from "../../src/api/types/core-v1.generated.ts";
import { type ObjectKey, objectKey, type Snapshot } from "../../src/snapshot/cluster-snapshot.ts";
import type { ObjectRef, Problem } from "../../src/snapshot/problem.ts";
import type { TextTest } from "../route/filter.ts";
import type { ProxySettings } from "../route/proxy-settings.ts";
import type { AnnotationDefaults } from "./annotation-reader.ts";
import { isBad, present } from "./annotation-values.ts";
import { type ExternalAuthOptions, externalAuthOf } from "./auth-annotations.ts";
import { type ConfigName, type ConfigValue, configParser, configRow, configRows, sharedNames } from "./config-table.ts";
import { settingsOf } from "./proxy-settings-config.ts";

/** What a ConfigMap says of every route of its Ingresses. */
export interface RouteConfig {
  /** Texts of annotations where an Ingress has none of its own. */
  readonly defaults: AnnotationDefaults;
  /** The value of Strict-Transport-Security; absent: none is sent. */
  readonly hsts?: string;
  readonly httpsRedirectStatus: number;
  readonly rateStatus: number;
  readonly connectionStatus: number;
  readonly sharedRateStatus: number;
  readonly retryNonIdempotent: boolean;
  readonly globalAuth?: ExternalAuthOptions;
  /** Beginnings of paths that the judge of all is not asked about. */
  readonly openPaths: readonly string[];
  /** Beginnings of paths that are not sent to https. */
  readonly plainPaths: readonly string[];
  /** Lower case. */
  readonly allowedHeaders: readonly string[];
  readonly blockedRanges: readonly string[];
  readonly blockedAgents: readonly TextTest[];
  readonly blockedReferers: readonly TextTest[];
  /** Lower case. */
  readonly hiddenHeaders: readonly string[];
  /** ConfigMaps with headers of answers, and for endpoints. */
  readonly answerHeadersFrom?: string;
  readonly requestHeadersFrom?: string;
  readonly originalUri: boolean;
  /** Set: what keeps somebody out could not be understood, so nobody gets in. */
  readonly refusal?: string;
}

export interface IngressConfig {
  readonly routes: RouteConfig;
  readonly settings: ProxySettings;
  readonly problems: readonly Problem[];
}

/** Reads keys by their rows. */
export class ConfigReader {
  readonly #data: Readonly<Record<string, string>>;
  readonly #object: ObjectRef;
  readonly problems: Problem[] = [];
  refusal: string | undefined;

  constructor(data: Readonly<Record<string, string>>, object: ObjectRef) {
    this.#data = data;
    this.#object = object;
  }

  get<N extends ConfigName>(name: N): ConfigValue<N> | undefined {
    const text = this.#data[name]?.trim();
    if (text === undefined || text === "") return undefined;
    const value = configParser(name)(text);
    if (!isBad(value)) return value;
    this.#wrong(name, `"${text}" is not ${value.expected}`, configRows[name].guards);
    return undefined;
  }

  /** Texts of those keys that annotations have too, where they can be read. */
  shared(): AnnotationDefaults {
    const defaults = new Map<string, string>();
    for (const name of sharedNames) {
      const text = this.#data[name]?.trim();
      const row = configRow(name);
      if (text === undefined || text === "" || row === undefined || row.state === "refused") continue;
      const value = row.parse(text);
      if (typeof value === "object" && value !== null && isBad(value)) this.#wrong(name, `"${text}" is not ${value.expected}`, row.guards);
      else defaults.set(name, text);
    }
    return defaults;
  }

  complainOfRefused(): void {
    for (const [name, text] of Object.entries(this.#data)) {
      const row = configRow(name);
      if (row === undefined) this.#complain(name, "UnsupportedSetting", "not known; the rest counts");
      else if (row.state === "refused" && text.trim() !== "" && row.parse(text.trim()) !== false)
        this.#complain(name, "UnsupportedSetting", `${row.note}; the rest counts`);
    }
  }

  #wrong(name: string, message: string, guards: boolean): void {
    if (guards) this.refusal ??= `${name} of ConfigMap ${this.#object.namespace ?? ""}/${this.#object.name}: ${message}`;
    const what = guards ? "as it keeps somebody out, all paths answer 503 until it is right" : "the key is ignored";
    this.#complain(name, "InvalidSetting", `${message}; ${what}`);
  }

  #complain(name: string, reason: string, message: string): void {
    this.problems.push({ object: this.#object, field: `data[${name}]`, reason, message });
  }
}

const acme = ["/.well-known/acme-challenge"];
const compiled = new WeakMap<ConfigMap, IngressConfig>();

/** What is said where there is no ConfigMap. */
export const noConfig: IngressConfig = compileConfig({});

/** What a ConfigMap says; one that is not there says nothing. Remembered by the object. */
export function configAt(snapshot: Snapshot, key: ObjectKey): IngressConfig {
  const object = snapshot.tables.ConfigMap.get(key);
  if (object === undefined) return noConfig;
  let config = compiled.get(object);
  if (config === undefined) {
    config = compileConfig(object);
    compiled.set(object, config);
  }
  return config;
}

function compileConfig(object: ConfigMap): IngressConfig {
  const key = objectKey(object);
  const slash = key.indexOf("/");
  const reader = new ConfigReader(object.data ?? {}, { kind: "ConfigMap", namespace: key.slice(0, slash), name: key.slice(slash + 1) });
  const routes = routeConfig(reader);
  const settings = settingsOf(reader, routes.defaults);
  reader.complainOfRefused();
  return { routes: { ...routes, ...present("refusal", reader.refusal) }, settings, problems: reader.problems };
}

function routeConfig(r: ConfigReader): RouteConfig {
  return {
    defaults: r.shared(),
    ...present("hsts", hstsOf(r)),
    httpsRedirectStatus: Number(r.get("http-redirect-code") ?? "308"),
    rateStatus: r.get("limit-req-status-code") ?? 503,
    connectionStatus: r.get("limit-conn-status-code") ?? 503,
    sharedRateStatus: r.get("global-rate-limit-status-code") ?? 429,
    retryNonIdempotent: r.get("retry-non-idempotent") ?? false,
    ...present("globalAuth", globalAuthOf(r)),
    openPaths: r.get("no-auth-locations") ?? acme,
    plainPaths: r.get("no-tls-redirect-locations") ?? acme,
    allowedHeaders: r.get("global-allowed-response-headers") ?? [],
    blockedRanges: r.get("block-cidrs") ?? [],
    blockedAgents: r.get("block-user-agents") ?? [],
    blockedReferers: r.get("block-referers") ?? [],
    hiddenHeaders: r.get("hide-headers") ?? [],
    ...present("answerHeadersFrom", r.get("add-headers")),
    ...present("requestHeadersFrom", r.get("proxy-set-headers")),
    originalUri: r.get("proxy-add-original-uri-header") ?? false,
  };
}

function hstsOf(r: ConfigReader): string | undefined {
  const on = r.get("hsts") ?? true;
  const age = r.get("hsts-max-age") ?? 31_536_000;
  const subdomains = r.get("hsts-include-subdomains") ?? true;
  const preload = r.get("hsts-preload") ?? false;
  return on ? `max-age=${age}${subdomains ? "; includeSubDomains" : ""}${preload ? "; preload" : ""}` : undefined;
}

function globalAuthOf(r: ConfigReader): ExternalAuthOptions | undefined {
  return externalAuthOf({
    url: r.get("global-auth-url"),
    method: r.get("global-auth-method"),
    signIn: r.get("global-auth-signin"),
    redirectParameter: r.get("global-auth-signin-redirect-param"),
    responseHeaders: r.get("global-auth-response-headers"),
    requestRedirect: r.get("global-auth-request-redirect"),
    cacheKey: r.get("global-auth-cache-key"),
    cacheSeconds: r.get("global-auth-cache-duration"),
    alwaysSetCookie: r.get("global-auth-always-set-cookie"),
  });
}
