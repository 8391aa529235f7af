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
  full(): readonly (readonly [key: string, value: unknown])[];
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
  acked: number;
  onMetrics: ((text: string) => void) | undefined;
}

export interface StatePublisher extends Running {
  /** Sends a change to the children of a table. Revisions are the publisher's own count. */
  publish(table: string, delta: Omit<KeyedDelta, "revision">): void;
  markSynced(): void;
  /** Prometheus text of each child that answers within a second. */
  childMetrics(): Promise<readonly string[]>;
  /** True when every connected child has acknowledged all that was published. */
  settled(): boolean;
}

/** The agent's end: a UNIX socket in a folder of its own that only this user may enter. */
export function startStatePublisher(path: string, sources: readonly StateSource[], log: Log): StatePublisher {
  const children = new Set<Child>();
  let revision = 0;
  let synced = false;

  const greet = (socket: Socket, table: string): void => {
    const source = sources.find((s) => s.name === table);
    if (source === undefined) {
      socket.destroy();
      return;
    }
    const child: Child = { socket, table, acked: -1, onMetrics: undefined };
    send(socket, { type: "full-begin" });
    const tag = source.tag === undefined ? {} : { tag: source.tag() };
    const all = source.full();
    for (let i = 0; i < all.length; i += partKeys) {
      send(socket, { type: "delta", delta: { revision, ...tag, upserts: all.slice(i, i + partKeys), deletes: [] } });
    }
    send(socket, { type: "full-end", revision });
    if (synced) send(socket, { type: "synced" });
    children.add(child);
    socket.on("close", () => children.delete(child));
  };

  const server: Server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    readFrames(socket, (message) => {
      const m = message as ToAgent;
      if (m.type === "hello") {
        greet(socket, m.table);
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
      revision++;
      const frame = encodeFrame({ type: "delta", delta: { ...delta, revision } } satisfies FromAgent);
      for (const child of children) {
        if (child.table !== table) {
          child.acked = child.acked === revision - 1 ? revision : child.acked;
          continue;
        }
        child.socket.write(frame);
        if (child.socket.writableLength > maxBacklog) {
          log("warn", `${table} process does not read its state; cutting it off`, { bytes: child.socket.writableLength });
          child.socket.destroy();
        }
      }
    },
    markSynced: () => {
      synced = true;
      for (const child of children) send(child.socket, { type: "synced" });
    },
    childMetrics: async () => {
      const texts = await Promise.all([...children].map(askMetrics));
      return texts.filter((t) => t !== "");
    },
    settled: () => [...children].every((c) => c.acked >= revision),
    close: () =>
      new Promise((resolve) => {
        for (const child of children) child.socket.destroy();
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

function send(socket: Socket, message: FromAgent): void {
  socket.write(encodeFrame(message));
}

/**
 * A child's end: connects, keeps `apply` current, and goes on with the last state while the agent is away. After a new
 * agent's full state, keys it did not name are deleted.
 */
export function startStateSubscriber(
  path: string,
  table: string,
  deps: { readonly apply: (delta: KeyedDelta) => void; readonly synced: () => void; readonly metrics: () => string; readonly log: Log },
): Running {
  const keys = new Set<string>();
  let seen: Set<string> | undefined;
  let closed = false;
  let socket: Socket | undefined;
  let timer: NodeJS.Timeout | undefined;
  const ready = Promise.withResolvers<void>();

  const take = (message: unknown): void => {
    const m = message as FromAgent;
    switch (m.type) {
      case "full-begin":
        seen = new Set();
        return;
      case "delta":
        for (const [key] of m.delta.upserts) {
          keys.add(key);
          seen?.add(key);
        }
        for (const key of m.delta.deletes) keys.delete(key);
        deps.apply(m.delta);
        if (seen === undefined) acknowledge(m.delta.revision);
        return;
      case "full-end": {
        const gone = [...keys].filter((k) => seen?.has(k) === false);
        seen = undefined;
        for (const key of gone) keys.delete(key);
        if (gone.length > 0) deps.apply({ revision: m.revision, upserts: [], deletes: gone });
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
      seen = undefined;
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
