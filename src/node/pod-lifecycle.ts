import type { Container, Pod } from "../api/types/core-v1.generated.ts";
import type { ContainerExit } from "./pod-runtime.ts";

export type ContainerPhase =
  /** Never started. */
  | { readonly kind: "none" }
  /** Could not be started: an image or a reference is missing. */
  | { readonly kind: "waiting"; readonly reason: string; readonly message: string }
  | { readonly kind: "running"; readonly id: string; readonly startedAt: number }
  | { readonly kind: "ended"; readonly id: string; readonly startedAt: number; readonly exit: ContainerExit };

/** What is known of one container of a pod. */
export interface ContainerView {
  readonly phase: ContainerPhase;
  /** The end before the last start. */
  readonly lastEnd: Extract<ContainerPhase, { kind: "ended" }> | undefined;
  readonly restarts: number;
  /** The startup probe has succeeded, or there is none and it runs. */
  readonly started: boolean;
  /** The readiness probe says so, or there is none and it has started. */
  readonly ready: boolean;
  /** Not to be started before this time (milliseconds since 1970). */
  readonly retryAt: number;
}

export interface PodDecision {
  /** To be started now, in this order. */
  readonly start: readonly Container[];
  /** Sidecars to be stopped, as all they serve has ended. */
  readonly stop: readonly string[];
  /** When to look again though nothing happens. */
  readonly wakeAt: number | undefined;
  /** Nothing will run any more. */
  readonly finished: "Succeeded" | "Failed" | undefined;
}

export const noView: ContainerView = {
  phase: { kind: "none" },
  lastEnd: undefined,
  restarts: 0,
  started: false,
  ready: false,
  retryAt: 0,
};

/** An init container that runs beside the others. */
export function isSidecar(container: Container): boolean {
  return container.restartPolicy === "Always";
}

/** What to do next, from what is and the time. The same question with the same facts has the same answer: ask again after every change. */
export function decidePod(pod: Pod, view: (name: string) => ContainerView, now: number): PodDecision {
  const mains = pod.spec?.containers ?? [];
  const policy = pod.spec?.restartPolicy ?? "Always";
  const begun = mains.some((c) => view(c.name).phase.kind !== "none");
  const start: Container[] = [];
  const wakes: number[] = [];
  const startOrWait = (container: Container): void => {
    const { retryAt } = view(container.name);
    if (retryAt <= now) start.push(container);
    else wakes.push(retryAt);
  };
  const decision = (finished?: "Succeeded" | "Failed", stop: readonly string[] = []): PodDecision => ({
    start,
    stop,
    wakeAt: wakes.length === 0 ? undefined : Math.min(...wakes),
    finished,
  });

  const mainsDone = mains.length > 0 && mains.every((c) => isDone(view(c.name), policy));
  for (const init of pod.spec?.initContainers ?? []) {
    const { phase, started } = view(init.name);
    if (isSidecar(init)) {
      if (mainsDone) continue;
      if (phase.kind !== "running") startOrWait(init);
      if (!begun && !(phase.kind === "running" && started)) return decision();
      continue;
    }
    // Regular ones are over once the others have begun, whatever is remembered of them.
    if (begun) continue;
    if (phase.kind === "ended" && phase.exit.code === 0) continue;
    if (phase.kind === "running") return decision();
    if (phase.kind === "ended" && policy === "Never") {
      return finish("Failed");
    }
    startOrWait(init);
    return decision();
  }
  if (mainsDone) return finish(mains.every((c) => endCode(view(c.name)) === 0) ? "Succeeded" : "Failed");
  for (const main of mains) {
    const state = view(main.name);
    if (state.phase.kind !== "running" && !isDone(state, policy)) startOrWait(main);
  }
  return decision();

  function finish(result: "Succeeded" | "Failed"): PodDecision {
    const running = [...(pod.spec?.initContainers ?? []), ...mains].filter((c) => view(c.name).phase.kind === "running").map((c) => c.name);
    return running.length > 0 ? decision(undefined, running) : decision(result);
  }
}

/** The kubelet's: the first restart is at once, then 10 s, doubled up to 5 min; forgotten after 10 min of running. */
export function restartDelay(consecutiveEnds: number): number {
  return consecutiveEnds <= 1 ? 0 : Math.min(300_000, 10_000 * 2 ** (consecutiveEnds - 2));
}
export const backoffForgottenMs = 600_000;

function isDone(state: ContainerView, policy: string): boolean {
  if (state.phase.kind !== "ended" || policy === "Always") return false;
  return policy === "Never" || state.phase.exit.code === 0;
}

function endCode(state: ContainerView): number | undefined {
  return state.phase.kind === "ended" ? state.phase.exit.code : undefined;
}
