import type { Running } from "../base/running.ts";
import type { Log } from "../observe/log.ts";
import type { SupervisedChild } from "./child.ts";

/** Beyond its drain time, a process may take so long to end. Milliseconds. */
const farewellMs = 5_000;
/** Generations that drain at once; at one more, the oldest ends. */
const mostRetiring = 4;

export interface GenerationsConfig {
  /** What they serve, for the log. */
  readonly role: string;
  /** Of processes that read from the same sockets at once. */
  readonly names: readonly string[];
  /** How long work of a generation that has been replaced may go on. Milliseconds. */
  readonly drainMs: number;
  readonly log: Log;
}

export interface Generations extends Running {
  /**
   * Starts as many processes anew, of the program as it is on disk now. Once all of them serve, those before take no more
   * and end with the last of what they have. Where a new one cannot start, those before stay. Renewals come one after the other.
   */
  renew(): Promise<void>;
  /** Others serve by now: all take no more, and end with the last of what they have. Resolves when the last has ended. */
  retire(): Promise<void>;
}

/**
 * The processes that serve something, in generations: all inherit the same sockets, so a connection or a datagram is taken by
 * the old or the new, and waits in the socket for neither. `start` hears which generation it is for, the first
 * being 1, and which of `names`.
 */
export function startGenerations(
  { role, names, drainMs, log }: GenerationsConfig,
  start: (name: string, generation: number, index: number) => SupervisedChild,
): Generations {
  let count = 0;
  let closed = false;
  let current: readonly SupervisedChild[] = [];
  /** Those told first stand first. */
  const retiring = new Map<SupervisedChild, Promise<void>>();

  const startGeneration = (): readonly SupervisedChild[] => {
    count++;
    const suffix = count === 1 ? "" : `.${count}`;
    return names.map((name, i) => start(`${name}${suffix}`, count, i));
  };
  const retire = (child: SupervisedChild): void => {
    retiring.set(
      child,
      child.stop({ type: "retire" }, drainMs + farewellMs).then(() => void retiring.delete(child)),
    );
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
    for (const child of before) retire(child);
    // who is renewed more often than it can drain must not fill the machine with what was before
    const tooMany = [...retiring.keys()].slice(0, Math.max(0, retiring.size - mostRetiring * names.length));
    for (const child of tooMany) void child.close();
    log("info", `${role}: generation ${count} serves; the one before has ${drainMs / 1000} s for what it is at`);
  };

  current = startGeneration();
  const ready = Promise.all(current.map((c) => c.ready)).then(() => undefined);
  // who retires before it served would be taken for a failed start
  let renewing: Promise<void> = ready.catch(() => undefined);
  return {
    ready,
    renew: () => {
      const result = renewing.then(renewOnce);
      renewing = result.catch(() => undefined);
      return result;
    },
    retire: async () => {
      closed = true;
      await renewing;
      for (const child of current) retire(child);
      current = [];
      await Promise.all(retiring.values());
    },
    close: async () => {
      closed = true;
      await Promise.all([...current, ...retiring.keys()].map((c) => c.close()));
      await renewing;
      await Promise.all([...current, ...retiring.keys()].map((c) => c.close()));
    },
  };
}
