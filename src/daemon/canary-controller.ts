import {
  type BackendFigures,
  type CanaryStatus,
  canaryStatusAnnotation,
  type GrowingCanary,
  growingCanary,
  nextCanaryStatus,
  printCanaryStatus,
} from "../../ingress/index.ts";
import type { Ingress } from "../api/types/networking-v1.generated.ts";
import type { Clock } from "../base/clock.ts";
import type { Running } from "../base/running.ts";
import type { EventNote } from "../client/events.ts";
import type { Log } from "../observe/log.ts";
import { objectKey } from "../snapshot/cluster-snapshot.ts";
import { addFigures, figuresSince, noFigures } from "./backend-figures.ts";
import { ingressReference } from "./ingress-events.ts";

export interface CanaryWorld {
  /** The Ingresses that are served here, as they are now. */
  readonly ingresses: () => readonly Ingress[];
  /** The figures of a Service by where they come from (a node); nodes that do not answer are left out. */
  readonly figures: (service: string, signal: AbortSignal) => Promise<ReadonlyMap<string, BackendFigures>>;
  /** Sets one annotation; false where the object has changed meanwhile. */
  readonly annotate: (ingress: Ingress, name: string, value: string) => Promise<boolean>;
  readonly record: (note: EventNote) => void;
  readonly clock: Clock;
}

/** How often canaries are looked at; those of longer intervals less often. */
const everyMs = 1000;

interface Step {
  /** Plan, phase and begin: what is counted is of this step. */
  readonly of: string;
  /** Counters at the last look, by Service and source. */
  last: Map<string, BackendFigures>;
  since: BackendFigures;
  lookAt: number;
}

/**
 * Lets the share of canaries grow, step by step, as long as they answer well, and takes it back when they do not. Where a
 * canary is stands in its Ingress; what was counted since its step began is in memory, so that who takes over counts a step
 * anew: a step may take longer, but is never judged by fewer requests.
 */
export function startCanaryController(world: CanaryWorld, log: Log): Running {
  const steps = new Map<string, Step>();
  const life = new AbortController();
  const { clock } = world;

  const look = async (ingress: Ingress, canary: GrowingCanary): Promise<void> => {
    const key = objectKey(ingress);
    const of = `${canary.plan} ${canary.status?.phase ?? ""} ${canary.status?.since ?? ""}`;
    let step = steps.get(key);
    if (step?.of !== of) {
      step = { of, last: await counters(canary), since: noFigures, lookAt: 0 };
      steps.set(key, step);
    } else if (clock.monotonic() < step.lookAt) return;
    else if (canary.status?.phase === "Progressing") count(step, await counters(canary));
    step.lookAt = clock.monotonic() + Math.min((canary.progress.intervalSeconds * 1000) / 10, 10_000);
    const next = nextCanaryStatus(canary.progress, canary.status, { plan: canary.plan, canary: step.since, now: clock.now() });
    if (next !== canary.status) await write(ingress, canary.status, next);
  };

  const counters = async (canary: GrowingCanary): Promise<Map<string, BackendFigures>> => {
    const all = new Map<string, BackendFigures>();
    for (const service of canary.services) {
      for (const [source, figures] of await world.figures(service, life.signal)) all.set(`${service} ${source}`, figures);
    }
    return all;
  };

  const write = async (ingress: Ingress, before: CanaryStatus | undefined, next: CanaryStatus): Promise<void> => {
    if (!(await world.annotate(ingress, canaryStatusAnnotation, printCanaryStatus(next)))) return;
    log("info", `canary ${objectKey(ingress)}: ${next.message}`, { phase: next.phase, weight: next.weight });
    world.record({
      regarding: ingressReference(ingress.metadata),
      type: next.phase === "RolledBack" ? "Warning" : "Normal",
      reason: `Canary${next.phase}`,
      message:
        before === undefined || before.weight === next.weight ? next.message : `${before.weight} % → ${next.weight} %: ${next.message}`,
    });
  };

  const run = async (): Promise<void> => {
    while (!life.signal.aborted) {
      const growing = world.ingresses().flatMap((ingress) => {
        const canary = growingCanary(ingress);
        return canary === undefined ? [] : [{ ingress, canary }];
      });
      for (const { ingress, canary } of growing) {
        await look(ingress, canary).catch((error: unknown) => {
          if (!life.signal.aborted) log("warn", `canary ${objectKey(ingress)} stays where it is`, { error: String(error) });
        });
      }
      const keys = new Set(growing.map((g) => objectKey(g.ingress)));
      for (const key of steps.keys()) if (!keys.has(key)) steps.delete(key);
      await clock.sleep(everyMs, life.signal).catch(() => undefined);
    }
  };
  const running = run();
  return {
    ready: Promise.resolve(),
    close: async () => {
      life.abort(new Error("stopped"));
      await running;
    },
  };
}

function count(step: Step, now: Map<string, BackendFigures>): void {
  for (const [source, figures] of now) {
    const before = step.last.get(source);
    // who is heard of for the first time has counted before this step too
    if (before !== undefined) step.since = addFigures(step.since, figuresSince(before, figures));
  }
  // who does not answer this time is compared with its last answer the next time
  step.last = new Map([...step.last, ...now]);
}
