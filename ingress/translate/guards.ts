import type { ConfigMap, Secret } from "../../src/api/types/core-v1.generated.ts";
import type { ObjectKey } from "../../src/snapshot/cluster-snapshot.ts";
import { readKeys } from "../filter/jwt.ts";
import type { Filter, JwtKeys, SatisfyAny } from "../route/filter.ts";
import type { TextPart } from "../route/request-text.ts";
import type { ClientCertificates, PoolId } from "../route/route.ts";
import { type AnnotationName, annotationField } from "./annotation-table.ts";
import { present } from "./annotation-values.ts";
import type { IngressOptions } from "./annotations.ts";
import type { ClientTls } from "./auth-annotations.ts";
import { readHeaders } from "./header-map.ts";
import { readAuthorities, type SecretReader } from "./tls-secrets.ts";
import { dataOf, readDigestUsers, readUsers } from "./user-list.ts";

/** The world as guards may look at it: what is asked for is remembered as what the Ingress was computed from. */
export interface GuardSources {
  readonly namespace: string;
  secret(key: ObjectKey): Secret | undefined;
  configMap(key: ObjectKey): ConfigMap | undefined;
  /** The pool of the Service of this cluster that a URL names, if it does. */
  poolOfUrl(url: readonly TextPart[], field: string): PoolId | undefined;
  complain(field: string, reason: string, message: string): void;
}

type Guard = SatisfyAny["filters"][number];

export interface Guards {
  readonly filters: readonly Filter[];
  /** Set: one of them could not be made, so nobody gets in. */
  readonly refusal: string | undefined;
  /** What is asked of clients at the handshake. */
  readonly clientCertificates: ClientCertificates | undefined;
}

/** Who may come in, as the annotations of one Ingress say. */
export function compileGuards(o: IngressOptions, from: GuardSources): Guards {
  const guards: Guard[] = [];
  let refusal: string | undefined;
  const add = (made: Guard | Shut | undefined): void => {
    if (made === undefined) return;
    if (made.kind !== "shut") {
      guards.push(made);
      return;
    }
    from.complain(made.field, made.reason, `${made.message}; as it guards these paths, they answer 503 until it is right`);
    refusal ??= made.message;
  };
  if (o.allow.length > 0 || o.deny.length > 0) add({ kind: "addressList", allow: o.allow, deny: o.deny });
  add(usersGuard(o, from));
  add(jwtGuard(o, from));
  add(externalGuard(o, from));
  const filters: readonly Filter[] = o.satisfyAny && guards.length > 1 ? [{ kind: "satisfyAny", filters: guards }] : guards;
  const { clientTls } = o;
  if (clientTls === undefined) return { filters, refusal, clientCertificates: undefined };
  const clientCertificates = authoritiesOf(clientTls, from);
  if ("kind" in clientCertificates) {
    add(clientCertificates);
    return { filters, refusal, clientCertificates: undefined };
  }
  const { verify, commonName, errorPage, passOn } = clientTls;
  const certificate: Filter = {
    kind: "clientCertificate",
    verify,
    passOn,
    ...present("commonName", commonName),
    ...present("errorPage", errorPage),
  };
  return { filters: [certificate, ...filters], refusal, clientCertificates };
}

/** Why a guard could not be made. */
export interface Shut {
  readonly kind: "shut";
  readonly field: string;
  readonly reason: string;
  readonly message: string;
}

function usersGuard({ auth }: IngressOptions, from: GuardSources): Guard | Shut | undefined {
  if (auth === undefined) return undefined;
  const field = annotationField("auth-secret");
  const key = own(auth.secret, from, { kind: "Secret", field });
  if (typeof key !== "string") return key;
  const secret = from.secret(key);
  if (secret === undefined) return { kind: "shut", field, reason: "SecretNotFound", message: `there is no Secret ${key}` };
  const shut = (faults: readonly string[]): Shut => ({
    kind: "shut",
    field,
    reason: "InvalidSecret",
    message: `Secret ${key}: ${faults.join("; ")}`,
  });
  const warn = (faults: readonly string[]): void => {
    for (const fault of faults) from.complain(field, "UnsupportedPassword", `Secret ${key}: ${fault}`);
  };
  if (auth.scheme === "digest") {
    const { users, faults } = readDigestUsers(secret, auth.type, auth.realm);
    if (users === undefined) return shut(faults);
    warn(faults);
    return { kind: "digestAuth", realm: auth.realm, users };
  }
  const { users, faults } = readUsers(secret, auth.type);
  if (users === undefined) return shut(faults);
  warn(faults);
  return { kind: "auth", realm: auth.realm, users };
}

function authoritiesOf(o: ClientTls, from: GuardSources): ClientCertificates | Shut {
  const read = readSecret(o.secret, from, { name: "auth-tls-secret", read: readAuthorities });
  if ("kind" in read) return read;
  return { verify: o.verify, depth: o.depth, ...read };
}

/** What a Secret of the Ingress' own namespace holds. */
export function readSecret<V extends object>(
  text: string,
  from: GuardSources,
  o: { readonly name: AnnotationName; readonly read: SecretReader<V> },
): V | Shut {
  const field = annotationField(o.name);
  const key = own(text, from, { kind: "Secret", field });
  if (typeof key !== "string") return key;
  const secret = from.secret(key);
  if (secret === undefined) return { kind: "shut", field, reason: "SecretNotFound", message: `there is no Secret ${key}` };
  const found = o.read(secret);
  return "fault" in found ? { kind: "shut", field, reason: "InvalidSecret", message: `Secret ${key}: ${found.fault}` } : found;
}

function jwtGuard({ jwt }: IngressOptions, from: GuardSources): Guard | Shut | undefined {
  if (jwt === undefined) return undefined;
  const { source, ...rest } = jwt;
  const keys = jwtKeys(source, from);
  return keys.kind === "shut" ? keys : { kind: "jwt", ...rest, keys };
}

function jwtKeys(source: NonNullable<IngressOptions["jwt"]>["source"], from: GuardSources): JwtKeys | Shut {
  const field = annotationField("fairway.dev/jwt-keys");
  if (source.kind === "url") {
    const pool = from.poolOfUrl([{ kind: "text", text: source.url }], field);
    return { kind: "url", url: source.url, ...(pool === undefined ? {} : { pool }) };
  }
  const key = `${from.namespace}/${source.name}`;
  const object = source.kind === "Secret" ? from.secret(key) : from.configMap(key);
  if (object === undefined) return { kind: "shut", field, reason: `${source.kind}NotFound`, message: `there is no ${source.kind} ${key}` };
  const sets = textsOf(source.kind, object);
  let usable = 0;
  for (const [name, text] of sets) {
    try {
      const { keys, faults } = readKeys(text, { shared: true });
      usable += keys.length;
      for (const fault of faults) from.complain(field, "UnsupportedKey", `${source.kind} ${key}, ${name}: ${fault}`);
    } catch {
      from.complain(field, "InvalidKeys", `${source.kind} ${key}, ${name}: it is no JWK Set`);
    }
  }
  if (usable === 0)
    return {
      kind: "shut",
      field,
      reason: `Invalid${source.kind}`,
      message: `${source.kind} ${key} has no JWK Set with a key for signatures`,
    };
  return { kind: "inline", sets: sets.map(([, text]) => text).filter(isKeySet) };
}

function textsOf(kind: "Secret" | "ConfigMap", object: Secret | ConfigMap): readonly (readonly [name: string, text: string])[] {
  if (kind === "ConfigMap") return Object.entries((object as ConfigMap).data ?? {});
  const secret = object as Secret;
  const names = new Set([...Object.keys(secret.data ?? {}), ...Object.keys(secret.stringData ?? {})]);
  return [...names].map((name) => [name, dataOf(secret, name) ?? ""] as const);
}

function isKeySet(text: string): boolean {
  try {
    return readKeys(text, { shared: true }).keys.length > 0;
  } catch {
    return false;
  }
}

function externalGuard({ externalAuth }: IngressOptions, from: GuardSources): Guard | Shut | undefined {
  if (externalAuth === undefined) return undefined;
  const { headersFrom, ...rest } = externalAuth;
  const pool = from.poolOfUrl(rest.url, annotationField("auth-url"));
  const setHeaders = headersFrom === undefined ? undefined : headersOf(headersFrom, from);
  if (setHeaders !== undefined && "kind" in setHeaders) return setHeaders;
  return {
    kind: "externalAuth",
    ...rest,
    ...(pool === undefined ? {} : { pool }),
    ...(setHeaders === undefined ? {} : { setHeaders }),
  };
}

/** A ConfigMap whose keys are names of headers and whose values, with nginx's variables, go to the server that judges. */
function headersOf(name: string, from: GuardSources): readonly { readonly name: string; readonly value: readonly TextPart[] }[] | Shut {
  const field = annotationField("auth-proxy-set-headers");
  const key = own(name, from, { kind: "ConfigMap", field });
  if (typeof key !== "string") return key;
  const configMap = from.configMap(key);
  if (configMap === undefined) return { kind: "shut", field, reason: "ConfigMapNotFound", message: `there is no ConfigMap ${key}` };
  const { headers, faults } = readHeaders(configMap);
  if (faults.length > 0) return { kind: "shut", field, reason: "InvalidConfigMap", message: `ConfigMap ${key}, ${faults.join("; ")}` };
  return headers;
}

/** The key of an object of the Ingress's own namespace. */
function own(name: string, from: GuardSources, o: { readonly kind: "Secret" | "ConfigMap"; readonly field: string }): ObjectKey | Shut {
  const key = name.includes("/") ? name : `${from.namespace}/${name}`;
  if (key.startsWith(`${from.namespace}/`)) return key;
  return {
    kind: "shut",
    field: o.field,
    reason: `${o.kind}NotAllowed`,
    message: `${o.kind} ${key} is in another namespace; one of ${from.namespace} is needed`,
  };
}
