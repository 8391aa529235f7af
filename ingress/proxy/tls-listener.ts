import { randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import { createServer, type SecureContext, type TLSSocket, type Server as TlsServer } from "node:tls";
import { normalizeHost } from "../route/request-head.ts";
import type { HostTls, Pool } from "../route/route.ts";
import type { RouteTable } from "../route/route-table.ts";
import type { BareClient, SecuredClient } from "../upstream/bare-client.ts";
import type { Connection, Peer } from "../upstream/connection.ts";
import { certificateOf } from "../upstream/tls-handles.ts";
import type { TlsChoice, TlsTerms } from "../upstream/tls-life.ts";
import { type ClientAnswer, clientAnswerOf } from "./client-certificate.ts";
import { peekClientHello } from "./client-hello.ts";
import type { OcspStapler } from "./ocsp-stapler.ts";
import { TimeLimits } from "./time-limits.ts";
import { type KeyPair, TlsContexts } from "./tls-contexts.ts";
import { type TlsDemands, TlsProfile, type TlsSettings } from "./tls-profile.ts";

export interface TlsListenerOptions {
  readonly table: () => RouteTable;
  /** Shown to clients whose name has no certificate. */
  readonly pair: KeyPair;
  /** How long a client may take to greet and to shake hands. Milliseconds. */
  readonly handshakeMs: () => number;
  readonly settings: TlsSettings;
  readonly stapler: OcspStapler;
  readonly log: (message: string) => void;
  readonly adopt: (socket: TLSSocket, peer: Peer | undefined) => Connection;
  /** `protocol`: what both sides agreed to speak. */
  readonly onSecure: (connection: Connection, protocol: string | undefined, answer: ClientAnswer | undefined) => void;
  readonly onPassthrough: (socket: Socket, pool: Pool, peer: Peer | undefined) => void;
}

/** Demands of hosts and settings that are in force at once; made again where there are more. */
const maxProfiles = 256;

/** What handshakes on the same demands are done by: bare clients by the terms, sockets by the server. */
interface Desk {
  readonly profile: TlsProfile;
  terms?: TlsTerms;
  server?: TlsServer;
}

/**
 * Turns accepted clients into TLS connections by what the route table asks for their server name: its certificate, a
 * certificate of the client, ciphers of its own; or hands them on unopened.
 */
export class TlsListener {
  readonly #o: TlsListenerOptions;
  readonly #contexts: TlsContexts;
  /** By what the handshake demands. */
  readonly #desks = new Map<string, Desk>();
  /** The desk of most, and the settings it was found by. */
  #usual: { readonly desk: Desk; readonly told: RouteTable["settings"] } | undefined;
  readonly #handshakes = new Map<string, Handshake>();
  readonly #bare = new TimeLimits<BareClient>((client) => client.abort());
  #ticketKeys: Buffer;

  constructor(o: TlsListenerOptions) {
    this.#o = o;
    this.#contexts = new TlsContexts(o.pair, (pair) => o.stapler.learn(pair.certificate));
    this.#ticketKeys = o.settings.ticketKeys ?? randomBytes(48);
    // a pair that cannot be used must fail the start, not the first client
    this.#contexts.contextFor(o.table(), undefined);
  }

  /** Connections that are not yet what they will become. */
  get waiting(): number {
    return this.#handshakes.size + this.#bare.size;
  }

  /** As `accept`, of who has no socket. */
  acceptBare(client: BareClient): void {
    const table = this.#o.table();
    if (table.hasPassthrough || table.hasHostTls) {
      this.accept(client.toSocket(), undefined);
      return;
    }
    const desk = this.#deskFor(undefined);
    desk.terms ??= this.#termsOf(desk.profile);
    this.#bare.add(client, this.#o.handshakeMs());
    client.secure(desk.terms, {
      onSecure: (secured) => {
        this.#bare.delete(client);
        this.#secured(secured, desk.profile);
      },
      onFailed: () => this.#bare.delete(client),
    });
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
    for (const { profile, server } of this.#desks.values()) {
      profile.setTicketKeys(keys);
      server?.setTicketKeys(keys);
    }
  }

  close(): void {
    for (const { socket } of this.#handshakes.values()) socket.destroy();
    this.#bare.endAll();
  }

  #deskFor(host: HostTls | undefined): Desk {
    const told = this.#o.table().settings;
    if (host === undefined && this.#usual?.told === told) return this.#usual.desk;
    const demands: TlsDemands = { host, told, ours: { ...this.#o.settings, ticketKeys: this.#ticketKeys } };
    const key = TlsProfile.keyOf(demands);
    let desk = this.#desks.get(key);
    if (desk === undefined) {
      const profile = new TlsProfile(this.#o.pair, demands);
      // settings that are no longer in force need no desk
      if (this.#desks.size >= maxProfiles) this.#desks.clear();
      desk = { profile };
      this.#desks.set(key, desk);
    }
    if (host === undefined) this.#usual = { desk, told };
    return desk;
  }

  #termsOf(profile: TlsProfile): TlsTerms {
    return {
      context: profile.context,
      protocols: Buffer.concat(profile.protocols.map((name) => Buffer.from(`${String.fromCharCode(name.length)}${name}`, "latin1"))),
      choose: ({ name, wantsStaple }) => this.#choose(profile, name, wantsStaple),
    };
  }

  #choose(profile: TlsProfile, name: string | undefined, wantsStaple: boolean): TlsChoice | "refused" {
    const context = name === undefined ? undefined : this.#contextFor(profile, name);
    if (context === "refused") return context;
    if (!wantsStaple || profile.told?.ocsp !== true) return { context, staple: undefined };
    const shown = certificateOf(context ?? profile.context);
    return { context, staple: shown === undefined ? undefined : this.#o.stapler.staple(shown) };
  }

  #contextFor({ told }: TlsProfile, name: string): SecureContext | "refused" {
    const table = this.#o.table();
    try {
      if (told?.rejectUnknownNames === true && !this.#contexts.knows(table, name)) return "refused";
      return this.#contexts.contextFor(table, name);
    } catch (e) {
      this.#o.log(`certificate for ${name} cannot be used: ${e instanceof Error ? e.message : String(e)}`);
      return this.#contexts.contextFor(table, undefined);
    }
  }

  /** Without a name the default certificate was shown already; of a resumed session 1.2 tells no name. */
  #secured(client: SecuredClient, { told }: TlsProfile): void {
    if (told?.rejectUnknownNames === true && client.serverName === undefined && !client.isResumed) client.connection.abort();
    else this.#o.onSecure(client.connection, client.protocol, undefined);
  }

  #serverFor(host: HostTls | undefined): TlsServer {
    const desk = this.#deskFor(host);
    desk.server ??= this.#makeServer(desk.profile);
    return desk.server;
  }

  #makeServer(profile: TlsProfile): TlsServer {
    const { told } = profile;
    const server = createServer({
      ...profile.options,
      ALPNProtocols: [...profile.protocols],
      handshakeTimeout: this.#o.handshakeMs(),
      // what the client showed is judged by the routes of its host
      requestCert: profile.asksCertificate,
      rejectUnauthorized: false,
      SNICallback: (name, done) => {
        const context = this.#contextFor(profile, name);
        if (context === "refused") done(new Error("nobody's name"));
        else done(null, context);
      },
    });
    if (told?.ocsp === true)
      server.on("OCSPRequest", (certificate, _issuer, done) => done(null, this.#o.stapler.staple(certificate) ?? null));
    server.on("secureConnection", (socket) => {
      const key = endsOf(socket);
      const handshake = this.#handshakes.get(key);
      const terms = handshake?.tls?.clientCertificates;
      this.#handshakes.delete(key);
      if (told?.rejectUnknownNames === true && typeof socket.servername !== "string" && !socket.isSessionReused()) {
        socket.destroy();
        return;
      }
      const answer = terms === undefined ? undefined : clientAnswerOf(socket, terms);
      const protocol = typeof socket.alpnProtocol === "string" ? socket.alpnProtocol : undefined;
      this.#o.onSecure(this.#o.adopt(socket, handshake?.peer), protocol, answer);
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
