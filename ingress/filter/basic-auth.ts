import { createHash } from "node:crypto";
import apacheMd5 from "apache-md5";
import { compare } from "bcryptjs";
import type { FilterOf } from "../route/filter.ts";
import { headerValue } from "../route/request-head.ts";
import type { FilterContext, FilteredRequest, FilterOutcome, Passwords } from "./outcome.ts";
import { sameText } from "./same-text.ts";

export function applyBasicAuth(
  f: FilterOf<"auth">,
  r: FilteredRequest,
  c: FilterContext,
): FilterOutcome | undefined | Promise<FilterOutcome | undefined> {
  const credentials = parseBasic(headerValue(r.headers, "authorization"));
  const hash = credentials === undefined ? undefined : Object.hasOwn(f.users, credentials.user) ? f.users[credentials.user] : undefined;
  if (credentials === undefined || hash === undefined) return refusal(f);
  const verdict = c.world.passwords.verify(credentials.password, hash);
  const { user } = credentials;
  if (typeof verdict === "boolean") return verdict ? { user } : refusal(f);
  return verdict.then((ok) => (ok ? { user } : refusal(f)));
}

function refusal(f: FilterOf<"auth">): FilterOutcome {
  const realm = f.realm.replace(/["\\]/g, "");
  return { reply: { status: 401, headers: [{ name: "WWW-Authenticate", value: `Basic realm="${realm}"` }], by: "auth" } };
}

function parseBasic(header: string | undefined): { user: string; password: string } | undefined {
  const encoded = /^basic +([A-Za-z0-9+/=_-]+) *$/i.exec(header ?? "")?.[1];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, "base64").toString("utf8");
  const colon = text.indexOf(":");
  return colon < 0 ? undefined : { user: text.slice(0, colon), password: text.slice(colon + 1) };
}

/** The package is CommonJS and exports the function itself; its types say a module with a default. */
const apr1 = apacheMd5 as unknown as (password: string, salt: string) => string;

/** The kind of a stored hash; `undefined` for kinds that are not checked here (crypt, plain text). */
export function passwordHashKind(hash: string): "apr1" | "bcrypt" | "sha1" | undefined {
  if (/^\$apr1\$[./0-9A-Za-z]{1,8}\$[./0-9A-Za-z]{22}$/.test(hash)) return "apr1";
  if (/^\$2[aby]\$(?:0[4-9]|1[0-5])\$[./0-9A-Za-z]{53}$/.test(hash)) return "bcrypt";
  return /^\{SHA\}[A-Za-z0-9+/]{27}=$/.test(hash) ? "sha1" : undefined;
}

const maxRemembered = 1024;

/** Checks passwords, and remembers which were right: a bcrypt check costs tens of milliseconds, a request microseconds. */
export class PasswordChecks implements Passwords {
  readonly #right = new Set<string>();

  verify(password: string, hash: string): boolean | Promise<boolean> {
    const key = createHash("sha256").update(hash).update("\0").update(password).digest("base64");
    if (this.#right.has(key)) return true;
    switch (passwordHashKind(hash)) {
      case "apr1":
        return this.#remember(key, sameText(apr1(password, hash), hash));
      case "sha1":
        return this.#remember(key, sameText(`{SHA}${createHash("sha1").update(password).digest("base64")}`, hash));
      case "bcrypt":
        return compare(password, hash).then((ok) => this.#remember(key, ok));
      case undefined:
        return false;
    }
  }

  #remember(key: string, ok: boolean): boolean {
    if (ok) {
      if (this.#right.size >= maxRemembered) this.#right.clear();
      this.#right.add(key);
    }
    return ok;
  }
}
