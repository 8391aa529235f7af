import { createConnection, type Socket } from "node:net";
import type { Running } from "../base/running.ts";
import type { Log } from "../observe/log.ts";
import { encodeFrame, readFrames } from "./frames.ts";
import { type FromAgent, type KeyedDelta, streamVersion, type ToAgent } from "./state-stream.ts";

/** Which keys a child has, so that a new agent's full state ends those that it does not name. */
export interface KnownKeys {
  /** A full state begins; one before it may have been cut off. */
  restate(): void;
  /** Those that no change since `restate` named. */
  unstated(): readonly string[];
}

/** One text a key, however often it is named. */
class KeyMap implements KnownKeys {
  readonly #keys = new Map<string, number>();
  #fulls = 0;

  restate(): void {
    this.#fulls++;
  }

  take(delta: KeyedDelta): void {
    for (const [key] of delta.upserts) this.#keys.set(key, this.#fulls);
    for (const key of delta.deletes) this.#keys.delete(key);
  }

  unstated(): readonly string[] {
    return Array.from(this.#keys).flatMap(([key, named]) => (named === this.#fulls ? [] : [key]));
  }
}

/** A change that could come into force at once: when it is called. Calls come in the order in which changes were prepared. */
export type Prepared = () => void;

export interface SubscriberDeps {
  /** Of a table whose processes switch together: makes all that a change needs, and changes nothing yet. Else it applies the change. */
  readonly take: (delta: KeyedDelta) => Prepared | undefined;
  readonly synced: () => void;
  readonly metrics: () => string;
  /** The table's own word on its keys; else they are kept here, once more. */
  readonly known?: KnownKeys;
  readonly log: Log;
}

/**
 * A child's end: connects, has each change taken, and goes on with the last state while the agent is away. After a new
 * agent's full state, keys it did not name are deleted.
 */
export function startStateSubscriber(path: string, table: string, deps: SubscriberDeps): Running {
  const keys = deps.known === undefined ? new KeyMap() : undefined;
  const known = deps.known ?? keys;
  let staged: Prepared[] = [];
  const apply = (delta: KeyedDelta): void => {
    keys?.take(delta);
    const prepared = deps.take(delta);
    if (prepared !== undefined) staged.push(prepared);
  };
  const commit = (): void => {
    const all = staged;
    staged = [];
    for (const prepared of all) prepared();
  };
  let inFull = false;
  let isSynced = false;
  /** The revision that was taken last. */
  let last = 0;
  let closed = false;
  let socket: Socket | undefined;
  let timer: NodeJS.Timeout | undefined;
  const ready = Promise.withResolvers<void>();

  const take = (message: unknown): void => {
    const m = message as FromAgent;
    switch (m.type) {
      case "full-begin":
        known?.restate();
        inFull = true;
        return;
      case "delta":
        apply(m.delta);
        if (!inFull) taken(m.delta.revision);
        return;
      case "full-end": {
        const gone = known?.unstated() ?? [];
        inFull = false;
        if (gone.length > 0) apply({ revision: m.revision, upserts: [], deletes: gone });
        taken(m.revision);
        return;
      }
      case "switch":
        commit();
        acknowledge(last);
        if (isSynced) settle();
        return;
      case "metrics?":
        socket?.write(encodeFrame({ type: "metrics", text: deps.metrics() } satisfies ToAgent));
        return;
      case "synced":
        isSynced = true;
        if (staged.length === 0) settle();
        return;
    }
  };
  const settle = (): void => {
    deps.synced();
    ready.resolve();
  };
  const taken = (revision: number): void => {
    last = revision;
    if (staged.length === 0) acknowledge(revision);
    else socket?.write(encodeFrame({ type: "prepared", revision } satisfies ToAgent));
  };
  const acknowledge = (revision: number): void => {
    socket?.write(encodeFrame({ type: "ack", revision } satisfies ToAgent));
  };
  const connect = (): void => {
    const s = createConnection(path);
    socket = s;
    s.on("connect", () => s.write(encodeFrame({ type: "hello", table, pid: process.pid, version: streamVersion } satisfies ToAgent)));
    s.on("error", () => undefined);
    s.on("close", () => {
      inFull = false;
      isSynced = false;
      if (closed) return;
      // nobody is left who would say when
      commit();
      timer = setTimeout(connect, 100);
    });
    readFrames(s, take);
  };
  connect();

  return {
    ready: ready.promise,
    close: () => {
      closed = true;
      clearTimeout(timer);
      socket?.destroy();
      return Promise.resolve();
    },
  };
}
