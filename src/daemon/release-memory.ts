import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Keys that have to change before a collection pays; a full list of a large cluster, not its daily changes. */
const worthwhile = 2000;
/** So long must it be quiet. Milliseconds. */
const quiet = 2000;

/**
 * Gives memory back to the machine after a burst (a first list, a relist): V8 keeps the pages that the burst needed and has no
 * reason to collect them while nothing happens. One full collection, 100 ms at 10,000 Services, when the burst is over.
 */
export function createMemoryRelease(): { /** Tells that so many keys changed. */ changed(keys: number): void; close(): void } {
  let sum = 0;
  let timer: NodeJS.Timeout | undefined;
  let collect: ((o: object) => void) | undefined;
  const run = (): void => {
    sum = 0;
    if (collect === undefined) {
      setFlagsFromString("--expose-gc");
      collect = runInNewContext("gc") as (o: object) => void;
    }
    collect({ type: "major", execution: "sync", flavor: "last-resort" });
  };
  return {
    changed: (keys) => {
      sum += keys;
      if (sum < worthwhile) return;
      clearTimeout(timer);
      timer = setTimeout(run, quiet);
      timer.unref();
    },
    close: () => clearTimeout(timer),
  };
}
