import { type BackoffPolicy, backoffDelay } from "../../src/base/backoff.ts";
import type { Batch } from "../../src/snapshot/cluster-snapshot.ts";
import { isApplyError } from "../apply/errors.ts";
import type { ProxierConfig, ProxierDeps } from "./config.ts";
import type { LeftoverRemoval } from "./leftovers.ts";
import type { Pause } from "./pause.ts";
import type { RuleSync } from "./rule-sync.ts";
import type { RuleTarget } from "./target.ts";

const retryPolicy: BackoffPolicy = { first: 250, factor: 2, max: 30_000, jitter: 0.3 };
const defaultAuditInterval = 60_000;

export interface SyncLoop {
  readonly config: Pick<ProxierConfig, "auditIntervalMs" | "minIntervalMs">;
  readonly deps: Pick<ProxierDeps, "clock" | "log">;
  readonly target: RuleTarget;
  readonly sync: RuleSync;
  readonly removal: LeftoverRemoval;
  readonly pause: Pause;
  /** What changed since it was asked last; undefined: nothing, or not all of it is known yet. */
  readonly takeBatch: () => Batch | undefined;
  /** Rules are in force for the first time. */
  readonly onReady: () => void;
}

/**
 * When what is done: changes as soon as the last transaction is over and has rested, leftovers once rules are in force, audits in
 * between. Ends when `signal` is aborted. Throws ApplyError UNUSABLE before the first rules are in force, and bugs.
 */
export async function runSyncLoop({ config, deps, target, sync, removal, pause, takeBatch, onReady }: SyncLoop, signal: AbortSignal) {
  const { clock, log } = deps;
  const auditInterval = config.auditIntervalMs ?? defaultAuditInterval;
  let auditWanted = false;
  let unwatch = (): void => undefined;
  let failures = 0;
  let lastApplied = Number.NEGATIVE_INFINITY;
  let lastCost = 0;
  let lastAudit = clock.monotonic();

  const start = async (): Promise<void> => {
    await sync.start(signal);
    unwatch = target.watch(() => {
      auditWanted = true;
      pause.end();
    });
  };

  const apply = async (now: number): Promise<void> => {
    lastApplied = now;
    const first = !sync.inForce;
    await sync.apply(signal);
    if (first) onReady();
    lastCost = first ? 0 : clock.monotonic() - lastApplied;
    failures = 0;
    // what came meanwhile is next; each round lets other work of this process run
    await new Promise((resolve) => setImmediate(resolve));
  };

  /** One thing that is due; `again`: more may be, else how long nothing is. */
  const step = async (): Promise<"again" | number> => {
    if (!sync.started) await start();
    const batch = takeBatch();
    if (batch !== undefined) sync.take(batch);
    const auditDue = auditInterval === 0 ? Number.POSITIVE_INFINITY : lastAudit + auditInterval;
    const retryDue = sync.inForce ? (sync.retryDue ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY;
    const removalDue = sync.inForce ? (removal.due() ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY;
    const now = clock.monotonic();
    if (sync.dirty) {
      const tooEarly = lastApplied + Math.max(config.minIntervalMs ?? 0, restAfter(lastCost)) - now;
      if (tooEarly > 0) {
        sync.account();
        return tooEarly;
      }
      await apply(now);
      return "again";
    }
    if (removalDue <= now) {
      await removal.look(target.backend, signal);
      return "again";
    }
    if (retryDue <= now) {
      sync.askAgain();
      return "again";
    }
    if (sync.inForce && (auditWanted || auditDue <= now)) {
      lastAudit = now;
      auditWanted = false;
      await sync.audit(signal);
      return "again";
    }
    return Math.max(0, Math.min(auditDue, removalDue, retryDue) - now);
  };

  /** How long until the next try. */
  const failed = (error: unknown): number => {
    if (isApplyError(error) && error.code === "UNUSABLE" && !sync.inForce) throw error;
    if (!isApplyError(error)) throw error;
    sync.failed(error);
    // a repair that failed is tried again like a change
    if (!sync.dirty && sync.inForce) auditWanted = true;
    const delay = error.code === "DIVERGED" && failures === 0 ? 0 : backoffDelay(retryPolicy, failures, Math.random());
    failures++;
    log("error", `Service rules were not applied: ${error.message}; next try in ${Math.round(delay)} ms`, { code: error.code });
    return delay;
  };

  try {
    while (!signal.aborted) {
      let rest: "again" | number;
      try {
        rest = await step();
      } catch (error) {
        if (signal.aborted) break;
        rest = failed(error);
      }
      if (rest === "again") continue;
      if (!sync.dirty) sync.flows.end();
      const next = Math.min(rest, sync.dirty ? Number.POSITIVE_INFINITY : (sync.flows.due() ?? Number.POSITIVE_INFINITY));
      await pause.take(next === Number.POSITIVE_INFINITY ? undefined : next);
    }
  } finally {
    unwatch();
  }
}

/**
 * From one transaction's start to the next's, where the last one took long (commands, and tables that are written whole): as long
 * a rest again, so that a burst coalesces and the rules take half of a core at most.
 */
function restAfter(costMs: number): number {
  return costMs < 20 ? 0 : Math.min(2 * costMs, costMs + 1000);
}
