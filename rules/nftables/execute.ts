import { cidrContains, parseCidr } from "../../src/base/cidr.ts";
import { fnv1a } from "../../src/base/hash.ts";
import type { Ip, IpFamily } from "../../src/base/ip.ts";
import { unreachable } from "../../src/base/unreachable.ts";
import { cameBy, type Packet } from "../model/packet.ts";
import { printRule } from "./print.ts";
import type { BaseHook, Chain, Element, Field, Key, Statement, Table } from "./statement.ts";

/** A rule that had an effect on the packet. */
export interface ExecutedRule {
  readonly chain: string;
  readonly rule: string;
  readonly statement: Statement;
}

/** All that can become of a packet: random draws are followed in every direction at once. */
export interface Execution {
  readonly outcome: "translated" | "reject" | "drop" | "accept" | "untracked";
  /** Where it may go, without duplicates, in the order found. */
  readonly endpoints: readonly { readonly ip: Ip; readonly port: number; readonly masquerade: boolean }[];
  readonly rules: readonly ExecutedRule[];
}

/** A table for running packets through: the index costs as much as the table is large, a packet does not. */
export interface IndexedTable {
  readonly family: IpFamily;
  readonly chains: ReadonlyMap<string, Chain>;
  /** By set, then by key. */
  readonly elements: ReadonlyMap<string, ReadonlyMap<string, Element>>;
  readonly ranges: ReadonlyMap<string, readonly Element[]>;
  readonly dynamic: ReadonlySet<string>;
}

export function indexTable(table: Table): IndexedTable {
  const intervals = new Set(table.sets.filter((s) => s.interval === true).map((s) => s.name));
  const [ranges, others] = [new Map<string, Element[]>(), new Map<string, Map<string, Element>>()];
  for (const element of table.elements) {
    if (intervals.has(element.set)) {
      const list = ranges.get(element.set);
      if (list === undefined) ranges.set(element.set, [element]);
      else list.push(element);
      continue;
    }
    let set = others.get(element.set);
    if (set === undefined) {
      set = new Map();
      others.set(element.set, set);
    }
    set.set(element.key.join(" "), element);
  }
  return {
    family: table.family,
    chains: new Map(table.chains.map((c) => [c.name, c])),
    elements: others,
    ranges,
    dynamic: new Set(table.sets.filter((s) => s.dynamicSize !== undefined).map((s) => s.name)),
  };
}

/** Runs a packet through a table's rules as the kernel would, on the values the printer prints. `localIps`: addresses of this machine. */
export function executeTable(table: IndexedTable, packet: Packet, localIps: readonly Ip[]): Execution {
  const machine = new Machine(table, packet, localIps);
  const hook = machine.isLocal(packet.from) ? "output" : "prerouting";
  for (const chain of machine.baseChains("filter", hook)) machine.run(chain.name);
  if (!machine.untracked) for (const chain of machine.baseChains("nat", hook)) machine.run(chain.name);
  const { endpoints, refused, untracked } = machine;
  if (endpoints.length === 0) return { outcome: refused ?? (untracked ? "untracked" : "accept"), endpoints: [], rules: machine.rules };
  const marked = machine.mark;
  const leaving = endpoints.map((e) => {
    machine.mark = marked;
    return { ...e, masquerade: machine.postrouting(e) };
  });
  return { outcome: "translated", endpoints: leaving, rules: machine.rules };
}

class Machine {
  readonly #table: IndexedTable;
  readonly #packet: Packet;
  readonly #localIps: readonly Ip[];
  /** Values the scratch register may have: more than one after a random draw. */
  #scratch: readonly number[] = [0];
  /** The dynamic map: client → slots it may have been given. */
  readonly #remembered = new Map<string, readonly number[]>();
  #translatedTo: { readonly ip: Ip; readonly port: number } | undefined;
  #masquerade = false;

  readonly rules: ExecutedRule[] = [];
  readonly endpoints: { readonly ip: Ip; readonly port: number }[] = [];
  refused: "reject" | "drop" | undefined;
  untracked = false;
  mark = 0;

  constructor(table: IndexedTable, packet: Packet, localIps: readonly Ip[]) {
    this.#table = table;
    this.#packet = packet;
    this.#localIps = localIps;
  }

  isLocal(ip: Ip): boolean {
    return ip === "::1" || ip.startsWith("127.") || this.#localIps.includes(ip);
  }

  baseChains(type: BaseHook["type"], hook: BaseHook["hook"]): readonly Chain[] {
    return [...this.#table.chains.values()].filter((c) => c.hook?.type === type && c.hook.hook === hook);
  }

  postrouting(endpoint: { readonly ip: Ip; readonly port: number }): boolean {
    this.#translatedTo = endpoint;
    this.#masquerade = false;
    const seen = this.rules.length;
    for (const chain of this.baseChains("nat", "postrouting")) this.run(chain.name);
    // one endpoint's way out explains them all, unless it differs
    const added = this.rules.splice(seen).filter((r) => !this.rules.some((s) => s.rule === r.rule && s.chain === r.chain));
    this.rules.push(...added);
    return this.#masquerade;
  }

  /** Runs a chain; true when the packet may come out of its end (or `goto` chain's end) undecided. */
  run(name: string): boolean {
    const chain = this.#table.chains.get(name);
    if (chain === undefined) throw new Error(`no chain ${name}`);
    for (const rule of chain.rules) {
      const flow = this.#rule(chain, rule.statements);
      if (flow === "decided") return false;
      if (flow === "returned") return true;
    }
    return true;
  }

  /** `next`: on to the next rule; `returned`: a goto's chain came to its end, which ends this chain too. */
  #rule(chain: Chain, statements: readonly Statement[]): "next" | "decided" | "returned" {
    const note = (statement: Statement): void => {
      this.rules.push({ chain: chain.name, rule: printRule(this.#table.family, statements), statement });
    };
    for (const s of statements) {
      switch (s.kind) {
        case "match-set":
          if (this.#contains(s.set, s.key) === s.negated) return "next";
          break;
        case "match-address":
          if (cidrContains(s.cidr, this.#address(s.field)) === s.negated) return "next";
          break;
        case "match-local":
          if (!this.isLocal(this.#address(s.field))) return "next";
          break;
        case "match-tcp":
          if (this.#packet.protocol !== "tcp") return "next";
          break;
        case "match-interface":
          if (cameBy(this.#packet, s.interface) === s.negated) return "next";
          break;
        case "match-mark":
          if ((this.mark & s.bit) === 0) return "next";
          break;
        case "match-scratch":
          if (!this.#scratch.some((n) => n >>> 24 === 0xa5)) return "next";
          break;
        case "match-invalid":
          return "next";
        case "match-translated":
          if (this.#translatedTo === undefined) return "next";
          break;
        case "set-scratch":
          if (!this.#setScratch(s.source)) return "next";
          break;
        case "clear-scratch":
          this.#scratch = [0];
          break;
        case "set-mark":
          this.mark |= s.bit;
          note(s);
          break;
        case "clear-mark":
          this.mark &= ~s.bit;
          break;
        case "remember": {
          const key = this.#keys(s.key)[0] ?? "";
          if (!this.#remembered.has(key)) this.#remembered.set(key, range(s.offset, s.modulus));
          break;
        }
        case "forget":
          this.#remembered.delete(this.#keys(s.key)[0] ?? "");
          break;
        case "dispatch": {
          const chains = new Set(this.#values(s.map, ["scratch"]).map((value) => String(value[0])));
          const [target] = chains;
          if (target === undefined) return "next";
          if (chains.size > 1) throw new Error(`one packet, several chains: ${[...chains].join(", ")}`);
          note(s);
          return this.run(target) ? "returned" : "decided";
        }
        case "translate":
          if (!this.#translate(s, note)) return "next";
          return "decided";
        case "masquerade":
          this.#masquerade = true;
          note(s);
          return "decided";
        case "untrack":
          this.untracked = true;
          note(s);
          break;
        case "reset":
        case "reject":
        case "drop":
          this.refused = s.kind === "drop" ? "drop" : "reject";
          if (this.endpoints.length === 0) note(s);
          return "decided";
        case "jump":
          if (!this.run(s.chain)) return "decided";
          break;
        case "goto":
          return this.run(s.chain) ? "returned" : "decided";
        default:
          return unreachable(s);
      }
    }
    return "next";
  }

  #setScratch(source: Extract<Statement, { kind: "set-scratch" }>["source"]): boolean {
    switch (source.kind) {
      case "random":
        this.#scratch = range(source.offset, source.modulus);
        return true;
      case "hash":
        this.#scratch = this.#keys(source.key).map((key) => fnv1a(`${source.seed} ${key}`) % source.modulus);
        return true;
      case "hash-slot":
        // nobody says which slot it is, so it may be any
        this.#scratch = range(source.offset, source.modulus);
        return true;
      case "map": {
        const remembered = this.#remembered.get(this.#keys(source.key)[0] ?? "");
        const found = this.#table.dynamic.has(source.map)
          ? (remembered ?? [])
          : this.#values(source.map, source.key).map((value) => Number(value[0]));
        if (found.length === 0) return false;
        this.#scratch = found;
        return true;
      }
      default:
        return unreachable(source);
    }
  }

  /** True when every value of the scratch register found an endpoint; those that did not are left in it. */
  #translate(s: Extract<Statement, { kind: "translate" }>, note: (s: Statement) => void): boolean {
    const misses: number[] = [];
    for (const n of this.#scratch) {
      const [value] = this.#values(s.map, s.key, n);
      if (value === undefined) {
        misses.push(n);
        continue;
      }
      const endpoint = { ip: String(value[0]) as Ip, port: Number(value[1]) };
      if (this.endpoints.length === 0) note(s);
      if (!this.endpoints.some((e) => e.ip === endpoint.ip && e.port === endpoint.port)) this.endpoints.push(endpoint);
    }
    this.#scratch = misses;
    return misses.length === 0;
  }

  #address(field: "saddr" | "daddr"): Ip {
    return field === "saddr" ? this.#packet.from : (this.#translatedTo?.ip ?? this.#packet.to);
  }

  #field(field: Key[number], scratch: number): Field {
    switch (field) {
      case "saddr":
      case "daddr":
        return this.#address(field);
      case "l4proto":
        return this.#packet.protocol;
      case "sport":
        return this.#packet.sourcePort ?? 0;
      case "dport":
        return this.#translatedTo?.port ?? this.#packet.port;
      case "scratch":
        return scratch;
      default:
        return unreachable(field);
    }
  }

  #keys(key: Key): readonly string[] {
    const candidates = key.includes("scratch") ? this.#scratch : [0];
    return candidates.map((n) => key.map((field) => this.#field(field, n)).join(" "));
  }

  #values(map: string, key: Key, only?: number): readonly (readonly Field[])[] {
    const set = this.#table.elements.get(map);
    const keys = only === undefined ? this.#keys(key) : [key.map((field) => this.#field(field, only)).join(" ")];
    return keys.flatMap((k) => {
      const value = set?.get(k)?.value;
      return value === undefined ? [] : [value];
    });
  }

  #contains(set: string, key: Key): boolean {
    const ranges = this.#table.ranges.get(set);
    if (ranges === undefined) return this.#keys(key).some((k) => this.#table.elements.get(set)?.has(k) === true);
    const fields = key.map((field) => this.#field(field, 0));
    return ranges.some((element) => element.key.every((part, i) => inRange(part, fields[i])));
  }
}

function inRange(part: Field, field: Field | undefined): boolean {
  if (part === field) return true;
  const cidr = typeof part === "string" ? parseCidr(part) : undefined;
  return cidr !== undefined && typeof field === "string" && cidrContains(cidr, field);
}

function range(start: number, length: number): readonly number[] {
  return Array.from({ length }, (_, i) => start + i);
}
