import { fnv1a } from "../../src/base/hash.ts";

/** What the Set-Cookie line says of the cookie. */
export interface AffinityAttributes {
  readonly cookie: string;
  readonly path: string;
  readonly maxAgeSeconds?: number;
  readonly domain?: string;
  readonly secure?: boolean;
  readonly sameSite?: string;
  readonly expiresSeconds?: number;
  readonly conditionalSameSiteNone?: boolean;
}

/** Whom the cookie is for, and when. */
export interface CookieOccasion {
  readonly secure: boolean;
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly userAgent: string;
}

/** The value that stands for an endpoint in an affinity cookie: stable across processes and restarts, tells no address. */
export function affinityValue(pool: string, endpoint: { readonly ip: string; readonly port: number }): string {
  const key = `${pool}|${endpoint.ip}|${endpoint.port}`;
  return hex(fnv1a(key)) + hex(fnv1a(`${key}#`));
}

const keyDigits = 16;

/** The value of a cookie of balanced sessions: a key of 16 hex digits, by whose hash the endpoint is found, and whose pool's it is. */
export function sessionValue(pool: string, key: string): string {
  return key + hex(fnv1a(pool));
}

/** The key, if the value is one of this pool. */
export function sessionKey(pool: string, value: string): string | undefined {
  const key = value.slice(0, keyDigits);
  return /^[0-9a-f]{16}$/.test(key) && value === sessionValue(pool, key) ? key : undefined;
}

/** A key of a new session, of random hex digits. */
export function newSessionKey(random: string): string {
  return random.slice(0, keyDigits);
}

function hex(n: number): string {
  return n.toString(16).padStart(8, "0");
}

/** A Set-Cookie value. */
export function affinityCookie(affinity: AffinityAttributes, value: string, { secure, now, userAgent }: CookieOccasion): string {
  let cookie = `${affinity.cookie}=${value}; Path=${affinity.path}`;
  if (affinity.domain !== undefined) cookie += `; Domain=${affinity.domain}`;
  if (affinity.maxAgeSeconds !== undefined) cookie += `; Max-Age=${affinity.maxAgeSeconds}`;
  if (affinity.expiresSeconds !== undefined) cookie += `; Expires=${new Date(now + affinity.expiresSeconds * 1000).toUTCString()}`;
  const withSameSite = affinity.conditionalSameSiteNone !== true || affinity.sameSite !== "None" || knowsSameSiteNone(userAgent);
  if (affinity.sameSite !== undefined && withSameSite) cookie += `; SameSite=${affinity.sameSite}`;
  if (affinity.secure ?? secure) cookie += "; Secure";
  return `${cookie}; HttpOnly`;
}

/** False for clients that take None for Strict, or drop the cookie: iOS 12, Safari of macOS 10.14, Chrome 51 to 66, older UC. */
export function knowsSameSiteNone(userAgent: string): boolean {
  if (/\((iP.+; CPU .*OS 12[_\d]*.*)\) AppleWebKit\//.test(userAgent)) return false;
  if (/\(Macintosh;.*Mac OS X 10_14[_\d]*.*\) AppleWebKit\/.*Version\/.* Safari\//.test(userAgent) && !/Chrom(e|ium)/.test(userAgent))
    return false;
  const uc = /UCBrowser\/(\d+)\.(\d+)\.(\d+)/.exec(userAgent);
  if (uc !== null) return Number(uc[1]) * 1e6 + Number(uc[2]) * 1e3 + Number(uc[3]) >= 12_013_002;
  const chrome = Number(/Chrom(?:e|ium)\/(\d+)\./.exec(userAgent)?.[1] ?? 0);
  return chrome < 51 || chrome > 66;
}
