import { keepJumpedTo } from "../iptables/foreign.ts";
import { isPoolChain } from "../iptables/names.ts";
import type { Found } from "../iptables/read.ts";
import { adopt, diffHooks } from "../iptables/read.ts";
import { type Chain, nameOfChain } from "../iptables/rule.ts";
import { diffChains, type Transaction as RuleTransaction, type TableChange } from "../iptables/transaction.ts";
import type { VirtualServer, Wanted } from "./place.ts";
import { definitionsOf, type Held, type IpvsProgram, itemsOf } from "./program.ts";
import type { ChangeGroup, IpvsState, IpvsTransaction } from "./transaction.ts";
import { type IpvsItem, itemId, type RealServer, sameSettings } from "./values.ts";

/** From one program of this process to a later one; `touched`: the ids of all that may differ. */
export function diffPrograms(before: IpvsProgram, after: IpvsProgram, touched: Iterable<string>): IpvsTransaction {
  const groups = new Groups();
  for (const id of touched) groups.replace(before.held.get(id), after.held.get(id));
  const rules = after.rules.flatMap((set) => {
    const old = before.rules.find((r) => r.family === set.family);
    if (old === undefined || old === set) return [];
    const lacks = (hooks: typeof set.hooks, hook: (typeof set.hooks)[number]): boolean => !hooks.includes(hook);
    return diffChains(set.family, old.chains, set.chains, undefined, {
      unhook: old.hooks.filter((h) => lacks(set.hooks, h)),
      hook: set.hooks.filter((h) => lacks(old.hooks, h)),
    });
  });
  return { createSets: [], ...(rules.length === 0 ? {} : { rules }), groups: groups.list(), destroySets: [] };
}

/** What an earlier process or others left, with the rules of each family. */
export interface FoundState {
  readonly state: IpvsState;
  readonly rules: ReadonlyMap<number, Found>;
}

/** From what was found to the program. What is ours and not wanted goes. */
export function diffFromFound({ state, rules }: FoundState, wanted: IpvsProgram): IpvsTransaction {
  const definitions = new Map(definitionsOf(wanted).map((d) => [d.name, d]));
  const destroySets = [...state.sets.values()].filter((set) => !definitions.has(set.name));
  const groups = new Groups();
  const seen = new Set<string>();
  for (const held of wanted.held.values()) {
    for (const item of itemsOf(held.wanted)) {
      const id = itemId(item);
      seen.add(id);
      const found = state.items.get(id);
      if (found === undefined) groups.of(held.owner).adds.push(item);
      else if (!sameSettings(found, item)) groups.of(held.owner).changes.push({ before: found, after: item });
    }
  }
  const goes = (item: IpvsItem): boolean => !seen.has(itemId(item));
  for (const item of state.items.values()) {
    if (!goes(item)) continue;
    // these go with what holds them
    if (item.kind === "entry" && !definitions.has(item.entry.set)) continue;
    if (item.kind === "real" && goes({ kind: "service", service: { match: item.match, scheduler: "" } })) continue;
    groups.of("leftover").deletes.push(item);
  }
  const changed = ruleDifference(rules, wanted);
  const [guards, rest] = translates(rules) ? guardsFirst(changed) : [undefined, changed];
  return {
    createSets: [...definitions.values()].filter((set) => !state.sets.has(set.name)),
    ...(rest.length === 0 ? {} : { rules: rest }),
    ...(guards === undefined ? {} : { guards }),
    groups: groups.list(),
    destroySets,
  };
}

/** Whether the iptables backend's rules are still there. */
function translates(found: FoundState["rules"]): boolean {
  return [...found.values()].some(({ chains }) => [...chains.keys()].some((id) => isPoolChain(nameOfChain(id))));
}

/** New chains of mangle, first with what they drop only, then whole. */
function guardsFirst(changed: RuleTransaction): readonly [guards: RuleTransaction, rest: RuleTransaction] {
  const guards: TableChange[] = [];
  const rest = changed.map((change): TableChange => {
    if (change.table !== "mangle" || change.chains.some(({ before }) => before !== undefined)) return change;
    const drops = (chain: Chain | undefined): Chain | undefined => chain?.filter(({ target }) => ["drop", "return"].includes(target.kind));
    guards.push({ ...change, chains: change.chains.map(({ name, after }) => ({ name, before: undefined, after: drops(after) })) });
    return { ...change, hook: [], unhook: [], chains: change.chains.map(({ name, after }) => ({ name, before: drops(after), after })) };
  });
  return [guards, rest];
}

function ruleDifference(found: FoundState["rules"], wanted: IpvsProgram): RuleTransaction {
  return wanted.rules.flatMap((set) => {
    const there = found.get(set.family);
    if (there === undefined) return [];
    const adopted = adopt(set.family, there, set.chains);
    const among = new Set([...adopted.keys(), ...set.chains.keys()]);
    return keepJumpedTo(diffChains(set.family, adopted, set.chains, among, diffHooks(there, set.hooks)), there);
  });
}

interface OpenGroup extends ChangeGroup {
  readonly deletes: IpvsItem[];
  readonly changes: { readonly before: IpvsItem; readonly after: IpvsItem }[];
  readonly adds: IpvsItem[];
}

class Groups {
  readonly #groups = new Map<string, OpenGroup>();

  of(owner: string): OpenGroup {
    let group = this.#groups.get(owner);
    if (group === undefined) {
      group = { owner, deletes: [], changes: [], adds: [] };
      this.#groups.set(owner, group);
    }
    return group;
  }

  replace(before: Held | undefined, after: Held | undefined): void {
    if (before?.wanted === after?.wanted) return;
    if (after === undefined) {
      if (before !== undefined) this.of(before.owner).deletes.push(itself(before.wanted));
      return;
    }
    const group = (): OpenGroup => this.of(after.owner);
    if (before === undefined) {
      group().adds.push(...itemsOf(after.wanted));
      return;
    }
    const [old, now] = [itself(before.wanted), itself(after.wanted)];
    if (!sameSettings(old, now)) group().changes.push({ before: old, after: now });
    if (before.wanted.kind === "virtual" && after.wanted.kind === "virtual") replaceReals(before.wanted, after.wanted, group);
  }

  list(): readonly ChangeGroup[] {
    return [...this.#groups.values()];
  }
}

/** Without what goes along with it. */
function itself(wanted: Wanted): IpvsItem {
  return wanted.kind === "virtual" ? { kind: "service", service: wanted.service } : wanted;
}

function replaceReals(before: VirtualServer, after: VirtualServer, group: () => OpenGroup): void {
  if (before.reals === after.reals) return;
  const { match } = after.service;
  const item = (real: RealServer): IpvsItem => ({ kind: "real", match, real });
  const key = (real: RealServer): string => `${real.ip} ${real.port}`;
  const olds = new Map(before.reals.map((real) => [key(real), real]));
  for (const real of after.reals) {
    const old = olds.get(key(real));
    olds.delete(key(real));
    if (old === undefined) group().adds.push(item(real));
    else if (old.weight !== real.weight) group().changes.push({ before: item(old), after: item(real) });
  }
  for (const real of olds.values()) group().deletes.push(item(real));
}
