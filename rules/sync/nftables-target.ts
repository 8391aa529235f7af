import type { Ip, IpFamily } from "../../src/base/ip.ts";
import { distinctProblems, type Problem } from "../../src/snapshot/problem.ts";
import type { AppliedTable, RuleApplier } from "../apply/applier.ts";
import { ApplyError, isApplyError } from "../apply/errors.ts";
import type { Packet, Verdict } from "../model/packet.ts";
import { adoptAllocations, adoptSkeleton } from "../nftables/adopt.ts";
import { compileFrontends, compileSurroundings, emptyRuleset, type Ruleset } from "../nftables/ruleset.ts";
import { defaultSkeletonOptions, type SkeletonOptions } from "../nftables/skeleton.ts";
import type { Element } from "../nftables/statement.ts";
import {
  type ChangeGroup,
  diffFromElements,
  diffFromNothing,
  diffRulesets,
  isEmptyTransaction,
  skeletonVersion,
  type TableTransaction,
  transactionSize,
  versionTransaction,
} from "../nftables/transaction.ts";
import { trialOf, trialTable } from "../nftables/trial.ts";
import type { Frontend, FrontendKey } from "../plan/frontend.ts";
import type { PlanDelta } from "../plan/proxy-plan.ts";
import type { Surroundings } from "../plan/surroundings.ts";
import { rulesetTracer } from "../trace/trace.ts";
import { applyByHalves } from "./bisect.ts";
import { type AskedAgain, Refusals } from "./refusals.ts";
import type { Applied, Audited, RuleTarget } from "./target.ts";

/** So often tables are read anew before a transaction that does not fit them is taken for one that never will. */
const rereadings = 2;

export interface NftablesTargetConfig {
  readonly families: readonly IpFamily[];
  readonly tableName: string;
  readonly skeleton: Partial<SkeletonOptions>;
}

/** One table a family; `applied` is undefined until this process has made or adopted it. */
interface TableState {
  readonly family: IpFamily;
  /** The mark of the skeleton in force; absent until it is written. */
  mark: Element | undefined;
  found: AppliedTable | undefined;
  applied: Ruleset | undefined;
  desired: Ruleset;
}

export class NftablesTarget implements RuleTarget {
  readonly backend = "nftables";
  readonly #config: NftablesTargetConfig;
  readonly #applier: RuleApplier;
  #tables: readonly TableState[] = [];
  /** Frontends whose place changed since the last successful transaction. */
  readonly #pending = new Set<FrontendKey>();
  readonly #refusals = new Refusals();
  /** Transactions in a row that found the tables to be otherwise than read. */
  #divergences = 0;
  #surroundings: Surroundings | undefined;
  #begun = false;
  /** What `foreignCommits` was when the tables were last looked at. */
  #comparedAt: number | undefined;

  constructor(config: NftablesTargetConfig, applier: RuleApplier) {
    this.#config = config;
    this.#applier = applier;
  }

  async start(signal: AbortSignal): Promise<void> {
    await this.#applier.probe(signal);
    this.#comparedAt = this.#applier.foreignCommits();
    const tables: TableState[] = [];
    for (const family of this.#config.families) {
      // of a process that ended in the middle
      const trial = trialTable(this.#config.tableName);
      if (await this.#applier.has(family, trial, signal)) await this.#applier.remove(family, trial, signal);
      const found = await this.#applier.read(family, this.#config.tableName, signal);
      const skeleton = {
        ...defaultSkeletonOptions,
        ...this.#config.skeleton,
        ...(found === undefined ? {} : adoptSkeleton(found.elements)),
      };
      const adopted = adoptAllocations(family, found?.elements ?? []);
      tables.push({
        family,
        mark: markIn(found),
        found,
        applied: undefined,
        desired: emptyRuleset(family, this.#config.tableName, skeleton, adopted),
      });
    }
    this.#tables = tables;
    this.#surroundings = undefined;
  }

  change(delta: PlanDelta, surroundings: Surroundings): void {
    for (const key of delta.frontends.changed.keys()) {
      this.#refusals.forget(key);
      this.#pending.add(key);
    }
    const moved = surroundings !== this.#surroundings;
    this.#surroundings = surroundings;
    for (const table of this.#tables) {
      const { plan } = compileFrontends(delta.frontends.changed, table.desired);
      table.desired = moved ? compileSurroundings(surroundings, plan) : plan;
    }
  }

  async apply(signal: AbortSignal): Promise<Applied> {
    const transaction = this.#tables.map((t) => this.#difference(t));
    if (isEmptyTransaction(transaction)) {
      this.#settled();
      return { changes: 0 };
    }
    try {
      await this.#try(transaction, signal);
    } catch (error) {
      if (!isApplyError(error)) throw error;
      if (error.code === "DIVERGED") await this.#reread(signal);
      if (error.code !== "REFUSED") throw error;
      await this.#leaveOutRefused(transaction, error, signal);
    }
    this.#divergences = 0;
    this.#settled();
    await this.#markSkeletons(transaction, signal);
    return { changes: transactionSize(transaction) };
  }

  async audit(signal: AbortSignal): Promise<Audited> {
    if (this.#tables.some((t) => t.applied === undefined)) {
      if (!this.#begun) return { repaired: false };
      // an earlier repair failed in the middle
      await this.#reread(signal);
      const { changes } = await this.apply(signal);
      return { repaired: changes > 0, changes };
    }
    // reading and comparing a large table takes a good part of a second; where nobody else did anything it is not needed
    const commits = this.#applier.foreignCommits();
    if (commits !== undefined && commits === this.#comparedAt) return { repaired: false };
    const transaction: TableTransaction[] = [];
    for (const table of this.#tables) {
      const found = await this.#applier.read(table.family, this.#config.tableName, signal);
      transaction.push(differenceFrom(found, table.desired));
    }
    this.#comparedAt = commits;
    if (isEmptyTransaction(transaction)) return { repaired: false };
    try {
      await this.#applier.apply(transaction, signal);
    } catch (error) {
      if (!isApplyError(error) || error.code !== "REFUSED") throw error;
      // what of it is there is for the kernel to say
      for (const table of this.#tables) table.applied = undefined;
      await this.#leaveOutRefused(transaction, error, signal);
    }
    this.#settled();
    await this.#markSkeletons(transaction, signal);
    return { repaired: true, changes: transactionSize(transaction) };
  }

  watch(listener: () => void): () => void {
    const unwatch = this.#applier.watch((change) => {
      if (change.table === undefined || change.table === this.#config.tableName) listener();
    });
    // of what others did between the reading of the tables and now nobody tells
    if (this.#applier.foreignCommits() !== this.#comparedAt) listener();
    return unwatch;
  }

  problems(): readonly Problem[] {
    const limits = this.#tables.flatMap(({ desired: { limits } }) => (limits.isEmpty() ? [] : Array.from(limits.values()).flat()));
    if (limits.length === 0) return [...this.#refusals.problems().values()];
    // the frontends of a Service say the same of its balancing
    return distinctProblems([...this.#refusals.problems().values(), ...limits]);
  }

  refused(): ReadonlyMap<FrontendKey, Problem> {
    return this.#refusals.problems();
  }

  askAgain(): AskedAgain {
    const again = this.#refusals.askAgain();
    for (const key of again.keys()) this.#pending.add(key);
    for (const table of this.#tables) table.desired = compileFrontends(again, table.desired).plan;
    return again;
  }

  trace(packet: Packet, localIps: readonly Ip[]): Verdict {
    return rulesetTracer(this.rulesets(), localIps)(packet);
  }

  rulesets(): readonly Ruleset[] {
    return this.#tables.map((t) => t.desired);
  }

  close(): Promise<void> {
    return this.#applier.close();
  }

  /**
   * The kernel says "exists" both of what somebody else put there and of what clashes with the rest of one transaction. Who goes
   * on hearing it although the tables were read anew asks for what cannot be: that is a refusal. So it is of what was refused
   * before: should others have changed the tables meanwhile, an audit says so.
   */
  async #try(transaction: readonly TableTransaction[], signal: AbortSignal): Promise<void> {
    const onlyAgain = [...this.#pending].every((key) => this.#refusals.isAgain(key));
    try {
      await this.#applier.apply(transaction, signal);
    } catch (error) {
      if (!isApplyError(error) || error.code !== "DIVERGED") throw error;
      if (!(onlyAgain && this.#pending.size > 0) && this.#divergences++ < rereadings) throw error;
      throw refusalFrom(error);
    }
  }

  #difference(table: TableState): TableTransaction {
    return table.applied === undefined
      ? differenceFrom(table.found, table.desired)
      : diffRulesets(table.applied, table.desired, this.#pending);
  }

  #settled(): void {
    this.#begun = true;
    for (const table of this.#tables) {
      table.applied = table.desired;
      table.found = undefined;
    }
    this.#pending.clear();
    this.#refusals.settle();
  }

  async #markSkeletons(transaction: readonly TableTransaction[], signal: AbortSignal): Promise<void> {
    const marks: TableTransaction[] = [];
    for (const { family, table, skeleton } of transaction) {
      const state = this.#tables.find((t) => t.family === family);
      if (skeleton === undefined || state === undefined) continue;
      const fingerprint = await this.#applier.fingerprint(family, table, signal);
      const before = skeleton.kind === "extend" && state.mark !== undefined ? [state.mark] : [];
      const mark = versionTransaction(state.desired, fingerprint, before);
      state.mark = mark.groups[0]?.adds[0];
      marks.push(mark);
    }
    if (marks.length > 0) await this.#applier.apply(marks, signal);
  }

  /** The tables are not as thought: the next try starts from what is there. */
  async #reread(signal: AbortSignal): Promise<void> {
    for (const table of this.#tables) {
      table.found = await this.#applier.read(table.family, this.#config.tableName, signal);
      table.mark = markIn(table.found);
      table.applied = undefined;
    }
  }

  /** Applies all but what the kernel refuses, without which nobody is who had rules. */
  async #leaveOutRefused(transaction: readonly TableTransaction[], refusal: ApplyError, signal: AbortSignal): Promise<void> {
    for (const { family, table, skeleton } of transaction) {
      if (skeleton?.kind === "replace" && (await this.#applier.has(family, table, signal)))
        return this.#replaceWithoutRefused(refusal, signal);
    }
    return this.#withoutRefused(transaction, signal);
  }

  /**
   * A table that is in force is made anew in one transaction or not at all: what of it the kernel refuses is found in another table. If
   * that is nothing, no Service is to blame, and all stays as it is, to be tried again later.
   */
  async #replaceWithoutRefused(refusal: ApplyError, signal: AbortSignal): Promise<void> {
    const refused = await this.#tried(signal);
    if (refused.size === 0) throw refusal;
    for (const table of this.#tables) {
      const left = new Map<FrontendKey, { before: Frontend }>();
      for (const [key, cause] of refused) {
        const frontend = table.desired.frontends.get(key)?.frontend;
        if (frontend === undefined) continue;
        left.set(key, { before: frontend });
        this.#pending.add(key);
        this.#refusals.refuse(key, frontend, cause);
      }
      table.desired = compileFrontends(left, table.desired).plan;
      if (table.applied === undefined) table.found = await this.#applier.read(table.family, this.#config.tableName, signal);
    }
    await this.#applier.apply(
      this.#tables.map((t) => this.#difference(t)),
      signal,
    );
  }

  /** The frontends of all that is desired that the kernel refuses, asked in tables that no packet meets and that are gone afterwards. */
  async #tried(signal: AbortSignal): Promise<ReadonlyMap<FrontendKey, ApplyError>> {
    const trials = this.#tables.map(({ desired }) => trialOf(desired));
    const refused = new Map<FrontendKey, ApplyError>();
    try {
      await this.#applier.apply(
        trials.map((t) => ({ ...t, groups: t.groups.filter(isBase) })),
        signal,
      );
      await applyByHalves(
        trials.flatMap((table) => table.groups.filter((group) => !isBase(group)).map((group) => ({ table, group }))),
        {
          apply: async (some) => {
            const groupsOf = (of: TableTransaction): readonly ChangeGroup[] => some.filter((u) => u.table === of).map((u) => u.group);
            try {
              await this.#applier.apply(
                trials.map((t) => ({ family: t.family, table: t.table, groups: groupsOf(t) })),
                signal,
              );
            } catch (error) {
              // nobody else has a hand in these tables
              throw isApplyError(error) && error.code === "DIVERGED" ? refusalFrom(error) : error;
            }
          },
          refuse: ({ group }, cause) => void refused.set(group.owner, cause),
        },
      );
    } finally {
      for (const { family, table } of trials) await this.#applier.remove(family, table, signal);
    }
    return refused;
  }

  /** Applies all but the groups the kernel refuses, found by halves; the refused frontends become problems. */
  async #withoutRefused(transaction: readonly TableTransaction[], signal: AbortSignal): Promise<void> {
    const units = transaction.flatMap((table) => table.groups.map((group) => ({ table, group })));
    const base = transaction.map((t) => ({ ...t, groups: t.groups.filter(isBase) }));
    if (!isEmptyTransaction(base)) await this.#applier.apply(base, signal);
    const refused = new Map<FrontendKey, ApplyError>();
    await applyByHalves(
      units.filter((u) => !isBase(u.group)),
      {
        apply: (some) => {
          const groups = (family: IpFamily): readonly ChangeGroup[] => some.filter((u) => u.table.family === family).map((u) => u.group);
          return this.#try(
            transaction.map(({ family, table }) => ({ family, table, groups: groups(family) })),
            signal,
          );
        },
        refuse: ({ group }, cause) => void refused.set(group.owner, cause),
      },
    );
    if (refused.size === 0) return;
    const rest: TableTransaction[] = [];
    for (const table of this.#tables) {
      const changed = new Map<FrontendKey, { before: Frontend }>();
      for (const [key, cause] of refused) {
        const placed = table.desired.frontends.get(key);
        if (placed === undefined) continue;
        changed.set(key, { before: placed.frontend });
        this.#refusals.refuse(key, placed.frontend, cause);
      }
      const previous = table.applied;
      const now = table.desired;
      table.desired = compileFrontends(changed, now).plan;
      if (previous === undefined) {
        // what an earlier process had there, or this one before it lost track, is known to the kernel only
        rest.push(differenceFrom(await this.#applier.read(table.family, this.#config.tableName, signal), table.desired));
        continue;
      }
      // what was there before a refused change still is: say so, so that leaving the frontend out removes it
      let standing = now.frontends;
      for (const key of changed.keys()) {
        const old = previous.frontends.get(key);
        standing = old === undefined ? standing.delete(key) : standing.set(key, old);
      }
      table.applied = { ...now, frontends: standing };
      rest.push(diffRulesets(table.applied, table.desired));
    }
    if (!isEmptyTransaction(rest)) await this.#applier.apply(rest, signal);
  }
}

/** What clashes with nothing but the rest of what is asked. */
function refusalFrom(divergence: ApplyError): ApplyError {
  return new ApplyError("REFUSED", divergence.message, { owner: divergence.owner, cause: divergence });
}

/** Of no frontend's own. */
function isBase({ owner }: ChangeGroup): boolean {
  return ["version", "surroundings", "shared", "skeleton", "leftover"].includes(owner);
}

function differenceFrom(found: AppliedTable | undefined, desired: Ruleset): TableTransaction {
  const intact = found?.version?.skeleton === skeletonVersion(desired) && found.version.fingerprint === found.fingerprint;
  return found !== undefined && intact ? diffFromElements(found.elements, desired) : diffFromNothing(desired);
}

function markIn(found: AppliedTable | undefined): Element | undefined {
  return found?.elements.find((e) => e.set === "version");
}
