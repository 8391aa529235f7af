import { createServer, type Server, type Socket } from "node:net";
import { type Ip, ipFamily } from "../../src/base/ip.ts";
import type { Running } from "../../src/base/running.ts";
import type { DnsAddress } from "../config/dns-config.ts";
import { parseProxyHeader } from "../wire/proxy-header.ts";

export interface AcceptLimits {
  /** Milliseconds in which a connection must have said something. */
  readonly idle: number;
  readonly connections: number;
  readonly connectionsPerClient: number;
}

export interface AcceptOptions {
  readonly limits: AcceptLimits;
  /** Proxies whose word about the client is taken (PROXY protocol); default nobody's. */
  readonly isProxy?: ((peer: Ip) => boolean) | undefined;
  /** A server that was bound before; else one is bound to the address. */
  readonly bound?: Server | undefined;
  /** Another process may have the address too: one that takes this one's place. */
  readonly isShared?: boolean | undefined;
}

export interface Accepting extends Running {
  readonly address: () => DnsAddress;
  readonly connections: () => number;
  /** Accepts no more, and has connections end that are silent for so long (milliseconds); resolves when the last is gone. */
  readonly drain: (silentMs: number) => Promise<void>;
}

/**
 * Accepts connections within limits, and hands each to `serve` with the client it is of: its peer, or whom a trusted proxy names
 * at its beginning. The limits count peers, whom nobody can make up.
 */
export function acceptConnections(at: DnsAddress, options: AcceptOptions, serve: (socket: Socket, client: Ip) => void): Accepting {
  // a client may close its side after its last query, and still wait for answers
  const { limits, isProxy, bound, isShared = false } = options;
  const server = bound ?? createServer({ allowHalfOpen: true });
  const perPeer = new Map<Ip, number>();
  const sockets = new Set<Socket>();

  server.on("connection", (socket: Socket) => {
    const peer = plainAddress(socket.remoteAddress);
    const own = peer === undefined ? 0 : (perPeer.get(peer) ?? 0);
    if (peer === undefined || sockets.size >= limits.connections || own >= limits.connectionsPerClient) {
      socket.destroy();
      return;
    }
    sockets.add(socket);
    perPeer.set(peer, own + 1);
    socket.once("close", () => {
      sockets.delete(socket);
      const left = (perPeer.get(peer) ?? 1) - 1;
      if (left === 0) perPeer.delete(peer);
      else perPeer.set(peer, left);
    });
    if (isProxy?.(peer) === true) readProxyHeader(socket, limits.idle, (source) => serve(socket, source ?? peer));
    else serve(socket, peer);
  });

  const ready =
    bound === undefined
      ? new Promise<void>((resolve, reject) => {
          server.once("error", reject);
          server.listen({ host: at.ip, port: at.port, ipv6Only: ipFamily(at.ip) === 6, backlog: 511, reusePort: isShared }, () => {
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
    drain: (silentMs) =>
      new Promise((resolve) => {
        server.close(() => resolve());
        // who serves them ends those that have nothing to wait for
        for (const socket of sockets) socket.setTimeout(silentMs);
      }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** IPv4 clients of an IPv6 socket by their own address. */
function plainAddress(address: string | undefined): Ip | undefined {
  return address?.startsWith("::ffff:") === true && address.includes(".") ? address.slice(7) : address;
}

/** Waits for the header, and leaves what follows it in the socket. A connection without header is its peer's. */
function readProxyHeader(socket: Socket, idle: number, found: (source: Ip | undefined) => void): void {
  let bytes: Buffer = Buffer.alloc(0);
  const timeout = (): void => void socket.destroy();
  const fail = (): void => void socket.destroy();
  const onData = (chunk: Buffer): void => {
    bytes = Buffer.concat([bytes, chunk]);
    const header = parseProxyHeader(bytes, bytes.length);
    if (header.kind === "incomplete") return;
    socket.off("data", onData);
    socket.off("error", fail);
    socket.off("end", fail);
    socket.off("timeout", timeout);
    socket.setTimeout(0);
    socket.pause();
    if (header.kind === "malformed") {
      socket.destroy();
      return;
    }
    const rest = header.kind === "none" ? bytes : bytes.subarray(header.bytes);
    if (rest.length > 0) socket.unshift(rest);
    found(header.kind === "none" ? undefined : header.source);
    // whoever serves it reads it, where it has not begun to already
    if (!socket.destroyed && socket.listenerCount("data") > 0) socket.resume();
  };
  socket.on("data", onData);
  socket.on("error", fail);
  socket.on("end", fail);
  socket.setTimeout(idle, timeout);
}
