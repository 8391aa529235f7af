import { appendFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { createServer, type TlsOptions } from "node:tls";
import type { Ip } from "../../src/base/ip.ts";
import type { DnsAddress } from "../config/dns-config.ts";
import type { TlsCertificate } from "../config/tls-config.ts";
import { type Accepting, acceptConnections } from "./accept.ts";
import type { QueryEngine } from "./engine.ts";
import { serveStream } from "./stream-connection.ts";
import type { StreamOptions } from "./tcp-listener.ts";

/** Milliseconds for a handshake. */
const handshakeTimeout = 5000;

/** What node needs of a certificate; older than TLS 1.2 nobody speaks (RFC 8996). */
export function tlsOptions({ cert, key, clientCa, requireClient }: TlsCertificate): TlsOptions {
  return {
    cert,
    key,
    minVersion: "TLSv1.2",
    handshakeTimeout,
    // without an authority of their own they are checked by those that the system trusts
    ...(clientCa === undefined && requireClient === undefined ? {} : { requestCert: true, rejectUnauthorized: requireClient === true }),
    ...(clientCa === undefined ? {} : { ca: clientCa }),
  };
}

/** One listening socket of DNS over TLS (RFC 7858): behind the handshake it is as over TCP. */
export function startTlsListener(
  at: DnsAddress,
  engine: QueryEngine,
  options: StreamOptions & { readonly certificate: TlsCertificate },
): Accepting {
  const { limits, certificate } = options;
  const clients = new ClientsByPeer();
  const server = createServer({ ...tlsOptions(certificate), ALPNProtocols: ["dot"] });
  server.on("secureConnection", (socket) => {
    const client = clients.of(socket);
    if (client === undefined) socket.destroy();
    else serveStream(socket, { client, engine, limits, transport: "tls" });
  });
  writeKeys(server, certificate);
  server.on("tlsClientError", (_, socket) => socket.destroy());
  return acceptConnections(at, options, (socket, client) => {
    clients.add(socket, client);
    socket.on("error", () => socket.destroy());
    server.emit("connection", socket);
  });
}

/** Keys of connections, line by line, where the certificate's owner asks for them. A file that cannot be written costs the keys, no connection. */
export function writeKeys(
  server: { on(event: "keylog", listener: (line: Buffer) => void): unknown },
  { keylogFile }: TlsCertificate,
): void {
  if (keylogFile === undefined) return;
  server.on("keylog", (line) => void appendFile(keylogFile, line, { mode: 0o600 }).catch(() => {}));
}

/** Whom connections are of, by their peer's address and port: behind TLS the socket is another object. */
export class ClientsByPeer {
  readonly #clients = new Map<string, Ip>();

  add(socket: Socket, client: Ip): void {
    const key = keyOf(socket);
    this.#clients.set(key, client);
    socket.once("close", () => this.#clients.delete(key));
  }

  of(socket: Pick<Socket, "remoteAddress" | "remotePort">): Ip | undefined {
    return this.#clients.get(keyOf(socket));
  }
}

function keyOf(socket: Pick<Socket, "remoteAddress" | "remotePort">): string {
  return `${socket.remoteAddress} ${socket.remotePort}`;
}
