import { constants, createHmac, createPublicKey, type KeyObject, timingSafeEqual, verify, type webcrypto } from "node:crypto";

type JsonWebKey = webcrypto.JsonWebKey;

/** A key of a JWK Set (RFC 7517) that can check signatures here. */
export interface VerificationKey {
  readonly id: string | undefined;
  readonly algorithms: readonly string[];
  verifies(algorithm: string, signed: Buffer, signature: Buffer): boolean;
}

export type Claims = Readonly<Record<string, unknown>>;

export interface JwtExpectations {
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly leewaySeconds: number;
  readonly issuer?: string;
  /** One of them must be among the token's; empty: any. */
  readonly audiences: readonly string[];
}

/** `unknownKey`: newer keys might know it. */
export type JwtVerdict = { readonly claims: Claims; readonly expires: number } | { readonly fault: string; readonly unknownKey?: boolean };

/** Longer ones are refused unread. */
const maxToken = 16 * 1024;

/** Checks a signed token in compact form (RFC 7515, 7519): its signature first, then its time, issuer and audience. */
export function verifyJwt(token: string, keys: readonly VerificationKey[], want: JwtExpectations): JwtVerdict {
  const parts = token.split(".");
  const [head = "", body = "", signature = ""] = parts;
  const header = parts.length === 3 && token.length <= maxToken ? parseObject(head) : undefined;
  const algorithm = header?.["alg"];
  if (header === undefined || typeof algorithm !== "string") return { fault: "it is no signed token" };
  // RFC 7515 section 4.1.11: what must be understood is not
  if (header["crit"] !== undefined) return { fault: "it has critical extensions" };
  const id = header["kid"];
  const candidates = keys.filter((k) => k.algorithms.includes(algorithm) && (id === undefined || k.id === undefined || k.id === id));
  if (candidates.length === 0) return { fault: "no key is known for it", unknownKey: true };
  const signed = Buffer.from(`${head}.${body}`, "latin1");
  const proof = Buffer.from(signature, "base64url");
  if (!candidates.some((k) => k.verifies(algorithm, signed, proof)))
    return { fault: "its signature is wrong", unknownKey: id === undefined };
  const claims = parseObject(body);
  return claims === undefined ? { fault: "it holds no claims" } : judge(claims, want);
}

function judge(claims: Claims, want: JwtExpectations): JwtVerdict {
  const { exp, nbf, iss, aud } = claims;
  const now = want.time / 1000;
  if (typeof exp !== "number") return { fault: "it does not say when it expires" };
  if (now >= exp + want.leewaySeconds) return { fault: "it has expired" };
  if (nbf !== undefined && (typeof nbf !== "number" || now < nbf - want.leewaySeconds)) return { fault: "it is not valid yet" };
  if (want.issuer !== undefined && iss !== want.issuer) return { fault: "its issuer is another" };
  const audiences: readonly unknown[] = Array.isArray(aud) ? aud : [aud];
  if (want.audiences.length > 0 && !want.audiences.some((a) => audiences.includes(a))) return { fault: "it is for another audience" };
  return { claims, expires: (exp + want.leewaySeconds) * 1000 };
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  if (!/^[A-Za-z0-9_-]+$/.test(text)) return undefined;
  try {
    const value: unknown = JSON.parse(Buffer.from(text, "base64url").toString("utf8"));
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** What a JWK Set came to: keys of kinds that are unknown here, too weak or for other uses are left out, with a word why. */
export interface ReadKeys {
  readonly keys: readonly VerificationKey[];
  readonly faults: readonly string[];
}

/** `shared`: keys of HMAC count too. From a URL they must not: who can read the keys could sign. Throws a SyntaxError for what is no JWK Set. */
export function readKeys(text: string, o: { readonly shared: boolean }): ReadKeys {
  const value: unknown = JSON.parse(text);
  const list = typeof value === "object" && value !== null && "keys" in value ? value.keys : [value];
  if (!Array.isArray(list)) throw new SyntaxError("it has no list of keys");
  const keys: VerificationKey[] = [];
  const faults: string[] = [];
  for (const [i, jwk] of (list as readonly unknown[]).entries()) {
    const key = readKey(jwk as JsonWebKey, o.shared);
    if (typeof key === "string") faults.push(`key ${i}: ${key}`);
    else keys.push(key);
  }
  return { keys, faults };
}

const hashes = ["256", "384", "512"] as const;
const curves: Readonly<Record<string, string>> = { "P-256": "ES256", "P-384": "ES384", "P-521": "ES512" };

function readKey(jwk: JsonWebKey, shared: boolean): VerificationKey | string {
  if (typeof jwk !== "object" || jwk === null) return "it is no object";
  const { use, alg, kid } = jwk as Readonly<Record<string, unknown>>;
  if (use !== undefined && use !== "sig") return "it is not for signatures";
  const id = typeof kid === "string" ? kid : undefined;
  const only = (all: readonly string[]): readonly string[] => (typeof alg === "string" ? all.filter((a) => a === alg) : all);
  if (jwk.kty === "oct") {
    if (!shared) return "shared keys are not taken from a URL";
    const secret = Buffer.from(jwk.k ?? "", "base64url");
    // RFC 7518 section 3.2: as long as the hash, or longer
    const strong = hashes.filter((bits) => secret.length * 8 >= Number(bits)).map((bits) => `HS${bits}`);
    if (strong.length === 0) return "it is shorter than 32 bytes";
    return { id, algorithms: only(strong), verifies: (a, signed, proof) => sameBytes(hmac(a, secret, signed), proof) };
  }
  let key: KeyObject;
  try {
    key = createPublicKey({ key: jwk, format: "jwk" });
  } catch {
    return "it cannot be read";
  }
  const kinds = algorithmsOf(jwk, key);
  if (typeof kinds === "string") return kinds;
  return { id, algorithms: only(kinds), verifies: (a, signed, proof) => checks(a, key, signed, proof) };
}

function algorithmsOf(jwk: JsonWebKey, key: KeyObject): readonly string[] | string {
  switch (key.asymmetricKeyType) {
    case "rsa":
      // RFC 7518 section 3.3
      if ((key.asymmetricKeyDetails?.modulusLength ?? 0) < 2048) return "it is shorter than 2048 bits";
      return hashes.flatMap((bits) => [`RS${bits}`, `PS${bits}`]);
    case "ec": {
      const algorithm = curves[jwk.crv ?? ""];
      return algorithm === undefined ? `its curve ${jwk.crv} is not supported` : [algorithm];
    }
    case "ed25519":
      return ["EdDSA", "Ed25519"];
    case "ed448":
      return ["EdDSA", "Ed448"];
    default:
      return `its kind ${key.asymmetricKeyType} is not supported`;
  }
}

function checks(algorithm: string, key: KeyObject, signed: Buffer, proof: Buffer): boolean {
  const hash = `sha${algorithm.slice(2)}`;
  try {
    switch (algorithm.slice(0, 2)) {
      case "RS":
        return verify(hash, signed, key, proof);
      case "PS":
        return verify(hash, signed, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }, proof);
      case "ES":
        return verify(hash, signed, { key, dsaEncoding: "ieee-p1363" }, proof);
      default:
        return verify(null, signed, key, proof);
    }
  } catch {
    return false;
  }
}

function hmac(algorithm: string, secret: Buffer, signed: Buffer): Buffer {
  return createHmac(`sha${algorithm.slice(2)}`, secret)
    .update(signed)
    .digest();
}

function sameBytes(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
