import { printCidr } from "../../src/base/cidr.ts";
import type { IpFamily } from "../../src/base/ip.ts";
import { unreachable } from "../../src/base/unreachable.ts";
import type { Chain, Element, Field, FieldType, Key, KeyField, ScratchSource, SetDefinition, Statement, Table } from "./statement.ts";

export function familyName(family: IpFamily): "ip" | "ip6" {
  return family === 4 ? "ip" : "ip6";
}

/** A whole table as `nft -f` takes it: replaces the table of that name in one transaction. */
export function printTable(table: Table): string {
  const lines = [...printTableRemoval(table.family, table.name), ...printSkeleton(table)];
  lines.push(...printElements("add", table, table.elements));
  return `${lines.join("\n")}\n`;
}

/** Adding first makes the removal succeed where there is no such table. */
export function printTableRemoval(family: IpFamily, name: string): readonly string[] {
  return [`add table ${familyName(family)} ${name}`, `delete table ${familyName(family)} ${name}`];
}

/** All rules of a table, so that its removal in a transaction behind it shows packets no rules without their elements. */
export function printTableFlush(family: IpFamily, name: string): readonly string[] {
  return [`add table ${familyName(family)} ${name}`, `flush table ${familyName(family)} ${name}`];
}

/** The sets and chains of a table, as a block that adds to what is there. */
export function printSkeleton(table: Pick<Table, "family" | "name" | "sets" | "chains">): readonly string[] {
  const lines = [`table ${familyName(table.family)} ${table.name} {`];
  for (const set of table.sets) lines.push(...printSet(table.family, set));
  for (const chain of table.chains) lines.push(...printChain(table.family, chain));
  lines.push("}");
  return lines;
}

/** One command per run of elements of the same set, in the order given. */
export function printElements(
  verb: "add" | "delete",
  table: Pick<Table, "family" | "name" | "sets">,
  elements: readonly Element[],
): readonly string[] {
  const lines: string[] = [];
  const types = new Map(table.sets.map((set) => [set.name, set]));
  const prefix = `${verb} element ${familyName(table.family)} ${table.name}`;
  for (let i = 0; i < elements.length; ) {
    const set = elements[i]?.set ?? "";
    const definition = types.get(set);
    if (definition === undefined) throw new Error(`no set ${set}`);
    const parts: string[] = [];
    for (; elements[i]?.set === set; i++) {
      const element = elements[i];
      if (element !== undefined) parts.push(printElement(definition, element, verb === "add"));
    }
    lines.push(`${prefix} ${set} { ${parts.join(", ")} }`);
  }
  return lines;
}

export function printElement(definition: SetDefinition, element: Element, withValue: boolean): string {
  const key = printFields(definition.key, element.key);
  if (definition.value === undefined || element.value === undefined || !withValue) return key;
  return `${key} : ${printFields(definition.value, element.value)}`;
}

function printFields(types: readonly FieldType[], fields: readonly Field[]): string {
  return fields.map((field, i) => printField(types[i] ?? "address", field)).join(" . ");
}

function printField(type: FieldType, field: Field): string {
  switch (type) {
    case "number":
      return printClassid(Number(field));
    case "verdict":
      return `goto ${field}`;
    case "address":
    case "protocol":
    case "port":
      return String(field);
    default:
      return unreachable(type);
  }
}

/** 0xa5000005 → `a500:5`. */
export function printClassid(n: number): string {
  return `${(n >>> 16).toString(16)}:${(n & 0xffff).toString(16)}`;
}

function printSet(family: IpFamily, set: SetDefinition): readonly string[] {
  const kind = set.value === undefined ? "set" : "map";
  const lines = [` ${kind} ${set.name} {`, `  ${printSetType(family, set)}`];
  if (set.dynamicSize !== undefined) lines.push(`  size ${set.dynamicSize}`, "  flags dynamic,timeout");
  if (set.interval === true) lines.push("  flags interval");
  lines.push(" }");
  return lines;
}

const typeNames: Record<FieldType, string> = {
  address: "",
  protocol: "inet_proto",
  port: "inet_service",
  number: "classid",
  verdict: "verdict",
};

function printSetType(family: IpFamily, set: SetDefinition): string {
  const address = family === 4 ? "ipv4_addr" : "ipv6_addr";
  if (set.value?.length === 2) {
    // a value of several fields needs a typeof map
    const ip = familyName(family);
    const key = set.key.map(
      (t) => ({ address: `${ip} daddr`, protocol: "meta l4proto", port: "th dport", number: "meta priority" })[t as "port"],
    );
    return `typeof ${key.join(" . ")} : ${ip} daddr . th dport`;
  }
  const name = (type: FieldType): string => (type === "address" ? address : typeNames[type]);
  const key = set.key.map(name).join(" . ");
  return set.value === undefined ? `type ${key}` : `type ${key} : ${set.value.map(name).join(" . ")}`;
}

function printChain(family: IpFamily, chain: Chain): readonly string[] {
  const lines = [` chain ${chain.name} {`];
  if (chain.hook !== undefined) lines.push(`  type ${chain.hook.type} hook ${chain.hook.hook} priority ${chain.hook.priority};`);
  for (const rule of chain.rules) lines.push(`  ${printRule(family, rule.statements)}`);
  lines.push(" }");
  return lines;
}

export function printRule(family: IpFamily, statements: readonly Statement[]): string {
  return statements.map((s) => printStatement(family, s)).join(" ");
}

function printKeyField(family: IpFamily, field: KeyField): string {
  switch (field) {
    case "saddr":
    case "daddr":
      return `${familyName(family)} ${field}`;
    case "l4proto":
      return "meta l4proto";
    case "sport":
    case "dport":
      return `th ${field}`;
    case "scratch":
      return "meta priority";
    default:
      return unreachable(field);
  }
}

function printKey(family: IpFamily, key: Key): string {
  return key.map((field) => printKeyField(family, field)).join(" . ");
}

const hex = (n: number): string => `0x${n.toString(16)}`;

function printSource(family: IpFamily, source: ScratchSource): string {
  switch (source.kind) {
    case "random":
      return printRandom(source.modulus, source.offset);
    case "map":
      return `${printKey(family, source.key)} map @${source.map}`;
    case "hash":
      return `jhash ${printKey(family, source.key)} mod ${source.modulus} seed ${hex(source.seed)}`;
    case "hash-slot":
      return `jhash ${printKey(family, source.key)} mod ${source.modulus} seed ${hex(source.seed)} offset ${source.offset}`;
    default:
      return unreachable(source);
  }
}

function printRandom(modulus: number, offset: number): string {
  return `numgen random mod ${modulus} offset ${offset}`;
}

function printStatement(family: IpFamily, s: Statement): string {
  switch (s.kind) {
    case "match-set":
      return `${printKey(family, s.key)} ${s.negated ? "!= " : ""}@${s.set}`;
    case "match-address": {
      const whole = s.cidr.bits === (family === 4 ? 32 : 128);
      return `${familyName(family)} ${s.field} ${s.negated ? "!= " : ""}${whole ? s.cidr.ip : printCidr(s.cidr)}`;
    }
    case "match-local":
      return `fib ${s.field} type local`;
    case "match-tcp":
      return "meta l4proto tcp";
    case "match-interface": {
      const { kind, name } = s.interface;
      return `iifname ${s.negated ? "!= " : ""}"${name}${kind === "prefix" ? "*" : ""}"`;
    }
    case "match-mark":
      return `mark and ${hex(s.bit)} != 0`;
    case "match-scratch":
      return "meta priority a500:0-a5ff:ffff";
    case "match-translated":
      return "ct status dnat";
    case "match-invalid":
      return "ct state invalid";
    case "set-scratch":
      return `meta priority set ${printSource(family, s.source)}`;
    case "clear-scratch":
      return "meta priority set 0";
    case "set-mark":
      return `mark set mark or ${hex(s.bit)}`;
    case "clear-mark":
      return `mark set mark xor ${hex(s.bit)}`;
    case "remember":
      return `update @${s.map} { ${printKey(family, s.key)} timeout ${s.timeoutSeconds}s : ${printRandom(s.modulus, s.offset)} }`;
    case "forget":
      return `delete @${s.map} { ${printKey(family, s.key)} : meta priority }`;
    case "dispatch":
      return `meta priority vmap @${s.map}`;
    case "translate":
      return `dnat ${familyName(family)} addr . port to ${printKey(family, s.key)} map @${s.map}`;
    case "masquerade":
      return "masquerade fully-random";
    case "untrack":
      return "notrack";
    case "reset":
      return "reject with tcp reset";
    case "reject":
      return "reject";
    case "drop":
      return "drop";
    case "jump":
    case "goto":
      return `${s.kind} ${s.chain}`;
    default:
      return unreachable(s);
  }
}
