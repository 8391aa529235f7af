import type { Batch, Cause, Kind } from "../../src/snapshot/cluster-snapshot.ts";
import { type Problem, printObjectRef } from "../../src/snapshot/problem.ts";
import type { ApplyError } from "../apply/errors.ts";
import type { Frontend, FrontendKey } from "../plan/frontend.ts";
import { type ChangedFrontends, type PlanDelta, ProxyPlan } from "../plan/proxy-plan.ts";
import { AppliedIndex } from "./applied-index.ts";
import { causesOf, joinCauses, noCauses } from "./causes.ts";
import type { ProxierConfig, ProxierDeps } from "./config.ts";
import { type ConnectionTable, type ConnectionUse, type ConnectionWatch, startConnectionWatch } from "./connection-use.ts";
import { type Effects, effectsOf } from "./effects.ts";
import { FlowEnding } from "./flow-ending.ts";
import { type HistoryEntry, RuleHistory } from "./history.ts";
import type { ProxierMetrics } from "./metrics.ts";
import { type Listeners, OccupiedPorts } from "./occupied-ports.ts";
import { ProblemReports } from "./problem-reports.ts";
import { RefusalRetry } from "./refusal-retry.ts";
import { ServiceHealth } from "./service-health.ts";
import type { FlowTable } from "./stale-udp.ts";
import { planOptionsOf } from "./surroundings.ts";
import { SurroundingsView } from "./surroundings-view.ts";
import type { RuleTarget } from "./target.ts";

/** What rules are made of. */
export const relevantKinds: readonly Kind[] = ["Service", "EndpointSlice", "Node", "ServiceCIDR"];
const nothingChanged: Effects & Pick<HistoryEntry, "causes" | "moreCauses" | "refused" | "staleFlows"> = {
  services: [],
  moreFrontends: 0,
  causes: [],
  moreCauses: 0,
  refused: [],
  staleFlows: 0,
};

export interface RuleSyncWorld {
  readonly target: RuleTarget;
  readonly metrics: ProxierMetrics;
  /** Opened once the target is started, unless it keeps no flows in the kernel; absent: stale ones are not ended. */
  readonly flows?: (() => FlowTable | undefined) | undefined;
  /** The same for counting connections. */
  readonly connections?: (() => ConnectionTable | undefined) | undefined;
  /** Who listens on this machine; absent: node ports are taken without a look. */
  readonly listeners?: Listeners | undefined;
}

/** What is done with changes, one step after the other; when is for others to say. */
export class RuleSync {
  readonly plan: ProxyPlan;
  readonly index = new AppliedIndex();
  readonly history: RuleHistory;
  readonly flows: FlowEnding;
  readonly #config: ProxierConfig;
  readonly #deps: ProxierDeps;
  readonly #world: RuleSyncWorld;
  readonly #surroundings: SurroundingsView;
  readonly #serviceHealth: ServiceHealth | undefined;
  readonly #occupied: OccupiedPorts | undefined;
  readonly #reports: ProblemReports;
  readonly #retry = new RefusalRetry();
  /** What was refused and is asked for again now. */
  readonly #again = new Map<FrontendKey, Frontend>();
  /** What of it was taken: beside the changes of the plan. */
  #taken: readonly ChangedFrontends[] = [];
  #connectionWatch: ConnectionWatch | undefined;
  /** What was taken and neither counted nor explained yet: within one turn only. */
  readonly #unaccounted: { readonly batch: Batch; readonly delta: PlanDelta }[] = [];
  /** Of the changes that are not in force yet: what they were, how often they were tried, and what the last try said. */
  #pending = noCauses;
  #tries = 0;
  #lastError: string | undefined;
  /** For who is told of what was applied: the causes themselves, the latest of them. */
  #causes: Cause[] = [];
  #started = false;
  #dirty = false;
  #inForce = false;
  #lastUpdated: number | undefined;
  #waitingSince: number | undefined;

  /** `healthy`: what a Service's health check port says of this proxy. */
  constructor(config: ProxierConfig, deps: ProxierDeps, world: RuleSyncWorld, healthy: () => boolean) {
    this.#config = config;
    this.#deps = deps;
    this.#world = world;
    this.plan = new ProxyPlan(config.nodeName, planOptionsOf(config));
    this.history = new RuleHistory(config.history);
    this.#surroundings = new SurroundingsView(config, deps.clock);
    const { isNodePortIp } = this.#surroundings;
    this.flows = new FlowEnding({ clock: deps.clock, metrics: world.metrics, frontend: this.#frontend, isNodePortIp });
    this.#serviceHealth = config.serviceHealth === false ? undefined : new ServiceHealth(healthy, () => this.#report());
    this.#occupied = world.listeners === undefined ? undefined : new OccupiedPorts(world.listeners);
    this.#reports = new ProblemReports(deps.onProblems);
  }

  /** Rules of everything there was are in force. */
  get inForce(): boolean {
    return this.#inForce;
  }

  /** Changes are taken that are not in force yet. */
  get dirty(): boolean {
    return this.#dirty;
  }

  /** When the first of the changes that are not in force was seen, taken or not. Of the monotonic clock. */
  get waitingSince(): number | undefined {
    return this.#waitingSince;
  }

  /** When a transaction was last applied. Milliseconds since 1970. */
  get lastUpdated(): number | undefined {
    return this.#lastUpdated;
  }

  /** A change is there to be taken. */
  changeSeen(): void {
    this.#waitingSince ??= this.#deps.clock.monotonic();
  }

  /** Which backend the target is, is known. */
  get started(): boolean {
    return this.#started;
  }

  async start(signal: AbortSignal): Promise<void> {
    const { target, flows, connections } = this.#world;
    await target.start(signal);
    this.#started = true;
    if (target.backend === "userspace") return;
    this.flows.open(flows?.());
    const table = connections?.();
    if (table === undefined) return;
    const { clock, onEvent = () => undefined } = this.#deps;
    const { isNodePortIp } = this.#surroundings;
    const { nodeName } = this.#config;
    this.#connectionWatch = startConnectionWatch({ clock, table, nodeName, frontend: this.#frontend, isNodePortIp, onEvent });
  }

  /** What the rules need of it; `apply`, or where that has to wait `account`, is to be called in the same turn. */
  take(batch: Batch): void {
    const { target } = this.#world;
    if (this.#inForce && !relevantKinds.some((kind) => batch.dirty.has(kind))) {
      if (!this.#dirty) this.#waitingSince = undefined;
      return;
    }
    const delta = this.plan.apply(batch);
    for (const key of delta.frontends.changed.keys()) this.#again.delete(key);
    this.index.add(delta);
    target.change(delta, this.#surroundings.look(batch, this.plan.node, target.backend));
    this.#unaccounted.push({ batch, delta });
    this.#dirty = true;
    if (delta.problems.gained.length > 0 || delta.problems.lost.length > 0) this.#deps.onProblems?.(delta.problems);
  }

  /** Counts and explains what was taken. The kernel does not wait for it. */
  account(): void {
    const { target, metrics } = this.#world;
    for (const { batch, delta } of this.#unaccounted.splice(0)) {
      metrics.changesSeen(batch, this.#deps.clock.now());
      this.flows.notice(delta);
      // userspace listens itself, and says when it cannot
      if (target.backend !== "userspace") this.#occupied?.notice(delta);
      this.#pending = joinCauses(this.#pending, causesOf(batch, relevantKinds));
      this.#causes.push(...batch.causes);
      this.#causes = this.#causes.slice(-32);
    }
  }

  /** When what was refused is to be asked for again; undefined: nothing is refused. Of the monotonic clock. */
  get retryDue(): number | undefined {
    return this.#retry.due;
  }

  /** Takes what was refused for a change. */
  askAgain(): void {
    this.#retry.tried(this.#deps.clock.monotonic());
    for (const [key, { after }] of this.#world.target.askAgain()) this.#again.set(key, after);
    this.#dirty = this.#again.size > 0;
  }

  /** Makes it so. Throws ApplyError: then `failed` is to be told. */
  async apply(signal: AbortSignal): Promise<void> {
    const { target, metrics } = this.#world;
    const { clock } = this.#deps;
    const started = clock.monotonic();
    this.#tries++;
    const applying = target.apply(signal);
    this.account();
    const applied = await applying;
    const durationMs = clock.monotonic() - started;
    const refusedNow = this.#seeRefused();
    const taken = this.#takeAgain(refusedNow);
    // what is refused as before is no change
    const changes = this.index.pending.length === 0 && taken === 0 && this.#inForce ? 0 : applied.changes;
    this.flows.end();
    const staleFlows = this.flows.takeEnded();
    const refused = this.#newlyRefused(refusedNow);
    if (changes > 0 || refused.length > 0) {
      const outcome = refused.length > 0 ? "refused" : this.#tries > 1 ? "retried" : "applied";
      this.history.add({ ...this.#transaction(started), outcome, durationMs, elements: changes, staleFlows, refused });
    }
    const families = this.index.pendingFamilies();
    const causes = this.#settle();
    const { nodePortIps } = this.#surroundings;
    this.#serviceHealth?.update(this.index.healthChecks, nodePortIps);
    this.#occupied?.look(nodePortIps);
    const { index } = this;
    metrics.applied({ full: !this.#inForce, families, durationMs, changes, index, now: clock.now() });
    this.#report();
    if (changes > 0) this.#deps.onApplied?.({ causes, durationMs, elements: changes });
    this.#inForce = true;
  }

  /** The last try, of a change or a repair, failed. */
  failed(error: ApplyError): void {
    this.#world.metrics.failed(this.#inForce ? "partial" : "full");
    if (!this.#dirty) return;
    this.#lastError = error.message;
    const failed = { durationMs: 0, elements: 0, staleFlows: 0, refused: [] };
    this.history.failing({ ...this.#transaction(this.#deps.clock.monotonic()), ...failed, outcome: "failing" });
  }

  /** Compares the kernel with what was applied, and repairs it. Throws ApplyError. */
  async audit(signal: AbortSignal): Promise<void> {
    const { clock, log, onEvent } = this.#deps;
    const started = clock.monotonic();
    const { repaired, changes = 0 } = await this.#world.target.audit(signal);
    this.#occupied?.look(this.#surroundings.nodePortIps, "again");
    this.#serviceHealth?.retry();
    const refused = this.#newlyRefused(this.#seeRefused());
    this.#report();
    this.#world.metrics.audited(repaired);
    if (!repaired) return;
    const elements = changes === 0 ? "" : ` (${changes} elements)`;
    const message = `somebody else changed the Service rules; they are repaired${elements}`;
    log("warn", message, {});
    const durationMs = clock.monotonic() - started;
    const outcome = refused.length > 0 ? "refused" : "repaired";
    this.history.add({ ...this.#transaction(started), ...nothingChanged, outcome, refused, tries: 1, durationMs, elements: changes });
    onEvent?.({ type: "Warning", reason: "RulesRepaired", message });
  }

  /** Those that this node alone has seen. */
  ownProblems(): readonly Problem[] {
    return [
      ...this.plan.nodeProblems,
      ...this.#world.target.problems(),
      ...(this.#serviceHealth?.problems() ?? []),
      ...(this.#connectionWatch?.problems() ?? []),
      ...(this.#occupied?.problems() ?? []),
    ];
  }

  connections(): ConnectionUse | undefined {
    return this.#connectionWatch?.use();
  }

  /** Leaves the target open: the last try may still be under way. */
  async close(): Promise<void> {
    this.flows.close();
    await this.#connectionWatch?.close();
    this.#serviceHealth?.close();
  }

  /** How many of those that were asked for again are in force now: for flows and history they are new. */
  #takeAgain(refused: ReadonlyMap<FrontendKey, Problem>): number {
    const taken = [...this.#again].filter(([key]) => !refused.has(key));
    this.#again.clear();
    if (taken.length === 0) return 0;
    const change = { frontends: { changed: new Map(taken.map(([key, after]) => [key, { after }])) } };
    this.flows.notice(change);
    this.#taken = [change];
    const names = new Set(taken.map(([, { owner }]) => `${owner.namespace}/${owner.name}`));
    for (const name of names) this.#deps.log("info", `Service ${name}: what was refused before is in force now`);
    return taken.length;
  }

  /** All that is left out now: it is asked for again in a while. */
  #seeRefused(): ReadonlyMap<FrontendKey, Problem> {
    const refused = this.#world.target.refused();
    this.#retry.see(refused.keys(), this.#deps.clock.monotonic());
    this.#world.metrics.refused(refused.size);
    return refused;
  }

  /** What of it nobody was told of yet, for the history. */
  #newlyRefused(refused: ReadonlyMap<FrontendKey, Problem>): HistoryEntry["refused"] {
    return this.#reports.fresh([...refused.values()]).map((p) => ({ object: printObjectRef(p.object), message: p.message }));
  }

  readonly #frontend = (key: FrontendKey): Frontend | undefined => this.plan.frontends.get(key);

  /** Everything taken is in force; what had caused it. */
  #settle(): readonly Cause[] {
    const causes = this.#causes;
    this.#causes = [];
    this.#dirty = false;
    this.#waitingSince = undefined;
    this.#tries = 0;
    this.#lastError = undefined;
    this.#pending = noCauses;
    this.#taken = [];
    this.#lastUpdated = this.#deps.clock.now();
    this.index.settle();
    return causes;
  }

  /** What history tells of the changes under way, however they end. */
  #transaction(started: number): Omit<HistoryEntry, "id" | "outcome" | "durationMs" | "elements" | "staleFlows" | "refused"> {
    const { services, moreFrontends } = effectsOf([...this.index.pending, ...this.#taken]);
    return {
      at: this.#deps.clock.now(),
      backend: this.#world.target.backend,
      full: !this.#inForce,
      tries: this.#tries,
      waitedMs: started - (this.#waitingSince ?? started),
      causes: this.#pending.told,
      moreCauses: this.#pending.more,
      services,
      moreFrontends,
      ...(this.#lastError === undefined ? {} : { error: this.#lastError }),
    };
  }

  #report(): void {
    this.#reports.report(this.ownProblems());
  }
}
