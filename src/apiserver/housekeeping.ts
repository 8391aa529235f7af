import { findResource } from "../api/scheme.ts";
import type { Event } from "../api/types/core-v1.generated.ts";
import type { Running } from "../base/running.ts";
import type { Rev } from "../store/store.ts";
import type { ApiContext } from "./call.ts";
import { keyOf } from "./registry.ts";

const every = 300_000;
/** How long an Event is kept after it last happened, as kube-apiserver keeps it. */
const eventsLive = 3_600_000;

/** Every five minutes: forgets old revisions and old Events. */
export function startHousekeeping(context: ApiContext): Running {
  const stop = new AbortController();
  const { registry, clock, log } = context;
  const work = async (): Promise<void> => {
    let before: Rev = registry.cache.rev;
    for (;;) {
      await clock.sleep(every, stop.signal);
      try {
        await removeOldEvents(context);
        // What was past a round ago goes: what happened since can still be asked for.
        await registry.store.compact(before);
      } catch (error) {
        log("warn", "housekeeping failed; tried again in five minutes", { error: String(error) });
      }
      before = registry.cache.rev;
    }
  };
  const done = work().catch(() => undefined); // the sleep ends that way
  return {
    ready: Promise.resolve(),
    close: async () => {
      stop.abort();
      await done;
    },
  };
}

async function removeOldEvents({ registry, clock }: ApiContext): Promise<void> {
  const events = findResource("", "v1", "events");
  if (events === undefined) return;
  const limit = clock.now() - eventsLive;
  for (const object of registry.all(events)) {
    const event = object as unknown as Event;
    const { name = "", namespace = "", resourceVersion } = object.metadata;
    const last = event.series?.lastObservedTime ?? event.lastTimestamp ?? event.eventTime ?? object.metadata.creationTimestamp;
    if (last !== undefined && last !== null && Date.parse(last) < limit) {
      await registry.remove(events, keyOf(namespace, name), Number(resourceVersion));
    }
  }
}
