import { chmodSync, existsSync, mkdirSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { dirname } from "node:path";
import type { Clock } from "../base/clock.ts";
import type { Running } from "../base/running.ts";
import type { Log } from "../observe/log.ts";
import { encodeFrame, readFrames } from "./frames.ts";
import { type FromAgent, type KeyedDelta, type StateSource, streamVersion, type ToAgent, withoutEdits } from "./state-stream.ts";
import { SwitchRounds, switchWithinMs } from "./switch-rounds.ts";

/** A full state goes in parts of this many keys, so that a child answers between them. */
const partKeys = 500;
/** A child that has not read this much is cut off; it connects again and takes one full state. Bytes. */
const maxBacklog = 256 << 20;

interface Child {
  readonly socket: Socket;
  readonly table: string;
  readonly pid: number;
  /** What it understands: see `streamVersion`. */
  readonly version: number;
  /** Changes that came while it was given its full state, in their order; undefined before and after. */
  held: Uint8Array[] | undefined;
  acked: number;
  onMetrics: ((text: string) => void) | undefined;
}

export interface PublisherDeps {
  readonly log: Log;
  readonly clock: Clock;
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
export function startStatePublisher(path: string, sources: readonly StateSource[], { log, clock }: PublisherDeps): StatePublisher {
  const children = new Set<Child>();
  /** Connected before the state was known. */
  const waiting = new Set<Child>();
  const revisions = new Map<string, number>();
  const sourceOf = (table: string): StateSource | undefined => sources.find((s) => s.name === table);
  const revisionOf = (table: string): number => revisions.get(table) ?? 0;
  let synced = false;
  const pass = (child: Child, frame: Uint8Array): void => {
    if (child.held === undefined) child.socket.write(frame);
    else child.held.push(frame);
    const backlog = child.socket.writableLength + (child.held ?? []).reduce((n, f) => n + f.length, 0);
    if (backlog <= maxBacklog) return;
    log("warn", `${child.table} process does not read its state; cutting it off`, { bytes: backlog });
    child.socket.destroy();
  };
  const passAll = (to: Iterable<Child>, delta: KeyedDelta): void => {
    let frame: Uint8Array | undefined;
    let plain: Uint8Array | undefined;
    for (const child of to) {
      if (child.version < streamVersion && delta.edits !== undefined) {
        plain ??= encodeFrame({ type: "delta", delta: withoutEdits(delta, sourceOf(child.table)?.full() ?? []) } satisfies FromAgent);
        pass(child, plain);
        continue;
      }
      frame ??= encodeFrame({ type: "delta", delta } satisfies FromAgent);
      pass(child, frame);
    }
  };
  const roundsOf = new Map(
    sources
      .filter((s) => s.together === true)
      .map(({ name }) => {
        const rounds = new SwitchRounds<Child>({
          clock,
          send: passAll,
          tellSwitch: ({ socket }) => send(socket, { type: "switch" }),
          onLate: ({ pid }) =>
            log("warn", `${name}: process ${pid} was not ready within ${switchWithinMs} ms; the others go on without it`),
        });
        return [name, rounds] as const;
      }),
  );
  const gone = (child: Child): void => {
    children.delete(child);
    waiting.delete(child);
    roundsOf.get(child.table)?.remove(child);
  };

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
    const source = sourceOf(table);
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
    if (!socket.destroyed) roundsOf.get(table)?.add(child);
  };

  const server: Server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    readFrames(socket, (message) => {
      const m = message as ToAgent;
      if (m.type === "hello") {
        if (sourceOf(m.table) === undefined) {
          socket.destroy();
          return;
        }
        const child: Child = {
          socket,
          table: m.table,
          held: undefined,
          pid: m.pid,
          version: m.version ?? 1,
          acked: -1,
          onMetrics: undefined,
        };
        socket.on("close", () => gone(child));
        if (synced) greet(child);
        else waiting.add(child);
        return;
      }
      for (const child of children) {
        if (child.socket !== socket) continue;
        if (m.type === "metrics") {
          child.onMetrics?.(m.text);
          continue;
        }
        if (m.type === "ack") child.acked = m.revision;
        roundsOf.get(child.table)?.prepared(child, m.revision);
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
      if (delta.upserts.length + (delta.edits?.length ?? 0) + delta.deletes.length === 0) return;
      const revision = revisionOf(table) + 1;
      revisions.set(table, revision);
      const whole = { ...delta, revision };
      const rounds = roundsOf.get(table);
      const all = [...children].filter((c) => c.table === table);
      passAll(rounds === undefined ? all : all.filter((c) => c.held !== undefined), whole);
      rounds?.change(whole);
    },
    isHeard: (table) => [...children].some((c) => c.table === table),
    markSynced: () => {
      synced = true;
      const all = [...waiting];
      waiting.clear();
      for (const [table, rounds] of roundsOf) {
        const its = all.filter((c) => c.table === table);
        rounds.expect(its, revisionOf(table));
      }
      for (const child of all) greet(child);
    },
    childMetrics: async () => {
      const texts = await Promise.all([...children].map(askMetrics));
      return texts.filter((t) => t !== "");
    },
    settled: () => waiting.size === 0 && [...children].every((c) => c.acked >= revisionOf(c.table)),
    close: () =>
      new Promise((resolve) => {
        for (const rounds of roundsOf.values()) rounds.close();
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
