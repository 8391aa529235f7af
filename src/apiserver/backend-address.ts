import { type Cidr, cidrContains, parseCidr } from "../base/cidr.ts";
import { type Ip, ipFamily, parseIp } from "../base/ip.ts";

/** This machine, its link, groups, and IPv4 in other clothes: an object shall not make the API server speak to those. */
const refused = [
  "0.0.0.0/8",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "224.0.0.0/4",
  "255.255.255.255/32",
  "::/128",
  "::1/128",
  "::ffff:0:0/96",
  "fe80::/10",
  "ff00::/8",
].flatMap((text) => parseCidr(text) ?? []);

/** Whether an address may be a backend. `loopback` is the part of 127.0.0.0/8 that pods have in plain mode. */
export function isBackendAddress(text: string, loopback: Cidr | undefined): boolean {
  const ip = parseIp(text);
  if (ip === undefined) return false;
  const within = (cidr: Cidr, address: Ip): boolean => cidr.family === ipFamily(address) && cidrContains(cidr, address);
  if (loopback !== undefined && within(loopback, ip)) return true;
  return !refused.some((cidr) => within(cidr, ip));
}
