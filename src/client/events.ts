import type { Event, ObjectReference } from "../api/types/core-v1.generated.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import { fnv1a } from "../base/hash.ts";
import { createClient } from "./client.ts";
import { isAlreadyExists, isNotFound } from "./errors.ts";
import { resources } from "./resources.ts";
import type { Transport } from "./transport.ts";

export interface EventNote {
  readonly regarding: ObjectReference;
  readonly type: "Normal" | "Warning";
  /** UpperCamelCase word: `FailedScheduling`. */
  readonly reason: string;
  readonly message: string;
  /** What was tried or done, UpperCamelCase; default: the reason. */
  readonly action?: string;
  /** Other processes that find the same write the same Event, instead of one each. */
  readonly shared?: boolean;
}

export interface EventRecorder {
  /** Never throws and never waits; what cannot be written is dropped and counted. False: too many wait, so it was not taken. */
  record(note: EventNote): boolean;
  readonly dropped: number;
  /** Waits for what is on its way. */
  close(): Promise<void>;
}

export interface EventRecorderOptions {
  /** `source.component` and `reportingComponent`: `default-scheduler`. */
  readonly component: string;
  /** `source.host`, for components of one node. */
  readonly host?: string | undefined;
  readonly clock?: Clock | undefined;
  readonly onFailure?: ((error: unknown) => void) | undefined;
}

/** Events of one object and reason that differ in their message only are counted together from this many on. */
const similarLimit = 10;
const similarWindowMs = 10 * 60_000;
/** An object may make this many events at once, then one more each five minutes. */
const burst = 25;
const refillMs = 5 * 60_000;
const maxKept = 4096;
const maxWaiting = 1000;

interface Written {
  readonly name: string;
  readonly firstTimestamp: string;
  count: number;
}
interface Similar {
  readonly messages: Set<string>;
  last: number;
}
interface Bucket {
  tokens: number;
  at: number;
}

/**
 * Writes core/v1 Events: the same thing again raises the count of the event already there, many similar ones become one
 * "(combined from similar events)", and an object that makes too many is cut short.
 */
export function createEventRecorder(transport: Transport, o: EventRecorderOptions): EventRecorder {
  const client = createClient(transport);
  const clock = o.clock ?? systemClock;
  const written = new Map<string, Written>();
  const similar = new Map<string, Similar>();
  const buckets = new Map<string, Bucket>();
  let dropped = 0;
  let waiting = 0;
  let tail: Promise<void> = Promise.resolve();
  let closed = false;

  const message = (note: EventNote, subject: string): string => {
    const now = clock.now();
    const known = similar.get(subject);
    if (known === undefined || now - known.last > similarWindowMs) {
      remember(similar, subject, { messages: new Set([note.message]), last: now });
      return note.message;
    }
    known.last = now;
    if (known.messages.has(note.message)) return note.message;
    if (known.messages.size >= similarLimit) return `(combined from similar events): ${note.message}`;
    known.messages.add(note.message);
    return note.message;
  };

  const allowed = (object: string): boolean => {
    const now = clock.now();
    const bucket = buckets.get(object) ?? { tokens: burst, at: now };
    const refilled = Math.min(burst, bucket.tokens + (now - bucket.at) / refillMs);
    remember(buckets, object, { tokens: refilled >= 1 ? refilled - 1 : refilled, at: now });
    return refilled >= 1;
  };

  const write = async (note: EventNote): Promise<void> => {
    const object = [note.regarding.kind, note.regarding.namespace, note.regarding.name, note.regarding.uid].join("/");
    if (!allowed(object)) {
      dropped++;
      return;
    }
    const subject = [object, note.type, note.reason].join("/");
    const text = message(note, subject);
    const combined = text !== note.message;
    const key = combined ? `${subject}/combined` : `${subject}/${text}`;
    const stamp = new Date(clock.now()).toISOString().replace(/\.\d+Z$/, "Z");
    const namespace = note.regarding.namespace ?? "default";
    const known = written.get(key);
    if (known !== undefined) {
      try {
        const body = { count: known.count + 1, lastTimestamp: stamp, message: text };
        await client.patch(resources.events, { namespace, name: known.name }, { type: "merge", body });
        known.count++;
        return;
      } catch (e) {
        // It was there and has expired: a new one begins.
        if (!isNotFound(e)) throw e;
        written.delete(key);
      }
    }
    const hash = fnv1a(key).toString(16).padStart(8, "0");
    const id = note.shared === true ? hash : `${clock.now().toString(16)}${hash}`;
    const event: Event = {
      metadata: { namespace, name: `${(note.regarding.name ?? "unknown").slice(0, 220)}.${id}` },
      involvedObject: note.regarding,
      type: note.type,
      reason: note.reason,
      message: text.slice(0, 1024),
      action: note.action ?? note.reason,
      source: { component: o.component, ...(o.host === undefined ? {} : { host: o.host }) },
      reportingComponent: o.component,
      reportingInstance: o.host ?? "",
      firstTimestamp: stamp,
      lastTimestamp: stamp,
      count: 1,
    };
    try {
      await client.create(resources.events, event);
    } catch (e) {
      if (!isAlreadyExists(e)) throw e;
      const name = event.metadata?.name ?? "";
      await client.patch(resources.events, { namespace, name }, { type: "merge", body: { lastTimestamp: stamp } });
    }
    remember(written, key, { name: event.metadata?.name ?? "", firstTimestamp: stamp, count: 1 });
  };

  return {
    get dropped() {
      return dropped;
    },
    record(note) {
      if (closed || waiting >= maxWaiting) {
        dropped++;
        return false;
      }
      waiting++;
      tail = tail
        .then(() => write(note))
        .catch((e: unknown) => {
          dropped++;
          o.onFailure?.(e);
        })
        .finally(() => {
          waiting--;
        });
      return true;
    },
    async close() {
      closed = true;
      await tail;
    },
  };
}

/** A map that forgets its oldest entries. */
function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= maxKept) return;
  const [oldest] = map.keys();
  if (oldest !== undefined) map.delete(oldest);
}
