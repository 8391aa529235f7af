import type { Clock } from "../base/clock.ts";
import type { Running } from "../base/running.ts";
import type { Client } from "../client/client.ts";
import { ApiError, isAlreadyExists, isConflict } from "../client/errors.ts";
import { createEventRecorder } from "../client/events.ts";
import { WorkQueue } from "../client/work-queue.ts";
import type { Log } from "../observe/log.ts";
import { applyWrite } from "./apply-write.ts";
import type { Outcome } from "./outcome.ts";
import type { Views } from "./views.ts";

/** What a controller's wiring gives the loop. */
export interface Controller {
  /** As in `kube-controller-manager --controllers`, and the component of its events: `deployment-controller`. */
  readonly name: string;
  /** Keys worked on at once; one key never twice. Controllers that share something scarce take 1. */
  readonly workers?: number;
  /** What must have been listed before the first reconcile. */
  readonly needs: readonly { readonly ready: Promise<void> }[];
  /** Registers what makes keys dirty; called once. The functions it returns end that. */
  wire(add: (key: string) => void): readonly (() => void)[];
  /** All keys there are: visited at the start and at each resync. */
  keys(): Iterable<string>;
  reconcile(key: string, s: AbortSignal): Outcome | Promise<Outcome>;
}

export interface ControllerDeps {
  readonly client: Client;
  readonly views: Views;
  readonly clock: Clock;
  readonly log: Log;
}

/** Every key is looked at again this often, whatever was missed. */
const resyncMs = 10 * 60_000;
const defaultWorkers = 8;

/** The one loop: a dirty key is reconciled, what comes of it is written, a failure waits and is tried again. */
export function startController(c: Controller, deps: ControllerDeps): Running {
  const stop = new AbortController();
  const log = deps.log.child(c.name);
  const recorder = createEventRecorder(deps.client.transport, {
    component: c.name,
    clock: deps.clock,
    onFailure: (error) => log("debug", "an event could not be written", { error }),
  });
  const { views } = deps;
  const context = {
    client: deps.client,
    recorder,
    assume: views.assume,
    assumeGone: views.assumeGone,
  };
  const queue = new WorkQueue({
    workers: c.workers ?? defaultWorkers,
    clock: deps.clock,
    async run(key, s) {
      const outcome = await c.reconcile(key, s);
      try {
        for (const write of outcome.writes) await applyWrite(write, context, s);
        outcome.succeeded?.();
      } catch (e) {
        const note = e instanceof ApiError && !isConflict(e) ? outcome.failed?.(e.message) : undefined;
        if (note !== undefined) recorder.record(note);
        throw e;
      }
      return outcome.againAfterMs === undefined ? undefined : { afterMs: outcome.againAfterMs };
    },
    onFailure(key, error, retryInMs) {
      // Somebody else wrote first: the next look sees it.
      const level = isConflict(error) || isAlreadyExists(error) ? "debug" : error instanceof ApiError ? "warn" : "error";
      log(level, "reconcile failed", { key, retryInMs: Math.round(retryInMs), error });
    },
  });
  const ended: (() => void)[] = [];
  const ready = (async () => {
    await Promise.all(c.needs.map((n) => n.ready));
    stop.signal.throwIfAborted();
    ended.push(...c.wire((key) => queue.add(key)));
    for (const key of c.keys()) queue.add(key);
  })();
  ready.catch(() => undefined);
  const resync = resyncLoop(c, queue, deps.clock, stop.signal);
  return {
    ready,
    async close() {
      stop.abort(new Error("closed"));
      for (const end of ended) end();
      await Promise.all([queue.close(), resync]);
      await recorder.close();
    },
  };
}

async function resyncLoop(c: Controller, queue: WorkQueue, clock: Clock, s: AbortSignal): Promise<void> {
  for (;;) {
    try {
      await clock.sleep(resyncMs, s);
    } catch {
      return;
    }
    for (const key of c.keys()) queue.add(key);
  }
}
