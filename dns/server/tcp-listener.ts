import { createServer, type Server, type Socket } from "node:net";
import { type Ip, ipFamily } from "../../src/base/ip.ts";
import type { Running } from "../../src/base/running.ts";
import type { DnsAddress } from "../config/dns-config.ts";
import type { QueryEngine } from "./engine.ts";

export interface TcpLimits {
  /** Milliseconds without a whole query before a connection is closed (RFC 7766 section 6.2.3 wants seconds). */
  readonly idle: number;
  readonly connections: number;
  readonly connectionsPerClient: number;
  /** Queries of one connection that may wait for the asynchronous chain at once. */
  readonly pipelined: number;
}

export const defaultTcpLimits: TcpLimits = { idle: 10_000, connections: 1000, connectionsPerClient: 100, pipelined: 100 };

export interface TcpListener extends Running {
  readonly address: () => DnsAddress;
  readonly connections: () => number;
}

/** More than this unsent, and the client is not reading: no further query of it is read until it does. */
const maxUnsentBytes = 1 << 20;

/** One listening TCP socket with pipelining: answers leave as they are ready, in any order (RFC 7766 section 6.2.1.1). */
export function startTcpListener(at: DnsAddress, engine: QueryEngine, limits: TcpLimits, bound?: Server): TcpListener {
  // a client may close its side after its last query, and still wait for answers
  const server = bound ?? createServer({ allowHalfOpen: true });
  const out = new Uint8Array(0xffff);
  const perClient = new Map<Ip, number>();
  const sockets = new Set<Socket>();

  server.on("connection", (socket: Socket) => {
    const client = socket.remoteAddress;
    const own = client === undefined ? 0 : (perClient.get(client) ?? 0);
    if (client === undefined || sockets.size >= limits.connections || own >= limits.connectionsPerClient) {
      socket.destroy();
      return;
    }
    sockets.add(socket);
    perClient.set(client, own + 1);
    socket.once("close", () => {
      sockets.delete(socket);
      const left = (perClient.get(client) ?? 1) - 1;
      if (left === 0) perClient.delete(client);
      else perClient.set(client, left);
    });
    serveConnection(socket, { client, engine, limits, out });
  });

  const ready =
    bound === undefined
      ? new Promise<void>((resolve, reject) => {
          server.once("error", reject);
          server.listen({ host: at.ip, port: at.port, ipv6Only: ipFamily(at.ip) === 6, backlog: 511 }, () => {
            server.off("error", reject);
            server.on("error", () => {});
            resolve();
          });
        })
      : Promise.resolve();
  return {
    ready,
    connections: () => sockets.size,
    address: () => {
      const address = server.address();
      return typeof address === "object" && address !== null ? { ip: address.address, port: address.port } : at;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

interface ConnectionParts {
  readonly client: Ip;
  readonly engine: QueryEngine;
  readonly limits: TcpLimits;
  /** For the answer being made; all connections share it. */
  readonly out: Uint8Array;
}

function serveConnection(socket: Socket, { client, engine, limits, out }: ConnectionParts): void {
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
    for (const message of messages) {
      if (socket.destroyed) return;
      send(message);
      // a client that does not read is ended by the idle limit
      if (socket.writableLength > maxUnsentBytes) await drained(socket);
      else await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const isFull = (): boolean => waiting >= limits.pipelined || socket.writableLength > maxUnsentBytes;
  const endWhenDone = (): void => {
    if (ended && waiting === 0) socket.end();
  };
  const readQueries = (): void => {
    while (!isFull() && pending.length >= 2) {
      const length = pending.readUInt16BE();
      if (pending.length < 2 + length) break;
      const query = pending.subarray(2, 2 + length);
      pending = pending.subarray(2 + length);
      const n = engine.now(query, length, client, out, "tcp");
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
      const messages = engine.transfer(query, client);
      if (messages !== undefined) {
        void sendAll(messages).finally(() => {
          waiting--;
          readQueries();
          endWhenDone();
        });
        continue;
      }
      void engine.later(Buffer.from(query), client, "tcp").then((answer) => {
        waiting--;
        if (answer !== undefined) send(answer);
        readQueries();
        endWhenDone();
      });
    }
    if (isFull()) socket.pause();
    else socket.resume();
  };

  socket.setNoDelay(true);
  socket.setTimeout(limits.idle, () => socket.destroy());
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
