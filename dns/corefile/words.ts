import { type Cidr, parseCidr } from "../../src/base/cidr.ts";
import { type Ip, parseIp } from "../../src/base/ip.ts";
import { isParseError } from "../wire/errors.ts";
import { canonicalName, type DomainName, encodeName } from "../wire/name.ts";
import { parseType } from "../wire/record-type.ts";
import { reverseZones } from "../zone/reverse-zone.ts";
import type { Directive, OptionLine } from "./corefile.ts";
import { CorefileError } from "./errors.ts";
import type { Place, Token } from "./tokens.ts";

export function badValue(at: Place, message: string): never {
  throw new CorefileError("bad-value", at, message);
}

/** The words of one line of `what`, taken from the left. */
export class Words {
  readonly what: string;
  readonly at: Place;
  readonly #tokens: readonly Token[];
  #next = 0;

  constructor(what: string, at: Place, tokens: readonly Token[]) {
    this.what = what;
    this.at = at;
    this.#tokens = tokens;
  }

  get left(): number {
    return this.#tokens.length - this.#next;
  }

  peek(): string | undefined {
    return this.#tokens[this.#next]?.text;
  }

  /** The next word, which must be there; `wanted` says what it would be. */
  take(wanted: string): string {
    const token = this.#tokens[this.#next];
    if (token === undefined) return this.fail(`${wanted} is missing`);
    this.#next++;
    return token.text;
  }

  maybe(): string | undefined {
    return this.left === 0 ? undefined : this.take("");
  }

  rest(): readonly string[] {
    const texts = this.#tokens.slice(this.#next).map((t) => t.text);
    this.#next = this.#tokens.length;
    return texts;
  }

  some(wanted: string): readonly string[] {
    return this.left === 0 ? this.fail(`${wanted} is missing`) : this.rest();
  }

  /** Nothing may be left. */
  end(): void {
    if (this.left > 0) this.fail(`${this.peek()} is one word too many`);
  }

  fail(message: string): never {
    return badValue(this.at, `${this.what}: ${message}`);
  }

  integer(wanted: string, least: number, most: number): number {
    const text = this.take(wanted);
    const value = /^[0-9]{1,10}$/.test(text) ? Number(text) : Number.NaN;
    return value >= least && value <= most ? value : this.fail(`${text} is not ${wanted} from ${least} to ${most}`);
  }

  /** Milliseconds of a Go duration: `5s`, `1m30s`, `200ms`; a bare number counts seconds. */
  duration(wanted: string): number {
    const text = this.take(wanted);
    return parseDuration(text) ?? this.fail(`${text} is not ${wanted} such as 5s, 1m30s or 200ms`);
  }

  choice<T extends string>(choices: readonly T[]): T {
    const text = this.take(`one of ${choices.join(", ")}`);
    return choices.find((c) => c === text) ?? this.fail(`${text} is not one of ${choices.join(", ")}`);
  }

  type(): number {
    const text = this.take("a record type");
    return parseType(text) ?? this.fail(`${text} is not a record type`);
  }

  name(wanted: string): DomainName {
    return this.nameOf(this.take(wanted));
  }

  nameOf(text: string): DomainName {
    try {
      encodeName(text);
    } catch (error) {
      if (isParseError(error)) return this.fail(`${text} is not a domain name`);
      throw error;
    }
    return canonicalName(text);
  }

  /** Names, or ranges for their reverse zones. */
  zones(): readonly DomainName[] {
    return this.rest().flatMap((text) => this.zoneOf(text));
  }

  zoneOf(text: string): readonly DomainName[] {
    if (!text.includes("/")) return [this.nameOf(text)];
    const cidr = parseCidr(text);
    return cidr === undefined ? this.fail(`${text} is neither a zone nor a range`) : reverseZones(cidr);
  }

  /** An address is a range of one. */
  cidrOf(text: string): Cidr {
    const cidr = parseCidr(text.includes("/") ? text : `${text}/${text.includes(":") ? 128 : 32}`);
    return cidr ?? this.fail(`${text} is neither an address nor a range`);
  }

  ipOf(text: string): Ip {
    return parseIp(text) ?? this.fail(`${text} is not an IP address`);
  }

  regexOf(text: string): RegExp {
    try {
      return parseGoRegex(text);
    } catch (error) {
      return this.fail(`${text} is not a regular expression: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}

/** Go's `(?P<name>` and leading `(?i)` in JavaScript's form. Throws a SyntaxError. */
export function parseGoRegex(text: string): RegExp {
  const flags = /^\(\?([is]+)\)/.exec(text);
  const body = (flags === null ? text : text.slice(flags[0].length)).replaceAll("(?P<", "(?<");
  return new RegExp(body, flags?.[1] ?? "");
}

const units: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Milliseconds; undefined for what is no duration. */
export function parseDuration(text: string): number | undefined {
  if (/^[0-9]{1,9}$/.test(text)) return Number(text) * 1000;
  if (!/^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$/.test(text)) return undefined;
  let sum = 0;
  for (const [, number = "0", , unit = "s"] of text.matchAll(/([0-9]+(\.[0-9]+)?)(ns|us|µs|ms|s|m|h)/g))
    sum += Number(number) * (units[unit] ?? 0);
  return sum;
}

/** Reads a plugin's block: each option by its reader, others are errors that name the choices. */
export function readOptions(d: Directive, readers: Readonly<Record<string, (w: Words) => void>>): void {
  for (const option of d.options) {
    const read = Object.hasOwn(readers, option.name) ? readers[option.name] : undefined;
    if (read === undefined) {
      const choices = Object.keys(readers);
      const hint = choices.length === 0 ? `${d.name} has no options` : `${d.name} has ${choices.join(", ")}`;
      throw new CorefileError("unknown-option", option, `${d.name}: no option ${option.name}; ${hint}`);
    }
    readOption(d, option, read);
  }
}

function readOption(d: Directive, option: OptionLine, read: (w: Words) => void): void {
  const words = new Words(`${d.name}: ${option.name}`, option, option.words);
  read(words);
  words.end();
}

/** The directive's own words. */
export function wordsOf(d: Directive): Words {
  return new Words(d.name, d, d.words);
}
