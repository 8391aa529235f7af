import type { ConfigMap } from "../../src/api/types/core-v1.generated.ts";
import type { HTTPIngressPath, Ingress, IngressBackend } from "../../src/api/types/networking-v1.generated.ts";
import type { ObjectKey, Snapshot } from "../../src/snapshot/cluster-snapshot.ts";
import type { Compiled, ObjectRef, Problem } from "../../src/snapshot/problem.ts";
import type { FilledHeader, Filter } from "../route/filter.ts";
import type { TextPart } from "../route/request-text.ts";
import type { ClientCertificates, Mirror, PoolId, UpstreamTls } from "../route/route.ts";
import { type AnnotationName, annotationField } from "./annotation-table.ts";
import { type IngressOptions, parseAnnotations } from "./annotations.ts";
import { serviceOfUrl } from "./auth-annotations.ts";
import { compileGuards, type GuardSources, type Guards, readSecret, type Shut } from "./guards.ts";
import { type HeaderMap, readHeaders } from "./header-map.ts";
import { configMapFor, type IngressScope, isOurs } from "./ingress-class.ts";
import { configAt, type RouteConfig } from "./ingress-config.ts";
import { poolId } from "./pool-plan.ts";
import { readUpstreamPair } from "./tls-secrets.ts";

/** What one Ingress asks for, seen alone; what several claim is settled a host at a time (host-plan.ts). */
export interface IngressPlan {
  readonly object: ObjectRef;
  readonly created: string;
  readonly options: IngressOptions;
  readonly config: RouteConfig;
  /** Who may come in. */
  readonly guards: readonly Filter[];
  /** The same where the judge of all Ingresses is not asked (no-auth-locations). */
  readonly openGuards: readonly Filter[];
  /** What answers while a backend has no endpoint. */
  readonly standIn: PoolId | undefined;
  readonly answerHeaders: readonly FilledHeader[];
  readonly requestHeaders: readonly FilledHeader[];
  readonly clientCertificates: ClientCertificates | undefined;
  /** Beside what annotations say of TLS with endpoints. */
  readonly upstreamPair: Pick<UpstreamTls, "ca" | "certificate" | "key"> | undefined;
  readonly mirror: Mirror | undefined;
  readonly claims: readonly PathClaim[];
  /** For requests that no rule takes. */
  readonly defaultPool: PoolId | undefined;
  readonly hasRules: boolean;
  readonly tls: readonly TlsClaim[];
  readonly pools: readonly PoolId[];
  /** Objects it was computed from, beside itself. */
  readonly services: readonly ObjectKey[];
  readonly secrets: readonly ObjectKey[];
  readonly configMaps: readonly ObjectKey[];
}

/** One path of one host. `host` is lower case, "" for none. */
export interface PathClaim {
  readonly host: string;
  /** The host is an alias of another: a rule that names it goes before. */
  readonly alias?: boolean;
  readonly path: string;
  readonly pathType: "Exact" | "Prefix" | "ImplementationSpecific";
  /** Where in the object it stands. */
  readonly field: string;
  readonly pool: PoolId | undefined;
}

export interface TlsClaim {
  readonly host: string;
  /** Key of the Secret; `undefined`: the default certificate. */
  readonly secret: ObjectKey | undefined;
  readonly field: string;
}

/** `undefined` for Ingresses of other classes. */
export function compileIngress(snapshot: Snapshot, key: ObjectKey, scope: IngressScope): Compiled<IngressPlan | undefined> {
  const ingress = snapshot.tables.Ingress.get(key);
  if (ingress === undefined || !isOurs(snapshot, ingress, scope)) return { plan: undefined, problems: [] };
  return new IngressCompiler(snapshot, ingress, scope).compile();
}

/** One compilation: what is gathered on the way. */
class IngressCompiler {
  readonly #snapshot: Snapshot;
  readonly #ingress: Ingress;
  readonly #scope: IngressScope;
  readonly #object: ObjectRef;
  readonly #namespace: string;
  readonly #problems: Problem[] = [];
  readonly #services = new Set<ObjectKey>();
  readonly #secrets = new Set<ObjectKey>();
  readonly #configMaps = new Set<ObjectKey>();
  readonly #pools = new Set<PoolId>();
  #serviceUpstream = false;
  #refusal: string | undefined;

  constructor(snapshot: Snapshot, ingress: Ingress, scope: IngressScope) {
    this.#snapshot = snapshot;
    this.#ingress = ingress;
    this.#scope = scope;
    this.#namespace = ingress.metadata?.namespace ?? "";
    this.#object = { kind: "Ingress", namespace: this.#namespace, name: ingress.metadata?.name ?? "" };
  }

  compile(): Compiled<IngressPlan> {
    const { metadata, spec } = this.#ingress;
    const config = this.#config();
    const options = parseAnnotations(
      metadata?.annotations ?? {},
      (name, reason, message) => this.#complain(annotationField(name), reason, message),
      config.defaults,
    );
    this.#refusal = options.refusal ?? config.refusal;
    this.#serviceUpstream = options.serviceUpstream;
    const guards = this.#guards(withJudge(options, config));
    const openGuards = options.externalAuth === undefined && config.globalAuth !== undefined ? this.#guards(options) : guards;
    this.#refusal ??= guards.refusal;
    const defaultPool = spec?.defaultBackend === undefined ? undefined : this.#poolOf(spec.defaultBackend, "spec.defaultBackend");
    const claims = this.#claims(options, defaultPool);
    const parts = {
      standIn: this.#standIn(options),
      answerHeaders: this.#answerHeaders(options, config),
      requestHeaders: this.#requestHeaders(config),
      clientCertificates: guards.clientCertificates,
      upstreamPair: this.#upstreamPair(options),
      mirror: this.#mirror(options),
    };
    const plan: IngressPlan = {
      object: this.#object,
      created: typeof metadata?.creationTimestamp === "string" ? metadata.creationTimestamp : "",
      options: this.#refusal === undefined ? options : { ...options, refusal: this.#refusal },
      config,
      guards: guards.filters,
      openGuards: openGuards.filters,
      ...parts,
      claims,
      defaultPool,
      hasRules: (spec?.rules?.length ?? 0) > 0,
      tls: this.#tls(claims),
      pools: [...this.#pools],
      services: [...this.#services],
      secrets: [...this.#secrets],
      configMaps: [...this.#configMaps],
    };
    return { plan, problems: this.#problems };
  }

  #config(): RouteConfig {
    const { configMap, problem } = configMapFor(this.#snapshot, this.#ingress, this.#scope);
    if (problem !== undefined) this.#problems.push(problem);
    this.#configMaps.add(configMap);
    return configAt(this.#snapshot, configMap).routes;
  }

  #claims(options: IngressOptions, defaultPool: PoolId | undefined): readonly PathClaim[] {
    const claims: PathClaim[] = [];
    for (const [i, rule] of (this.#ingress.spec?.rules ?? []).entries()) {
      const host = (rule.host ?? "").toLowerCase();
      if (host !== "" && !/^(\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(host)) {
        this.#complain(`spec.rules[${i}].host`, "InvalidHost", `"${host}" is no host name`);
        continue;
      }
      if (rule.http === undefined || (rule.http.paths ?? []).length === 0) {
        // a rule without paths sends its whole host to the default backend
        if (defaultPool !== undefined) claims.push({ host, path: "/", pathType: "Prefix", field: `spec.rules[${i}]`, pool: defaultPool });
        continue;
      }
      for (const [j, path] of (rule.http.paths ?? []).entries()) {
        const claim = this.#claim(host, path, `spec.rules[${i}].http.paths[${j}]`);
        if (claim !== undefined) claims.push(claim);
      }
    }
    const hosts = new Set(claims.map((c) => c.host));
    const aliases = options.serverAliases.filter((a) => !hosts.has(a));
    const first = claims.find((c) => c.host !== "")?.host;
    const asAlias = (host: string): readonly PathClaim[] =>
      claims.filter((c) => c.host === first).map((c) => ({ ...c, host, alias: true }));
    return [...claims, ...aliases.flatMap(asAlias)];
  }

  #claim(host: string, path: HTTPIngressPath, field: string): PathClaim | undefined {
    const pathType = path.pathType ?? "ImplementationSpecific";
    const text = path.path === undefined || path.path === "" ? "/" : path.path;
    if (pathType !== "Exact" && pathType !== "Prefix" && pathType !== "ImplementationSpecific") {
      this.#complain(`${field}.pathType`, "InvalidPathType", `"${pathType}" is none of Exact, Prefix, ImplementationSpecific`);
      return undefined;
    }
    if (!text.startsWith("/")) {
      this.#complain(`${field}.path`, "InvalidPath", `"${text}" does not begin with /`);
      return undefined;
    }
    return { host, path: text, pathType, field, pool: this.#poolOf(path.backend, `${field}.backend`) };
  }

  /** The pool a backend names; `undefined`, with a problem, when there is no such thing. The path answers 503 then. */
  #poolOf(backend: IngressBackend, field: string): PoolId | undefined {
    const { service } = backend;
    if (service === undefined) {
      this.#complain(field, "UnsupportedBackend", "resource backends are not supported, Services are; the path answers 503");
      return undefined;
    }
    const key = `${this.#namespace}/${service.name}`;
    this.#services.add(key);
    const found = this.#snapshot.tables.Service.get(key);
    const port = service.port?.name ?? service.port?.number;
    if (port === undefined) {
      this.#complain(`${field}.service.port`, "InvalidBackend", "neither a port name nor a number; the path answers 503");
      return undefined;
    }
    if (found === undefined)
      this.#complain(`${field}.service.name`, "ServiceNotFound", `there is no Service ${key}; the path answers 503 until there is`);
    else if (found.spec?.type === "ExternalName") {
      this.#complain(
        `${field}.service.name`,
        "UnsupportedBackend",
        `Service ${key} is of type ExternalName, which is not proxied to; the path answers 503`,
      );
      return undefined;
    } else if (!(found.spec?.ports ?? []).some((p) => p.name === port || p.port === port)) {
      const ports = (found.spec?.ports ?? []).map((p) => (p.name === undefined ? `${p.port}` : `${p.name} (${p.port})`)).join(", ");
      this.#complain(
        `${field}.service.port`,
        "ServicePortNotFound",
        `Service ${key} has no port ${port}, only ${ports}; the path answers 503`,
      );
    }
    const id = poolId(key, port, { serviceUpstream: this.#serviceUpstream });
    this.#pools.add(id);
    return id;
  }

  /** By its first port, as ingress-nginx has it. */
  #standIn({ defaultBackend: name }: IngressOptions): PoolId | undefined {
    if (name === undefined) return undefined;
    const key = `${this.#namespace}/${name}`;
    this.#services.add(key);
    const port = this.#snapshot.tables.Service.get(key)?.spec?.ports?.[0]?.port;
    if (port === undefined) {
      const message = `there is no Service ${key} with a port; backends without endpoints answer 503`;
      this.#complain(annotationField("default-backend"), "ServiceNotFound", message);
      return undefined;
    }
    const id = poolId(key, port, { serviceUpstream: false });
    this.#pools.add(id);
    return id;
  }

  #guards(options: IngressOptions): Guards {
    return compileGuards(options, this.#sources());
  }

  #sources(): GuardSources {
    return {
      namespace: this.#namespace,
      secret: (key) => {
        this.#secrets.add(key);
        return this.#snapshot.tables.Secret.get(key);
      },
      configMap: (key) => this.#configMap(key),
      poolOfUrl: (url, field) => this.#poolOfUrl(url, field, "nobody is let in until there is"),
      complain: (field, reason, message) => this.#complain(field, reason, message),
    };
  }

  /** The pool that stands for a URL's host, where that is a Service of this cluster. */
  #poolOfUrl(url: readonly TextPart[], field: string, meanwhile: string): PoolId | undefined {
    const named = serviceOfUrl(url);
    if (named === undefined) return undefined;
    const { service: key, port } = named;
    this.#services.add(key);
    const service = this.#snapshot.tables.Service.get(key);
    if (service === undefined || !(service.spec?.ports ?? []).some((p) => p.port === port)) {
      this.#complain(
        field,
        service === undefined ? "ServiceNotFound" : "ServicePortNotFound",
        `there is no ${service === undefined ? "" : `port ${port} of `}Service ${key}; ${meanwhile}`,
      );
    } else if (service.spec?.type === "ExternalName") return undefined;
    const id = poolId(key, port, { serviceUpstream: false });
    this.#pools.add(id);
    return id;
  }

  #mirror({ mirror }: IngressOptions): Mirror | undefined {
    if (mirror === undefined) return undefined;
    const pool = this.#poolOfUrl(mirror.url, annotationField("mirror-target"), "nothing is mirrored until there is");
    return pool === undefined ? mirror : { ...mirror, pool };
  }

  #answerHeaders(options: IngressOptions, config: RouteConfig): readonly FilledHeader[] {
    const common = config.answerHeadersFrom === undefined ? [] : this.#commonHeaders("add-headers", config.answerHeadersFrom);
    if (options.customHeaders === undefined) return common;
    const isAllowed = (name: string): boolean => config.allowedHeaders.includes(name);
    return [...common, ...this.#headersFrom("custom-headers", options.customHeaders, (map) => readHeaders(map, isAllowed))];
  }

  #requestHeaders(config: RouteConfig): readonly FilledHeader[] {
    return config.requestHeadersFrom === undefined ? [] : this.#commonHeaders("proxy-set-headers", config.requestHeadersFrom);
  }

  /** Headers of a ConfigMap that an annotation names; what is wrong with it is this Ingress'. */
  #headersFrom(name: AnnotationName, text: string, read: (map: ConfigMap) => HeaderMap): readonly FilledHeader[] {
    const key = text.includes("/") ? text : `${this.#namespace}/${text}`;
    const map = this.#configMap(key);
    if (map === undefined) {
      this.#complain(annotationField(name), "ConfigMapNotFound", `there is no ConfigMap ${key}; its headers are not set`);
      return [];
    }
    const { headers, faults } = read(map);
    if (faults.length > 0)
      this.#complain(annotationField(name), "InvalidConfigMap", `ConfigMap ${key}: ${faults.join("; ")}; the others are set`);
    return headers;
  }

  /** The same for one that the common ConfigMap names; its problems are told of it. */
  #commonHeaders(field: string, text: string): readonly FilledHeader[] {
    const map = this.#configMap(text);
    const slash = text.indexOf("/");
    const object = { kind: "ConfigMap", namespace: text.slice(0, Math.max(slash, 0)), name: text.slice(slash + 1) };
    if (map === undefined) {
      this.#problems.push({
        object,
        field: "",
        reason: "ConfigMapNotFound",
        message: `${field} names it, and there is none: its headers are not set`,
      });
      return [];
    }
    const { headers, faults } = readHeaders(map);
    if (faults.length > 0)
      this.#problems.push({ object, field: "data", reason: "InvalidConfigMap", message: `${faults.join("; ")}; the others are set` });
    return headers;
  }

  #configMap(key: ObjectKey): ConfigMap | undefined {
    this.#configMaps.add(key);
    return this.#snapshot.tables.ConfigMap.get(key);
  }

  #tls(claims: readonly PathClaim[]): readonly TlsClaim[] {
    const out: TlsClaim[] = [];
    for (const [i, entry] of (this.#ingress.spec?.tls ?? []).entries()) {
      const secret = entry.secretName === undefined || entry.secretName === "" ? undefined : `${this.#namespace}/${entry.secretName}`;
      const hosts = entry.hosts ?? [];
      // without hosts, the certificate is for the hosts of the rules
      const names = hosts.length > 0 ? hosts : [...new Set(claims.map((c) => c.host).filter((h) => h !== ""))];
      for (const host of names) out.push({ host: host.toLowerCase(), secret, field: `spec.tls[${i}]` });
    }
    return out;
  }

  #upstreamPair({ forwarding }: IngressOptions): IngressPlan["upstreamPair"] {
    if (forwarding.tlsSecret === undefined) return undefined;
    const read = readSecret(forwarding.tlsSecret, this.#sources(), { name: "proxy-ssl-secret", read: readUpstreamPair });
    if (!isShut(read)) return read;
    this.#refusal ??= read.message;
    this.#complain(read.field, read.reason, `${read.message}; without it no endpoint is asked, and the paths answer 503`);
    return undefined;
  }

  #complain(field: string, reason: string, message: string): void {
    this.#problems.push({ object: this.#object, field, reason, message });
  }
}

function isShut(read: object | Shut): read is Shut {
  return "kind" in read && read.kind === "shut";
}

/** The judge of all, where the Ingress has none of its own and does not do without. */
function withJudge(options: IngressOptions, { globalAuth }: RouteConfig): IngressOptions {
  if (globalAuth === undefined || !options.globalAuth || options.externalAuth !== undefined) return options;
  return { ...options, externalAuth: globalAuth };
}
