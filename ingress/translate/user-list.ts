import type { Secret } from "../../src/api/types/core-v1.generated.ts";
import { passwordHashKind } from "../filter/basic-auth.ts";
import type { DigestHashes } from "../route/filter.ts";

export interface UserList {
  /** User → hash; `undefined` when the Secret has not the shape that was asked for. */
  readonly users: Readonly<Record<string, string>> | undefined;
  /** What was left out, and why. Names users, never hashes. */
  readonly faults: readonly string[];
}

/** `auth-file`: the key `auth` holds an htpasswd file. `auth-map`: keys are users, values are hashes. */
export function readUsers(secret: Secret, type: "auth-file" | "auth-map"): UserList {
  const lines = type === "auth-file" ? fileLines(secret) : mapLines(secret);
  if (lines === undefined) return { users: undefined, faults: ['it has no key "auth" with an htpasswd file'] };
  const users: Record<string, string> = {};
  const faults: string[] = [];
  for (const [user, hash] of lines) {
    if (passwordHashKind(hash) === undefined)
      faults.push(`the password of user ${user} is neither apr1, bcrypt nor SHA: it will not be let in`);
    else users[user] = hash;
  }
  return { users, faults };
}

export interface DigestUserList {
  readonly users: Readonly<Record<string, DigestHashes>> | undefined;
  readonly faults: readonly string[];
}

/**
 * `auth-file`: the key `auth` holds an htdigest file, a line `user:realm:hash` each. `auth-map`: keys are users, values are
 * `realm:hash`, or the hash alone. Hashes are of `user:realm:password` in hex: MD5 as htdigest makes it, or SHA-256; a user
 * may have a line of each. Lines of other realms are others'.
 */
export function readDigestUsers(secret: Secret, type: "auth-file" | "auth-map", realm: string): DigestUserList {
  const lines = type === "auth-file" ? fileLines(secret) : mapLines(secret);
  if (lines === undefined) return { users: undefined, faults: ['it has no key "auth" with an htdigest file'] };
  const users: Record<string, DigestHashes> = {};
  const faults: string[] = [];
  for (const [user, value] of lines) {
    const colon = value.lastIndexOf(":");
    const ofRealm = colon < 0 && type === "auth-map" ? realm : value.slice(0, Math.max(0, colon));
    const hash = value.slice(colon + 1).toLowerCase();
    const algorithm = /^[0-9a-f]{32}$/.test(hash) ? "md5" : /^[0-9a-f]{64}$/.test(hash) ? "sha256" : undefined;
    if (algorithm === undefined)
      faults.push(`user ${user} has no digest of MD5 or SHA-256 in hex, as htdigest writes it: it will not be let in`);
    else if (ofRealm !== realm) faults.push(`user ${user} is of realm "${ofRealm}", auth-realm says "${realm}": it will not be let in`);
    else users[user] = { ...(Object.hasOwn(users, user) ? users[user] : {}), [algorithm]: hash };
  }
  return { users, faults };
}

function fileLines(secret: Secret): readonly (readonly [string, string])[] | undefined {
  const text = dataOf(secret, "auth");
  if (text === undefined) return undefined;
  return text
    .split("\n")
    .map((l) => l.trim())
    .filter((l) => l !== "" && !l.startsWith("#") && l.includes(":"))
    .map((l) => [l.slice(0, l.indexOf(":")), l.slice(l.indexOf(":") + 1)]);
}

function mapLines(secret: Secret): readonly (readonly [string, string])[] {
  const names = new Set([...Object.keys(secret.data ?? {}), ...Object.keys(secret.stringData ?? {})]);
  return [...names].map((n) => [n, (dataOf(secret, n) ?? "").trim()]);
}

/** The text of one key; files that were never applied may still have stringData. */
export function dataOf(secret: Secret, key: string): string | undefined {
  const encoded = secret.data?.[key];
  return encoded === undefined ? secret.stringData?.[key] : Buffer.from(encoded, "base64").toString("utf8");
}
