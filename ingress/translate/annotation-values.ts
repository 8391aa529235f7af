import { parseCidr, printCidr } from "../../src/base/cidr.ts";
import { ipFamily, parseIp } from "../../src/base/ip.ts";

/** A value that could not be read: what it should have been. */
export interface BadValue {
  readonly expected: string;
}

export type Parsed<T> = T | BadValue;
export type ParseValue<T> = (text: string) => Parsed<T>;

export function isBad<T>(v: Parsed<T>): v is BadValue {
  return typeof v === "object" && v !== null && "expected" in v;
}

/** As Go's strconv.ParseBool, which ingress-nginx uses. */
export function parseBoolean(text: string): Parsed<boolean> {
  if (/^(1|t|T|true|TRUE|True)$/.test(text)) return true;
  if (/^(0|f|F|false|FALSE|False)$/.test(text)) return false;
  return { expected: "true or false" };
}

export function parseCount(text: string): Parsed<number> {
  return /^[0-9]{1,9}$/.test(text) ? Number(text) : { expected: "a whole number" };
}

/** `60`, `60s`, `5m`, `1h`: seconds. */
export function parseSeconds(text: string): Parsed<number> {
  const m = /^([0-9]{1,7})(ms|s|m|h)?$/.exec(text);
  if (m === null) return { expected: "a number of seconds" };
  return Number(m[1]) * { ms: 0.001, s: 1, m: 60, h: 3600 }[(m[2] ?? "s") as "ms" | "s" | "m" | "h"];
}

/** nginx's sizes: `8m`, `1024k`, `1g`, `0`; bytes. */
export function parseSize(text: string): Parsed<number> {
  const m = /^([0-9]{1,12})([kKmMgG]?)$/.exec(text);
  if (m === null) return { expected: "a size such as 8m" };
  return Number(m[1]) * ({ k: 1024, m: 1024 ** 2, g: 1024 ** 3 }[(m[2] ?? "").toLowerCase()] ?? 1);
}

/** Addresses and ranges, comma-separated; all as `address/bits`. */
export function parseRanges(text: string): Parsed<readonly string[]> {
  const out: string[] = [];
  for (const part of text.split(",").map((t) => t.trim())) {
    if (part === "") continue;
    const ip = parseIp(part);
    const cidr = ip === undefined ? parseCidr(part) : parseCidr(`${ip}/${ipFamily(ip) === 4 ? 32 : 128}`);
    if (cidr === undefined) return { expected: `addresses or ranges such as 10.0.0.0/8, not "${part}"` };
    out.push(printCidr(cidr));
  }
  return out.length > 0 ? out : { expected: "at least one address or range" };
}

export function oneOf<T extends string>(...values: readonly T[]): ParseValue<T> {
  return (text) => values.find((v) => v.toLowerCase() === text.toLowerCase()) ?? { expected: values.join(" or ") };
}

/** Anything that can stand in a header. */
export function parseText(text: string): Parsed<string> {
  return /^[\t\x20-\x7e]*$/.test(text) ? text : { expected: "text without control characters" };
}

/** What stands between quotes in a challenge. */
export function parseRealm(text: string): Parsed<string> {
  return /^[\x20-\x7e]*$/.test(text) && !/["\\]/.test(text) ? text : { expected: "text without quotes and backslashes" };
}

/** An absolute URL or an absolute path, without anything that would end a header line. */
export function parseLocation(text: string): Parsed<string> {
  return /^(https?:\/\/[!-~]+|\/[!-~]*)$/i.test(text) ? text : { expected: "an http or https URL, or a path" };
}

export function parsePath(text: string): Parsed<string> {
  return /^\/[!-~]*$/.test(text) ? text : { expected: "a path that begins with /" };
}

export function parseHostName(text: string): Parsed<string> {
  return /^[A-Za-z0-9]([A-Za-z0-9._-]{0,252}[A-Za-z0-9])?(:[0-9]{1,5})?$/.test(text) ? text : { expected: "a host name" };
}

/** RFC 1035 label, as names of Services are. */
export function parseServiceName(text: string): Parsed<string> {
  return /^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/.test(text) ? text : { expected: "the name of a Service of the same namespace" };
}

export function parseToken(text: string): Parsed<string> {
  return /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/.test(text) ? text : { expected: "a header or cookie name" };
}

/** A regular expression as JavaScript reads it. */
export function parsePattern(text: string): Parsed<string> {
  try {
    new RegExp(text);
    return text;
  } catch {
    return { expected: "a regular expression" };
  }
}
