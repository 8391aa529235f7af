import { printCidr } from "../../src/base/cidr.ts";
import { type IpFamily, printHostPort } from "../../src/base/ip.ts";
import { unreachable } from "../../src/base/unreachable.ts";
import {
  type AddressMatch,
  type ChainId,
  chainId,
  nameOfChain,
  type Rule,
  type RuleSet,
  type TableName,
  type Target,
  tableNames,
  tableOfChain,
} from "./rule.ts";

/** 2^31: what the kernel draws from. */
export const wholeShare = 0x8000_0000;

/** A rule's specification exactly as `iptables-save` prints it, without `-A CHAIN`. */
export function printRule(family: IpFamily, rule: Rule): string {
  let text = "";
  const add = (words: string): void => {
    text += text === "" ? words : ` ${words}`;
  };
  if (rule.source !== undefined) add(printAddress("-s", rule.source));
  if (rule.destination !== undefined) add(printAddress("-d", rule.destination));
  if (rule.inInterface !== undefined) add(`${not(rule.inInterface.negated)}-i ${rule.inInterface.name}`);
  if (rule.protocol !== undefined) add(`-p ${rule.protocol}`);
  if (rule.comment !== undefined) add(`-m comment --comment "${rule.comment}"`);
  if (rule.ports !== undefined) {
    const { from, to } = rule.ports;
    add(`-m ${rule.protocol ?? ""} --dport ${from === to ? from : `${from}:${to}`}`);
  }
  if (rule.states !== undefined) add(`-m conntrack ${not(rule.states.negated)}--ctstate ${rule.states.of.join(",")}`);
  if (rule.localSource === true) add("-m addrtype --src-type LOCAL");
  if (rule.localDestination === true) add("-m addrtype --dst-type LOCAL");
  if (rule.mark !== undefined) {
    const { bits, mask = bits, negated } = rule.mark;
    add(`-m mark ${not(negated)}--mark ${hex(bits)}/${hex(mask)}`);
  }
  for (const { name, fields, negated } of rule.sets ?? []) add(`-m set ${not(negated)}--match-set ${name} ${fields.join(",")}`);
  if (rule.share !== undefined) add(`-m statistic --mode random --probability ${(rule.share / wholeShare).toFixed(11)}`);
  if (rule.recent !== undefined) {
    const { recent } = rule;
    const how = recent.kind === "set" ? "--set" : `--update --seconds ${recent.seconds} --reap`;
    add(`-m recent ${how} --name ${recent.list} --mask ${hostMasks[family]} --rsource`);
  }
  // iptables-save has two spaces there
  if (rule.counter !== undefined) add(`-m nfacct --nfacct-name  ${rule.counter}`);
  add(`-j ${printTarget(family, rule.target)}`);
  return text;
}

export const hostMasks: Readonly<Record<IpFamily, string>> = {
  4: "255.255.255.255",
  6: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
};

function printTarget(family: IpFamily, target: Target): string {
  switch (target.kind) {
    case "jump":
      return target.chain;
    case "return":
      return "RETURN";
    case "accept":
      return "ACCEPT";
    case "drop":
      return "DROP";
    case "reject":
      return `REJECT --reject-with ${target.with === "tcp-reset" ? "tcp-reset" : unreachablePort[family]}`;
    case "mark":
      return `MARK --set-xmark ${hex(target.value)}/${hex(target.mask)}`;
    case "dnat":
      return `DNAT --to-destination ${printHostPort(target.ip, target.port)}`;
    case "masquerade":
      return target.fullyRandom ? "MASQUERADE --random-fully" : "MASQUERADE";
    case "untrack":
      return "CT --notrack";
    case "mark-of-entry":
      return `SET --map-set ${target.set} ${target.fields.join(",")} --map-mark`;
    default:
      return unreachable(target);
  }
}

export const unreachablePort: Readonly<Record<IpFamily, string>> = { 4: "icmp-port-unreachable", 6: "icmp6-port-unreachable" };

function printAddress(flag: "-s" | "-d", match: AddressMatch): string {
  return `${not(match.negated)}${flag} ${printCidr(match.cidr)}`;
}

function not(negated: boolean): string {
  return negated ? "! " : "";
}

function hex(n: number): string {
  return `0x${n.toString(16)}`;
}

/** What `iptables-restore --noflush` takes to make these rules where none of them are. */
export function printRuleSet(set: RuleSet): string {
  const byTable = new Map<TableName, ChainId[]>();
  for (const id of set.chains.keys()) {
    const table = tableOfChain(id);
    const list = byTable.get(table);
    if (list === undefined) byTable.set(table, [id]);
    else list.push(id);
  }
  const lines: string[] = [];
  for (const table of tableNames) {
    const ids = (byTable.get(table) ?? []).sort();
    const hooks = set.hooks.filter((h) => h.table === table);
    if (ids.length === 0 && hooks.length === 0) continue;
    lines.push(`*${table}`);
    for (const id of ids) lines.push(`:${nameOfChain(id)} - [0:0]`);
    for (const hook of hooks) lines.push(`-I ${hook.builtIn} 1 -j ${hook.chain}`);
    for (const id of ids)
      for (const rule of set.chains.get(chainId(table, nameOfChain(id))) ?? [])
        lines.push(`-A ${nameOfChain(id)} ${printRule(set.family, rule)}`);
    lines.push("COMMIT");
  }
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}
