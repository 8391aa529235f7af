import { parseCidr, printCidr } from "../../src/base/cidr.ts";
import { ipFamily, parseIp } from "../../src/base/ip.ts";
import type { TextTest } from "../route/filter.ts";
import { patternFault } from "../route/pattern.ts";
import type { TextPart } from "../route/request-text.ts";
import type { UpstreamTls } from "../route/route.ts";
import { parseRequestText, parseTemplate } from "./request-text.ts";

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

/** A status of HTTP, from `first` to `last`. */
export function statusFrom(first: number, last: number): (text: string) => Parsed<number> {
  return (text) =>
    /^[0-9]{3}$/.test(text) && Number(text) >= first && Number(text) <= last
      ? Number(text)
      : { expected: `a status from ${first} to ${last}` };
}

/** Where spans go: a name or address, with `https://` before it where it is to be reached over TLS. */
export function parseCollector(text: string): Parsed<{ readonly scheme: string; readonly host: string }> {
  const [, scheme = "http", host = ""] = /^(?:(https?):\/\/)?([a-z0-9._-]+|\[?[0-9a-f:.]+\]?)$/i.exec(text) ?? [];
  if (host === "") return { expected: "a name or an address, with https:// before it or not" };
  return { scheme: scheme.toLowerCase(), host: host.includes(":") && !host.startsWith("[") ? `[${host}]` : host };
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

/** Which of a list is at fault, where there are others. */
function culprit(part: string, text: string): string {
  return part === text.trim() ? "" : `: "${part}" is none`;
}

/** As a size; with less than 8 MiB a few slow clients would be all there is room for. */
export function parseHeldBytes(text: string): Parsed<number> {
  const size = parseSize(text);
  return isBad(size) || size >= 8 * 1024 ** 2 ? size : { expected: "a size of 8m at least" };
}

/** Addresses and ranges, comma-separated; all as `address/bits`. */
export function parseRanges(text: string): Parsed<readonly string[]> {
  const out: string[] = [];
  for (const part of text.split(",").map((t) => t.trim())) {
    if (part === "") continue;
    const ip = parseIp(part);
    const cidr = ip === undefined ? parseCidr(part) : parseCidr(`${ip}/${ipFamily(ip) === 4 ? 32 : 128}`);
    if (cidr === undefined) return { expected: `a list of addresses or ranges such as 10.0.0.0/8${culprit(part, text)}` };
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

/** An absolute URL or an absolute path, in which variables may stand, without anything that would end a header line. */
export function parseLocation(text: string): Parsed<readonly TextPart[]> {
  return /^((https?|\$scheme):\/\/[!-~]+|\/[!-~]*)$/i.test(text) ? parseRequestText(text) : { expected: "an http or https URL, or a path" };
}

/** An http or https URL in which variables may stand; its scheme and what begins its host must be told. */
export function parseUrl(text: string): Parsed<readonly TextPart[]> {
  if (!/^https?:\/\/[A-Za-z0-9[$][!-~]*$/.test(text)) return { expected: "an http or https URL" };
  return parseRequestText(text);
}

export function parseOnOff(text: string): Parsed<boolean> {
  return text === "on" || text === "off" ? text === "on" : { expected: "on or off" };
}

/** A number of KiB, or a size of nginx's; bytes. */
export function parseKiB(text: string): Parsed<number> {
  const size = parseSize(text);
  return isBad(size) || !/^[0-9]+$/.test(text) ? size : size * 1024;
}

/** Errors: `404,503`. */
export function parseStatuses(text: string): Parsed<readonly number[]> {
  const words = text.split(",").map((t) => t.trim());
  const good = words.filter((w) => w !== "");
  return good.every((w) => /^[45][0-9]{2}$/.test(w)) ? good.map(Number) : { expected: "statuses from 400 to 599, comma-separated" };
}

/** `name` or `namespace/name`. */
export function parseObjectName(text: string): Parsed<string> {
  return /^([a-z0-9.-]+\/)?[a-z0-9.-]+$/.test(text) ? text : { expected: "the name of an object" };
}

/** Names of headers, in lower case. */
export function parseNames(text: string): Parsed<readonly string[]> {
  const names = text
    .split(",")
    .map((t) => t.trim().toLowerCase())
    .filter((t) => t !== "");
  return names.every((n) => !isBad(parseToken(n))) ? names : { expected: "names of headers, comma-separated" };
}

const unitSeconds: Readonly<Record<string, number>> = { "": 1, s: 1, m: 60, h: 3600, d: 86_400 };

/** `200 202 401 5m, 403 30s`: seconds by status. */
export function parseDurations(text: string): Parsed<Readonly<Record<number, number>>> {
  const seconds: Record<number, number> = {};
  for (const entry of text.split(",")) {
    const words = entry.trim().split(/\s+/);
    const time = /^([0-9]{1,7})([smhd]?)$/.exec(words.pop() ?? "");
    if (time === null || words.length === 0 || words.some((w) => !/^[1-5][0-9]{2}$/.test(w)))
      return { expected: "statuses and how long they are remembered, such as 200 202 10m" };
    for (const status of words) seconds[Number(status)] = Number(time[1]) * (unitSeconds[time[2] ?? ""] ?? 1);
  }
  return seconds;
}

/** `TLSv1.2 TLSv1.3`; older ones there do not count, but one of the two must be. */
export function parseProtocols(text: string): Parsed<Pick<UpstreamTls, "minVersion" | "maxVersion">> {
  const words = text.split(/\s+/);
  const two = words.includes("TLSv1.2");
  const three = words.includes("TLSv1.3");
  if (!two && !three) return { expected: "TLSv1.2, TLSv1.3 or both" };
  return { minVersion: two ? "TLSv1.2" : "TLSv1.3", maxVersion: three ? "TLSv1.3" : "TLSv1.2" };
}

/** Other names of a host, lower case; what is none is left out. */
export function parseAliases(text: string): Parsed<readonly string[]> {
  return text
    .split(",")
    .map((t) => t.trim().toLowerCase())
    .filter((t) => /^(\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(t));
}

export function parsePath(text: string): Parsed<string> {
  return /^\/[!-~]*$/.test(text) ? text : { expected: "a path that begins with /" };
}

/** The same, in which variables may stand. */
export function parseRequestPath(text: string): Parsed<readonly TextPart[]> {
  const path = parsePath(text);
  return isBad(path) ? path : parseRequestText(path);
}

export function parseHostName(text: string): Parsed<string> {
  return /^[A-Za-z0-9]([A-Za-z0-9._-]{0,252}[A-Za-z0-9])?(:[0-9]{1,5})?$/.test(text) ? text : { expected: "a host name" };
}

/** A host name, with a port or without, in which variables may stand. */
export function parseHost(text: string): Parsed<readonly TextPart[]> {
  if (/^[\w$][\w$.{}:-]*$/.test(text) && text.includes("$")) return parseRequestText(text);
  const name = parseHostName(text);
  return isBad(name) ? name : [{ kind: "text", text: name }];
}

/** Where a rewrite leads: variables, and `$1`…`$9` of a pattern, may stand in it. */
export function parseTarget(text: string): Parsed<{ readonly text: string; readonly parts: readonly TextPart[] }> {
  const plain = parseText(text);
  const parts = parseTemplate(text);
  return isBad(plain) ? plain : isBad(parts) ? parts : { text, parts };
}

/** RFC 1035 label, as names of Services are. */
export function parseServiceName(text: string): Parsed<string> {
  return /^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/.test(text) ? text : { expected: "the name of a Service of the same namespace" };
}

export function parseToken(text: string): Parsed<string> {
  return /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/.test(text) ? text : { expected: "a header or cookie name" };
}

/** A regular expression as RE2 reads it. */
export function parsePattern(text: string): Parsed<string> {
  const fault = patternFault(text);
  return fault === undefined ? text : { expected: `a regular expression of RE2 (${fault})` };
}

/** Words, by commas or spaces. */
export function parseList(text: string): Parsed<readonly string[]> {
  return text.split(/[\s,]+/).filter((w) => w !== "");
}

/** Beginnings of paths, comma-separated. */
export function parsePaths(text: string): Parsed<readonly string[]> {
  const paths = text.split(",").flatMap((t) => (t.trim() === "" ? [] : [t.trim()]));
  return paths.every((p) => p.startsWith("/")) ? paths : { expected: "paths, comma-separated" };
}

/** nginx's number and size of buffers: `4 8k`; bytes in all. */
export function parseBuffers(text: string): Parsed<number> {
  const [count = "", size = "", ...more] = text.split(/\s+/);
  const each = parseSize(size);
  if (!/^[0-9]{1,4}$/.test(count) || more.length > 0) return { expected: "a number and a size, such as 4 8k" };
  return isBad(each) ? each : Number(count) * each;
}

/** From 0 to 1. */
export function parseShare(text: string): Parsed<number> {
  return /^(0(\.[0-9]+)?|1(\.0+)?)$/.test(text) ? Number(text) : { expected: "a share between 0 and 1" };
}

/** Values of a header, comma-separated: `~` begins a regular expression, `~*` one in any case. */
export function parseHeaderTests(text: string): Parsed<readonly TextTest[]> {
  const tests: TextTest[] = [];
  for (const word of text.split(",").map((t) => t.trim())) {
    if (word === "") continue;
    const regex = /^~(\*?)(.*)$/.exec(word);
    if (regex === null) {
      tests.push({ kind: "exact", text: word });
      continue;
    }
    const pattern = parsePattern(regex[2] ?? "");
    if (isBad(pattern)) return { expected: `a list of texts or regular expressions${culprit(word, text)}` };
    tests.push({ kind: "regex", pattern, ignoreCase: regex[1] === "*" });
  }
  return tests;
}

/** The key where there is a value. */
export function present<K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  return (value === undefined ? {} : { [key]: value }) as { readonly [P in K]?: V };
}
