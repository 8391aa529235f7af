import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { type Ip, ipFamily } from "../../src/base/ip.ts";
import type { Running } from "../../src/base/running.ts";
import type { DnsAddress } from "../config/dns-config.ts";
import { batchSize, type DatagramBatch } from "./datagram-batch.ts";
import type { QueryEngine } from "./engine.ts";

/** Bursts of a whole node's look-ups wait here while the process is busy. */
const receiveBufferBytes = 4 << 20;
/** After so many full batches the event loop gets its turn. */
const maxRounds = 4;

export interface UdpListener extends Running {
  readonly address: () => DnsAddress;
}

/** A UDP socket, with its file descriptor where that is known: then queries that have queued up are read and answered in batches. */
export interface BoundUdp {
  readonly socket: Socket;
  readonly fd?: number;
}

export interface UdpListenerOptions {
  /** A socket that was bound before; else one is bound to the address. */
  readonly bound?: BoundUdp;
  /** Reads and writes in batches, where the socket's descriptor is known. */
  readonly batch?: DatagramBatch | undefined;
  /** Room for an answer. */
  readonly answerBytes: number;
}

export interface UdpListenerOptions {
  /** A socket that was bound before; else one is bound to the address. */
  readonly bound?: BoundUdp;
  /** Reads and writes in batches, where the socket's descriptor is known. */
  readonly batch?: DatagramBatch | undefined;
  /** Room for an answer. */
  readonly answerBytes: number;
}

/** One UDP socket. */
export function startUdpListener(at: DnsAddress, engine: QueryEngine, how: UdpListenerOptions): UdpListener {
  const { bound, batch, answerBytes } = how;
  const socket = bound?.socket ?? (ipFamily(at.ip) === 4 ? createSocket("udp4") : createSocket({ type: "udp6", ipv6Only: true }));
  let open = true;
  const answerLater = (query: Uint8Array, ip: Ip, port: number): void => {
    void engine.later(query, ip, "udp").then((answer) => {
      if (answer !== undefined && open) socket.send(answer, port, ip);
    });
  };
  const drain = bound?.fd === undefined || batch === undefined ? undefined : drainer(bound.fd, batch, engine, answerLater);
  socket.on("message", (query: Buffer, from: RemoteInfo) => {
    // node sends from the buffer after this call has returned, so each answer has its own
    const out = Buffer.allocUnsafe(answerBytes);
    const length = engine.now(query, query.length, from.address, out, "udp");
    if (length === undefined) answerLater(query, from.address, from.port);
    else if (length > 0) socket.send(out, 0, length, from.port, from.address);
    drain?.();
  });
  const ready =
    bound === undefined
      ? new Promise<void>((resolve, reject) => {
          socket.once("error", reject);
          socket.bind(at.port, at.ip, () => {
            socket.off("error", reject);
            resolve();
          });
        })
      : Promise.resolve();
  const started = ready.then(() => {
    // an answer to a client that is gone (ICMP unreachable) is no reason to stop
    socket.on("error", () => {});
    try {
      socket.setRecvBufferSize(receiveBufferBytes);
    } catch {
      // the kernel's limit is lower: its default stays
    }
  });
  return {
    ready: started,
    address: () => {
      const { address, port } = socket.address();
      return { ip: address, port };
    },
    close: () =>
      new Promise((resolve) => {
        if (!open) {
          resolve();
          return;
        }
        open = false;
        socket.close(() => resolve());
      }),
  };
}

/**
 * What takes the queries that have queued up behind the one node has read: under load most of them, and none when it is quiet.
 * Halves the cost of a query.
 */
function drainer(
  fd: number,
  batch: DatagramBatch,
  engine: QueryEngine,
  answerLater: (query: Uint8Array, ip: Ip, port: number) => void,
): () => void {
  const clients = new Map<number, Ip>();
  const clientOf = (i: number): Ip => {
    const key = batch.ipv4(i);
    if (key === undefined) return batch.ip(i);
    const known = clients.get(key);
    if (known !== undefined) return known;
    if (clients.size >= 4096) clients.clear();
    const ip = batch.ip(i);
    clients.set(key, ip);
    return ip;
  };
  return () => {
    for (let round = 0; round < maxRounds; round++) {
      const count = batch.receive(fd);
      for (let i = 0; i < count; i++) {
        const query = batch.query(i);
        const length = batch.length(i);
        const client = clientOf(i);
        const answered = engine.now(query, length, client, batch.answer(i), "udp");
        if (answered === undefined) answerLater(Uint8Array.from(query.subarray(0, length)), client, batch.port(i));
        else if (answered > 0) batch.queue(i, answered);
      }
      batch.send(fd);
      if (count < batchSize) return;
    }
  };
}
