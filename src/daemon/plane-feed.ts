import type { Batch } from "../snapshot/cluster-snapshot.ts";
import type { SnapshotStore } from "../snapshot/snapshot-store.ts";

/** How long after the first lists names and routes wait for the rules at most. Milliseconds. */
const rulesFirstFor = 5000;

export interface PlaneFeed {
  /** Settles when the planes have had the first lists. */
  readonly fed: Promise<void>;
  /** Whether there is a change that the planes have not had. */
  waiting(): boolean;
  close(): void;
}

/**
 * Gives `feed` what changed in the store, batch by batch, one at a time. Traffic first: what is made of the first lists waits
 * until `rulesIn` settles, for some seconds at most.
 */
export function startPlaneFeed(
  store: SnapshotStore,
  complete: () => boolean,
  rulesIn: Promise<void>,
  feed: (batch: Batch) => Promise<void>,
): PlaneFeed {
  const fed = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  rulesIn.then(go.resolve, () => go.resolve());
  let scheduled = false;
  let patience: NodeJS.Timeout | undefined;

  const next = async (): Promise<void> => {
    patience ??= setTimeout(go.resolve, rulesFirstFor).unref();
    await go.promise;
    const batch = cursor.take();
    if (batch !== undefined) await feed(batch);
    scheduled = false;
    fed.resolve();
    if (batch !== undefined) wake();
  };
  const wake = (): void => {
    if (scheduled || !complete()) return;
    scheduled = true;
    // One turn of the loop later: events that came in one read make one batch.
    setImmediate(() => {
      next().catch((error: unknown) => {
        // a plane that throws ends the process, as from any event handler; its supervisor starts it anew
        setImmediate(() => {
          throw error;
        });
      });
    });
  };
  const cursor = store.cursor(wake);
  // where nothing changes any more, nobody else says that all lists are there
  wake();
  return {
    fed: fed.promise,
    waiting: () => scheduled,
    close: () => {
      clearTimeout(patience);
      cursor.close();
    },
  };
}
