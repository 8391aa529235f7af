import type { Socket } from "node:net";
import type { Ip } from "../../src/base/ip.ts";
import type { QueryEngine } from "./engine.ts";

export interface StreamLimits {
  /** Milliseconds without a whole query before a connection is closed (RFC 7766 section 6.2.3 wants seconds). */
  readonly idle: number;
  /** Queries of one connection that may wait for the asynchronous chain at once. */
  readonly pipelined: number;
}

export interface StreamConnection {
  readonly client: Ip;
  readonly engine: QueryEngine;
  readonly limits: StreamLimits;
  /** Whether the socket is TLS's. */
  readonly transport: "tcp" | "tls";
}

/** More than this unsent, and the client is not reading: no further query of it is read until it does. */
const maxUnsentBytes = 1 << 20;

/** For the answer being made; all connections share it, because an answer is sent or copied before the next is made. */
const out = new Uint8Array(0xffff);

/** Answers the queries of one connection, each behind two bytes of length; answers leave as they are ready, in any order (RFC 7766). */
export function serveStream(socket: Socket, { client, engine, limits, transport }: StreamConnection): void {
  let pending: Buffer = Buffer.alloc(0);
  let waiting = 0;
  let ended = false;
  const send = (answer: Uint8Array): void => {
    if (socket.destroyed) return;
    const framed = Buffer.allocUnsafe(2 + answer.length);
    framed.writeUInt16BE(answer.length);
    framed.set(answer, 2);
    socket.write(framed);
  };
  /** As fast as the client reads, a message at a time, so that others have their turn. */
  const sendAll = async (messages: Iterable<Uint8Array>): Promise<void> => {
    let isFirst = true;
    for (const message of messages) {
      if (!isFirst) await turn();
      isFirst = false;
      if (socket.destroyed) return;
      send(message);
    }
  };
  const turn = (): Promise<void> =>
    // a client that does not read is ended by the idle limit
    socket.writableLength > maxUnsentBytes ? drained(socket) : new Promise((resolve) => setImmediate(resolve));
  const answerLater = async (query: Uint8Array): Promise<void> => {
    try {
      await sendAll(engine.transfer(query, client) ?? (await engine.series(query, client, transport)));
    } catch {
      // half a zone is none: its client must see the end
      socket.destroy();
    }
  };
  const isFull = (): boolean => waiting >= limits.pipelined || socket.writableLength > maxUnsentBytes;
  const endWhenDone = (): void => {
    if (ended && waiting === 0) socket.end();
  };
  const readQueries = (): void => {
    while (!socket.destroyed && !isFull() && pending.length >= 2) {
      const length = pending.readUInt16BE();
      if (pending.length < 2 + length) break;
      const query = pending.subarray(2, 2 + length);
      pending = pending.subarray(2 + length);
      const n = engine.now(query, length, client, out, transport);
      if (n === 0) {
        // what is no query at all will not become one on this connection
        socket.destroy();
        return;
      }
      if (n !== undefined) {
        send(out.subarray(0, n));
        continue;
      }
      waiting++;
      void answerLater(Buffer.from(query)).finally(() => {
        waiting--;
        readQueries();
        endWhenDone();
      });
    }
    if (isFull()) socket.pause();
    else socket.resume();
  };

  socket.setNoDelay(true);
  socket.setTimeout(limits.idle, () => {
    // it is the client's turn, or it does not read; else what it asked for is on its way, and starts the time anew
    if (waiting === 0 || socket.writableLength > 0) socket.destroy();
  });
  socket.on("error", () => socket.destroy());
  socket.on("drain", readQueries);
  socket.on("data", (chunk: Buffer) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    readQueries();
  });
  socket.on("end", () => {
    ended = true;
    endWhenDone();
  });
}

/** Resolves when the socket has room again, or is closed. */
function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off("drain", done);
      socket.off("close", done);
      resolve();
    };
    socket.on("drain", done);
    socket.on("close", done);
  });
}
