import type { Lifecycle } from "../api/types/core-v1.generated.ts";
import type { Clock } from "../base/clock.ts";
import { runHook } from "./hook.ts";
import type { ContainerRun, PodRuntime } from "./pod-runtime.ts";
import type { ProbeTarget } from "./probe.ts";

export interface StopConfig {
  readonly run: ContainerRun;
  readonly lifecycle: Lifecycle | undefined;
  readonly graceSeconds: number;
  readonly clock: Clock;
  readonly runtime: PodRuntime;
  target(): ProbeTarget;
  /** When the pod's own grace is over, on the monotonic clock; asked again and again, since a deletion may shorten it. */
  killAt(): number | undefined;
  hookFailed(message: string): void;
}

/** How often it is looked whether the grace has become shorter. */
const pieceMs = 250;

/** preStop, the stop signal, and SIGKILL when the grace is over. Resolves when the run has ended, or `leaving` aborts: then it runs on. */
export async function stopContainer(config: StopConfig, leaving: AbortSignal): Promise<void> {
  const { run, lifecycle, graceSeconds, clock, runtime } = config;
  const over = new AbortController();
  const killAt = clock.monotonic() + graceSeconds * 1000;
  void run.exited.then(() => over.abort(new Error("ended")));
  const left = (): number => Math.max(0, Math.min(killAt, config.killAt() ?? killAt) - clock.monotonic());
  const hook = lifecycle?.preStop;
  if (hook !== undefined && graceSeconds > 0) {
    const limit = AbortSignal.any([over.signal, timer(clock, left(), over.signal), leaving]);
    const failure = await runHook(hook, config.target(), limit);
    if (failure !== undefined && !over.signal.aborted) config.hookFailed(failure);
  }
  const signal = isSignal(lifecycle?.stopSignal) ? lifecycle.stopSignal : "SIGTERM";
  // One that has only just begun would sleep through it, and be killed when its grace is over.
  let heeded = runtime.heeds(run, signal);
  if (!over.signal.aborted && left() > 0) runtime.signalContainer(run, signal);
  while (!over.signal.aborted && left() > 0 && !leaving.aborted) {
    if (!heeded && runtime.heeds(run, signal)) {
      heeded = true;
      runtime.signalContainer(run, signal);
    }
    await Promise.race([run.exited, clock.sleep(Math.min(left(), pieceMs), over.signal).catch(() => undefined)]);
  }
  if (leaving.aborted) return;
  if (!over.signal.aborted) runtime.signalContainer(run, "SIGKILL");
  await run.exited;
  // What is known of the container is changed by the same promise: let that happen first.
  await Promise.resolve();
}

function timer(clock: Clock, ms: number, cancel: AbortSignal): AbortSignal {
  const over = new AbortController();
  void clock.sleep(ms, cancel).then(
    () => over.abort(new Error("the grace period is over")),
    () => undefined,
  );
  return over.signal;
}

function isSignal(name: string | undefined): name is NodeJS.Signals {
  return name !== undefined && /^SIG[A-Z0-9]+$/.test(name);
}
