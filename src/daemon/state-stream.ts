import { chmodSync, existsSync, mkdirSync, rmSync } from "node:fs";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { dirname } from "node:path";
import type { Running } from "../base/running.ts";
import type { Log } from "../observe/log.ts";
import { encodeFrame, readFrames } from "./frames.ts";

/** A change of a keyed table, as it travels from the agent to a process that serves it. */
export interface KeyedDelta {
  /** The publisher's count of changes. */
  readonly revision: number;
  /** The table's own count, where it has one: the zones' serial number grows over restarts of the agent. */
  readonly tag?: number;
  readonly upserts: readonly (readonly [key: string, value: unknown])[];
  readonly deletes: readonly string[];
}

/** A table that the agent keeps for its children: `full` is asked when one connects. */
export interface StateSource {
  readonly name: string;
  tag?(): number;
  /** Read part by part, while changes go on: what changes meanwhile is sent again after it. */
  full(): Iterable<readonly [key: string, value: unknown]>;
}

type ToAgent =
  | { readonly type: "hello"; readonly table: string; readonly pid: number }
  | { readonly type: "ack"; readonly revision: number }
  | { readonly type: "metrics"; readonly text: string };
type FromAgent =
  | { readonly type: "full-begin" }
  | { readonly type: "delta"; readonly delta: KeyedDelta }
  /** Keys that the child has and that no part of the full state named are gone. */
  | { readonly type: "full-end"; readonly revision: number }
  /** The agent has heard from the API: what is not there does not exist. */
  | { readonly type: "synced" }
  | { readonly type: "metrics?" };

/** A full state goes in parts of this many keys, so that a child answers between them. */
const partKeys = 500;
/** A child that has not read this much is cut off; it connects again and takes one full state. Bytes. */
const maxBacklog = 256 << 20;

interface Child {
  readonly socket: Socket;
  readonly table: string;
  /** Changes that came while it was given its full state, in their order; undefined before and after. */
  held: Uint8Array[] | undefined;
  acked: number;
  onMetrics: ((text: string) => void) | undefined;
}

export interface StatePublisher extends Running {
  /** Sends a change to the children of a table. Revisions are the publisher's own count, table by table. */
  publish(table: string, delta: Omit<KeyedDelta, "revision">): void;
  /** Whether a child has, or is being given, the state of a table: else nobody needs to hear of a change. */
  isHeard(table: string): boolean;
  /**
   * The sources know the whole state now. Children that connect before this wait: a new agent that gave them its empty tables
   * would take from them all that they serve.
   */
  markSynced(): void;
  /** Prometheus text of each child that answers within a second. */
  childMetrics(): Promise<readonly string[]>;
  /** True when every connected child has acknowledged all that was published. */
  settled(): boolean;
}

/** The agent's end: a UNIX socket in a folder of its own that only this user may enter. */
export function startStatePublisher(path: string, sources: readonly StateSource[], log: Log): StatePublisher {
  const children = new Set<Child>();
  /** Connected before the state was known. */
  const waiting = new Set<Child>();
  const revisions = new Map<string, number>();
  const revisionOf = (table: string): number => revisions.get(table) ?? 0;
  let synced = false;

  const greet = (child: Child): void => {
    children.add(child);
    child.held = [];
    giveFull(child).catch((error: unknown) => {
      log("error", `the state of ${child.table} could not be sent`, { error: String(error) });
      child.socket.destroy();
    });
  };

  const giveFull = async (child: Child): Promise<void> => {
    const { socket, table } = child;
    const source = sources.find((s) => s.name === table);
    if (source === undefined) return;
    const revision = revisionOf(table);
    const tag = source.tag === undefined ? {} : { tag: source.tag() };
    send(socket, { type: "full-begin" });
    let part: (readonly [string, unknown])[] = [];
    for (const entry of source.full()) {
      part.push(entry);
      if (part.length < partKeys) continue;
      send(socket, { type: "delta", delta: { revision, ...tag, upserts: part, deletes: [] } });
      part = [];
      await drained(socket);
      if (socket.destroyed) return;
    }
    if (part.length > 0) send(socket, { type: "delta", delta: { revision, ...tag, upserts: part, deletes: [] } });
    send(socket, { type: "full-end", revision });
    for (const frame of child.held ?? []) socket.write(frame);
    child.held = undefined;
    send(socket, { type: "synced" });
  };

  const server: Server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    readFrames(socket, (message) => {
      const m = message as ToAgent;
      if (m.type === "hello") {
        if (!sources.some((s) => s.name === m.table)) {
          socket.destroy();
          return;
        }
        const child: Child = { socket, table: m.table, held: undefined, acked: -1, onMetrics: undefined };
        socket.on("close", () => {
          children.delete(child);
          waiting.delete(child);
        });
        if (synced) greet(child);
        else waiting.add(child);
        return;
      }
      for (const child of children) {
        if (child.socket !== socket) continue;
        if (m.type === "ack") child.acked = m.revision;
        else child.onMetrics?.(m.text);
      }
    });
  });
  const ready = new Promise<void>((resolve, reject) => {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    // Only one agent runs a node (its supervisor sees to that), so a socket that is there is a dead one's.
    if (existsSync(path)) rmSync(path);
    server.once("error", reject);
    server.listen(path, () => {
      chmodSync(path, 0o600);
      resolve();
    });
  });

  return {
    ready,
    publish: (table, delta) => {
      if (delta.upserts.length === 0 && delta.deletes.length === 0) return;
      const revision = revisionOf(table) + 1;
      revisions.set(table, revision);
      let frame: Uint8Array | undefined;
      for (const child of children) {
        if (child.table !== table) continue;
        frame ??= encodeFrame({ type: "delta", delta: { ...delta, revision } } satisfies FromAgent);
        if (child.held === undefined) child.socket.write(frame);
        else child.held.push(frame);
        const backlog = child.socket.writableLength + (child.held ?? []).reduce((n, f) => n + f.length, 0);
        if (backlog > maxBacklog) {
          log("warn", `${table} process does not read its state; cutting it off`, { bytes: backlog });
          child.socket.destroy();
        }
      }
    },
    isHeard: (table) => [...children].some((c) => c.table === table),
    markSynced: () => {
      synced = true;
      for (const child of waiting) greet(child);
      waiting.clear();
    },
    childMetrics: async () => {
      const texts = await Promise.all([...children].map(askMetrics));
      return texts.filter((t) => t !== "");
    },
    settled: () => waiting.size === 0 && [...children].every((c) => c.acked >= revisionOf(c.table)),
    close: () =>
      new Promise((resolve) => {
        for (const child of [...children, ...waiting]) child.socket.destroy();
        server.close(() => resolve());
      }),
  };
}

/** How long a scrape waits for a child. Milliseconds. */
const metricsTimeout = 1000;

function askMetrics(child: Child): Promise<string> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(""), metricsTimeout);
    child.onMetrics = (text) => {
      clearTimeout(timer);
      resolve(text);
    };
    send(child.socket, { type: "metrics?" });
  });
}

/** The other end has read enough to be sent more, or is gone. Lets this process do other work in any case. */
function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.destroyed || !socket.writableNeedDrain) {
      setImmediate(resolve);
      return;
    }
    const go = (): void => {
      socket.off("drain", go);
      socket.off("close", go);
      resolve();
    };
    socket.on("drain", go);
    socket.on("close", go);
  });
}

function send(socket: Socket, message: FromAgent): void {
  socket.write(encodeFrame(message));
}

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

export interface SubscriberDeps {
  readonly apply: (delta: KeyedDelta) => void;
  readonly synced: () => void;
  readonly metrics: () => string;
  /** The table's own word on its keys; else they are kept here, once more. */
  readonly known?: KnownKeys;
  readonly log: Log;
}

/**
 * A child's end: connects, keeps `apply` current, and goes on with the last state while the agent is away. After a new
 * agent's full state, keys it did not name are deleted.
 */
export function startStateSubscriber(path: string, table: string, deps: SubscriberDeps): Running {
  const keys = deps.known === undefined ? new KeyMap() : undefined;
  const known = deps.known ?? keys;
  const apply = (delta: KeyedDelta): void => {
    keys?.take(delta);
    deps.apply(delta);
  };
  let inFull = false;
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
        if (!inFull) acknowledge(m.delta.revision);
        return;
      case "full-end": {
        const gone = known?.unstated() ?? [];
        inFull = false;
        if (gone.length > 0) apply({ revision: m.revision, upserts: [], deletes: gone });
        acknowledge(m.revision);
        return;
      }
      case "metrics?":
        socket?.write(encodeFrame({ type: "metrics", text: deps.metrics() } satisfies ToAgent));
        return;
      case "synced":
        deps.synced();
        ready.resolve();
        return;
    }
  };
  const acknowledge = (revision: number): void => {
    socket?.write(encodeFrame({ type: "ack", revision } satisfies ToAgent));
  };
  const connect = (): void => {
    const s = createConnection(path);
    socket = s;
    s.on("connect", () => s.write(encodeFrame({ type: "hello", table, pid: process.pid } satisfies ToAgent)));
    s.on("error", () => undefined);
    s.on("close", () => {
      inFull = false;
      if (!closed) timer = setTimeout(connect, 100);
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
