import { parseCidr } from "../../src/base/cidr.ts";
import type { IpFamily } from "../../src/base/ip.ts";
import type {
  BaseHook,
  Chain,
  Element,
  Field,
  FieldType,
  Key,
  KeyField,
  Rule,
  ScratchSource,
  SetDefinition,
  Statement,
  Table,
} from "./statement.ts";

/** Text that `printTable` does not make. */
export class ParseError extends Error {
  readonly code = "PARSE";
  constructor(what: string, text: string) {
    super(`${what}: ${text.length > 120 ? `${text.slice(0, 120)}…` : text}`);
    this.name = "ParseError";
  }
}

/** The inverse of `printTable`. Throws ParseError for anything else. */
export function parseTable(text: string): Table {
  const lines = text.split("\n").map((line) => line.trim());
  let at = 0;
  const next = (): string => lines[at++] ?? "";
  const removal = /^add table (ip6?) (\S+)$/.exec(next());
  if (removal === null || next() !== `delete table ${removal[1]} ${removal[2]}`) throw new ParseError("no removal of the old table", text);
  const head = /^table (ip6?) (\S+) \{$/.exec(next());
  if (head === null) throw new ParseError("no table", text);
  const family: IpFamily = head[1] === "ip" ? 4 : 6;
  const name = head[2] ?? "";
  const sets: SetDefinition[] = [];
  const chains: Chain[] = [];
  const body = (): readonly string[] => {
    const inner: string[] = [];
    for (let line = next(); line !== "}"; line = next()) {
      if (at > lines.length) throw new ParseError("a block does not end", name);
      inner.push(line);
    }
    return inner;
  };
  for (let line = next(); line !== "}"; line = next()) {
    const block = /^(set|map|chain) (\S+) \{$/.exec(line);
    if (block === null) throw new ParseError("neither set nor chain", line);
    if (block[1] === "chain") chains.push(parseChain(family, block[2] ?? "", body()));
    else sets.push(parseSet(block[2] ?? "", body()));
  }
  const elements: Element[] = [];
  for (; at < lines.length; at++) if (lines[at] !== "") elements.push(...parseElements(sets, lines[at] ?? ""));
  return { family, name, sets, chains, elements };
}

const setTypes: Readonly<Record<string, FieldType>> = {
  ipv4_addr: "address",
  ipv6_addr: "address",
  "ip daddr": "address",
  "ip6 daddr": "address",
  inet_proto: "protocol",
  "meta l4proto": "protocol",
  inet_service: "port",
  "th dport": "port",
  classid: "number",
  "meta priority": "number",
  verdict: "verdict",
};

function parseSet(name: string, lines: readonly string[]): SetDefinition {
  const [type = "", ...rest] = lines;
  const match = /^(?:type|typeof) (.*?)(?: : (.*))?$/.exec(type);
  if (match === null) throw new ParseError("no type of a set", type);
  const types = (text: string): readonly FieldType[] =>
    text.split(" . ").map((word) => {
      const found = setTypes[word];
      if (found === undefined) throw new ParseError("no type", word);
      return found;
    });
  const size = rest.map((line) => /^size ([0-9]+)$/.exec(line)?.[1]).find((n) => n !== undefined);
  return {
    name,
    key: types(match[1] ?? ""),
    ...(match[2] === undefined ? {} : { value: types(match[2]) }),
    ...(size === undefined ? {} : { dynamicSize: Number(size) }),
    ...(rest.includes("flags interval") ? { interval: true } : {}),
  };
}

function parseChain(family: IpFamily, name: string, lines: readonly string[]): Chain {
  const hook = /^type (nat|filter) hook (prerouting|forward|output|postrouting) priority (-?[0-9]+);$/.exec(lines[0] ?? "");
  const rules = (hook === null ? lines : lines.slice(1)).map((line) => parseRule(family, line));
  if (hook === null) return { name, rules };
  return { name, hook: { type: hook[1] as BaseHook["type"], hook: hook[2] as BaseHook["hook"], priority: Number(hook[3]) }, rules };
}

type Reader = (m: RegExpExecArray, family: IpFamily) => Statement;

const keyPattern = "(?:(?:ip6? [sd]addr|meta l4proto|th [sd]port|meta priority)(?: \\. )?)+";
const number = Number;

/** Each form a rule's statement is printed in, the longer before those that start alike. */
const forms: readonly (readonly [RegExp, Reader])[] = [
  [/^ip6? ([sd]addr) (!= )?([0-9a-f:][0-9a-f.:]+(?:\/[0-9]+)?)(?= |$)/, (m, family) => matchAddress(m, family)],
  [/^fib ([sd]addr) type local(?= |$)/, (m) => ({ kind: "match-local", field: m[1] as "saddr" | "daddr" })],
  [/^meta l4proto tcp(?= |$)/, () => ({ kind: "match-tcp" })],
  [/^mark and 0x([0-9a-f]+) != 0(?= |$)/, (m) => ({ kind: "match-mark", bit: hex(m[1]) })],
  [/^mark set mark or 0x([0-9a-f]+)(?= |$)/, (m) => ({ kind: "set-mark", bit: hex(m[1]) })],
  [/^mark set mark xor 0x([0-9a-f]+)(?= |$)/, (m) => ({ kind: "clear-mark", bit: hex(m[1]) })],
  [/^meta priority a500:0-a5ff:ffff(?= |$)/, () => ({ kind: "match-scratch" })],
  [/^meta priority set 0(?= |$)/, () => ({ kind: "clear-scratch" })],
  [
    /^meta priority set numgen random mod ([0-9]+) offset ([0-9]+)(?= |$)/,
    (m) => scratch({ kind: "random", modulus: number(m[1]), offset: number(m[2]) }),
  ],
  [
    /^iifname (!= )?"([^"*]+)(\*?)"(?= |$)/,
    (m) => ({
      kind: "match-interface",
      interface: { kind: m[3] === "*" ? "prefix" : "bridge", name: m[2] ?? "" },
      negated: m[1] !== undefined,
    }),
  ],
  [
    new RegExp(`^meta priority set jhash (${keyPattern}) mod ([0-9]+) seed 0x([0-9a-f]+) offset ([0-9]+)(?= |$)`),
    (m) => scratch({ kind: "hash-slot", key: parseKey(m[1]), modulus: number(m[2]), seed: hex(m[3]), offset: number(m[4]) }),
  ],
  [
    new RegExp(`^meta priority set jhash (${keyPattern}) mod ([0-9]+) seed 0x([0-9a-f]+)(?= |$)`),
    (m) => scratch({ kind: "hash", key: parseKey(m[1]), modulus: number(m[2]), seed: hex(m[3]) }),
  ],
  [new RegExp(`^meta priority set (${keyPattern}) map @(\\S+)`), (m) => scratch({ kind: "map", key: parseKey(m[1]), map: m[2] ?? "" })],
  [/^meta priority vmap @(\S+)/, (m) => ({ kind: "dispatch", map: m[1] ?? "" })],
  [/^ct status dnat(?= |$)/, () => ({ kind: "match-translated" })],
  [/^ct state invalid(?= |$)/, () => ({ kind: "match-invalid" })],
  [
    new RegExp(`^update @(\\S+) \\{ (${keyPattern}) timeout ([0-9]+)s : numgen random mod ([0-9]+) offset ([0-9]+) \\}`),
    (m) => ({
      kind: "remember",
      key: parseKey(m[2]),
      map: m[1] ?? "",
      timeoutSeconds: number(m[3]),
      modulus: number(m[4]),
      offset: number(m[5]),
    }),
  ],
  [
    new RegExp(`^delete @(\\S+) \\{ (${keyPattern}) : meta priority \\}`),
    (m) => ({ kind: "forget", key: parseKey(m[2]), map: m[1] ?? "" }),
  ],
  [
    new RegExp(`^dnat ip6? addr \\. port to (${keyPattern}) map @(\\S+)`),
    (m) => ({ kind: "translate", key: parseKey(m[1]), map: m[2] ?? "" }),
  ],
  [/^masquerade fully-random(?= |$)/, () => ({ kind: "masquerade" })],
  [/^notrack(?= |$)/, () => ({ kind: "untrack" })],
  [/^reject with tcp reset(?= |$)/, () => ({ kind: "reset" })],
  [/^reject(?= |$)/, () => ({ kind: "reject" })],
  [/^drop(?= |$)/, () => ({ kind: "drop" })],
  [/^(jump|goto) (\S+)/, (m) => ({ kind: m[1] as "jump" | "goto", chain: m[2] ?? "" })],
  [
    new RegExp(`^(${keyPattern}) (!= )?@(\\S+)`),
    (m) => ({ kind: "match-set", key: parseKey(m[1]), set: m[3] ?? "", negated: m[2] !== undefined }),
  ],
];

function parseRule(family: IpFamily, line: string): Rule {
  const statements: Statement[] = [];
  for (let rest = line; rest !== ""; ) {
    let length = 0;
    for (const [pattern, read] of forms) {
      const match = pattern.exec(rest);
      if (match === null) continue;
      statements.push(read(match, family));
      length = match[0].length;
      break;
    }
    if (length === 0) throw new ParseError("no statement", rest);
    rest = rest.slice(length).trimStart();
  }
  return { statements };
}

function scratch(source: ScratchSource): Statement {
  return { kind: "set-scratch", source };
}

function matchAddress(m: RegExpExecArray, family: IpFamily): Statement {
  const text = m[3] ?? "";
  const cidr = parseCidr(text.includes("/") ? text : `${text}/${family === 4 ? 32 : 128}`);
  if (cidr === undefined) throw new ParseError("no address", text);
  return { kind: "match-address", field: m[1] as "saddr" | "daddr", cidr, negated: m[2] !== undefined };
}

const keyFields: Readonly<Record<string, KeyField>> = {
  "ip saddr": "saddr",
  "ip6 saddr": "saddr",
  "ip daddr": "daddr",
  "ip6 daddr": "daddr",
  "meta l4proto": "l4proto",
  "th sport": "sport",
  "th dport": "dport",
  "meta priority": "scratch",
};

function parseKey(text = ""): Key {
  return text.split(" . ").map((word) => {
    const field = keyFields[word];
    if (field === undefined) throw new ParseError("no field", word);
    return field;
  });
}

function hex(text = ""): number {
  return Number.parseInt(text, 16);
}

function parseElements(sets: readonly SetDefinition[], line: string): readonly Element[] {
  const match = /^add element ip6? \S+ (\S+) \{ (.*) \}$/.exec(line);
  const set = sets.find((s) => s.name === match?.[1]);
  if (match === null || set === undefined) throw new ParseError("no elements", line);
  return (match[2] ?? "").split(", ").map((text) => {
    const [key = "", value] = text.split(" : ");
    const element = { set: set.name, key: parseFields(set.key, key) };
    return set.value === undefined || value === undefined ? element : { ...element, value: parseFields(set.value, value) };
  });
}

function parseFields(types: readonly FieldType[], text: string): readonly Field[] {
  const words = text.split(" . ");
  return types.map((type, i) => {
    const word = words[i];
    if (word === undefined) throw new ParseError("an element is too short", text);
    if (type === "port") return Number(word);
    if (type === "verdict") return word.replace(/^goto /, "");
    if (type !== "number") return word;
    const classid = /^([0-9a-f]+):([0-9a-f]+)$/.exec(word);
    if (classid === null) throw new ParseError("no number", word);
    return hex(classid[1]) * 0x10000 + hex(classid[2]);
  });
}
