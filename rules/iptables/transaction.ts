import type { IpFamily } from "../../src/base/ip.ts";
import { printRule } from "./print.ts";
import {
  type Chain,
  type ChainId,
  type Chains,
  chainId,
  type Hook,
  nameOfChain,
  type TableName,
  tableNames,
  tableOfChain,
} from "./rule.ts";

/** One chain as it was and as it is to be; undefined: not there. */
export interface ChainChange {
  readonly name: string;
  readonly before: Chain | undefined;
  readonly after: Chain | undefined;
}

/** What happens to one table: all of it or nothing. */
export interface TableChange {
  readonly family: IpFamily;
  readonly table: TableName;
  readonly chains: readonly ChainChange[];
  /** Jumps from built-in chains to take away, as often as they are there, and to put first. */
  readonly unhook: readonly Hook[];
  readonly hook: readonly Hook[];
}

/** Tables in the order they are to be changed. */
export type Transaction = readonly TableChange[];

export function isEmptyTransaction(transaction: Transaction): boolean {
  return transaction.length === 0;
}

/** Rules written and chains removed. */
export function transactionSize(transaction: Transaction): number {
  let size = 0;
  for (const { chains, hook, unhook } of transaction) {
    size += hook.length + unhook.length;
    for (const { after } of chains) size += Math.max(1, after?.length ?? 0);
  }
  return size;
}

/** Rules by table. */
export function rulesByTable(chains: Iterable<readonly [ChainId, Chain | undefined]>): ReadonlyMap<TableName, number> {
  const rules = new Map<TableName, number>();
  for (const [id, chain] of chains) rules.set(tableOfChain(id), (rules.get(tableOfChain(id)) ?? 0) + (chain?.length ?? 0));
  return rules;
}

/** Rules that a transaction writes into one family's tables. */
export function rulesWritten(transaction: Transaction, family: IpFamily): ReadonlyMap<TableName, number> {
  const ours = transaction.filter((c) => c.family === family);
  return rulesByTable(ours.flatMap((c) => c.chains.map(({ name, after }) => [chainId(c.table, name), after] as const)));
}

export interface HookChange {
  readonly unhook: readonly Hook[];
  readonly hook: readonly Hook[];
}

const noHooks: HookChange = { unhook: [], hook: [] };

/** `among`: the only chains that may differ; without, all are compared. */
export function diffChains(
  family: IpFamily,
  before: Chains,
  after: Chains,
  among: Iterable<ChainId> = new Set([...before.keys(), ...after.keys()]),
  hooks: HookChange = noHooks,
): Transaction {
  const changes = new Map<TableName, ChainChange[]>();
  for (const id of among) {
    const old = before.get(id);
    const now = after.get(id);
    if (sameChain(family, old, now)) continue;
    const table = tableOfChain(id);
    const change = { name: nameOfChain(id), before: old, after: now };
    const list = changes.get(table);
    if (list === undefined) changes.set(table, [change]);
    else list.push(change);
  }
  const transaction = tableNames.flatMap((table): TableChange[] => {
    const chains = changes.get(table) ?? [];
    const of = (list: readonly Hook[]): readonly Hook[] => list.filter((h) => h.table === table);
    const change = { family, table, chains, unhook: of(hooks.unhook), hook: of(hooks.hook) };
    return chains.length + change.unhook.length + change.hook.length === 0 ? [] : [change];
  });
  return inOrder(transaction);
}

/**
 * Tables change one after the other. New refusals come before the translations that leave those packets out, and go after
 * the translations that take their place.
 */
function inOrder(transaction: Transaction): Transaction {
  const filter = transaction.find((c) => c.table === "filter");
  const onlyLess = filter?.chains.every((c) => (c.after?.length ?? 0) < (c.before?.length ?? 0)) ?? false;
  if (!onlyLess) return [...transaction].sort((a, b) => order.indexOf(a.table) - order.indexOf(b.table));
  return transaction;
}
const order: readonly TableName[] = ["raw", "mangle", "filter", "nat"];

/**
 * The other way round, where something else served these addresses until now: what is translated is not refused, but what is not
 * translated yet would be.
 */
export function translationsFirst(transaction: Transaction): Transaction {
  return [...transaction].sort((a, b) => tableNames.indexOf(a.table) - tableNames.indexOf(b.table));
}

export function sameChain(family: IpFamily, a: Chain | undefined, b: Chain | undefined): boolean {
  if (a === b) return true;
  if (a === undefined || b === undefined || a.length !== b.length) return false;
  return a.every((rule, i) => {
    const other = b[i];
    return other !== undefined && (rule === other || printRule(family, rule) === printRule(family, other));
  });
}

/**
 * The same change in parts of so many chains at most, for a loader whose time grows faster than its input: chains that are
 * new come first, each after those it jumps to, and what leads to them, with all chains that were there before, last and at once.
 */
export function inParts(change: TableChange, largest: number): Transaction {
  const fresh = new Map(change.chains.flatMap((c) => (c.before === undefined && c.after !== undefined ? [[c.name, c] as const] : [])));
  if (fresh.size <= largest) return [change];
  const layers: ChainChange[][] = [];
  const depths = new Map<string, number>();
  const depthOf = (name: string): number => {
    let depth = depths.get(name);
    if (depth !== undefined) return depth;
    depth = 0;
    for (const { target } of fresh.get(name)?.after ?? []) {
      if (target.kind === "jump" && fresh.has(target.chain)) depth = Math.max(depth, depthOf(target.chain) + 1);
    }
    depths.set(name, depth);
    return depth;
  };
  for (const [name, chain] of fresh) (layers[depthOf(name)] ??= []).push(chain);
  const parts: TableChange[] = [];
  for (const layer of layers) {
    for (let i = 0; i < layer.length; i += largest) {
      parts.push({ ...change, chains: layer.slice(i, i + largest), unhook: [], hook: [] });
    }
  }
  return [...parts, { ...change, chains: change.chains.filter((c) => !fresh.has(c.name)) }];
}

/** What puts everything back as it was. */
export function inverse(change: TableChange): TableChange {
  return {
    ...change,
    chains: change.chains.map(({ name, before, after }) => ({ name, before: after, after: before })),
    unhook: change.hook,
    hook: change.unhook,
  };
}

/** What `iptables-restore --noflush` takes. Chains that are not named stay as they are; a named one is emptied and filled. */
export function printTransaction(transaction: Transaction): string {
  const lines: string[] = [];
  for (const { family, table, chains, unhook, hook } of transaction) {
    lines.push(`*${table}`);
    // this makes a chain, and empties one that is there
    for (const { name } of chains) lines.push(`:${name} - [0:0]`);
    for (const { builtIn, chain } of unhook) lines.push(`-D ${builtIn} -j ${chain}`);
    for (const { builtIn, chain } of hook) lines.push(`-I ${builtIn} 1 -j ${chain}`);
    for (const { name, after } of chains) for (const rule of after ?? []) lines.push(`-A ${name} ${printRule(family, rule)}`);
    for (const { name, after } of chains) if (after === undefined) lines.push(`-X ${name}`);
    lines.push("COMMIT");
  }
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}
