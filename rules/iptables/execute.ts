import { cidrContains } from "../../src/base/cidr.ts";
import type { Ip } from "../../src/base/ip.ts";
import { unreachable } from "../../src/base/unreachable.ts";
import type { Packet } from "../model/packet.ts";
import { printRule } from "./print.ts";
import { type Chain, type ConnectionState, chainId, type Rule, type RuleSet, type SetSide, type TableName, type Target } from "./rule.ts";

/** A rule that had an effect on the packet. */
export interface ExecutedRule {
  readonly table: TableName;
  readonly chain: string;
  readonly text: string;
  readonly rule: Rule;
}

/** All that can become of a packet: random draws are followed in both directions. */
export interface Execution {
  readonly outcome: "translated" | "reject" | "drop" | "accept" | "untracked";
  /** Where it may go, without duplicates, in the order found. */
  readonly endpoints: readonly { readonly ip: Ip; readonly port: number; readonly masquerade: boolean }[];
  readonly rules: readonly ExecutedRule[];
  /** How many rules were looked at, on all ways together. */
  readonly passed: number;
}

/** Runs a packet through the rules as the kernel would, on the values the printer prints. `localIps`: addresses of this machine. */
export function executeRules(set: RuleSet, packet: Packet, localIps: readonly Ip[]): Execution {
  const machine = new RuleMachine({ rules: set, packet, isLocal: (ip) => isLoopback(ip) || localIps.includes(ip) });
  const fromHere = machine.isLocal(packet.from);
  machine.runTable("raw", fromHere ? "OUTPUT" : "PREROUTING");
  // the nat table and states are for tracked connections
  if (machine.untracked) return { outcome: "untracked", endpoints: [], rules: machine.rules, passed: machine.passed };
  machine.runTable("nat", fromHere ? "OUTPUT" : "PREROUTING");
  const found = [...machine.found];
  const before = machine.mark;
  for (const { ip, port, mark } of found) {
    machine.translated = { ip, port };
    machine.mark = mark;
    machine.runFilter(fromHere);
  }
  machine.translated = undefined;
  machine.mark = before;
  if (machine.fellThrough) machine.runFilter(fromHere);
  if (found.length === 0 || machine.refused !== undefined) {
    return { outcome: machine.refused ?? "accept", endpoints: [], rules: machine.rules, passed: machine.passed };
  }
  const endpoints = found.map(({ ip, port, mark }) => {
    machine.translated = { ip, port };
    machine.mark = mark;
    machine.masqueraded = false;
    machine.runTable("nat", "POSTROUTING");
    return { ip, port, masquerade: machine.masqueraded };
  });
  return { outcome: "translated", endpoints, rules: machine.rules, passed: machine.passed };
}

/** `ended`: some verdict was reached whatever the draws; `on`: the packet may come out of the chain's end. */
type Flow = "on" | "ended";

/** The sets of addresses that rules may name. */
export interface SetMembers {
  has(set: string, packet: Packet, sides: readonly SetSide[]): boolean;
  /** The mark of the packet's entry. */
  markOf(set: string, packet: Packet, sides: readonly SetSide[]): number | undefined;
}

export interface MachineInput {
  readonly rules: RuleSet;
  readonly packet: Packet;
  /** Addresses of this machine. */
  isLocal(ip: Ip): boolean;
  /** Absent where no rule names a set. */
  readonly sets?: SetMembers;
}

export function isLoopback(ip: Ip): boolean {
  return ip === "::1" || ip.startsWith("127.");
}

/** A packet on its way through the tables: each is run when its turn comes, and what became of the packet is in the fields. */
export class RuleMachine {
  readonly #input: MachineInput;
  readonly #noted = new Set<string>();

  readonly rules: ExecutedRule[] = [];
  passed = 0;
  readonly found: { readonly ip: Ip; readonly port: number; readonly mark: number }[] = [];
  /** Whether the packet may leave the nat table untranslated. */
  fellThrough = true;
  refused: "reject" | "drop" | undefined;
  untracked = false;
  masqueraded = false;
  /** Where to, once it is known. Virtual servers translate without telling connection tracking that they did. */
  translated: { readonly ip: Ip; readonly port: number; readonly by?: "ipvs" } | undefined;
  mark = 0;

  constructor(input: MachineInput) {
    this.#input = input;
  }

  isLocal(ip: Ip): boolean {
    return this.#input.isLocal(ip);
  }

  runTable(table: TableName, builtIn: string): void {
    let flow: Flow = "on";
    for (const hook of this.#input.rules.hooks) {
      if (hook.table !== table || hook.builtIn !== builtIn || flow === "ended") continue;
      flow = this.#run(table, hook.chain);
    }
    if (table === "nat" && builtIn !== "POSTROUTING") this.fellThrough = flow === "on" || this.found.length === 0;
  }

  runFilter(fromHere: boolean): void {
    const to = this.translated?.ip ?? this.#input.packet.to;
    this.runTable("filter", fromHere ? "OUTPUT" : this.isLocal(to) ? "INPUT" : "FORWARD");
  }

  #run(table: TableName, name: string): Flow {
    const chain: Chain = this.#input.rules.chains.get(chainId(table, name)) ?? [];
    for (const rule of chain) {
      this.passed++;
      if (!this.#matches(rule)) continue;
      const flow = this.#target(table, name, rule, rule.target);
      if (flow === "returned") return "on";
      // a draw may go by this rule
      if (flow === "ended" && rule.share === undefined) return "ended";
    }
    return "on";
  }

  #target(table: TableName, chain: string, rule: Rule, target: Target): Flow | "returned" {
    const note = (): void => {
      const text = printRule(this.#input.rules.family, rule);
      if (this.#noted.has(`${table} ${chain} ${text}`)) return;
      this.#noted.add(`${table} ${chain} ${text}`);
      this.rules.push({ table, chain, text, rule });
    };
    switch (target.kind) {
      case "jump":
        if (rule.ports !== undefined && rule.ports.from === rule.ports.to) note();
        return this.#run(table, target.chain);
      case "return":
        return "returned";
      case "accept":
        if (table === "filter" && (rule.ports !== undefined || rule.sets !== undefined)) note();
        return "ended";
      case "drop":
      case "reject":
        note();
        this.refused = target.kind;
        return "ended";
      case "mark": {
        const marked = ((this.mark & ~target.mask) ^ target.value) >>> 0;
        if ((marked & ~this.mark) !== 0) note();
        this.mark = marked;
        return "on";
      }
      case "dnat": {
        if (this.found.length === 0) note();
        const { ip, port } = target;
        if (!this.found.some((e) => e.ip === ip && e.port === port)) this.found.push({ ip, port, mark: this.mark });
        return "ended";
      }
      case "masquerade":
        note();
        this.masqueraded = true;
        return "ended";
      case "mark-of-entry": {
        const mark = this.#input.sets?.markOf(target.set, this.#now, target.fields);
        if (mark === undefined) return "on";
        note();
        this.mark = mark;
        return "on";
      }
      case "untrack":
        note();
        this.untracked = true;
        return "ended";
      default:
        return unreachable(target);
    }
  }

  #matches(rule: Rule): boolean {
    const { from, protocol, to, port } = this.#now;
    if (rule.source !== undefined && cidrContains(rule.source.cidr, from) === rule.source.negated) return false;
    if (rule.destination !== undefined && cidrContains(rule.destination.cidr, to) === rule.destination.negated) return false;
    if (rule.inInterface !== undefined && this.#isFrom(rule.inInterface.name) === rule.inInterface.negated) return false;
    if (rule.protocol !== undefined && rule.protocol !== protocol) return false;
    if (rule.ports !== undefined && (port < rule.ports.from || port > rule.ports.to)) return false;
    if (rule.states !== undefined && rule.states.of.some((s) => this.#hasState(s)) === rule.states.negated) return false;
    if (rule.localSource === true && !this.isLocal(from)) return false;
    if (rule.localDestination === true && !this.isLocal(to)) return false;
    if (rule.mark !== undefined) {
      const { bits, mask = bits, negated } = rule.mark;
      if (((this.mark & mask) >>> 0 === bits) === negated) return false;
    }
    for (const { name, fields, negated } of rule.sets ?? []) {
      if ((this.#input.sets?.has(name, this.#now, fields) ?? false) === negated) return false;
    }
    // a client that the kernel has not seen yet: nothing is remembered of it
    return rule.recent?.kind !== "update";
  }

  /** The packet as it is now. */
  get #now(): Packet {
    return this.translated === undefined
      ? this.#input.packet
      : { ...this.#input.packet, to: this.translated.ip, port: this.translated.port };
  }

  #isFrom(name: string): boolean {
    const link = this.#input.packet.interface ?? "";
    return name.endsWith("+") ? link.startsWith(name.slice(0, -1)) : link === name;
  }

  /** A connection's first packet. */
  #hasState(state: ConnectionState): boolean {
    return state === "NEW" || (state === "DNAT" && this.translated !== undefined && this.translated.by !== "ipvs");
  }
}
