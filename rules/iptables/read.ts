import type { IpFamily } from "../../src/base/ip.ts";
import { chainPrefix } from "./names.ts";
import { ParseError, parseRule } from "./parse.ts";
import { printRule } from "./print.ts";
import {
  type Chain,
  type ChainId,
  type Chains,
  chainId,
  type Hook,
  nameOfChain,
  type Rule,
  type TableName,
  tableNames,
  tableOfChain,
} from "./rule.ts";
import type { HookChange } from "./transaction.ts";

/** A family's tables as `iptables-save` tells them: our chains, and the built-in ones, which others use too. */
export interface Found {
  /** Rules as text: most are as wanted, and need not be taken apart. */
  readonly chains: ReadonlyMap<ChainId, readonly string[]>;
  readonly builtIns: ReadonlyMap<ChainId, readonly string[]>;
  /** Our chains that rules of others lead to, each with the chains those are in: the kernel removes no chain that something leads to. */
  readonly foreignJumps: ReadonlyMap<ChainId, ReadonlySet<string>>;
}

/** Reads what `iptables-save` printed. Tables and chains that are not ours are passed over. */
export function parseSaved(text: string): Found {
  const chains = new Map<ChainId, string[]>();
  const builtIns = new Map<ChainId, string[]>();
  const foreignJumps = new Map<ChainId, Set<string>>();
  let table: TableName | undefined;
  for (const line of text.split("\n")) {
    const first = line.charCodeAt(0);
    if (first === 42)
      table = tableNames.find((t) => t === line.slice(1)); // *
    else if (table === undefined) continue;
    else if (first === 58) {
      // :
      const [name = "", policy] = line.slice(1).split(" ");
      if (name.startsWith(chainPrefix)) chains.set(chainId(table, name), []);
      else if (policy !== "-") builtIns.set(chainId(table, name), []);
    } else if (line.startsWith("-A ")) {
      const end = line.indexOf(" ", 3);
      const name = line.slice(3, end);
      const id = chainId(table, name);
      const rule = line.slice(end + 1);
      (chains.get(id) ?? builtIns.get(id))?.push(rule);
      const to = chains.has(id) || (builtIns.has(id) && jumpOf(rule) !== undefined) ? undefined : foreignJump.exec(rule)?.[1];
      if (to === undefined) continue;
      const from = foreignJumps.get(chainId(table, to)) ?? new Set();
      foreignJumps.set(chainId(table, to), from.add(name));
    }
  }
  return { chains, builtIns, foreignJumps };
}

/** Jump or goto, as the last of a rule; ours have no other words. */
const foreignJump = new RegExp(`(?:^| )-[jg] (${chainPrefix}\\S+)$`);

/** In place of a rule that is none of ours: equal to none. */
const foreignRule: Rule = { comment: "none of ours", target: { kind: "return" } };

/** What was found as values; where it is as wanted, the wanted values themselves. */
export function adopt(family: IpFamily, found: Found, wanted: Chains): ReadonlyMap<ChainId, Chain> {
  const adopted = new Map<ChainId, Chain>();
  for (const [id, texts] of found.chains) {
    const chain = wanted.get(id);
    const same = chain?.length === texts.length && chain.every((rule, i) => printRule(family, rule) === texts[i]);
    adopted.set(id, same ? chain : texts.map((text) => readRule(family, text)));
  }
  return adopted;
}

function readRule(family: IpFamily, text: string): Rule {
  try {
    return parseRule(family, text);
  } catch (error) {
    if (error instanceof ParseError) return foreignRule;
    throw error;
  }
}

/** Jumps that are missing, too many, or behind kube-proxy's; and jumps to chains of ours that are not wanted. */
export function diffHooks(found: Found, wanted: readonly Hook[]): HookChange {
  const unhook: Hook[] = [];
  const hook: Hook[] = [];
  for (const [id, rules] of found.builtIns) {
    const table = tableOfChain(id);
    const builtIn = nameOfChain(id);
    for (const chain of new Set(rules.flatMap((text) => jumpOf(text) ?? []))) {
      if (wanted.some((h) => h.table === table && h.builtIn === builtIn && h.chain === chain)) continue;
      for (const text of rules) if (text === `-j ${chain}`) unhook.push({ table, builtIn, chain });
    }
  }
  for (const want of wanted) {
    const rules = found.builtIns.get(chainId(want.table, want.builtIn)) ?? [];
    const text = `-j ${want.chain}`;
    const places = rules.flatMap((rule, i) => (rule === text ? [i] : []));
    const others = rules.findIndex((rule) => / -j KUBE-/.test(` ${rule}`));
    if (places.length === 1 && (others < 0 || (places[0] ?? 0) < others)) continue;
    for (const _ of places) unhook.push(want);
    hook.push(want);
  }
  return { unhook, hook };
}

/** Where a jump as ours are leads. */
function jumpOf(text: string): string | undefined {
  return text.startsWith(`-j ${chainPrefix}`) ? text.slice(3) : undefined;
}
