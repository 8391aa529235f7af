import type { KeyObject } from "node:crypto";
import type { TLSSocket } from "node:tls";
import { findResource } from "../../api/scheme.ts";
import { unauthorized } from "../../api/status-error.ts";
import type { Clock } from "../../base/clock.ts";
import type { Registry } from "../registry.ts";
import { anonymous, authenticated, type User } from "../user.ts";
import { isJwt, type TokenClaims, verifyToken } from "./service-account-token.ts";

export interface AuthenticatorOptions {
  readonly tokens: ReadonlyMap<string, User>;
  readonly serviceAccountKey: KeyObject;
  readonly issuer: string;
  /** A token must be meant for one of these. */
  readonly audiences: readonly string[];
  readonly registry: Registry;
  readonly clock: Clock;
}

const maxRemembered = 2000;

/** Finds out who asks: the bearer token if there is one, else the client certificate, else nobody. */
export class Authenticator {
  readonly #options: AuthenticatorOptions;
  readonly #byConnection = new WeakMap<TLSSocket, User | "refused">();
  /** Signatures that were good; what else a token claims is checked at every use. */
  readonly #verified = new Map<string, TokenClaims>();

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
  }

  /** Throws 401 for credentials that are there but no good. */
  authenticate(authorization: string | undefined, socket: TLSSocket | undefined): User {
    const token = /^bearer +(\S+) *$/i.exec(authorization ?? "")?.[1];
    if (token !== undefined) return this.#ofToken(token);
    return socket === undefined ? anonymous : this.#ofConnection(socket);
  }

  #ofConnection(socket: TLSSocket): User {
    let user = this.#byConnection.get(socket);
    if (user === undefined) {
      user = userOfCertificate(socket);
      this.#byConnection.set(socket, user);
    }
    if (user === "refused") throw unauthorized();
    return user;
  }

  #ofToken(token: string): User {
    const user = this.#options.tokens.get(token) ?? (isJwt(token) ? this.#ofServiceAccount(token) : undefined);
    if (user === undefined) throw unauthorized();
    return user;
  }

  #ofServiceAccount(token: string): User | undefined {
    const { clock, issuer, audiences } = this.#options;
    const claims = this.#verified.get(token) ?? verifyToken(token, this.#options.serviceAccountKey);
    if (claims === undefined) return undefined;
    if (this.#verified.size >= maxRemembered) this.#verified.clear();
    this.#verified.set(token, claims);
    const now = clock.now() / 1000;
    const { namespace, serviceaccount: account, pod } = claims["kubernetes.io"];
    // Ten seconds for clocks that do not agree.
    if (claims.iss !== issuer || claims.exp < now || claims.nbf > now + 10) return undefined;
    if (!claims.aud.some((a) => audiences.includes(a))) return undefined;
    if (this.#uidOf("serviceaccounts", `${namespace}/${account.name}`) !== account.uid) return undefined;
    // A token that is bound to a pod ends with it.
    if (pod !== undefined && this.#uidOf("pods", `${namespace}/${pod.name}`) !== pod.uid) return undefined;
    return serviceAccountUser(namespace, account, pod);
  }

  #uidOf(plural: string, key: string): string | undefined {
    const resource = findResource("", "v1", plural);
    const uid = resource === undefined ? undefined : this.#options.registry.find(resource, key)?.object.metadata.uid;
    return uid;
  }
}

export function serviceAccountUser(
  namespace: string,
  account: { readonly name: string; readonly uid: string },
  pod: { readonly name: string; readonly uid: string } | undefined,
): User {
  return authenticated({
    name: `system:serviceaccount:${namespace}:${account.name}`,
    uid: account.uid,
    groups: ["system:serviceaccounts", `system:serviceaccounts:${namespace}`],
    ...(pod === undefined
      ? {}
      : { extra: { "authentication.kubernetes.io/pod-name": [pod.name], "authentication.kubernetes.io/pod-uid": [pod.uid] } }),
  });
}

/** CN is the user, each O a group. No certificate: nobody; one that our authorities did not sign: refused. */
function userOfCertificate(socket: TLSSocket): User | "refused" {
  const subject: unknown = socket.getPeerCertificate().subject;
  if (typeof subject !== "object" || subject === null) return anonymous;
  if (!socket.authorized) return "refused";
  const { CN, O } = subject as { readonly CN?: string | string[]; readonly O?: string | string[] };
  const name = [CN ?? []].flat()[0];
  return name === undefined ? "refused" : authenticated({ name, groups: [O ?? []].flat() });
}
