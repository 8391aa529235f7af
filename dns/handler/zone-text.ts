import { parseDuration } from "../corefile/words.ts";
import { isParseError, ParseError } from "../wire/errors.ts";
import { canonicalName, type DomainName, isInZone } from "../wire/name.ts";
import { opaqueNameFields } from "../wire/opaque-text.ts";
import type { ResourceRecord } from "../wire/record.ts";
import { parseClass, parseType } from "../wire/record-type.ts";
import { parseRecord } from "../wire/zone-file.ts";

/** A line of a zone file that cannot be read. */
export class ZoneTextError extends Error {
  readonly line: number;

  constructor(file: string, line: number, message: string, cause?: unknown) {
    super(`${file}:${line}: ${message}`, { cause });
    this.name = "ZoneTextError";
    this.line = line;
  }
}

/** Which fields of a record's data are names, by type. */
const nameFields: Readonly<Record<string, readonly number[]>> = {
  NS: [0],
  CNAME: [0],
  PTR: [0],
  DNAME: [0],
  SOA: [0, 1],
  MX: [1],
  SRV: [3],
  NAPTR: [5],
  SVCB: [1],
  HTTPS: [1],
};

interface Entry {
  readonly line: number;
  /** Its first word stands at the line's beginning: a name. */
  readonly hasOwner: boolean;
  readonly words: readonly string[];
}

/** The records of a master file (RFC 1035 section 5) for `origin`; those outside of it are faults. Throws a ZoneTextError. */
export function parseZoneText(text: string, origin: DomainName, file: string): readonly ResourceRecord[] {
  const records: ResourceRecord[] = [];
  let base = canonicalName(origin);
  let ttl = 3600;
  let owner = base;
  for (const { line, hasOwner, words } of entries(text, file)) {
    const [first = "", second = ""] = words;
    try {
      if (first === "$ORIGIN") {
        base = canonicalName(absolute(second, base));
      } else if (first === "$TTL") {
        ttl = seconds(second) ?? fail(`${second} is no TTL`);
      } else if (first.startsWith("$")) {
        fail(`${first} is not known here; there are $ORIGIN and $TTL`);
      } else {
        const rest = [...words];
        if (hasOwner) owner = canonicalName(absolute(rest.shift() ?? "@", base));
        let own: number | undefined;
        // TTL and class stand in either order
        while (rest.length > 1 && parseType(rest[0] ?? "") === undefined) {
          const word = rest.shift() ?? "";
          if (parseClass(word) !== undefined) continue;
          own = seconds(word) ?? fail(`${word} is neither a TTL nor a class nor a type`);
        }
        const type = (rest.shift() ?? "").toUpperCase();
        const names = nameFields[type] ?? opaqueNameFields(parseType(type) ?? 0);
        const data = rest.map((word, i) => {
          if (names.includes(i)) return absolute(word, base);
          return type === "SOA" && i > 1 ? String(seconds(word) ?? word) : word;
        });
        if (!isInZone(owner, canonicalName(origin))) fail(`${owner} is not in ${origin}`);
        const record = parseRecord([owner, own ?? ttl, "IN", type, ...data].join(" "));
        records.push(record);
      }
    } catch (error) {
      if (!isParseError(error)) throw error;
      throw new ZoneTextError(file, line, error.message, error);
    }
  }
  return records;
}

function fail(message: string): never {
  throw new ParseError("bad-text", message);
}

function absolute(name: string, base: DomainName): DomainName {
  if (name === "@") return base;
  if (/(^|[^\\])(\\\\)*\.$/.test(name)) return name;
  return base === "." ? `${name}.` : `${name}.${base}`;
}

/** `3600`, or with units as `1h30m`, `1w`. */
function seconds(text: string): number | undefined {
  if (/^[0-9]{1,10}$/.test(text)) return Number(text);
  if (!/^([0-9]+[smhdw])+$/i.test(text)) return undefined;
  const inHours = text
    .toLowerCase()
    .replace(/([0-9]+)w/g, (_, n: string) => `${Number(n) * 168}h`)
    .replace(/([0-9]+)d/g, (_, n: string) => `${Number(n) * 24}h`);
  const milliseconds = parseDuration(inHours);
  return milliseconds === undefined ? undefined : milliseconds / 1000;
}

/** Lines without comments; parentheses join them. */
function* entries(text: string, file: string): Iterable<Entry> {
  let open: { line: number; hasOwner: boolean; words: string[] } | undefined;
  let depth = 0;
  for (const [i, raw] of text.split("\n").entries()) {
    const words: string[] = [];
    for (const [word] of raw.matchAll(/;.*|"(?:[^"\\]|\\.)*"|[()]|(?:[^\s"();\\]|\\.)+/g)) {
      if (word.startsWith(";")) break;
      if (word === "(") depth++;
      else if (word === ")") depth--;
      else words.push(word);
    }
    if (depth < 0) throw new ZoneTextError(file, i + 1, "a parenthesis is closed that was not opened");
    if (open === undefined) open = { line: i + 1, hasOwner: !/^\s/.test(raw), words };
    else open.words.push(...words);
    if (depth > 0) continue;
    if (open.words.length > 0) yield open;
    open = undefined;
  }
  if (open !== undefined) throw new ZoneTextError(file, open.line, "a parenthesis is not closed");
}
