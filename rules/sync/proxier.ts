import { type BackoffPolicy, backoffDelay } from "../../src/base/backoff.ts";
import type { Ip } from "../../src/base/ip.ts";
import type { Running } from "../../src/base/running.ts";
import type { Batch, Cause, Kind } from "../../src/snapshot/cluster-snapshot.ts";
import { type Problem, printObjectRef, problemKey } from "../../src/snapshot/problem.ts";
import { isApplyError } from "../apply/errors.ts";
import type { Backend } from "../model/backend.ts";
import type { Packet, Verdict } from "../model/packet.ts";
import type { Frontend, FrontendKey } from "../plan/frontend.ts";
import { ProxyPlan } from "../plan/proxy-plan.ts";
import type { Surroundings } from "../plan/surroundings.ts";
import { AppliedIndex } from "./applied-index.ts";
import { causesOf, joinCauses, noCauses } from "./causes.ts";
import type { ProxierConfig, ProxierDeps } from "./config.ts";
import {
  type ConnectionTable,
  type ConnectionUse,
  type ConnectionWatch,
  printConnectionUse,
  startConnectionWatch,
} from "./connection-use.ts";
import { type Effects, effectsOf } from "./effects.ts";
import { type HistoryEntry, type HistoryQuery, RuleHistory } from "./history.ts";
import { type Leftover, LeftoverRemoval } from "./leftovers.ts";
import type { ProxierMetrics } from "./metrics.ts";
import { type Listeners, OccupiedPorts } from "./occupied-ports.ts";
import { ServiceHealth } from "./service-health.ts";
import { type FlowTable, StaleUdp } from "./stale-udp.ts";
import { planOptionsOf, readMachineIps, surroundingsOf } from "./surroundings.ts";
import type { RuleTarget } from "./target.ts";

export interface Proxier extends Running {
  problems(): readonly Problem[];
  /** Those of `problems` that this node alone has seen: its kernel's refusals, ports and tables. The others follow from the objects. */
  ownProblems(): readonly Problem[];
  /** How full the kernel's table of connections is, and by whom; undefined before the first count, and where nobody counts. */
  connections(): ConnectionUse | undefined;
  /** Prometheus text, with kube-proxy's names. */
  metrics(): string;
  /** Whether any frontend in force may send new connections to this address. */
  endpointInUse(ip: string): boolean;
  /** False before the rules are in force first, after an error that ended the work, and when a change has waited for longer than twice the interval (60 s at least). */
  healthy(): boolean;
  health(): ProxierHealth;
  /** Which backend it is; of `auto`, undefined until one is chosen. */
  backend(): Backend | undefined;
  trace(packet: Packet): Verdict;
  /** The last transactions, latest first. */
  history(query?: HistoryQuery): readonly HistoryEntry[];
}

export interface ProxierHealth {
  /** No change has been waiting for too long, and the work goes on. True while it starts. */
  readonly live: boolean;
  /** The rules are in force. */
  readonly ready: boolean;
  /** This node is not about to leave. */
  readonly nodeEligible: boolean;
  /** When a transaction was last applied. Milliseconds since 1970. */
  readonly lastUpdated: number | undefined;
}

const retryPolicy: BackoffPolicy = { first: 250, factor: 2, max: 30_000, jitter: 0.3 };
const defaultAuditInterval = 60_000;
/** Addresses of this machine's links come and go without a change of an object; a change looks at them this often at most. */
const linksInterval = 5_000;
const woken = new Error("woken");
/** Twice kube-proxy's own sync period, where nobody says another. */
const patience = 60_000;
/** The kernel looks through its whole table for stale flows: for so many times as long it is left alone, now and then later. */
const restsPerLook = 20;
const restAhead = 2_000;
const nothingChanged: Effects & Pick<HistoryEntry, "causes" | "moreCauses" | "refused" | "staleFlows"> = {
  services: [],
  moreFrontends: 0,
  causes: [],
  moreCauses: 0,
  refused: [],
  staleFlows: 0,
};
const relevantKinds: readonly Kind[] = ["Service", "EndpointSlice", "Node", "ServiceCIDR"];

/** What the rules are made in, and told by. */
export interface ProxierWorld {
  readonly target: RuleTarget;
  readonly metrics: ProxierMetrics;
  /** Opened once the target is started, unless it keeps no flows in the kernel; absent: stale ones are not ended. */
  readonly flows?: (() => FlowTable | undefined) | undefined;
  /** What others left in its place, which goes once the rules are in force; absent: nothing is looked for. */
  readonly leftovers?: ((backend: Backend) => readonly Leftover[]) | undefined;
  /** The same for counting connections. */
  readonly connections?: (() => ConnectionTable | undefined) | undefined;
  /** Who listens on this machine; absent: node ports are taken without a look. */
  readonly listeners?: Listeners | undefined;
}

/** Keeps `target` as the store's objects say, until closed. Closing leaves the rules in force. */
export function runProxier(config: ProxierConfig, deps: ProxierDeps, world: ProxierWorld): Proxier {
  const { clock, log } = deps;
  const { target, metrics } = world;
  const stop = new AbortController();
  const plan = new ProxyPlan(config.nodeName, planOptionsOf(config));
  const index = new AppliedIndex();
  const removal = new LeftoverRemoval(world.leftovers ?? (() => []), deps);
  const history = new RuleHistory(config.history);
  let pending = noCauses;
  let tries = 0;
  let lastError: string | undefined;
  let waitingSince: number | undefined;
  let causes: Cause[] = [];
  let dirty = false;
  let started = false;
  let auditWanted = false;
  let wake: () => void = () => undefined;
  const ready = Promise.withResolvers<void>();
  let isReady = false;
  let broken = false;
  ready.promise.catch(() => undefined); // also told through the log; nobody has to wait for it

  const longestWait = config.patienceMs ?? Math.max(patience, 2 * (config.minIntervalMs ?? 0));
  const late = (): boolean => waitingSince !== undefined && clock.monotonic() - waitingSince >= longestWait;
  const healthy = (): boolean => isReady && !broken && !late();
  let lastUpdated: number | undefined;
  const serviceHealth = config.serviceHealth === false ? undefined : new ServiceHealth(healthy, () => reportProblems());
  const occupied = world.listeners === undefined ? undefined : new OccupiedPorts(world.listeners);
  let surroundings: Surroundings | undefined;
  let surroundingsAt = 0;
  let nodePortIps: readonly Ip[] = [];
  let connectionWatch: ConnectionWatch | undefined;
  let udp = new StaleUdp(undefined);
  /** Flows ended that no entry of history tells of yet. */
  let flowsEnded = 0;
  let flowsRestUntil = 0;

  const cursor = config.store.cursor(() => {
    waitingSince ??= clock.monotonic();
    wake();
  });
  let unwatch = (): void => undefined;

  /** The same value while it is the same. */
  const look = (batch: Batch): Surroundings => {
    const now = clock.monotonic();
    const asked = batch.dirty.has("Node") || batch.dirty.has("ServiceCIDR") || now - surroundingsAt > linksInterval;
    if (surroundings !== undefined && !asked) return surroundings;
    surroundingsAt = now;
    const found = surroundingsOf(batch.after, plan.node, { ...config, backend: target.backend }, readMachineIps);
    if (surroundings === undefined || JSON.stringify(found) !== JSON.stringify(surroundings)) surroundings = found;
    nodePortIps = surroundings.nodePortIps;
    return surroundings;
  };

  const take = (): void => {
    if (!config.store.synced(["Service", "EndpointSlice", "Node"])) return;
    const batch = cursor.take();
    if (batch === undefined) return;
    if (isReady && !relevantKinds.some((kind) => batch.dirty.has(kind))) {
      if (!dirty) waitingSince = undefined;
      return;
    }
    metrics.changesSeen(batch, clock.now());
    const delta = plan.apply(batch);
    index.add(delta);
    target.change(delta, look(batch));
    udp.notice(delta);
    // userspace listens itself, and says when it cannot
    if (target.backend !== "userspace") occupied?.notice(delta);
    pending = joinCauses(pending, causesOf(batch, relevantKinds));
    causes.push(...batch.causes);
    causes = causes.slice(-32);
    dirty = true;
    if (delta.problems.gained.length > 0 || delta.problems.lost.length > 0) deps.onProblems?.(delta.problems);
  };

  const sync = async (): Promise<void> => {
    const started = clock.monotonic();
    tries++;
    const { changes } = await target.apply(stop.signal);
    const durationMs = clock.monotonic() - started;
    endStaleFlows();
    const staleFlows = flowsEnded;
    flowsEnded = 0;
    const refused = newRefusals();
    if (changes > 0 || refused.length > 0) {
      const outcome = refused.length > 0 ? "refused" : tries > 1 ? "retried" : "applied";
      history.add({ ...transaction(started), outcome, durationMs, elements: changes, staleFlows, refused });
    }
    dirty = false;
    waitingSince = undefined;
    tries = 0;
    lastError = undefined;
    pending = noCauses;
    lastUpdated = clock.now();
    const applied = causes;
    causes = [];
    index.settle();
    serviceHealth?.update(index.healthChecks, nodePortIps);
    occupied?.look(nodePortIps);
    metrics.applied({ full: !isReady, durationMs, changes, index, problems: target.problems().length, now: clock.now() });
    reportProblems();
    if (changes > 0) deps.onApplied?.({ causes: applied, durationMs, elements: changes });
    if (!isReady) {
      isReady = true;
      ready.resolve();
    }
  };

  const frontend = (key: FrontendKey): Frontend | undefined => plan.frontends.get(key);
  const isNodePortIp = (ip: Ip): boolean => nodePortIps.includes(ip) || nodePortIps.includes("0.0.0.0") || nodePortIps.includes("::");

  /** After the rules are in, or a client could make the flow anew to the endpoint that is gone. */
  const endStaleFlows = (): void => {
    const started = clock.monotonic();
    if (!udp.due || started < flowsRestUntil - restAhead) return;
    const ended = udp.end(frontend, isNodePortIp);
    metrics.flowsDeleted(ended);
    flowsEnded += ended;
    const now = clock.monotonic();
    flowsRestUntil = Math.max(now, flowsRestUntil) + restsPerLook * (now - started) + (udp.due ? retryPolicy.first + restAhead : 0);
  };

  /** What history tells of the changes under way, however they end. */
  const transaction = (started: number): Omit<HistoryEntry, "id" | "outcome" | "durationMs" | "elements" | "staleFlows" | "refused"> => {
    const { services, moreFrontends } = effectsOf(index.pending);
    return {
      at: clock.now(),
      backend: target.backend,
      full: !isReady,
      tries,
      waitedMs: started - (waitingSince ?? started),
      causes: pending.told,
      moreCauses: pending.more,
      services,
      moreFrontends,
      ...(lastError === undefined ? {} : { error: lastError }),
    };
  };

  const newRefusals = (): HistoryEntry["refused"] =>
    target
      .problems()
      .filter((p) => !reported.has(problemKey(p)))
      .map((p) => ({ object: printObjectRef(p.object), message: p.message }));

  let reported: ReadonlyMap<string, Problem> = new Map();
  const reportProblems = (): void => {
    const now = new Map(ownProblems().map((p) => [problemKey(p), p]));
    const gained = [...now].flatMap(([key, p]) => (reported.has(key) ? [] : [p]));
    const lost = [...reported].flatMap(([key, p]) => (now.has(key) ? [] : [p]));
    reported = now;
    if (gained.length > 0 || lost.length > 0) deps.onProblems?.({ gained, lost });
  };

  const audit = async (): Promise<void> => {
    auditWanted = false;
    const started = clock.monotonic();
    const { repaired, changes = 0 } = await target.audit(stop.signal);
    occupied?.look(nodePortIps, "again");
    reportProblems();
    metrics.audited(repaired);
    if (!repaired) return;
    const elements = changes === 0 ? "" : ` (${changes} elements)`;
    const message = `somebody else changed the Service rules; they are repaired${elements}`;
    log("warn", message, {});
    const durationMs = clock.monotonic() - started;
    history.add({ ...transaction(started), ...nothingChanged, outcome: "repaired", tries: 1, durationMs, elements: changes });
    deps.onEvent?.({ type: "Warning", reason: "RulesRepaired", message });
  };

  const loop = async (): Promise<void> => {
    let failures = 0;
    let lastApplied = Number.NEGATIVE_INFINITY;
    let lastCost = 0;
    let lastAudit = clock.monotonic();
    const auditInterval = config.auditIntervalMs ?? defaultAuditInterval;
    while (!stop.signal.aborted) {
      const auditDue = auditInterval === 0 ? Number.POSITIVE_INFINITY : lastAudit + auditInterval;
      const removalDue = isReady ? (removal.due() ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY;
      const due = Math.min(auditDue, removalDue);
      let pause: number | undefined = due === Number.POSITIVE_INFINITY ? undefined : Math.max(0, due - clock.monotonic());
      try {
        if (!started) {
          await target.start(stop.signal);
          started = true;
          if (target.backend !== "userspace") openTables();
          unwatch = target.watch(() => {
            auditWanted = true;
            wake();
          });
        }
        take();
        if (dirty) {
          const tooEarly = lastApplied + Math.max(config.minIntervalMs ?? 0, restAfter(lastCost)) - clock.monotonic();
          if (tooEarly > 0) pause = tooEarly;
          else {
            lastApplied = clock.monotonic();
            const first = !isReady;
            await sync();
            lastCost = first ? 0 : clock.monotonic() - lastApplied;
            failures = 0;
            // what came meanwhile is next; each round lets other work of this process run
            await new Promise((resolve) => setImmediate(resolve));
            continue;
          }
        } else if (removalDue <= clock.monotonic()) {
          await removal.look(target.backend, stop.signal);
          continue;
        } else if (isReady && (auditWanted || auditDue <= clock.monotonic())) {
          lastAudit = clock.monotonic();
          await audit();
          continue;
        }
      } catch (error) {
        if (stop.signal.aborted) break;
        if (isApplyError(error) && error.code === "UNUSABLE" && !isReady) throw error;
        if (!isApplyError(error)) throw error;
        metrics.failed();
        if (dirty) {
          lastError = error.message;
          const failed = { durationMs: 0, elements: 0, staleFlows: 0, refused: [] };
          history.failing({ ...transaction(clock.monotonic()), ...failed, outcome: "failing" });
        }
        // a repair that failed is tried again like a change
        if (!dirty && isReady) auditWanted = true;
        pause = error.code === "DIVERGED" && failures === 0 ? 0 : backoffDelay(retryPolicy, failures, Math.random());
        failures++;
        log("error", `Service rules were not applied: ${error.message}; next try in ${Math.round(pause)} ms`, { code: error.code });
      }
      if (!dirty) endStaleFlows();
      await waitFor(
        !dirty && udp.due
          ? Math.min(pause ?? Number.POSITIVE_INFINITY, Math.max(1, flowsRestUntil - restAhead - clock.monotonic()))
          : pause,
      );
    }
  };

  const openTables = (): void => {
    udp = new StaleUdp(world.flows?.());
    const table = world.connections?.();
    if (table === undefined) return;
    const onEvent = deps.onEvent ?? (() => undefined);
    connectionWatch = startConnectionWatch({ clock, table, nodeName: config.nodeName, frontend, isNodePortIp, onEvent });
  };

  const ownProblems = (): readonly Problem[] => [
    ...target.problems(),
    ...(serviceHealth?.problems() ?? []),
    ...(connectionWatch?.problems() ?? []),
    ...(occupied?.problems() ?? []),
  ];
  const printMetrics = (): string => {
    const use = connectionWatch?.use();
    return (
      metrics.print(started ? target.backend : undefined, target.rules?.() ?? [], [...plan.problems(), ...ownProblems()]) +
      (use === undefined ? "" : printConnectionUse(use))
    );
  };

  const waitFor = async (pause: number | undefined): Promise<void> => {
    if (pause === 0) return;
    const rest = new AbortController();
    await new Promise<void>((resolve) => {
      wake = resolve;
      if (pause !== undefined) clock.sleep(pause, rest.signal).then(resolve, resolve);
      if (stop.signal.aborted) resolve();
    });
    wake = () => undefined;
    rest.abort(woken);
  };

  const running = loop().catch((error: unknown) => {
    if (stop.signal.aborted) return;
    broken = true;
    log("error", `Service rules stopped: ${error instanceof Error ? error.message : String(error)}`, {});
    ready.reject(error);
  });

  return {
    ready: ready.promise,
    problems: () => [...plan.problems(), ...ownProblems()],
    ownProblems,
    connections: () => connectionWatch?.use(),
    metrics: printMetrics,
    endpointInUse: (ip) => index.inUse(ip),
    healthy,
    health: () => ({ live: !broken && !(isReady && late()), ready: isReady, nodeEligible: !plan.node.leaving, lastUpdated }),
    backend: () => (isReady ? target.backend : undefined),
    trace: (packet) => target.trace(packet, plan.node.addresses),
    history: (query) => history.list(query),
    async close() {
      stop.abort(new Error("closed"));
      wake();
      cursor.close();
      unwatch();
      udp.close();
      await connectionWatch?.close();
      serviceHealth?.close();
      await running;
      await target.close();
    },
  };
}

/**
 * From one transaction's start to the next's, where the last one took long (commands, and tables that are written whole): as long
 * a rest again, so that a burst coalesces and the rules take half of a core at most.
 */
function restAfter(costMs: number): number {
  return costMs < 20 ? 0 : Math.min(2 * costMs, costMs + 1000);
}
