import type { Clock } from "../base/clock.ts";
import type { Log } from "../observe/log.ts";
import type { Kind } from "../snapshot/cluster-snapshot.ts";
import type { SnapshotStore } from "../snapshot/snapshot-store.ts";
import { readCheckpoint, writeCheckpoint } from "./checkpoint.ts";

/** How long the API may be silent before a node that starts goes on with its checkpoint. Milliseconds, in ticks. */
const silence = 3000;
const tick = 250;
/** What is new is written this often at most, and so seldom that it takes a thousandth of the time: 0.2 s for 10,000 Services. */
const writeEvery = 30_000;
const restsPerWrite = 1000;

export interface CheckpointFallback {
  /** The API gave a sign of life: its lists are on their way, however long they take. */
  heard(): void;
  /** The API cannot be reached or refuses to answer: what was known is served at once. */
  failed(): void;
  /** Writes what is new. */
  close(): Promise<void>;
}

/**
 * Keeps the checkpoint at `path` current, and fills `store` from it, once, when the API does not answer before its first lists.
 * Silence is counted in ticks of this process, each at least one turn of its loop: on a machine too busy to run it, answers
 * may lie unread, and that is not the API's silence.
 */
export function startCheckpointFallback(
  path: string,
  store: SnapshotStore,
  kinds: readonly Kind[],
  deps: { readonly clock: Clock; readonly log: Log },
): CheckpointFallback {
  const { clock, log } = deps;
  const stop = new AbortController();
  let silent = 0;
  let remembered = false;
  let saved: unknown;
  let cost = 0;
  let saving = Promise.resolve();

  const fallBack = (): void => {
    if (remembered || store.synced(kinds)) return;
    remembered = true;
    if (readCheckpoint(path, store, kinds)) log("warn", "the API does not answer; serving what was known when this node last ran");
  };
  const save = async (): Promise<void> => {
    const { current } = store;
    if (current === saved || !store.synced(kinds)) return;
    const started = clock.monotonic();
    try {
      await writeCheckpoint(path, store, kinds);
      saved = current;
    } catch (error) {
      log("warn", "the checkpoint could not be written", { file: path, error: String(error) });
    }
    cost = clock.monotonic() - started;
  };
  const run = async (): Promise<void> => {
    while (!remembered && !store.synced(kinds)) {
      await clock.sleep(tick, stop.signal);
      silent += tick;
      if (silent >= silence) fallBack();
    }
    for (;;) {
      await clock.sleep(Math.max(writeEvery, restsPerWrite * cost), stop.signal);
      saving = save();
      await saving;
    }
  };
  run().catch((error: unknown) => {
    if (!stop.signal.aborted) throw error;
  });
  return {
    heard: () => {
      silent = 0;
    },
    failed: fallBack,
    close: async () => {
      stop.abort(new Error("closed"));
      await saving;
      await save();
    },
  };
}
