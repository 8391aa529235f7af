import type { Socket } from "node:net";
import { createServer, type TLSSocket, type Server as TlsServer } from "node:tls";
import { normalizeHost } from "../route/request-head.ts";
import type { HostTls, Pool } from "../route/route.ts";
import type { RouteTable } from "../route/route-table.ts";
import { type ClientAnswer, clientAnswerOf } from "./client-certificate.ts";
import { peekClientHello } from "./client-hello.ts";
import { type KeyPair, TlsContexts } from "./tls-contexts.ts";

export interface TlsListenerOptions {
  readonly table: () => RouteTable;
  /** Shown to clients whose name has no certificate. */
  readonly pair: KeyPair;
  /** How long a client may take to greet and to shake hands. Milliseconds. */
  readonly handshakeMs: () => number;
  readonly settings: TlsSettings;
  readonly log: (message: string) => void;
  readonly onSecure: (socket: TLSSocket, client: ClientAnswer | undefined) => void;
  readonly onPassthrough: (socket: Socket, pool: Pool) => void;
}

/** Of all hosts, where a route says nothing else. */
export interface TlsSettings {
  /** By default 1.2 and 1.3. */
  readonly minVersion?: "TLSv1.2" | "TLSv1.3";
  readonly maxVersion?: "TLSv1.2" | "TLSv1.3";
  /** As OpenSSL writes lists of ciphers; of 1.2, but for names that begin with TLS_. */
  readonly ciphers?: string;
  /** 48 random bytes that encrypt session tickets; whoever has them too resumes our sessions. */
  readonly ticketKeys?: Buffer;
}

/** Sessions of one ingress are of one context, whichever of its processes made them. */
const sessionContext = "fairway-ingress";

/**
 * Turns accepted sockets into TLS connections by what the route table asks for their server name: its certificate, a
 * certificate of the client, ciphers of its own; or hands them on unopened.
 */
export class TlsListener {
  readonly #o: TlsListenerOptions;
  readonly #contexts: TlsContexts;
  /** By what the handshake demands; it is settled before the server's SNI callback could change it. */
  readonly #servers = new Map<string, TlsServer>();
  readonly #handshakes = new Map<string, Handshake>();
  #ticketKeys: Buffer | undefined;

  constructor(o: TlsListenerOptions) {
    this.#o = o;
    this.#contexts = new TlsContexts(o.pair);
    this.#ticketKeys = o.settings.ticketKeys;
    // a pair that cannot be used must fail the start, not the first client
    this.#contexts.contextFor(o.table(), undefined);
  }

  /** Connections that are not yet what they will become. */
  get waiting(): number {
    return this.#handshakes.size;
  }

  accept(socket: Socket): void {
    // a TLS connection has no half that lives on: who ends it in the middle of a handshake has gone
    socket.allowHalfOpen = false;
    const key = endsOf(socket);
    const handshake: Handshake = { socket, tls: undefined };
    this.#handshakes.set(key, handshake);
    socket.once("close", () => {
      if (this.#handshakes.get(key) === handshake) this.#handshakes.delete(key);
    });
    // a client that breaks off its handshake is told of by tlsClientError
    socket.on("error", () => undefined);
    const table = this.#o.table();
    if (!table.hasPassthrough && !table.hasHostTls) {
      this.#serverFor(undefined).emit("connection", socket);
      return;
    }
    peekClientHello(socket, this.#o.handshakeMs(), (hello) => {
      const name = hello?.serverName === undefined ? undefined : normalizeHost(hello.serverName);
      const pool = name === undefined ? undefined : this.#o.table().passthrough(name);
      if (pool !== undefined) {
        this.#handshakes.delete(key);
        socket.allowHalfOpen = true;
        this.#o.onPassthrough(socket, pool);
        return;
      }
      handshake.tls = name === undefined ? undefined : this.#o.table().hostTls(name);
      this.#serverFor(handshake.tls).emit("connection", socket);
    });
  }

  /** Tickets of before are worth nothing any more: their clients shake hands in full. */
  setTicketKeys(keys: Buffer): void {
    this.#ticketKeys = keys;
    for (const server of this.#servers.values()) server.setTicketKeys(keys);
  }

  close(): void {
    for (const { socket } of this.#handshakes.values()) socket.destroy();
  }

  #serverFor(tls: HostTls | undefined): TlsServer {
    const key = `${tls?.clientCertificates === undefined ? "" : "asks"} ${tls?.ciphers ?? ""} ${tls?.preferServerCiphers ?? ""}`;
    let server = this.#servers.get(key);
    if (server === undefined) {
      server = this.#makeServer(tls);
      this.#servers.set(key, server);
    }
    return server;
  }

  #makeServer(tls: HostTls | undefined): TlsServer {
    const { pair, settings } = this.#o;
    const ciphers = tls?.ciphers ?? settings.ciphers;
    const server = createServer({
      cert: pair.certificate,
      key: pair.key,
      minVersion: settings.minVersion ?? "TLSv1.2",
      ...(settings.maxVersion === undefined ? {} : { maxVersion: settings.maxVersion }),
      ...(ciphers === undefined ? {} : { ciphers }),
      ...(tls?.preferServerCiphers === undefined ? {} : { honorCipherOrder: tls.preferServerCiphers }),
      ...(this.#ticketKeys === undefined ? {} : { ticketKeys: this.#ticketKeys }),
      sessionIdContext: sessionContext,
      ALPNProtocols: ["h2", "http/1.1"],
      handshakeTimeout: this.#o.handshakeMs(),
      // what the client showed is judged by the routes of its host
      requestCert: tls?.clientCertificates !== undefined,
      rejectUnauthorized: false,
      SNICallback: (name, done) => {
        try {
          done(null, this.#contexts.contextFor(this.#o.table(), name));
        } catch (e) {
          this.#o.log(`certificate for ${name} cannot be used: ${e instanceof Error ? e.message : String(e)}`);
          done(null, this.#contexts.contextFor(this.#o.table(), undefined));
        }
      },
    });
    server.on("secureConnection", (socket) => {
      const key = endsOf(socket);
      const terms = this.#handshakes.get(key)?.tls?.clientCertificates;
      this.#handshakes.delete(key);
      this.#o.onSecure(socket, terms === undefined ? undefined : clientAnswerOf(socket, terms));
    });
    server.on("tlsClientError", (_error, socket) => socket.destroy());
    return server;
  }
}

interface Handshake {
  readonly socket: Socket;
  /** What the table asked for its server name when it was greeted. */
  tls: HostTls | undefined;
}

/** The same of a socket and of the TLS connection on it; of no other that is open. */
function endsOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress} ${socket.localPort}`;
}
