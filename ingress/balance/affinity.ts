import { fnv1a } from "../../src/base/hash.ts";

/** What the Set-Cookie line says of the cookie. */
export interface AffinityAttributes {
  readonly cookie: string;
  readonly path: string;
  readonly maxAgeSeconds?: number;
  readonly domain?: string;
  readonly secure?: boolean;
  readonly sameSite?: string;
}

/** The value that stands for an endpoint in an affinity cookie: stable across processes and restarts, tells no address. */
export function affinityValue(pool: string, endpoint: { readonly ip: string; readonly port: number }): string {
  const key = `${pool}|${endpoint.ip}|${endpoint.port}`;
  return fnv1a(key).toString(16).padStart(8, "0") + fnv1a(`${key}#`).toString(16).padStart(8, "0");
}

/** A Set-Cookie value. */
export function affinityCookie(affinity: AffinityAttributes, value: string, secure: boolean): string {
  let cookie = `${affinity.cookie}=${value}; Path=${affinity.path}`;
  if (affinity.domain !== undefined) cookie += `; Domain=${affinity.domain}`;
  if (affinity.maxAgeSeconds !== undefined) cookie += `; Max-Age=${affinity.maxAgeSeconds}`;
  if (affinity.sameSite !== undefined) cookie += `; SameSite=${affinity.sameSite}`;
  if (affinity.secure ?? secure) cookie += "; Secure";
  return `${cookie}; HttpOnly`;
}
