import type { ContainerExit } from "./pod-runtime.ts";

/** How a container's process ended, `code` undefined where nobody saw it. */
export interface ProcessEnd {
  readonly code: number | undefined;
  /** Milliseconds since 1970. */
  readonly at: number;
}

export function containerExit({ code, at }: ProcessEnd, outOfMemory = false): ContainerExit {
  if (code === undefined) return unseenExit(at, "terminated");
  return { code, reason: outOfMemory ? "OOMKilled" : code === 0 ? "Completed" : "Error", message: "", at };
}

/** As a kubelet words it; `when`: what was done with the pod when its container was missed. */
export function unseenExit(at: number, when: "restarted" | "terminated"): ContainerExit {
  return { code: 137, reason: "ContainerStatusUnknown", message: `The container could not be located when the pod was ${when}`, at };
}
