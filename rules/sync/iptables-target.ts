import type { Ip, IpFamily } from "../../src/base/ip.ts";
import type { ForeignEyes } from "../../src/kernel/iptables-watch.ts";
import type { Problem } from "../../src/snapshot/problem.ts";
import { type ApplyError, isApplyError } from "../apply/errors.ts";
import type { IptablesApplier } from "../apply/iptables-applier.ts";
import type { IptablesOptions } from "../iptables/chains.ts";
import { keepJumpedTo, keptChainProblems, keptChains } from "../iptables/foreign.ts";
import {
  type CompiledRules,
  compileFrontends,
  compileHealthPorts,
  compileSurroundings,
  emptyProgram,
  hooksOf,
  type IptablesProgram,
  problemOf,
} from "../iptables/program.ts";
import { adopt, diffHooks, type Found } from "../iptables/read.ts";
import type { ChainId, Hook, TableName } from "../iptables/rule.ts";
import {
  diffChains,
  type HookChange,
  isEmptyTransaction,
  rulesByTable,
  rulesWritten,
  type Transaction,
  transactionSize,
  translationsFirst,
} from "../iptables/transaction.ts";
import { suspectsOf, trialOf } from "../iptables/trial.ts";
import type { Packet, Verdict } from "../model/packet.ts";
import type { Frontend, FrontendKey } from "../plan/frontend.ts";
import type { PlanDelta } from "../plan/proxy-plan.ts";
import type { Surroundings } from "../plan/surroundings.ts";
import { traceIptables } from "../trace/iptables-trace.ts";
import { applyByHalves, byOwner } from "./bisect.ts";
import { type AskedAgain, Refusals } from "./refusals.ts";
import { type CountedPackets, type KernelCounters, readCounters, tryCounters } from "./rule-counters.ts";
import { RuleWatch } from "./rule-watch.ts";
import type { Applied, Audited, RuleCount, RuleTarget } from "./target.ts";

export interface IptablesTargetConfig {
  readonly nodeName: string;
  readonly families: readonly IpFamily[];
  readonly options: IptablesOptions;
  /** How often the canaries are looked for, where nothing tells of others' changes; default 10 s. */
  readonly canaryIntervalMs?: number | undefined;
}

/** What the target reaches the world by. */
export interface IptablesWorld {
  /** Chooses the make. Throws ApplyError UNUSABLE. */
  open(signal: AbortSignal): Promise<{
    readonly applier: IptablesApplier;
    readonly other: IptablesApplier;
    /** Absent: the canaries have to tell. */
    readonly eyes?: ForeignEyes | undefined;
    /** What rules may count in; absent: they do not. */
    readonly counters?: KernelCounters | undefined;
  }>;
  /** Called once, where rules cannot count. */
  noteUncounted(why: string): void;
  /** Whether connection tracking takes TCP packets that do not fit: then none is INVALID for that, and none is dropped. */
  tcpIsLiberal(): boolean;
  /** Lets connections from 127.0.0.1 leave the loopback link, for node ports there. */
  routeLocalnet(): void;
  /** Called once, when the first Service with session affinity comes. */
  noteAffinity(): void;
}

/** One family's tables; `applied` is undefined until this process has made or adopted them. */
interface FamilyState {
  readonly family: IpFamily;
  found: Found | undefined;
  /** What stays of chains that are not wanted, as last read. */
  kept: readonly string[];
  applied: IptablesProgram | undefined;
  desired: IptablesProgram;
  /** Rules that the last transaction wrote. */
  written: ReadonlyMap<TableName, number>;
  /** Chains that may differ from those applied. */
  readonly pending: Set<ChainId>;
}

/** Of so many audits in which nobody seems to have changed anything, one compares nevertheless. */
const auditsToSkip = 10;
const noHooks: HookChange = { unhook: [], hook: [] };

export class IptablesTarget implements RuleTarget {
  readonly backend = "iptables";
  readonly #config: IptablesTargetConfig;
  readonly #world: IptablesWorld;
  #applier: IptablesApplier | undefined;
  #watch: RuleWatch;
  #skippedAudits = 0;
  /** Rules of ours in the other make, from before somebody changed makes, go once these are in force. */
  #other: IptablesApplier | undefined;
  #states: readonly FamilyState[] = [];
  readonly #pendingFrontends = new Set<FrontendKey>();
  readonly #refusals = new Refusals();
  #counters: KernelCounters | undefined;
  #affinityNoted = false;
  /** What a frontend asks for that iptables cannot do; it does without. */
  readonly #limits = new Map<FrontendKey, Problem>();

  constructor(config: IptablesTargetConfig, world: IptablesWorld) {
    this.#config = config;
    this.#world = world;
    this.#watch = this.#watchWith(undefined);
  }

  async start(signal: AbortSignal): Promise<void> {
    const { families } = this.#config;
    const { applier, other, eyes, counters } = await this.#world.open(signal);
    this.#applier = applier;
    this.#counters = counters;
    this.#other = other;
    this.#watch = this.#watchWith(eyes);
    await applier.probe(families, signal);
    const counted = await this.#tryCounters(families, signal);
    const options = { ...this.#config.options, counted, dropInvalid: this.#config.options.dropInvalid && !this.#world.tcpIsLiberal() };
    if (options.localhostNodePorts && families.includes(4)) this.#world.routeLocalnet();
    this.#states = await Promise.all(
      families.map(async (family): Promise<FamilyState> => {
        const found = await applier.read(family, signal);
        return {
          family,
          found,
          kept: [],
          applied: undefined,
          desired: emptyProgram(family, options),
          written: new Map(),
          pending: new Set(),
        };
      }),
    );
  }

  change(delta: PlanDelta, surroundings: Surroundings): void {
    for (const [key, { after }] of delta.frontends.changed) {
      this.#refusals.forget(key);
      this.#pendingFrontends.add(key);
      if (!this.#affinityNoted && after?.action.kind === "balance" && after.action.affinitySeconds !== undefined) {
        this.#affinityNoted = true;
        this.#world.noteAffinity();
      }
      const problem = after === undefined ? undefined : problemOf(after);
      if (problem === undefined) this.#limits.delete(key);
      else this.#limits.set(key, problem);
    }
    for (const state of this.#states) {
      this.#take(state, compileSurroundings(surroundings, state.desired));
      this.#take(state, compileFrontends(delta.frontends.changed, state.desired));
      this.#take(state, compileHealthPorts(delta.services.changed, state.desired));
    }
  }

  async apply(signal: AbortSignal): Promise<Applied> {
    const transaction = this.#difference(this.#pendingFrontends);
    for (const state of this.#states) {
      if (state.found !== undefined) state.kept = keptChains(state.family, state.found, state.desired.chains);
    }
    await this.#watch.changing(async () => {
      if (!isEmptyTransaction(transaction)) await this.#applyOrBisect(transaction, signal);
      for (const state of this.#states) state.written = rulesWritten(transaction, state.family);
      this.#settled();
      this.#refusals.settle();
      await this.#removeOther(signal);
    });
    return { changes: transactionSize(transaction) };
  }

  /**
   * What is asked for again has no rules yet, so that nobody loses any: its translations come first, since they are what was mostly
   * refused, and no other table shows anything of an attempt that is refused again.
   */
  #difference(changed: Iterable<FrontendKey>): Transaction {
    const transaction = this.#states.flatMap(differenceOf);
    const keys = [...changed];
    return keys.length > 0 && keys.every((key) => this.#refusals.isAgain(key)) ? translationsFirst(transaction) : transaction;
  }

  async #applyOrBisect(transaction: Transaction, signal: AbortSignal): Promise<void> {
    try {
      await this.#programs.apply(transaction, signal);
    } catch (error) {
      if (!isApplyError(error)) throw error;
      if (error.code === "DIVERGED") await this.#reread(signal);
      if (error.code !== "REFUSED") throw error;
      if (this.#states.some((s) => s.applied === undefined)) await this.#overFound(transaction, error, signal);
      else await this.#withoutRefused(signal);
    }
  }

  async audit(signal: AbortSignal): Promise<Audited> {
    if (this.#states.some((s) => s.applied === undefined)) return { repaired: false };
    if (this.#watch.changed() === false && this.#skippedAudits < auditsToSkip) {
      this.#skippedAudits++;
      return { repaired: false };
    }
    this.#skippedAudits = 0;
    const transaction = await this.#watch.comparing(async () => {
      const differences = this.#states.map(async (state) => {
        state.found = await this.#programs.read(state.family, signal);
        state.kept = keptChains(state.family, state.found, state.desired.chains);
        return differenceFrom(state.found, state.desired);
      });
      return (await Promise.all(differences)).flat();
    });
    if (isEmptyTransaction(transaction)) {
      this.#settled();
      return { repaired: false };
    }
    await this.#watch.changing(() => this.#repair(transaction, signal));
    return { repaired: true, changes: transactionSize(transaction) };
  }

  async #repair(transaction: Transaction, signal: AbortSignal): Promise<void> {
    try {
      await this.#programs.apply(transaction, signal);
    } catch (error) {
      if (!isApplyError(error) || error.code !== "REFUSED") throw error;
      const before = this.#states.map((state) => state.applied);
      for (const state of this.#states) state.applied = undefined;
      try {
        await this.#overFound(transaction, error, signal);
      } catch (later) {
        for (const [i, state] of this.#states.entries()) state.applied ??= before[i];
        throw later;
      }
    }
    this.#settled();
  }

  watch(listener: () => void): () => void {
    return this.#watch.watch(listener);
  }

  problems(): readonly Problem[] {
    // a Service's frontends all ask for the same
    const limits = new Map([...this.#limits.values()].map((p) => [`${p.object.namespace ?? ""}/${p.object.name}`, p]));
    const kept = keptChainProblems(
      this.#config.nodeName,
      this.#states.flatMap((state) => state.kept),
    );
    return [...this.#refusals.problems().values(), ...limits.values(), ...kept];
  }

  refused(): ReadonlyMap<FrontendKey, Problem> {
    return this.#refusals.problems();
  }

  askAgain(): AskedAgain {
    const again = this.#refusals.askAgain();
    for (const key of again.keys()) this.#pendingFrontends.add(key);
    for (const state of this.#states) this.#take(state, compileFrontends(again, state.desired));
    return again;
  }

  rules(): readonly RuleCount[] {
    return this.#states.flatMap(({ family, applied, written }) =>
      [...rulesByTable(applied?.chains ?? [])].map(([table, rules]) => ({ table, family, rules, written: written.get(table) ?? 0 })),
    );
  }

  counted(): CountedPackets | undefined {
    return this.#counters === undefined ? undefined : readCounters(this.#counters, this.#config.options.localhostNodePorts);
  }

  trace(packet: Packet, localIps: readonly Ip[]): Verdict {
    return traceIptables(this.programs(), packet, localIps);
  }

  programs(): readonly IptablesProgram[] {
    return this.#states.map((s) => s.desired);
  }

  close(): Promise<void> {
    this.#watch.close();
    this.#counters?.close();
    return Promise.resolve();
  }

  async #tryCounters(families: readonly IpFamily[], signal: AbortSignal): Promise<boolean> {
    if (this.#counters === undefined) return false;
    const why = await tryCounters(this.#counters, this.#programs, families, signal);
    if (why === undefined) return true;
    this.#world.noteUncounted(why);
    this.#counters.close();
    this.#counters = undefined;
    return false;
  }

  get #programs(): IptablesApplier {
    if (this.#applier === undefined) throw new Error("not started");
    return this.#applier;
  }

  #watchWith(eyes: ForeignEyes | undefined): RuleWatch {
    const intact = async (signal: AbortSignal): Promise<boolean> => {
      for (const { family, applied } of this.#states) {
        if (applied !== undefined && !(await this.#programs.intact(family, signal))) return false;
      }
      return true;
    };
    const tally = (): number => this.#applier?.tally() ?? 0;
    return new RuleWatch({ eyes, intact, tally, canaryIntervalMs: this.#config.canaryIntervalMs });
  }

  #take(state: FamilyState, { program, touched }: CompiledRules): void {
    state.desired = program;
    for (const id of touched) state.pending.add(id);
  }

  #settled(): void {
    for (const state of this.#states) {
      state.applied = state.desired;
      state.found = undefined;
      state.pending.clear();
    }
    this.#pendingFrontends.clear();
  }

  async #removeOther(signal: AbortSignal): Promise<void> {
    const other = this.#other;
    if (other === undefined) return;
    this.#other = undefined;
    for (const family of this.#config.families) await other.remove(family, signal);
  }

  /** The tables are not as thought: the next try starts from what is there. */
  async #reread(signal: AbortSignal): Promise<void> {
    const found = await Promise.all(this.#states.map(({ family }) => this.#programs.read(family, signal)));
    for (const [i, state] of this.#states.entries()) {
      state.found = found[i];
      state.applied = undefined;
    }
  }

  /**
   * Makes what was found into what is desired, but for what the kernel refuses of that: none of the rules found goes before it is known.
   * A trial names each frontend that is refused. Where it names none, or something else is refused too, that is no Service's doing:
   * all that was found stays, and it is tried again later.
   */
  async #overFound(transaction: Transaction, refusal: ApplyError, signal: AbortSignal): Promise<void> {
    const someFound = this.#states.some(({ found }) => (found?.chains.size ?? 0) > 0);
    if (!someFound) await this.#withoutRefused(signal);
    else if (await this.#leaveOutTried(transaction, signal)) await this.#programs.apply(this.#states.flatMap(differenceOf), signal);
    else throw refusal;
  }

  /** Leaves out the frontends whose rules the kernel refuses in a trial. Whether there are any. */
  async #leaveOutTried(transaction: Transaction, signal: AbortSignal): Promise<boolean> {
    const suspects = new Map<FrontendKey, Frontend>();
    for (const { family, desired } of this.#states) {
      const ofFamily = transaction.filter((change) => change.family === family);
      for (const [key, frontend] of suspectsOf(ofFamily, desired)) suspects.set(key, frontend);
    }
    const refused = new Map<FrontendKey, ApplyError>();
    await applyByHalves(byOwner(new Map(Array.from(suspects, ([key, after]) => [key, { after }]))), {
      apply: (keys) => {
        const some = keys.flatMap((key) => suspects.get(key) ?? []);
        return this.#programs.apply(
          this.#states.flatMap(({ desired }) => trialOf(some, desired)),
          signal,
        );
      },
      refuse: (key, cause) => void refused.set(key, cause),
    });
    for (const [key, cause] of refused) {
      const frontend = suspects.get(key);
      if (frontend !== undefined) this.#refusals.refuse(key, frontend, cause);
    }
    const left = new Map(Array.from(refused.keys(), (key) => [key, {}]));
    for (const state of this.#states) this.#take(state, compileFrontends(left, state.desired));
    return refused.size > 0;
  }

  /** Applies all but the frontends the kernel refuses, found by halves; those become problems. */
  async #withoutRefused(signal: AbortSignal): Promise<void> {
    const wanted = new Map<FrontendKey, { after?: Frontend }>();
    for (const { desired } of this.#states) {
      for (const key of this.#states.some((s) => s.applied === undefined) ? desired.frontends.keys() : this.#pendingFrontends) {
        const after = desired.frontends.get(key);
        wanted.set(key, { ...wanted.get(key), ...(after === undefined ? {} : { after }) });
      }
    }
    // first everything but what changed, as it was; then what changed, by halves
    for (const state of this.#states) {
      const before = new Map<FrontendKey, { after?: Frontend }>();
      for (const key of wanted.keys()) {
        const old = state.applied?.frontends.get(key);
        before.set(key, old === undefined ? {} : { after: old });
      }
      this.#take(state, compileFrontends(before, state.desired));
    }
    await this.#programs.apply(this.#states.flatMap(differenceOf), signal);
    this.#settled();
    await applyByHalves(byOwner(wanted), {
      apply: async (keys) => {
        const some = new Map(keys.map((key) => [key, wanted.get(key) ?? {}]));
        const before = this.#states.map((s) => s.desired);
        for (const state of this.#states) this.#take(state, compileFrontends(some, state.desired));
        try {
          await this.#programs.apply(this.#difference(keys), signal);
        } catch (error) {
          if (isApplyError(error) && error.code === "REFUSED") {
            for (const [i, state] of this.#states.entries()) state.desired = before[i] ?? state.desired;
          }
          throw error;
        }
        this.#settled();
      },
      refuse: (key, cause) => this.#leaveOut(key, wanted, cause, signal),
    });
  }

  /** A refused frontend has no rules, not the ones it had before. */
  async #leaveOut(
    key: FrontendKey,
    wanted: ReadonlyMap<FrontendKey, { readonly after?: Frontend }>,
    cause: ApplyError,
    signal: AbortSignal,
  ): Promise<void> {
    for (const state of this.#states) this.#take(state, compileFrontends(new Map([[key, {}]]), state.desired));
    await this.#programs.apply(this.#states.flatMap(differenceOf), signal);
    this.#settled();
    const frontend = wanted.get(key)?.after;
    if (frontend !== undefined) this.#refusals.refuse(key, frontend, cause);
  }
}

function differenceOf(state: FamilyState): Transaction {
  const { family, applied, desired, pending, found } = state;
  if (applied !== undefined)
    return diffChains(family, applied.chains, desired.chains, pending, hookChange(hooksOf(applied), hooksOf(desired)));
  return found === undefined ? [] : differenceFrom(found, desired);
}

function differenceFrom(found: Found, desired: IptablesProgram): Transaction {
  const { family, chains } = desired;
  const adopted = adopt(family, found, chains);
  const among = new Set([...adopted.keys(), ...chains.keys()]);
  return translationsFirst(keepJumpedTo(diffChains(family, adopted, chains, among, diffHooks(found, hooksOf(desired))), found));
}

function hookChange(before: readonly Hook[], after: readonly Hook[]): HookChange {
  if (before.length === after.length) return noHooks;
  const lacks = (list: readonly Hook[], hook: Hook): boolean => !list.includes(hook);
  return { unhook: before.filter((h) => lacks(after, h)), hook: after.filter((h) => lacks(before, h)) };
}
