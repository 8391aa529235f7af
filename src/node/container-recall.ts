import type { ContainerStateTerminated, ContainerStatus } from "../api/types/core-v1.generated.ts";
import { unseenExit } from "./container-exit.ts";
import { type ContainerView, noView } from "./pod-lifecycle.ts";
import type { ContainerExit } from "./pod-runtime.ts";

export interface Recalled {
  /** The attempt that the next start replaces, or, for one that is over, the last. */
  readonly attempt: number;
  readonly view: ContainerView;
}

type End = NonNullable<ContainerView["lastEnd"]>;

/**
 * A container that ran here and of which nothing is left: the machine was restarted, or the cluster stopped in between. It starts again,
 * counted as a restart, but for what may not run twice. Undefined: it never ran.
 */
export function recallContainer(status: ContainerStatus, policy: string, now: number): Recalled | undefined {
  const { running, terminated = status.lastState?.terminated } = status.state ?? {};
  if (running === undefined && terminated === undefined) return undefined;
  const exit = terminated === undefined || running !== undefined ? unseenExit(now, "restarted") : exitOf(terminated, now);
  const startedAt = Date.parse(running?.startedAt ?? terminated?.startedAt ?? "") || now;
  const end: End = { kind: "ended", id: idOf(status.containerID), startedAt, exit };
  const over = policy === "Never" || (policy === "OnFailure" && exit.code === 0);
  const attempt = over ? status.restartCount : status.restartCount + 1;
  return { attempt, view: { ...noView, restarts: attempt, ...(over ? { phase: end } : { lastEnd: end }) } };
}

/** The end before the run that is adopted, as an earlier agent told it. */
export function recallLastEnd(status: ContainerStatus | undefined, now: number): End | undefined {
  const terminated = status?.lastState?.terminated;
  if (terminated === undefined) return undefined;
  const startedAt = Date.parse(terminated.startedAt ?? "") || now;
  return { kind: "ended", id: idOf(terminated.containerID), startedAt, exit: exitOf(terminated, now) };
}

function exitOf(terminated: ContainerStateTerminated, now: number): ContainerExit {
  return {
    code: terminated.exitCode,
    reason: reasons.find((r) => r === terminated.reason) ?? (terminated.exitCode === 0 ? "Completed" : "Error"),
    message: terminated.message ?? "",
    at: Date.parse(terminated.finishedAt ?? "") || now,
  };
}

const reasons = [
  "Completed",
  "Error",
  "OOMKilled",
  "StartError",
  "ContainerStatusUnknown",
] as const satisfies readonly ContainerExit["reason"][];

function idOf(containerId: string | undefined): string {
  return (containerId ?? "").replace(/^[^:]*:\/\//, "");
}
