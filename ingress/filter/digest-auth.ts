import { createHash } from "node:crypto";
import type { DigestHashes, FilterOf } from "../route/filter.ts";
import { headerValue } from "../route/request-head.ts";
import type { FilterContext, FilteredRequest, FilterOutcome } from "./outcome.ts";
import { sameText } from "./same-text.ts";

type Algorithm = keyof DigestHashes;

/** The best first: a client takes the first it knows (RFC 7616 section 3.7). */
const algorithms: readonly { readonly name: string; readonly of: Algorithm }[] = [
  { name: "SHA-256", of: "sha256" },
  { name: "MD5", of: "md5" },
];

/** HTTP Digest (RFC 7616) with `qop=auth`: what is checked is who asks and for which target, not the body. */
export function applyDigestAuth(f: FilterOf<"digestAuth">, r: FilteredRequest, c: FilterContext): FilterOutcome | undefined {
  const index = indexOf(f);
  const time = c.world.time();
  const claim = parseDigest(headerValue(r.headers, "authorization"));
  const refuse = (stale: boolean): FilterOutcome => ({
    reply: {
      status: 401,
      headers: index.offered.map(({ name }) => ({
        name: "WWW-Authenticate",
        value: `Digest realm="${f.realm}", qop="auth", algorithm=${name}, nonce="${c.world.nonces.issue(index.secret, time)}"${
          stale ? ", stale=true" : ""
        }, userhash=true`,
      })),
      by: "digestAuth",
    },
  });
  if (claim === undefined || claim.realm !== f.realm || !isTarget(claim.uri, r)) return refuse(false);
  const algorithm = algorithms.find((a) => a.name.toLowerCase() === claim.algorithm)?.of;
  if (algorithm === undefined) return refuse(false);
  const user = claim.userhash ? index.byHash.get(`${algorithm} ${claim.username}`) : claim.username;
  const known = user !== undefined && Object.hasOwn(f.users, user) ? f.users[user]?.[algorithm] : undefined;
  const proof = (method: string): string => {
    const a2 = hash(algorithm, `${method}:${claim.uri}`);
    return hash(algorithm, `${known ?? ""}:${claim.nonce}:${claim.nc}:${claim.cnonce}:auth:${a2}`);
  };
  if (!sameText(proof(r.method), claim.response) || known === undefined || user === undefined) return refuse(false);
  const verdict = c.world.nonces.use(claim.nonce, { count: Number.parseInt(claim.nc, 16), secret: index.secret, time });
  if (verdict !== "fresh") return refuse(verdict === "stale");
  const info = `qop=auth, rspauth="${proof("")}", cnonce="${claim.cnonce}", nc=${claim.nc}`;
  return { user, responseHeaders: [{ name: "Authentication-Info", value: info }] };
}

function hash(algorithm: Algorithm, text: string): string {
  return createHash(algorithm).update(text, "utf8").digest("hex");
}

/** The target as the client sent it, or the whole URI of it. */
function isTarget(uri: string, r: FilteredRequest): boolean {
  if (uri === r.target) return true;
  return uri === `${r.secure ? "https" : "http"}://${r.authority}${r.target}`;
}

interface UserIndex {
  readonly offered: typeof algorithms;
  /** `algorithm hash` → user, for clients that do not tell the name. */
  readonly byHash: ReadonlyMap<string, string>;
  /** Signs nonces. Made of what only this proxy and its users know, so that all its processes take each other's nonces. */
  readonly secret: string;
}

const indexes = new WeakMap<FilterOf<"digestAuth">["users"], UserIndex>();

function indexOf(f: FilterOf<"digestAuth">): UserIndex {
  let index = indexes.get(f.users);
  if (index === undefined) {
    const users = Object.entries(f.users);
    index = {
      offered: algorithms.filter(({ of }) => users.some(([, hashes]) => hashes[of] !== undefined)),
      byHash: new Map(users.flatMap(([user]) => algorithms.map(({ of }) => [`${of} ${hash(of, `${user}:${f.realm}`)}`, user] as const))),
      secret: createHash("sha256")
        .update(`digest nonces\n${f.realm}\n${JSON.stringify(users)}`)
        .digest("base64"),
    };
    indexes.set(f.users, index);
  }
  return index;
}

interface DigestClaim {
  readonly username: string;
  readonly userhash: boolean;
  readonly realm: string;
  readonly nonce: string;
  readonly uri: string;
  readonly response: string;
  /** Lower case. */
  readonly algorithm: string;
  readonly cnonce: string;
  /** Eight hexadecimal digits. */
  readonly nc: string;
}

/** `undefined` where anything is missing, twice there, or not of `qop=auth`. */
function parseDigest(header: string | undefined): DigestClaim | undefined {
  const rest = /^digest +(\S.*)$/i.exec(header ?? "")?.[1];
  if (rest === undefined) return undefined;
  const values = new Map<string, string>();
  const parameter = /[\s,]*([a-z*]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))\s*(?=,|$)/giy;
  let end = 0;
  for (let m = parameter.exec(rest); m !== null; m = parameter.exec(rest)) {
    const name = (m[1] ?? "").toLowerCase();
    if (values.has(name)) return undefined;
    values.set(name, m[3] ?? (m[2] ?? "").replace(/\\(.)/g, "$1"));
    end = parameter.lastIndex;
  }
  if (/[^\s,]/.test(rest.slice(end))) return undefined;
  const of = (name: string): string => values.get(name) ?? "";
  const username = values.get("username") ?? extendedName(values.get("username*"));
  if (username === undefined || (values.has("username") && values.has("username*"))) return undefined;
  if (of("qop").toLowerCase() !== "auth" || !/^[0-9a-f]{8}$/i.test(of("nc")) || of("cnonce") === "" || /["\\]/.test(of("cnonce")))
    return undefined;
  return {
    username,
    userhash: of("userhash").toLowerCase() === "true",
    realm: of("realm"),
    nonce: of("nonce"),
    uri: of("uri"),
    response: of("response").toLowerCase(),
    algorithm: (values.get("algorithm") ?? "MD5").toLowerCase(),
    cnonce: of("cnonce"),
    nc: of("nc"),
  };
}

/** RFC 8187: `UTF-8''J%C3%A4s`. */
function extendedName(text: string | undefined): string | undefined {
  const encoded = /^utf-8'[^']*'([!-~]*)$/i.exec(text ?? "")?.[1];
  if (encoded === undefined) return undefined;
  try {
    return decodeURIComponent(encoded);
  } catch {
    return undefined;
  }
}
