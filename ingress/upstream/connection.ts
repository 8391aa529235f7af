import type { Server, Socket } from "node:net";
import type { Running } from "../../src/base/running.ts";
import type { UpstreamTls } from "../route/route.ts";
import type { ListenBare } from "./bare-client.ts";

/** What a connection tells its owner. `bytes` may be written on, but not kept beyond the call without a copy. */
export interface ConnectionEvents {
  onData(bytes: Buffer): void;
  /** All that was written is with the kernel, after a write gave false. */
  onDrain(): void;
  /** The other side will send no more. */
  onEnd(): void;
  /** Once, last; `error` when it did not end in peace. */
  onClose(error: Error | undefined): void;
}

/** A byte stream of a transport. The portable one is net-connection.ts; another may take the socket's handle over. */
export interface Connection {
  /** Who hears; changes hands between pool, request and tunnel. */
  events: ConnectionEvents;
  readonly remoteIp: string;
  readonly remotePort: number;
  readonly localPort: number;
  /** What was written in this turn of the event loop has not left yet. */
  readonly unsent: boolean;
  /** Bytes that were written and that the kernel has not taken. */
  readonly queuedBytes: number;
  /** Text is latin1. False: wait for onDrain. What is written on a closed connection is dropped. */
  write(data: Buffer | string): boolean;
  /** Writes between the two go out together; bytes of them must live until then. */
  cork(): void;
  uncork(): void;
  pause(): void;
  resume(): void;
  /** No more writes; what was written is sent first. */
  end(): void;
  /** As end, where the other side has promised to say no more: it is not waited for. */
  finish(): void;
  abort(): void;
  /** As abort, and the other side cannot take it for an orderly end. */
  reset(): void;
  /**
   * Gives the socket up, paused, for who speaks another protocol on it; `unread` are bytes of it that were read already.
   * Absent where there is no socket of its own.
   */
  readonly detach?: ((unread: Buffer) => Socket) | undefined;
}

/** Who speaks through a proxy that has said so. */
export interface Peer {
  readonly ip: string;
  readonly port: number;
}

export interface UpstreamAddress {
  readonly ip: string;
  readonly port: number;
  readonly tls: boolean;
  /** Name for SNI. */
  readonly serverName?: string;
  /** Offered by ALPN. */
  readonly protocols?: readonly string[];
  /** Absent: certificates of endpoints are not verified, as ingress-nginx does by default. */
  readonly tlsOptions?: UpstreamTls;
  /** The name that a verified certificate must have. */
  readonly expectedName?: string;
}

export interface ConnectionFactory {
  listen(at: ListenAt, accept: (c: Connection) => void): Listening;
  /** Absent where only sockets can be secured. */
  readonly listenBare?: ListenBare;
  /** Takes over an open socket, plain or TLS; `peer` is who is at its other end where that is not the socket's own. */
  adopt(socket: Socket, peer?: Peer): Connection;
  /** `onReady` or the connection's onClose comes, once; never before connect returns. */
  connect(to: UpstreamAddress, events: ConnectionEvents, onReady: () => void): Connection;
}

/** An address of its own, or a listening server from the process that made the socket. */
export type ListenAt = { readonly ip: string; readonly port: number } | { readonly server: Server } | { readonly fd: number };

export interface Listening extends Running {
  address(): { readonly ip: string; readonly port: number };
}
