import { type KeyObject, randomUUID } from "node:crypto";
import type { Clock } from "../../base/clock.ts";
import { signToken } from "./service-account-token.ts";

export interface TokenSubject {
  readonly namespace: string;
  readonly account: { readonly name: string; readonly uid: string };
  readonly pod?: { readonly name: string; readonly uid: string };
}

/** Makes the tokens of service accounts. */
export class TokenIssuer {
  readonly issuer: string;
  readonly audiences: readonly string[];
  readonly #key: KeyObject;
  readonly #clock: Clock;

  constructor(options: { readonly issuer: string; readonly audiences: readonly string[]; readonly key: KeyObject; readonly clock: Clock }) {
    this.issuer = options.issuer;
    this.audiences = options.audiences;
    this.#key = options.key;
    this.#clock = options.clock;
  }

  /** No audiences: the API server's own. */
  issue(subject: TokenSubject, audiences: readonly string[], seconds: number): { readonly token: string; readonly expires: Date } {
    const now = Math.floor(this.#clock.now() / 1000);
    const { namespace, account, pod } = subject;
    const token = signToken(
      {
        aud: audiences.length === 0 ? this.audiences : audiences,
        exp: now + seconds,
        iat: now,
        iss: this.issuer,
        jti: randomUUID(),
        "kubernetes.io": { namespace, serviceaccount: account, ...(pod === undefined ? {} : { pod }) },
        nbf: now,
        sub: `system:serviceaccount:${namespace}:${account.name}`,
      },
      this.#key,
    );
    return { token, expires: new Date((now + seconds) * 1000) };
  }
}
