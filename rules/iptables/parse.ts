import { type Cidr, parseCidr } from "../../src/base/cidr.ts";
import { type IpFamily, parseIp } from "../../src/base/ip.ts";
import { parseProtocol } from "../model/service-port.ts";
import { wholeShare } from "./print.ts";
import type { AddressMatch, ConnectionState, Matches, Rule, SetSide, Target } from "./rule.ts";

/** Text that is none of our rules. */
export class ParseError extends Error {
  readonly code = "PARSE";
  constructor(what: string, text: string) {
    super(`${what}: ${text.length > 120 ? `${text.slice(0, 120)}…` : text}`);
    this.name = "ParseError";
  }
}

/** The inverse of `printRule`. Throws ParseError for what it never prints: then it is not our rule. */
export function parseRule(family: IpFamily, text: string): Rule {
  const words = new Words(text);
  const matches: { -readonly [K in keyof Matches]: Matches[K] } = {};
  for (;;) {
    const negated = words.take("!");
    const word = words.next();
    if (word === "-j") return { ...matches, target: parseTarget(words) };
    if (word === "-s") matches.source = address(family, words.next(), negated);
    else if (word === "-d") matches.destination = address(family, words.next(), negated);
    else if (word === "-i") matches.inInterface = { name: words.next(), negated };
    else if (word === "-p") matches.protocol = required(parseProtocol(words.next()), "no protocol", text);
    else if (word === "-m") parseExtension(words, matches, text);
    else throw new ParseError(`no match "${word}"`, text);
  }
}

function parseExtension(words: Words, matches: { -readonly [K in keyof Matches]: Matches[K] }, text: string): void {
  const extension = words.next();
  const negated = words.take("!");
  const option = words.next();
  switch (`${extension} ${option}`) {
    case "comment --comment":
      matches.comment = words.next();
      return;
    case "tcp --dport":
    case "udp --dport":
    case "sctp --dport": {
      const [from = "", to = from] = words.next().split(":");
      matches.ports = { from: Number(from), to: Number(to) };
      return;
    }
    case "conntrack --ctstate":
      matches.states = { of: words.next().split(",") as ConnectionState[], negated };
      return;
    case "addrtype --src-type":
      words.expect("LOCAL");
      matches.localSource = true;
      return;
    case "addrtype --dst-type":
      words.expect("LOCAL");
      matches.localDestination = true;
      return;
    case "mark --mark": {
      const [value = "", mask = value] = words.next().split("/");
      matches.mark = { bits: Number(value), ...(value === mask ? {} : { mask: Number(mask) }), negated };
      return;
    }
    case "set --match-set": {
      const name = words.next();
      matches.sets = [...(matches.sets ?? []), { name, fields: setSides(words.next()), negated }];
      return;
    }
    case "statistic --mode":
      words.expect("random");
      words.expect("--probability");
      matches.share = Math.round(Number(words.next()) * wholeShare);
      return;
    case "nfacct --nfacct-name":
      matches.counter = words.next();
      return;
    case "recent --set":
    case "recent --update": {
      let seconds = 0;
      if (option === "--update") {
        words.expect("--seconds");
        seconds = Number(words.next());
        words.expect("--reap");
      }
      words.expect("--name");
      const list = words.next();
      words.expect("--mask");
      words.next();
      words.expect("--rsource");
      matches.recent = option === "--update" ? { kind: "update", list, seconds } : { kind: "set", list };
      return;
    }
    default:
      throw new ParseError(`no match "${extension} ${option}"`, text);
  }
}

function parseTarget(words: Words): Target {
  const name = words.next();
  switch (name) {
    case "RETURN":
      return { kind: "return" };
    case "ACCEPT":
      return { kind: "accept" };
    case "DROP":
      return { kind: "drop" };
    case "REJECT":
      words.expect("--reject-with");
      return { kind: "reject", with: words.next() === "tcp-reset" ? "tcp-reset" : "port-unreachable" };
    case "MARK": {
      words.expect("--set-xmark");
      const [value = "", mask = ""] = words.next().split("/");
      return { kind: "mark", value: Number(value), mask: Number(mask) };
    }
    case "DNAT": {
      words.expect("--to-destination");
      const text = words.next();
      const match = /^(?:\[([0-9a-f:.]+)\]|([0-9.]+)):([0-9]+)$/.exec(text);
      const ip = required(parseIp(match?.[1] ?? match?.[2] ?? ""), "no address and port", text);
      return { kind: "dnat", ip, port: Number(match?.[3]) };
    }
    case "MASQUERADE":
      return { kind: "masquerade", fullyRandom: words.take("--random-fully") };
    case "CT":
      words.expect("--notrack");
      return { kind: "untrack" };
    case "SET": {
      words.expect("--map-set");
      const set = words.next();
      const fields = setSides(words.next());
      words.expect("--map-mark");
      return { kind: "mark-of-entry", set, fields };
    }
    default:
      return { kind: "jump", chain: name };
  }
}

function setSides(text: string): readonly SetSide[] {
  return text.split(",").map((side) => {
    if (side !== "src" && side !== "dst") throw new ParseError("no end of a packet", text);
    return side;
  });
}

function address(family: IpFamily, text: string, negated: boolean): AddressMatch {
  const cidr: Cidr | undefined = parseCidr(text.includes("/") ? text : `${text}/${family === 4 ? 32 : 128}`);
  return { cidr: required(cidr, "no address", text), negated };
}

function required<T>(value: T | undefined, what: string, text: string): T {
  if (value === undefined) throw new ParseError(what, text);
  return value;
}

/** The words of a line; quotes hold together what is between them. */
class Words {
  readonly #text: string;
  readonly #words: readonly string[];
  #at = 0;

  constructor(text: string) {
    this.#text = text;
    this.#words = [...text.matchAll(/"([^"]*)"|(\S+)/g)].map((m) => m[1] ?? m[2] ?? "");
  }

  next(): string {
    const word = this.#words[this.#at++];
    if (word === undefined) throw new ParseError("it ends too early", this.#text);
    return word;
  }

  take(word: string): boolean {
    if (this.#words[this.#at] !== word) return false;
    this.#at++;
    return true;
  }

  expect(word: string): void {
    if (!this.take(word)) throw new ParseError(`no "${word}"`, this.#text);
  }
}
