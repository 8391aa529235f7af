import { constants } from "node:crypto";
import type { Socket } from "node:net";
import { createServer, type TLSSocket, type Server as TlsServer } from "node:tls";
import { normalizeHost } from "../route/request-head.ts";
import type { HostTls, Pool } from "../route/route.ts";
import type { RouteTable } from "../route/route-table.ts";
import type { Peer } from "../upstream/connection.ts";
import { type ClientAnswer, clientAnswerOf } from "./client-certificate.ts";
import { peekClientHello } from "./client-hello.ts";
import type { OcspStapler } from "./ocsp-stapler.ts";
import { type KeyPair, sessionContextOf, TlsContexts } from "./tls-contexts.ts";

export interface TlsListenerOptions {
  readonly table: () => RouteTable;
  /** Shown to clients whose name has no certificate. */
  readonly pair: KeyPair;
  /** How long a client may take to greet and to shake hands. Milliseconds. */
  readonly handshakeMs: () => number;
  readonly settings: TlsSettings;
  readonly stapler: OcspStapler;
  readonly log: (message: string) => void;
  readonly onSecure: (socket: TLSSocket, peer: Peer | undefined, answer: ClientAnswer | undefined) => void;
  readonly onPassthrough: (socket: Socket, pool: Pool, peer: Peer | undefined) => void;
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

/** Demands of hosts and settings that are in force at once; made again where there are more. */
const maxServers = 256;

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
    this.#contexts = new TlsContexts(o.pair, (pair) => o.stapler.learn(pair.certificate));
    this.#ticketKeys = o.settings.ticketKeys;
    // a pair that cannot be used must fail the start, not the first client
    this.#contexts.contextFor(o.table(), undefined);
  }

  /** Connections that are not yet what they will become. */
  get waiting(): number {
    return this.#handshakes.size;
  }

  /** `peer`: for whom a proxy before us says it speaks. */
  accept(socket: Socket, peer: Peer | undefined): void {
    // a TLS connection has no half that lives on: who ends it in the middle of a handshake has gone
    socket.allowHalfOpen = false;
    const key = endsOf(socket);
    const handshake: Handshake = { socket, peer, tls: undefined };
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
        this.#o.onPassthrough(socket, pool, peer);
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
    const { settings } = this.#o.table();
    const key = JSON.stringify([
      sessionContextOf(tls?.clientCertificates),
      tls?.ciphers,
      tls?.preferServerCiphers,
      settings.tls,
      settings.http2,
    ]);
    let server = this.#servers.get(key);
    if (server === undefined) {
      server = this.#makeServer(tls);
      // settings that are no longer in force need no server
      if (this.#servers.size >= maxServers) this.#servers.clear();
      this.#servers.set(key, server);
    }
    return server;
  }

  #makeServer(tls: HostTls | undefined): TlsServer {
    const { pair } = this.#o;
    const { http2, tls: told } = this.#o.table().settings;
    const settings = { ...this.#o.settings, ...told };
    const ciphers = tls?.ciphers ?? settings.ciphers;
    const server = createServer({
      cert: pair.certificate,
      key: pair.key,
      minVersion: settings.minVersion ?? "TLSv1.2",
      ...(settings.maxVersion === undefined ? {} : { maxVersion: settings.maxVersion }),
      ...(ciphers === undefined ? {} : { ciphers }),
      ...(tls?.preferServerCiphers === undefined ? {} : { honorCipherOrder: tls.preferServerCiphers }),
      ...(this.#ticketKeys === undefined ? {} : { ticketKeys: this.#ticketKeys }),
      sessionIdContext: sessionContextOf(tls?.clientCertificates),
      ...(told?.sessionTickets === false ? { secureOptions: constants.SSL_OP_NO_TICKET } : {}),
      ALPNProtocols: http2 === false ? ["http/1.1"] : ["h2", "http/1.1"],
      handshakeTimeout: this.#o.handshakeMs(),
      // what the client showed is judged by the routes of its host
      requestCert: tls?.clientCertificates !== undefined,
      rejectUnauthorized: false,
      SNICallback: (name, done) => {
        try {
          if (told?.rejectUnknownNames === true && !this.#contexts.knows(this.#o.table(), name)) done(new Error("nobody's name"));
          else done(null, this.#contexts.contextFor(this.#o.table(), name));
        } catch (e) {
          this.#o.log(`certificate for ${name} cannot be used: ${e instanceof Error ? e.message : String(e)}`);
          done(null, this.#contexts.contextFor(this.#o.table(), undefined));
        }
      },
    });
    if (told?.ocsp === true)
      server.on("OCSPRequest", (certificate, _issuer, done) => done(null, this.#o.stapler.staple(certificate) ?? null));
    server.on("secureConnection", (socket) => {
      const key = endsOf(socket);
      const handshake = this.#handshakes.get(key);
      const terms = handshake?.tls?.clientCertificates;
      this.#handshakes.delete(key);
      // without a name the default certificate was shown already; of a resumed session 1.2 tells no name
      if (told?.rejectUnknownNames === true && typeof socket.servername !== "string" && !socket.isSessionReused()) {
        socket.destroy();
        return;
      }
      this.#o.onSecure(socket, handshake?.peer, terms === undefined ? undefined : clientAnswerOf(socket, terms));
    });
    server.on("tlsClientError", (_error, socket) => socket.destroy());
    return server;
  }
}

interface Handshake {
  readonly socket: Socket;
  readonly peer: Peer | undefined;
  /** What the table asked for its server name when it was greeted. */
  tls: HostTls | undefined;
}

/** The same of a socket and of the TLS connection on it; of no other that is open. */
function endsOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress} ${socket.localPort}`;
}
