import type { RemoteInfo, Socket } from "node:dgram";
import type { Ip } from "../../src/base/ip.ts";
import type { Running } from "../../src/base/running.ts";
import { createUdpSocket } from "../../src/kernel/udp-socket.ts";
import type { DnsAddress } from "../config/dns-config.ts";
import { parseProxyHeader } from "../wire/proxy-header.ts";
import { batchSize, type DatagramBatch } from "./datagram-batch.ts";
import { DatagramTurns } from "./datagram-turns.ts";
import type { QueryEngine } from "./engine.ts";
import { type BatchSending, type DatagramPeer, LateAnswers } from "./late-answers.ts";

/** After so many full batches the event loop gets its turn. */
const maxRounds = 4;

export interface UdpListener extends Running {
  readonly address: () => DnsAddress;
  /** Answers what has been read, or hands it to the chain: nothing more is on its way from the socket to the engine. */
  readonly settle: () => void;
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
  /** Proxies whose word about the client is taken (PROXY protocol, version 2); default nobody's. */
  readonly isProxy?: ((peer: Ip) => boolean) | undefined;
  /** Whether an answer of `length` bytes is sent to the client: its length, made shorter perhaps, or 0. Default all are sent. */
  readonly limit?: ((answer: Uint8Array, length: number, client: Ip) => number) | undefined;
}

/** One UDP socket. */
export function startUdpListener(at: DnsAddress, engine: QueryEngine, how: UdpListenerOptions): UdpListener {
  const { bound, batch, answerBytes, isProxy, limit } = how;
  const socket = bound?.socket ?? createUdpSocket(at.ip);
  let open = true;
  const sending = bound?.fd === undefined || batch === undefined ? undefined : { fd: bound.fd, batch };
  const late = new LateAnswers(socket, sending);
  const answerLater = (query: Uint8Array, to: DatagramPeer, client: Ip): void => {
    void engine.later(query, client, "udp").then((answer) => {
      if (answer === undefined || !open) return;
      const length = limit === undefined ? answer.length : limit(answer, answer.length, client);
      if (length > 0) late.add(length < answer.length ? answer.subarray(0, length) : answer, to);
    });
  };
  const out = new Uint8Array(answerBytes);
  const answer = (datagram: Buffer, from: RemoteInfo): void => {
    const proxied = isProxy?.(from.address) === true ? proxiedQuery(datagram, datagram.length, from.address) : undefined;
    const query = proxied?.query ?? datagram;
    const client = proxied?.client ?? from.address;
    const answered = engine.now(query, query.length, client, out, "udp");
    const length = limit === undefined || !answered ? answered : limit(out, answered, client);
    if (length === undefined) answerLater(query, { ip: from.address, port: from.port }, client);
    else if (length > 0) {
      // where the kernel has no room, node sends it later: each answer has its own bytes, no more than it needs
      const bytes = Buffer.allocUnsafe(length);
      bytes.set(length < out.length ? out.subarray(0, length) : out);
      socket.send(bytes, from.port, from.address);
    }
  };
  let turns: DatagramTurns | undefined;
  if (sending === undefined)
    turns = new DatagramTurns(socket, (datagrams, peers, count) => {
      if (count > 1) engine.warm(datagrams, count);
      for (let i = 0; i < count; i++) {
        const datagram = datagrams[i];
        const peer = peers[i];
        if (datagram !== undefined && peer !== undefined) answer(datagram, peer);
      }
    });
  else {
    const drain = drainer(sending, { engine, answerLater, isProxy, limit });
    socket.on("message", (datagram: Buffer, from: RemoteInfo) => {
      answer(datagram, from);
      drain();
    });
  }
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
  });
  // asked for with each query that the chain has: it takes a system call, and never changes
  let known: DnsAddress | undefined;
  const address = (): DnsAddress => {
    const { address: ip, port } = socket.address();
    return { ip, port };
  };
  return {
    ready: started,
    address: () => (known ??= address()),
    settle: () => {
      turns?.end();
      late.end();
    },
    close: () =>
      new Promise((resolve) => {
        if (!open) {
          resolve();
          return;
        }
        turns?.end();
        late.end();
        open = false;
        socket.close(() => resolve());
      }),
  };
}

/** What a proxy's datagram is about; without header the proxy asks for itself, and what has a bad one is no query. */
function proxiedQuery(bytes: Uint8Array, n: number, peer: Ip): { readonly query: Uint8Array; readonly client: Ip } {
  const header = parseProxyHeader(bytes, n);
  if (header.kind === "header") return { query: bytes.subarray(header.bytes, n), client: header.source ?? peer };
  return { query: header.kind === "none" ? bytes.subarray(0, n) : bytes.subarray(0, 0), client: peer };
}

/**
 * What takes the queries that have queued up behind the one node has read: under load most of them, and none when it is quiet.
 * Halves the cost of a query.
 */
function drainer(
  { fd, batch }: BatchSending,
  {
    engine,
    answerLater,
    isProxy,
    limit,
  }: Pick<UdpListenerOptions, "isProxy" | "limit"> & {
    readonly engine: QueryEngine;
    readonly answerLater: (query: Uint8Array, to: DatagramPeer, client: Ip) => void;
  },
): () => void {
  const clients = new Map<number, Ip>();
  const peerOf = (i: number): Ip => {
    const key = batch.ipv4(i);
    if (key === undefined) return batch.ip(i);
    const known = clients.get(key);
    if (known !== undefined) return known;
    if (clients.size >= 4096) clients.clear();
    const ip = batch.ip(i);
    clients.set(key, ip);
    return ip;
  };
  const answer = (i: number): void => {
    const peer = peerOf(i);
    const proxied = isProxy?.(peer) === true ? proxiedQuery(batch.query(i), batch.length(i), peer) : undefined;
    const query = proxied?.query ?? batch.query(i);
    const length = proxied?.query.length ?? batch.length(i);
    const client = proxied?.client ?? peer;
    const out = batch.answer(i);
    const answered = engine.now(query, length, client, out, "udp");
    if (answered === undefined) {
      answerLater(Uint8Array.from(query.subarray(0, length)), { ip: peer, port: batch.port(i), address: batch.address(i) }, client);
      return;
    }
    const sent = limit === undefined || answered === 0 ? answered : limit(out, answered, client);
    if (sent > 0) batch.queue(i, sent);
  };
  return () => {
    for (let round = 0; round < maxRounds; round++) {
      const count = batch.receive(fd);
      if (count > 1) engine.warm(batch.queries, count);
      for (let i = 0; i < count; i++) answer(i);
      batch.send(fd);
      if (count < batchSize) return;
    }
  };
}
