import type { Socket } from "node:net";
import { isInside } from "../filter/address-list.ts";
import type { Pool, StreamService } from "../route/route.ts";
import type { RouteTable } from "../route/route-table.ts";
import type { BareClient } from "../upstream/bare-client.ts";
import type { Connection, ConnectionFactory, ListenAt, Listening, Peer } from "../upstream/connection.ts";
import { listenForSockets, plainIp } from "../upstream/net-connection.ts";
import { readFirstBytes } from "./first-bytes.ts";
import { type ProxyHeader, parseProxyHeader } from "./proxy-protocol.ts";
import { TlsListener, type TlsListenerOptions } from "./tls-listener.ts";

/** Where connections to a port of a Service (StreamService) are accepted. */
export interface StreamAt {
  /** As StreamService has it; the sockets may be bound to another. */
  readonly port: number;
  readonly at: ListenAt;
}

export interface ListenersOptions extends Pick<TlsListenerOptions, "pair" | "log" | "settings" | "stapler" | "onSecure"> {
  readonly table: () => RouteTable;
  readonly connections: ConnectionFactory;
  readonly http: readonly ListenAt[];
  readonly https: readonly ListenAt[];
  readonly tcp: readonly StreamAt[];
  /** There is room for another connection. */
  readonly hasRoom: () => boolean;
  /** How long a client may take to say who it is. Milliseconds. */
  readonly greetingMs: () => number;
  readonly onPlain: (connection: Connection) => void;
  /** The socket goes to the pool unopened; for a port of a Service, as that says. */
  readonly onTunnel: (socket: Socket, pool: Pool, peer: Peer | undefined, service?: StreamService) => void;
}

const nothing = Buffer.alloc(0);

/** The listening sockets of one ingress, and what becomes of a connection until it is known what it speaks, and for whom. */
export class Listeners {
  readonly #o: ListenersOptions;
  readonly #tls: TlsListener | undefined;
  readonly #http: readonly Listening[];
  readonly #https: readonly Listening[];
  readonly #tcp: readonly Listening[];
  /** Wait for the PROXY protocol. */
  readonly #greeting = new Set<Socket>();

  constructor(o: ListenersOptions) {
    this.#o = o;
    this.#tls =
      o.https.length === 0
        ? undefined
        : new TlsListener({
            table: o.table,
            pair: o.pair,
            handshakeMs: o.greetingMs,
            settings: o.settings,
            stapler: o.stapler,
            log: o.log,
            adopt: (socket, peer) => o.connections.adopt(socket, peer),
            onSecure: o.onSecure,
            onPassthrough: (socket, pool, peer) => o.onTunnel(socket, pool, peer),
          });
    this.#http = o.http.map((at) => o.connections.listen(at, (connection) => this.#acceptPlain(connection)));
    this.#https = o.https.map((at) => this.#listenSecurely(at));
    this.#tcp = o.tcp.map(({ port, at }) => listenForSockets(at, (socket) => this.#acceptFor(port, socket)));
  }

  get ready(): Promise<unknown> {
    return Promise.all(this.#all.map((l) => l.ready));
  }

  get http(): readonly Listening[] {
    return this.#http;
  }

  get https(): readonly Listening[] {
    return this.#https;
  }

  get tcp(): readonly Listening[] {
    return this.#tcp;
  }

  /** Connections that are accepted and not yet handed on. */
  get waiting(): number {
    return this.#greeting.size + (this.#tls?.waiting ?? 0);
  }

  setTicketKeys(keys: Buffer): void {
    this.#tls?.setTicketKeys(keys);
  }

  /** Accepts no more; what waits goes on. */
  async stop(): Promise<void> {
    await Promise.all(this.#all.map((l) => l.close()));
  }

  async close(): Promise<void> {
    await this.stop();
    for (const socket of this.#greeting) socket.destroy();
    this.#tls?.close();
  }

  get #all(): readonly Listening[] {
    return [...this.#http, ...this.#https, ...this.#tcp];
  }

  get #proxied(): boolean {
    return this.#o.table().settings.proxyProtocol === true;
  }

  #listenSecurely(at: ListenAt): Listening {
    const onSocket = (socket: Socket): void => this.#greet(socket, this.#proxied, (s, peer) => this.#tls?.accept(s, peer));
    const onClient = (client: BareClient): void => {
      if (this.#proxied) onSocket(client.toSocket());
      else if (this.#o.hasRoom()) this.#tls?.acceptBare(client);
      else client.abort();
    };
    return this.#o.connections.listenBare?.(at, { onClient, onSocket }) ?? listenForSockets(at, onSocket);
  }

  /** A socket is only made of it where the first bytes are not the client's. */
  #acceptPlain(connection: Connection): void {
    if (!this.#proxied) {
      if (this.#o.hasRoom()) this.#o.onPlain(connection);
      else connection.abort();
      return;
    }
    const socket = connection.detach?.(nothing);
    if (socket === undefined) connection.abort();
    else this.#greet(socket, true, (s, peer) => this.#o.onPlain(this.#o.connections.adopt(s, peer)));
  }

  #acceptFor(port: number, socket: Socket): void {
    const table = this.#o.table();
    const service = table.streams.get(`tcp ${port}`);
    const pool = service === undefined ? undefined : table.pools.get(service.pool);
    if (service === undefined || pool === undefined) {
      socket.destroy();
      return;
    }
    this.#greet(socket, service.acceptProxyProtocol, (s, peer) => this.#o.onTunnel(s, pool, peer, service));
  }

  /** Hands the socket on; first, where a proxy must have said for whom it speaks, that is read. */
  #greet(socket: Socket, proxied: boolean, go: (socket: Socket, peer: Peer | undefined) => void): void {
    if (!this.#o.hasRoom()) {
      socket.destroy();
      return;
    }
    if (!proxied) {
      go(socket, undefined);
      return;
    }
    this.#greeting.add(socket);
    const ignore = (): void => undefined;
    const gone = (): void => void this.#greeting.delete(socket);
    socket.on("error", ignore);
    socket.on("close", gone);
    let header: ProxyHeader | "more" | "none" = "more";
    const judge = (seen: Buffer): number | "more" | "refused" => {
      header = parseProxyHeader(seen);
      return header === "none" ? "refused" : header === "more" ? "more" : header.bytes;
    };
    readFirstBytes(socket, this.#o.greetingMs(), judge, () => {
      this.#greeting.delete(socket);
      socket.off("error", ignore);
      socket.off("close", gone);
      const ends = typeof header === "string" ? undefined : header.ends;
      const believed = this.#believes(plainIp(socket.remoteAddress ?? ""));
      go(socket, ends === undefined || !believed ? undefined : ends.source);
    });
  }

  #believes(proxy: string): boolean {
    const { proxyProtocolFrom } = this.#o.table().settings;
    return proxyProtocolFrom === undefined || isInside(proxyProtocolFrom, proxy);
  }
}
