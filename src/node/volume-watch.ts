import { join } from "node:path";
import type { Pod } from "../api/types/core-v1.generated.ts";
import type { Clock } from "../base/clock.ts";
import type { Running } from "../base/running.ts";
import type { RunCommand } from "../kernel/command.ts";
import { limitedVolumes, overLimitMessage } from "./volume-limits.ts";

export interface WatchedPod {
  readonly uid: string;
  readonly pod: Pod;
  evict(message: string): void;
}

export interface VolumeWatchDeps {
  readonly clock: Clock;
  readonly run: RunCommand;
  pods(): Iterable<WatchedPod>;
  volumesFolder(podUid: string): string;
}

/** The kubelet's. */
const lookMs = 10_000;

/** Looks every ten seconds how much the limited volumes hold, and evicts a pod whose volume has outgrown its limit. */
export function startVolumeWatch(deps: VolumeWatchDeps): Running {
  const stop = new AbortController();
  const look = async ({ uid, pod, evict }: WatchedPod): Promise<void> => {
    if (pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed") return;
    for (const volume of limitedVolumes(pod)) {
      const used = await usedBytes(deps.run, join(deps.volumesFolder(uid), volume.name), stop.signal);
      if (used !== undefined && used > volume.bytes) {
        evict(overLimitMessage(volume));
        return;
      }
    }
  };
  const loop = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      await deps.clock.sleep(lookMs, stop.signal).catch(() => undefined);
      for (const pod of [...deps.pods()]) if (!stop.signal.aborted) await look(pod);
    }
  };
  const running = loop();
  return {
    ready: Promise.resolve(),
    close: async () => {
      stop.abort(new Error("closed"));
      await running;
    },
  };
}

/** What the files take on the disk; undefined when there is no folder, or it cannot be told. */
async function usedBytes(run: RunCommand, folder: string, signal: AbortSignal): Promise<number | undefined> {
  // A file that goes while du looks makes it fail, and the sum is printed all the same.
  const result = await run(["du", "-sx", "--block-size=1", folder], {}, signal).catch(() => undefined);
  const bytes = Number.parseInt(result?.stdout ?? "", 10);
  return Number.isNaN(bytes) ? undefined : bytes;
}
