import type { Running } from "../../src/base/running.ts";
import type { Problem } from "../../src/snapshot/problem.ts";
import type { Backend } from "../model/backend.ts";
import type { Packet, Verdict } from "../model/packet.ts";
import type { ProxierConfig, ProxierDeps } from "./config.ts";
import { type ConnectionUse, printConnectionUse } from "./connection-use.ts";
import type { HistoryEntry, HistoryQuery } from "./history.ts";
import { type Leftover, LeftoverRemoval } from "./leftovers.ts";
import { Pause } from "./pause.ts";
import { RuleSync, type RuleSyncWorld } from "./rule-sync.ts";
import { runSyncLoop } from "./sync-loop.ts";

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

/** Twice kube-proxy's own sync period, where nobody says another. */
const patience = 60_000;

/** What the rules are made in, and told by. */
export interface ProxierWorld extends RuleSyncWorld {
  /** What others left in its place, which goes once the rules are in force; absent: nothing is looked for. */
  readonly leftovers?: ((backend: Backend) => readonly Leftover[]) | undefined;
}

/** Keeps `target` as the store's objects say, until closed. Closing leaves the rules in force. */
export function runProxier(config: ProxierConfig, deps: ProxierDeps, world: ProxierWorld): Proxier {
  const { clock, log } = deps;
  const { target, metrics } = world;
  const stop = new AbortController();
  const pause = new Pause(clock, stop.signal);
  const removal = new LeftoverRemoval(world.leftovers ?? (() => []), { ...deps, onFailure: () => metrics.cleanupFailed() });
  const ready = Promise.withResolvers<void>();
  ready.promise.catch(() => undefined); // nobody has to wait for it
  let broken = false;

  const longestWait = config.patienceMs ?? Math.max(patience, 2 * (config.minIntervalMs ?? 0));
  const late = (): boolean => sync.waitingSince !== undefined && clock.monotonic() - sync.waitingSince >= longestWait;
  const healthy = (): boolean => sync.inForce && !broken && !late();
  const sync = new RuleSync(config, deps, world, healthy);
  const cursor = config.store.cursor(() => {
    sync.changeSeen();
    pause.end();
  });
  const takeBatch = () => (config.store.synced(["Service", "EndpointSlice", "Node"]) ? cursor.take() : undefined);

  const onReady = ready.resolve;
  const running = runSyncLoop({ config, deps, target, sync, removal, pause, takeBatch, onReady }, stop.signal).catch((error: unknown) => {
    if (stop.signal.aborted) return;
    broken = true;
    // before the first rules it is for who waits for them to tell
    if (sync.inForce) log("error", `Service rules stopped: ${error instanceof Error ? error.message : String(error)}`, {});
    ready.reject(error);
  });

  const problems = (): readonly Problem[] => [...sync.plan.problems(), ...sync.ownProblems()];
  return {
    ready: ready.promise,
    problems,
    ownProblems: () => sync.ownProblems(),
    connections: () => sync.connections(),
    metrics() {
      const use = sync.connections();
      const rules = metrics.print(sync.started ? target.backend : undefined, {
        rules: target.rules?.() ?? [],
        problems: problems(),
        counted: target.counted?.(),
      });
      return use === undefined ? rules : rules + printConnectionUse(use);
    },
    endpointInUse: (ip) => sync.index.inUse(ip),
    healthy,
    health: () => {
      const { inForce, lastUpdated, plan } = sync;
      return { live: !broken && !(inForce && late()), ready: inForce, nodeEligible: !plan.node.leaving, lastUpdated };
    },
    backend: () => (sync.inForce ? target.backend : undefined),
    trace: (packet) => target.trace(packet, sync.plan.node.addresses),
    history: (query) => sync.history.list(query),
    async close() {
      stop.abort(new Error("closed"));
      pause.end();
      cursor.close();
      await sync.close();
      await running;
      await target.close();
    },
  };
}
