import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { type Clock, systemClock } from "../base/clock.ts";
import { libc } from "../kernel/libc.ts";

/** Keys that have to change before a collection pays; a full list of a large cluster, not its daily changes. */
const worthwhile = 2000;
/** Within this time: what a day's changes add up to is let go by the young generation as they come. Milliseconds. */
const burst = 30_000;
/** So long must it be quiet. Milliseconds. */
const quiet = 2000;
/** So many keys in that time are quiet too: something always happens, leases, probes and rollouts for example. */
const trickle = 100;

export interface MemoryRelease {
  /** Tells that so many keys changed. */
  changed(keys: number): void;
  /** The burst is over, and nobody waits for this process yet: at once, since it may never be quiet. */
  release(): void;
  close(): void;
}

export interface MemoryReleaseDeps {
  readonly clock?: Clock;
  readonly collect?: () => void;
}

/**
 * Gives memory back to the machine after a burst (a first list, a relist): V8 keeps the pages that the burst needed and has no
 * reason to collect them while nothing happens. One full collection, 100 ms at 10,000 Services, when the burst is over.
 */
export function createMemoryRelease({ clock = systemClock, collect = collectAll }: MemoryReleaseDeps = {}): MemoryRelease {
  const stop = new AbortController();
  let sum = 0;
  let since = Number.NEGATIVE_INFINITY;
  let lately = 0;
  let waiting = false;
  const collectWhenQuiet = async (): Promise<void> => {
    waiting = true;
    do {
      lately = 0;
      await clock.sleep(quiet, stop.signal);
    } while (lately > trickle);
    waiting = false;
    // else it was released meanwhile
    if (sum >= worthwhile) release();
  };
  const release = (): void => {
    sum = 0;
    collect();
  };
  return {
    changed: (keys) => {
      if (clock.monotonic() - since > burst) {
        since = clock.monotonic();
        sum = 0;
      }
      sum += keys;
      lately += keys;
      if (sum >= worthwhile && !waiting) collectWhenQuiet().catch(() => undefined); // the sleep ends that way
    },
    release,
    close: () => stop.abort(),
  };
}

let gc: ((o: object) => void) | undefined;

function collectAll(): void {
  if (gc === undefined) {
    setFlagsFromString("--expose-gc");
    gc = runInNewContext("gc") as (o: object) => void;
  }
  gc({ type: "major", execution: "sync", flavor: "last-resort" });
  trimHeap();
}

/** What the collection freed outside of V8's own heap, glibc keeps in lists of its own. */
function trimHeap(): void {
  try {
    libc().malloc_trim(0);
  } catch {
    // without FFI, or with another libc, it stays there
  }
}
