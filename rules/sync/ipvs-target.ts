import type { Ip, IpFamily } from "../../src/base/ip.ts";
import type { ForeignEyes } from "../../src/kernel/iptables-watch.ts";
import type { Problem } from "../../src/snapshot/problem.ts";
import { type ApplyError, isApplyError } from "../apply/errors.ts";
import type { IptablesApplier } from "../apply/iptables-applier.ts";
import type { IpvsApplier } from "../apply/ipvs-applier.ts";
import { keptChainProblems, keptChains } from "../iptables/foreign.ts";
import type { Found } from "../iptables/read.ts";
import { diffFromFound, diffPrograms, type FoundState } from "../ipvs/difference.ts";
import {
  type CompiledServers,
  compileFrontends,
  compileHealthPorts,
  compileSurroundings,
  emptyIpvsProgram,
  type IpvsProgram,
  type IpvsProgramOptions,
  limitOf,
  withAddresses,
} from "../ipvs/program.ts";
import { type IpvsTransaction, isEmptyTransaction, transactionSize } from "../ipvs/transaction.ts";
import { matchKey, type ServiceMatch } from "../ipvs/values.ts";
import type { Packet, Verdict } from "../model/packet.ts";
import type { Frontend, FrontendKey } from "../plan/frontend.ts";
import type { PlanDelta } from "../plan/proxy-plan.ts";
import type { Surroundings } from "../plan/surroundings.ts";
import { traceIpvs } from "../trace/ipvs-trace.ts";
import { applyByHalves, byOwner } from "./bisect.ts";
import { type AskedAgain, Refusals } from "./refusals.ts";
import { RuleWatch } from "./rule-watch.ts";
import { lackingSchedulers } from "./scheduler-trial.ts";
import type { Applied, Audited, RuleTarget } from "./target.ts";

export interface IpvsTargetConfig {
  readonly nodeName: string;
  readonly options: IpvsProgramOptions;
  /** How often the rules' canaries are looked for; default 10 s. */
  readonly canaryIntervalMs?: number | undefined;
}

/** What the target reaches the world by. */
export interface IpvsWorld {
  /** `rules` is the door that `servers` makes the rules by; `other` the other make of iptables. Throws ApplyError UNUSABLE. */
  open(signal: AbortSignal): Promise<IpvsDoors>;
  /** Addresses of this machine's links but the service link. */
  machineIps(): readonly Ip[];
}

export interface IpvsDoors {
  readonly servers: IpvsApplier;
  readonly rules: IptablesApplier;
  readonly other?: IptablesApplier | undefined;
  /** Sees others' changes of rules. Absent: the canaries have to tell. Of the rest only audits tell. */
  readonly eyes?: ForeignEyes | undefined;
}

/** Services as virtual servers of the kernel, with the rules and sets beside them. */
export class IpvsTarget implements RuleTarget {
  readonly backend = "ipvs";
  readonly #config: IpvsTargetConfig;
  readonly #world: IpvsWorld;
  #doors: IpvsDoors | undefined;
  #watch: RuleWatch;
  /** Rules of ours in the other make, from before somebody changed makes, go once these are in force. */
  #otherRemoved = false;
  /** Nothing of kube-proxy's is left beside the service link, whose servers were taken over. */
  #kubeProxyRemoved = false;
  #begun = false;
  #found: FoundState | undefined;
  /** What stays of chains that are not wanted, as last read. */
  #kept: readonly string[] = [];
  /** Undefined until this process has made or adopted it. */
  #applied: IpvsProgram | undefined;
  #desired: IpvsProgram;
  #surroundings: Surroundings | undefined;
  /** What may differ from what was applied: ids, and the frontends they are of. */
  readonly #pending = new Set<string>();
  readonly #pendingFrontends = new Set<FrontendKey>();
  readonly #refusals = new Refusals();
  /** Frontends at addresses that are somebody else's, or that cannot have what they ask for. */
  readonly #limits = new Map<FrontendKey, Problem>();

  constructor(config: IpvsTargetConfig, world: IpvsWorld) {
    this.#config = config;
    this.#world = world;
    this.#watch = this.#watchWith(undefined);
    this.#desired = emptyIpvsProgram(config.options);
  }

  async start(signal: AbortSignal): Promise<void> {
    const doors = await this.#world.open(signal);
    this.#doors = doors;
    this.#watch = this.#watchWith(doors.eyes);
    await doors.servers.probe(signal);
    await doors.rules.probe(this.#config.options.families, signal);
    await doors.servers.prepare(signal);
    const lacking = await lackingSchedulers(doors.servers, this.#config.options.scheduler, signal);
    this.#desired = emptyIpvsProgram({ ...this.#config.options, lacking });
  }

  change(delta: PlanDelta, surroundings: Surroundings): void {
    for (const [key, { after }] of delta.frontends.changed) {
      const problem = after === undefined ? undefined : limitOf(after, this.#desired.options);
      if (problem === undefined) this.#limits.delete(key);
      else this.#limits.set(key, problem);
      this.#refusals.forget(key);
      this.#pendingFrontends.add(key);
    }
    this.#surroundings = surroundings;
    this.#takeSurroundings();
    this.#take(compileFrontends(delta.frontends.changed, this.#desired));
    this.#take(compileHealthPorts(delta.services.changed, this.#desired));
  }

  async apply(signal: AbortSignal): Promise<Applied> {
    // only now is it known what is wanted, and so which servers at this machine's own addresses are ours
    if (this.#applied === undefined) this.#found = await this.#read(signal);
    const transaction = this.#difference();
    await this.#watch.changing(async () => {
      if (!isEmptyTransaction(transaction)) await this.#applyOrBisect(transaction, signal);
      this.#settled();
      this.#refusals.settle();
      await this.#removeOther(signal);
      await this.#removeKubeProxy(signal);
    });
    return { changes: transactionSize(transaction) };
  }

  async #applyOrBisect(transaction: IpvsTransaction, signal: AbortSignal): Promise<void> {
    try {
      await this.#servers.apply(transaction, signal);
    } catch (error) {
      if (!isApplyError(error)) throw error;
      if (error.code === "REFUSED") await this.#withoutRefused(error, signal);
      else {
        // unlike tables, virtual servers keep what was done before something failed: the next try starts from what is there
        this.#applied = undefined;
        throw error;
      }
    }
  }

  async audit(signal: AbortSignal): Promise<Audited> {
    if (this.#applied === undefined) {
      // not yet begun; or an earlier repair failed in the middle, and what it left was read
      if (!this.#begun) return { repaired: false };
      const { changes } = await this.apply(signal);
      return { repaired: changes > 0, changes };
    }
    // links come and go, and node ports answer on all of them
    if (this.#takeSurroundings()) await this.apply(signal);
    await this.#removeKubeProxy(signal);
    const found = await this.#watch.comparing(() => this.#read(signal));
    const transaction = diffFromFound(found, this.#desired);
    if (isEmptyTransaction(transaction)) return { repaired: false };
    // a repair starts from what is there, and so does what follows one that failed
    this.#applied = undefined;
    this.#found = found;
    await this.#watch.changing(() => this.#applyOrBisect(transaction, signal));
    this.#settled();
    return { repaired: true, changes: transactionSize(transaction) };
  }

  watch(listener: () => void): () => void {
    return this.#watch.watch(listener);
  }

  problems(): readonly Problem[] {
    // a Service's frontends all ask for the same
    const limits = new Map([...this.#limits.values()].map((p) => [`${p.object.namespace ?? ""}/${p.object.name} ${p.message}`, p]));
    return [...this.#refusals.problems().values(), ...limits.values(), ...keptChainProblems(this.#config.nodeName, this.#kept)];
  }

  refused(): ReadonlyMap<FrontendKey, Problem> {
    return this.#refusals.problems();
  }

  askAgain(): AskedAgain {
    const again = this.#refusals.askAgain();
    for (const key of again.keys()) this.#pendingFrontends.add(key);
    this.#take(compileFrontends(again, this.#desired));
    return again;
  }

  trace(packet: Packet, localIps: readonly Ip[]): Verdict {
    return traceIpvs(this.#desired, packet, localIps);
  }

  program(): IpvsProgram {
    return this.#desired;
  }

  async close(): Promise<void> {
    this.#watch.close();
    await this.#doors?.servers.close();
  }

  get #servers(): IpvsApplier {
    if (this.#doors === undefined) throw new Error("not started");
    return this.#doors.servers;
  }

  #watchWith(eyes: ForeignEyes | undefined): RuleWatch {
    const intact = async (signal: AbortSignal): Promise<boolean> => {
      const rules = this.#doors?.rules;
      if (rules === undefined || this.#applied === undefined) return true;
      for (const family of this.#config.options.families) if (!(await rules.intact(family, signal))) return false;
      return true;
    };
    const tally = (): number => this.#doors?.rules.tally() ?? 0;
    return new RuleWatch({ eyes, intact, tally, canaryIntervalMs: this.#config.canaryIntervalMs });
  }

  #take({ program, touched }: CompiledServers): boolean {
    const changed = program !== this.#desired;
    this.#desired = program;
    for (const id of touched) this.#pending.add(id);
    return changed;
  }

  /** Whether anything around is not as it was. */
  #takeSurroundings(): boolean {
    if (this.#surroundings === undefined) return false;
    return this.#take(compileSurroundings(withAddresses(this.#surroundings, this.#world.machineIps()), this.#desired));
  }

  #difference(): IpvsTransaction {
    if (this.#applied !== undefined) return diffPrograms(this.#applied, this.#desired, this.#pending);
    if (this.#found === undefined) throw new Error("not read");
    return diffFromFound(this.#found, this.#desired);
  }

  #settled(): void {
    this.#begun = true;
    this.#applied = this.#desired;
    this.#found = undefined;
    this.#pending.clear();
    this.#pendingFrontends.clear();
  }

  async #read(signal: AbortSignal): Promise<FoundState> {
    const rules = new Map<IpFamily, Found>();
    const read = async (family: IpFamily): Promise<void> => {
      const found = await this.#doors?.rules.read(family, signal);
      if (found !== undefined) rules.set(family, found);
    };
    await Promise.all(this.#config.options.families.map(read));
    this.#kept = this.#desired.rules.flatMap(({ family, chains }) => {
      const found = rules.get(family);
      return found === undefined ? [] : keptChains(family, found, chains);
    });
    return { state: await this.#servers.read(signal, this.#isWanted), rules };
  }

  async #removeOther(signal: AbortSignal): Promise<void> {
    const other = this.#doors?.other;
    if (other === undefined || this.#otherRemoved) return;
    this.#otherRemoved = true;
    for (const family of this.#config.options.families) await other.remove(family, signal);
  }

  /** Its sets are in use until its rules are gone, by its own clean-up or by ours: audits try again. */
  async #removeKubeProxy(signal: AbortSignal): Promise<void> {
    if (this.#kubeProxyRemoved) return;
    this.#kubeProxyRemoved = await this.#servers.removeKubeProxy(this.#isWanted, signal);
  }

  readonly #isWanted = (match: ServiceMatch): boolean => this.#desired.held.has(`service ${matchKey(match)}`);

  /**
   * Applies all but the frontends the kernel refuses; those become problems. As long as it names some, they are left out and all the
   * rest is one transaction, so that nothing that is in force goes. Where it names none, what an earlier process left stays as it is,
   * to be tried again later; beside what this one made, what changed is applied by halves.
   */
  async #withoutRefused(first: ApplyError, signal: AbortSignal): Promise<void> {
    let cause = first;
    while (this.#leaveOutNamed(cause)) {
      try {
        await this.#applyAll(signal);
        return;
      } catch (error) {
        if (!isApplyError(error) || error.code !== "REFUSED") throw error;
        cause = error;
      }
    }
    if (this.#applied === undefined && (this.#found?.state.items.size ?? 0) > 0) throw cause;
    const wanted = new Map<FrontendKey, { after?: Frontend }>();
    for (const key of this.#applied === undefined ? this.#desired.frontends.keys() : this.#pendingFrontends) {
      const after = this.#desired.frontends.get(key)?.frontend;
      wanted.set(key, after === undefined ? {} : { after });
    }
    // first everything but what changed, as it was; then what changed, by halves
    const before = new Map<FrontendKey, { after?: Frontend }>();
    for (const key of wanted.keys()) {
      const old = this.#applied?.frontends.get(key)?.frontend;
      before.set(key, old === undefined ? {} : { after: old });
    }
    this.#take(compileFrontends(before, this.#desired));
    await this.#applyAll(signal);
    await applyByHalves(byOwner(wanted), {
      apply: async (keys) => {
        const stood = this.#desired;
        this.#take(compileFrontends(new Map(keys.map((key) => [key, wanted.get(key) ?? {}])), this.#desired));
        try {
          await this.#applyAll(signal);
        } catch (error) {
          if (isApplyError(error) && error.code === "REFUSED") this.#desired = stood;
          throw error;
        }
      },
      refuse: (key, cause) => this.#leaveOut(key, wanted.get(key)?.after, cause, signal),
    });
  }

  /** Whether the kernel said of any frontend that is desired that it is refused. */
  #leaveOutNamed(cause: ApplyError): boolean {
    const refused = new Set<FrontendKey>();
    for (const error of [cause, ...cause.others]) {
      const frontend = this.#desired.frontends.get(error.owner ?? "")?.frontend;
      if (frontend === undefined || refused.has(frontend.key)) continue;
      refused.add(frontend.key);
      this.#refusals.refuse(frontend.key, frontend, error);
    }
    if (refused.size > 0) this.#take(compileFrontends(new Map(Array.from(refused, (key) => [key, {}])), this.#desired));
    return refused.size > 0;
  }

  async #applyAll(signal: AbortSignal): Promise<void> {
    const transaction = this.#difference();
    if (!isEmptyTransaction(transaction)) await this.#servers.apply(transaction, signal);
    this.#settled();
  }

  /** A refused frontend has nothing, not what it had before. */
  async #leaveOut(key: FrontendKey, frontend: Frontend | undefined, cause: ApplyError, signal: AbortSignal): Promise<void> {
    this.#take(compileFrontends(new Map([[key, {}]]), this.#desired));
    await this.#applyAll(signal);
    if (frontend !== undefined) this.#refusals.refuse(key, frontend, cause);
  }
}
