import { type Ip, type IpFamily, ipFamily, ipFromBigInt, ipToBigInt, ipv4Number, parseIp } from "./ip.ts";

/** A range of addresses; `ip` is its first address, whatever address the text named. */
export interface Cidr {
  readonly ip: Ip;
  readonly bits: number;
  readonly family: IpFamily;
}

/** `undefined` unless it is `address/bits` with bits in 0–32 or 0–128. Spaces around it are accepted, as kube-proxy does. */
export function parseCidr(text: string | undefined): Cidr | undefined {
  const match = /^([^/]+)\/(0|[1-9][0-9]{0,2})$/.exec(text?.trim() ?? "");
  const ip = match?.[1] === undefined ? undefined : parseIp(match[1]);
  if (ip === undefined) return undefined;
  const family = ipFamily(ip);
  const bits = Number(match?.[2]);
  const width = family === 4 ? 32 : 128;
  if (bits > width) return undefined;
  const host = BigInt(width - bits);
  return { ip: ipFromBigInt((ipToBigInt(ip) >> host) << host, family), bits, family };
}

export function printCidr(cidr: Cidr): string {
  return `${cidr.ip}/${cidr.bits}`;
}

export function cidrContains(cidr: Cidr, ip: Ip): boolean {
  if (ipFamily(ip) !== cidr.family) return false;
  if (cidr.bits === (cidr.family === 4 ? 32 : 128)) return ip === cidr.ip;
  if (cidr.family === 4) {
    const size = 2 ** (32 - cidr.bits);
    return Math.floor((ipv4Number(ip) ?? 0) / size) === Math.floor((ipv4Number(cidr.ip) ?? 0) / size);
  }
  const host = BigInt(128 - cidr.bits);
  return ipToBigInt(ip) >> host === ipToBigInt(cidr.ip) >> host;
}

export function cidrsOverlap(a: Cidr, b: Cidr): boolean {
  return a.bits <= b.bits ? cidrContains(a, b.ip) : cidrContains(b, a.ip);
}

/** The number of addresses in the range. */
export function cidrSize(cidr: Cidr): bigint {
  return 1n << BigInt((cidr.family === 4 ? 32 : 128) - cidr.bits);
}

/** The address `index` places after the first. Throws a RangeError outside the range. */
export function cidrAt(cidr: Cidr, index: number | bigint): Ip {
  const n = BigInt(index);
  if (n < 0n || n >= cidrSize(cidr)) throw new RangeError(`${printCidr(cidr)} has no address ${n}`);
  return ipFromBigInt(ipToBigInt(cidr.ip) + n, cidr.family);
}
