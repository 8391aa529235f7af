import type { Running } from "../base/running.ts";
import type { Log } from "../observe/log.ts";
import type { SupervisedChild } from "./child.ts";

/** Beyond its drain time, a process may take so long to end. Milliseconds. */
const farewellMs = 5_000;

export interface GenerationsConfig {
  /** Processes that accept from the same sockets at once. */
  readonly processes: number;
  /** How long connections of a generation that has been replaced may go on. Milliseconds. */
  readonly drainMs: number;
  readonly log: Log;
}

export interface IngressGenerations extends Running {
  /**
   * Starts as many processes anew, of the program as it is on disk now. Once all of them serve, those before accept no more
   * and end with their last connection. Where a new one cannot start, those before stay. Renewals come one after the other.
   */
  renew(): Promise<void>;
}

/**
 * The processes that serve routes, in generations: all inherit the same listening sockets, so a connection is accepted by
 * the old or the new, and waits in the socket for neither.
 */
export function startIngressGenerations(
  { processes, drainMs, log }: GenerationsConfig,
  start: (name: string) => SupervisedChild,
): IngressGenerations {
  let count = 0;
  let closed = false;
  let current: readonly SupervisedChild[] = [];
  const retiring = new Set<SupervisedChild>();
  let renewing: Promise<void> = Promise.resolve();

  const startGeneration = (): readonly SupervisedChild[] => {
    count++;
    const suffix = count === 1 ? "" : `.${count}`;
    return Array.from({ length: processes }, (_, i) => start(`ingress-${i + 1}${suffix}`));
  };
  const retire = async (child: SupervisedChild): Promise<void> => {
    retiring.add(child);
    await child.stop({ type: "retire" }, drainMs + farewellMs);
    retiring.delete(child);
  };
  const renewOnce = async (): Promise<void> => {
    if (closed) return;
    const next = startGeneration();
    try {
      await Promise.all(next.map((c) => c.ready));
    } catch (error) {
      await Promise.all(next.map((c) => c.close()));
      if (!closed) throw error;
      return;
    }
    const before = current;
    current = next;
    for (const child of before) void retire(child);
    log("info", `ingress: generation ${count} serves; connections of the one before have ${drainMs / 1000} s`);
  };

  current = startGeneration();
  return {
    ready: Promise.all(current.map((c) => c.ready)).then(() => undefined),
    renew: () => {
      const result = renewing.then(renewOnce);
      renewing = result.catch(() => undefined);
      return result;
    },
    close: async () => {
      closed = true;
      await Promise.all([...current, ...retiring].map((c) => c.close()));
      await renewing;
      await Promise.all([...current, ...retiring].map((c) => c.close()));
    },
  };
}
