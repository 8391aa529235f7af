import { type KeyObject, sign, verify } from "node:crypto";
import { isRecord } from "../../api/json-value.ts";

/** A token of a service account: what it claims, in Kubernetes' names. */
export interface TokenClaims {
  readonly aud: readonly string[];
  /** Seconds since 1970, as all times here. */
  readonly exp: number;
  readonly iat: number;
  readonly nbf: number;
  readonly iss: string;
  readonly jti: string;
  readonly sub: string;
  readonly "kubernetes.io": {
    readonly namespace: string;
    readonly serviceaccount: { readonly name: string; readonly uid: string };
    readonly pod?: { readonly name: string; readonly uid: string };
    readonly node?: { readonly name: string; readonly uid: string };
  };
}

const header = Buffer.from(JSON.stringify({ alg: "ES256", typ: "JWT" })).toString("base64url");

/** A JWT (RFC 7519) signed with ES256 (RFC 7518 section 3.4: the signature is r and s, 32 bytes each). */
export function signToken(claims: TokenClaims, key: KeyObject): string {
  const input = `${header}.${Buffer.from(JSON.stringify(claims)).toString("base64url")}`;
  const signature = sign("sha256", Buffer.from(input), { key, dsaEncoding: "ieee-p1363" });
  return `${input}.${signature.toString("base64url")}`;
}

/** The claims when the signature is good and all of them are there; times and audience are for the caller to check. */
export function verifyToken(token: string, key: KeyObject): TokenClaims | undefined {
  const parts = token.split(".");
  const [head = "", body = "", signature = ""] = parts;
  if (parts.length !== 3) return undefined;
  const named = parseJson(head);
  if (!isRecord(named) || named["alg"] !== "ES256") return undefined;
  const bytes = Buffer.from(signature, "base64url");
  if (bytes.length !== 64) return undefined;
  if (!verify("sha256", Buffer.from(`${head}.${body}`), { key, dsaEncoding: "ieee-p1363" }, bytes)) return undefined;
  const claims = parseJson(body);
  return isClaims(claims) ? claims : undefined;
}

/** Whether the text has the form of a JWT at all: other bearer tokens are somebody else's. */
export function isJwt(token: string): boolean {
  return /^[\w-]+\.[\w-]+\.[\w-]+$/.test(token);
}

function parseJson(base64: string): unknown {
  try {
    return JSON.parse(Buffer.from(base64, "base64url").toString());
  } catch {
    return undefined;
  }
}

function isClaims(value: unknown): value is TokenClaims {
  if (!isRecord(value)) return false;
  const bound = value["kubernetes.io"];
  const account = isRecord(bound) ? bound["serviceaccount"] : undefined;
  return (
    Array.isArray(value["aud"]) &&
    [value["exp"], value["iat"], value["nbf"]].every((t) => typeof t === "number") &&
    [value["iss"], value["sub"]].every((t) => typeof t === "string") &&
    isRecord(bound) &&
    typeof bound["namespace"] === "string" &&
    isRecord(account) &&
    typeof account["name"] === "string" &&
    typeof account["uid"] === "string"
  );
}
