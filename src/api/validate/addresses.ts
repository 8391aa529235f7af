import { type Cidr, cidrContains, parseCidr, printCidr } from "../../base/cidr.ts";
import { type Ip, ipFamily, parseIp } from "../../base/ip.ts";
import { type FieldError, invalid } from "../field-error.ts";

const loopback = cidr("127.0.0.0/8");
const linkLocal4 = cidr("169.254.0.0/16");
const linkLocal6 = cidr("fe80::/10");
const localMulticast4 = cidr("224.0.0.0/24");
const localMulticast6 = cidr("ff02::/16");

/** An address in a field as old as the API: what `kept` holds was accepted before and stays so. */
export function validateIp(field: string, text: string, kept: readonly string[] = []): readonly FieldError[] {
  if (kept.includes(text)) return [];
  const plain = withoutLeadingZeros(text);
  if (parseIp(plain) === undefined) return [invalid(field, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")];
  const errors: FieldError[] = [];
  if (plain !== text) errors.push(invalid(field, text, "must not have leading 0s"));
  if (isMapped(plain)) errors.push(invalid(field, text, "must not be an IPv4-mapped IPv6 address"));
  return errors;
}

/** An address in a newer field: it must also be written canonically. */
export function validateCanonicalIp(field: string, text: string): readonly FieldError[] {
  const errors = validateIp(field, text);
  const ip = parseIp(text);
  return errors.length > 0 || ip === text ? errors : [invalid(field, text, `must be in canonical form (${JSON.stringify(ip)})`)];
}

/** A range in a field as old as the API. */
export function validateCidr(field: string, text: string, kept: readonly string[] = []): readonly FieldError[] {
  if (kept.includes(text)) return [];
  const plain = rangeWithoutLeadingZeros(text);
  const range = /\s/.test(text) ? undefined : parseCidr(plain);
  if (range === undefined) return [invalid(field, text, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)")];
  const errors: FieldError[] = [];
  const address = plain.split("/")[0] ?? "";
  if (plain !== text) errors.push(invalid(field, text, "must not have leading 0s in IP or prefix length"));
  if (isMapped(address)) errors.push(invalid(field, text, "must not have an IPv4-mapped IPv6 address"));
  else if (parseIp(address) !== range.ip) errors.push(invalid(field, text, "must not have bits set beyond the prefix length"));
  return errors;
}

/** A range in a newer field: it must also be written canonically. */
export function validateCanonicalCidr(field: string, text: string): readonly FieldError[] {
  const errors = validateCidr(field, text);
  const range = parseCidr(text);
  if (errors.length > 0 || range === undefined || printCidr(range) === text) return errors;
  return [invalid(field, text, `must be in canonical form (${JSON.stringify(printCidr(range))})`)];
}

/** Where traffic of a Service may be sent: no address that means the node itself. `allowed` excepts a range of loopback. */
export function validateEndpointIp(field: string, text: string, allowed?: Cidr): readonly FieldError[] {
  const ip = parseIp(withoutLeadingZeros(text));
  if (ip === undefined) return [invalid(field, text, "must be a valid IP address")];
  if (allowed !== undefined && cidrContains(allowed, ip)) return [];
  const errors: FieldError[] = [];
  if (ip === "0.0.0.0" || ip === "::") errors.push(invalid(field, text, `may not be unspecified (${text})`));
  if (isLoopback(ip)) errors.push(invalid(field, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)"));
  if (within(ip, linkLocal4, linkLocal6))
    errors.push(invalid(field, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"));
  if (within(ip, localMulticast4, localMulticast6)) {
    errors.push(invalid(field, text, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"));
  }
  return errors;
}

/** Whether a text is an address at all, however carelessly written: a host name must not be. */
export function looksLikeIp(text: string): boolean {
  return parseIp(withoutLeadingZeros(text)) !== undefined;
}

/** 4 or 6; undefined for what is no address. */
export function familyOf(text: string): 4 | 6 | undefined {
  const ip = parseIp(withoutLeadingZeros(text));
  if (ip === undefined) return undefined;
  return isMapped(ip) ? 4 : ipFamily(ip);
}

function isLoopback(ip: Ip): boolean {
  return ip === "::1" || cidrContains(loopback, ip);
}

function within(ip: Ip, four: Cidr, six: Cidr): boolean {
  return cidrContains(ipFamily(ip) === 4 ? four : six, ip);
}

function isMapped(text: string): boolean {
  return /^::ffff:/i.test(text) && text.includes(":") && parseIp(text) !== undefined;
}

function withoutLeadingZeros(text: string): string {
  return text.includes(":") ? text : text.replace(/(^|\.)0+(?=\d)/g, "$1");
}

function rangeWithoutLeadingZeros(text: string): string {
  const [address = "", bits] = text.split("/");
  return bits === undefined ? text : `${withoutLeadingZeros(address)}/${bits.replace(/^0+(?=\d)/, "")}`;
}

function cidr(text: string): Cidr {
  const parsed = parseCidr(text);
  if (parsed === undefined) throw new Error(`no CIDR: ${text}`);
  return parsed;
}
