import type { Cidr } from "../../src/base/cidr.ts";
import { type Ip, ipBytes, ipFromBigInt, ipToBigInt } from "../../src/base/ip.ts";
import type { DomainName } from "../wire/name.ts";

/** `4.3.2.1.in-addr.arpa.`; nibbles under `ip6.arpa.` (RFC 3596 section 2.5). */
export function reverseName(ip: Ip): DomainName {
  if (!ip.includes(":")) {
    const [a, b, c, d] = ip.split(".");
    return `${d}.${c}.${b}.${a}.in-addr.arpa.`;
  }
  const bytes = ipBytes(ip);
  return reverseLabels(bytes, bytes.length === 4 ? 4 : 32);
}

/**
 * The reverse zones of a range: one where the range ends on a label (8 bits, or 4 in IPv6), else all that it is made of: a /12
 * has sixteen of /16.
 */
export function reverseZones(cidr: Cidr): readonly DomainName[] {
  const width = cidr.family === 4 ? 32 : 128;
  const step = cidr.family === 4 ? 8 : 4;
  const labels = Math.ceil(cidr.bits / step);
  const count = 1 << (labels * step - cidr.bits);
  const size = 1n << BigInt(width - labels * step);
  const first = ipToBigInt(cidr.ip);
  return Array.from({ length: count }, (_, i) => reverseLabels(ipBytes(ipFromBigInt(first + BigInt(i) * size, cidr.family)), labels));
}

function reverseLabels(bytes: Uint8Array, count: number): DomainName {
  const labels =
    bytes.length === 4
      ? Array.from(bytes, (b) => String(b))
      : Array.from(bytes, (b) => [(b >> 4).toString(16), (b & 15).toString(16)]).flat();
  const suffix = bytes.length === 4 ? "in-addr.arpa." : "ip6.arpa.";
  return [...labels.slice(0, count).reverse(), suffix].join(".");
}

/** A zone of RFC 2317 for a part of an IPv4 /24: names in it are the last octet. */
export interface ClasslessZone {
  readonly zone: DomainName;
  /** The reverse zone of the /24. */
  readonly parent: DomainName;
  /** The last octets it has. */
  readonly first: number;
  readonly last: number;
}

/** `128/26.2.0.192.in-addr.arpa.` (first address and prefix length) or `128-191.2.0.192.in-addr.arpa.`; undefined for all others. */
export function parseClasslessZone(zone: DomainName): ClasslessZone | undefined {
  const match = /^([0-9]{1,3})([/-])([0-9]{1,3})\.((?:[0-9]{1,3}\.){3}in-addr\.arpa\.)$/.exec(zone);
  if (match === null) return undefined;
  const [, start, separator, end, parent = ""] = match;
  const first = Number(start);
  const bits = Number(end);
  const isPrefix = separator === "/" || (bits < first && bits > 24 && bits <= 32);
  const last = isPrefix ? first + 2 ** (32 - bits) - 1 : bits;
  return (isPrefix && (bits < 25 || bits > 32)) || last > 255 || last < first ? undefined : { zone, parent, first, last };
}

/** What an IPv4 address, by its reverse name, is called in classless zones. */
export function classlessNames(zones: readonly ClasslessZone[], reverse: DomainName): readonly DomainName[] {
  if (zones.length === 0) return [];
  const dot = reverse.indexOf(".");
  const octet = Number(reverse.slice(0, dot));
  const parent = reverse.slice(dot + 1);
  return zones.filter((z) => z.parent === parent && octet >= z.first && octet <= z.last).map((z) => `${octet}.${z.zone}`);
}
