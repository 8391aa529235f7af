import { type Ip, ipFromBytes, parseIp } from "../../src/base/ip.ts";

/** What stands at the beginning of a connection or datagram that may come through a proxy (HAProxy's PROXY protocol, versions 1 and 2). */
export type ProxyHeader =
  /** No header: the rest is as if there were no proxy. */
  | { readonly kind: "none" }
  /** Perhaps one: more bytes will tell. */
  | { readonly kind: "incomplete" }
  | { readonly kind: "malformed" }
  /** `bytes` long; `source` is absent when the proxy speaks for itself (its health checks) or does not say. */
  | { readonly kind: "header"; readonly bytes: number; readonly source?: Ip };

const signature = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
/** Signature, version and command, family and protocol, length. */
const headBytes = 16;
/** The longest first line of version 1. */
const maxLineBytes = 107;
/** Of addresses and what a proxy adds; more is no proxy's. */
const maxBodyBytes = 2048;

/** Reads the header at the beginning of `bytes[0..n)`. */
export function parseProxyHeader(bytes: Uint8Array, n: number): ProxyHeader {
  if (n === 0) return { kind: "incomplete" };
  if (bytes[0] === signature[0]) return parseBinary(bytes, n);
  return bytes[0] === 0x50 ? parseLine(bytes, n) : { kind: "none" };
}

function parseBinary(bytes: Uint8Array, n: number): ProxyHeader {
  for (let i = 0; i < Math.min(n, signature.length); i++) if (bytes[i] !== signature[i]) return { kind: "none" };
  if (n < headBytes) return { kind: "incomplete" };
  const version = (bytes[12] ?? 0) >> 4;
  const command = (bytes[12] ?? 0) & 15;
  const family = (bytes[13] ?? 0) >> 4;
  const body = ((bytes[14] ?? 0) << 8) | (bytes[15] ?? 0);
  if (version !== 2 || command > 1 || family > 3 || body > maxBodyBytes) return { kind: "malformed" };
  if (n < headBytes + body) return { kind: "incomplete" };
  const header = { kind: "header", bytes: headBytes + body } as const;
  // LOCAL, and families that are no addresses of the Internet
  if (command === 0 || family === 0 || family === 3) return header;
  const addressBytes = family === 1 ? 4 : 16;
  if (body < 2 * addressBytes + 4) return { kind: "malformed" };
  return { ...header, source: ipFromBytes(bytes.subarray(headBytes, headBytes + addressBytes)) };
}

function parseLine(bytes: Uint8Array, n: number): ProxyHeader {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(n, maxLineBytes)).toString("latin1");
  if (!"PROXY ".startsWith(text.slice(0, 6))) return { kind: "none" };
  const end = text.indexOf("\r\n");
  if (end < 0) return n >= maxLineBytes ? { kind: "malformed" } : { kind: "incomplete" };
  const [, family, from = "", to = "", ...ports] = text.slice(0, end).split(" ");
  const header = { kind: "header", bytes: end + 2 } as const;
  if (family === "UNKNOWN") return header;
  const [source, target] = [parseIp(from), parseIp(to)];
  const isFamily = (ip: Ip): boolean => ip.includes(":") === (family === "TCP6");
  if ((family !== "TCP4" && family !== "TCP6") || source === undefined || target === undefined) return { kind: "malformed" };
  const isGood = isFamily(source) && isFamily(target) && ports.length === 2 && ports.every((p) => /^(0|[1-9][0-9]{0,4})$/.test(p));
  return isGood ? { ...header, source } : { kind: "malformed" };
}
