import { mkdirSync, rmSync } from "node:fs";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { dirname } from "node:path";
import type { Running } from "../base/running.ts";
import { openPassedSockets, passSockets } from "../kernel/passed-sockets.ts";
import { closeSocket } from "../kernel/socket.ts";
import { runSocket } from "./agent-socket.ts";
import type { NamedSocket } from "./child.ts";
import type { DaemonConfig } from "./daemon-config.ts";
import { encodeFrame, readFrames } from "./frames.ts";

/** A supervisor that runs answers within this time, or is taken for dead. Its agent has to end meanwhile. Milliseconds. */
const answerWithin = 15_000;

type FromSuccessor =
  | { readonly type: "take-over"; readonly task: string; readonly at: string }
  /** It serves everything now. */
  | { readonly type: "serving" };
type ToSuccessor =
  | { readonly type: "handed"; readonly ticketKeys?: string | undefined }
  | { readonly type: "refused"; readonly why: string }
  | { readonly type: "another's" };

const door = "hand-over.sock";
type Place = Pick<DaemonConfig, "runDir" | "nodeName" | "enable">;

/** Only who does the same takes another's place: daemons of different parts may have one run dir. */
function taskOf({ nodeName, enable }: Place): string {
  return [nodeName, ...enable.toSorted()].join(" ");
}

export interface Offer {
  readonly sockets: readonly NamedSocket[];
  /** Of TLS sessions, so that clients resume them with the successor; absent where none are served. */
  readonly ticketKeys?: Buffer | undefined;
}

export interface HandOverDeps {
  /** Makes room for the other's agent, and names what is handed over. */
  readonly offer: () => Promise<Offer>;
  /** The other serves: what is left here may end. */
  readonly gone: () => void;
  /** The other did not get so far. */
  readonly keep: () => void;
}

/** The end of a supervisor that runs: another on the same run dir may take its place, one at a time. */
export function startHandOver(place: Place, { offer, gone, keep }: HandOverDeps): Running {
  const path = runSocket(place, door);
  let successor: Socket | undefined;
  const tell = (socket: Socket, message: ToSuccessor): void => void socket.write(encodeFrame(message));
  const hand = async (socket: Socket, at: string): Promise<void> => {
    try {
      const { sockets, ticketKeys } = await offer();
      passSockets(at, sockets);
      tell(socket, { type: "handed", ticketKeys: ticketKeys?.toString("base64") });
    } catch (error) {
      tell(socket, { type: "refused", why: error instanceof Error ? error.message : String(error) });
      socket.end();
    }
  };
  const server: Server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    let isServing = false;
    socket.on("close", () => {
      if (successor !== socket || isServing) return;
      successor = undefined;
      keep();
    });
    readFrames(socket, (message) => {
      const m = message as FromSuccessor;
      if (m.type === "serving") {
        if (successor !== socket) return;
        isServing = true;
        gone();
        return;
      }
      if (m.task === taskOf(place) && successor === undefined) {
        successor = socket;
        void hand(socket, m.at);
        return;
      }
      tell(socket, m.task === taskOf(place) ? { type: "refused", why: "another daemon takes over" } : { type: "another's" });
      socket.end();
    });
  });
  const ready = new Promise<void>((resolve, reject) => {
    // whoever listened here is dead, or has handed over
    rmSync(path, { force: true });
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    server.once("error", reject);
    server.listen(path, resolve);
  });
  ready.catch(() => undefined);
  return {
    ready,
    close: () =>
      new Promise((resolve) => {
        successor?.destroy();
        server.close(() => resolve());
      }),
  };
}

/** What a supervisor has of the one before it, which runs on until it is told `serving`. */
export interface TakenOver {
  /** A socket that was bound to just this, to be bound no more. */
  take(o: Pick<NamedSocket, "name" | "ip" | "port" | "type">): NamedSocket | undefined;
  takeAll(name: string): readonly NamedSocket[];
  readonly ticketKeys: Buffer | undefined;
  /** Everything is served here; closes what nobody took. */
  serving(): void;
  /** Never came to serve: the one before goes on. */
  close(): void;
}

/** Takes the sockets of the supervisor that runs with this run dir and does the same; undefined when none does. Throws when it refuses. */
export async function takeOver(place: Place): Promise<TakenOver | undefined> {
  const socket = await connected(runSocket(place, door));
  if (socket === undefined) return undefined;
  const at = runSocket(place, `taking-over.${process.pid}.sock`);
  const passed = openPassedSockets(at);
  try {
    const asked: FromSuccessor = { type: "take-over", task: taskOf(place), at };
    socket.write(encodeFrame(asked));
    const answer = await answered(socket);
    const ticketKeys = answer.type === "handed" && answer.ticketKeys !== undefined ? Buffer.from(answer.ticketKeys, "base64") : undefined;
    if (answer.type === "refused") throw new Error(`${place.runDir}: ${answer.why}`);
    if (answer.type === "another's") {
      socket.destroy();
      return undefined;
    }
    const left = [...passed.take<Omit<NamedSocket, "fd">>()] as NamedSocket[];
    const close = (): void => {
      socket.destroy();
      for (const s of left.splice(0)) closeSocket(s);
    };
    return {
      take: ({ name, ip, port, type }) => {
        const i = left.findIndex((s) => s.name === name && s.ip === ip && s.port === port && s.type === type);
        return i < 0 ? undefined : left.splice(i, 1)[0];
      },
      takeAll: (name) => {
        const all = left.filter((s) => s.name === name);
        for (const s of all) left.splice(left.indexOf(s), 1);
        return all;
      },
      ticketKeys,
      serving: () => {
        const served: FromSuccessor = { type: "serving" };
        socket.end(encodeFrame(served));
        for (const s of left.splice(0)) closeSocket(s);
      },
      close,
    };
  } catch (error) {
    socket.destroy();
    for (const s of passed.take<Omit<NamedSocket, "fd">>()) closeSocket(s as NamedSocket);
    throw error;
  } finally {
    passed.close();
  }
}

function connected(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    socket.once("connect", () => resolve(socket));
    // its owner is dead or was never there
    socket.once("error", () => resolve(undefined));
  });
}

function answered(socket: Socket): Promise<ToSuccessor> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`the daemon that runs does not hand over its sockets`)), answerWithin);
    socket.once("close", () => {
      clearTimeout(timer);
      reject(new Error("the daemon that ran has ended while it handed over its sockets"));
    });
    socket.on("error", () => undefined);
    readFrames(socket, (m) => {
      clearTimeout(timer);
      resolve(m as ToSuccessor);
    });
  });
}
