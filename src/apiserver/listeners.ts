import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { createSecureServer, type Http2SecureServer, type Http2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { createSecureContext } from "node:tls";
import { type Ip, printHostPort } from "../base/ip.ts";
import { StartError } from "./errors.ts";
import type { Pipeline } from "./pipeline.ts";
import type { KeyPair } from "./pki.ts";

export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

/** Paths where a client may switch protocols; anywhere else an Upgrade header is passed over. */
const tunnels = /\/(exec|attach|portforward|proxy)([/?]|$)/;

/** Where to listen. `fd` is a socket that a supervisor bound there; it is used as it is. */
export interface ListenAddress {
  readonly ip: Ip;
  readonly port: number;
  readonly fd?: number;
}

export interface Listeners {
  readonly port: number;
  close(): Promise<void>;
}

/** Listens on every address; port 0 takes any, and all others that say 0 take the same one. */
export async function listen(
  bind: readonly ListenAddress[],
  tls: { readonly pair: KeyPair; readonly clientCas: readonly string[] },
  pipeline: Pipeline,
): Promise<Listeners> {
  const servers: Http2SecureServer[] = [];
  const sessions = new Set<Http2Session>();
  const sockets = new Set<Duplex>();
  let port = 0;
  const close = async (): Promise<void> => {
    const closed = servers.map((server) => new Promise((resolve) => server.close(resolve)));
    for (const session of sessions) session.close();
    // What is still open are answers on their way, watches and tunnels: they get a moment to end by themselves.
    const deadline = setTimeout(() => {
      for (const socket of sockets) socket.destroy();
    }, 500);
    await Promise.all(closed);
    clearTimeout(deadline);
  };
  try {
    for (const address of bind) {
      const server = serverFor(tls, pipeline);
      server.on("session", (session) => {
        sessions.add(session);
        session.once("close", () => sessions.delete(session));
      });
      server.on("secureConnection", (socket: Duplex) => {
        sockets.add(socket);
        socket.once("close", () => sockets.delete(socket));
      });
      servers.push(server);
      await listening(server, address.port === 0 ? { ...address, port } : address);
      port ||= (server.address() as AddressInfo).port;
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { port, close };
}

/** The pair in the files; a StartError names the one that is no good. */
export function readKeyPair({ certFile, keyFile }: TlsFiles): KeyPair {
  const pair = { certPem: readPem(certFile), keyPem: readPem(keyFile) };
  try {
    createSecureContext({ cert: pair.certPem, key: pair.keyPem });
  } catch (error) {
    throw new StartError("badCertificate", `${certFile}, ${keyFile}`, error);
  }
  return pair;
}

export function readClientCa(file: string): string {
  const pem = readPem(file, "badClientCa");
  if (!pem.includes("-----BEGIN CERTIFICATE-----")) throw new StartError("badClientCa", file);
  return pem;
}

function readPem(file: string, code: "badCertificate" | "badClientCa" = "badCertificate"): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new StartError(code, file, error);
  }
}

/** What the HTTP/1.1 side of the server takes besides. */
const http1 = {
  keepAliveTimeout: 120_000,
  shouldUpgradeCallback: (request: IncomingMessage): boolean => tunnels.test(request.url ?? ""),
};

function serverFor(tls: { readonly pair: KeyPair; readonly clientCas: readonly string[] }, pipeline: Pipeline): Http2SecureServer {
  const server = createSecureServer(
    {
      cert: tls.pair.certPem,
      key: tls.pair.keyPem,
      ca: [...tls.clientCas],
      requestCert: true,
      rejectUnauthorized: false, // a token will do as well: who asks is found out per request
      minVersion: "TLSv1.2",
      // client-go speaks HTTP/2 over one connection; measured, it costs a third less per request. WebSockets come by HTTP/1.1.
      allowHTTP1: true,
      settings: { maxConcurrentStreams: 1000 },
      // Node sees to it for HTTP/2 only: over HTTP/1.1 a watch event would wait until a busy client has acknowledged the one before.
      noDelay: true,
      ...http1,
    },
    (request, response) => void pipeline.serve(request, response),
  );
  server.on("upgrade", (request, socket, head) => void pipeline.upgrade(request, socket, head));
  server.on("tlsClientError", () => undefined);
  server.on("clientError", (_error, socket) => socket.destroy());
  return server;
}

async function listening(server: Http2SecureServer, { ip, port, fd }: ListenAddress): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", (error: NodeJS.ErrnoException) =>
    reject(new StartError(codes[error.code ?? ""] ?? "addressNotHere", printHostPort(ip, port), error)),
  );
  if (fd === undefined) server.listen(port, ip, resolve);
  else server.listen({ fd }, resolve);
  await promise;
}

const codes: Readonly<Record<string, "addressInUse" | "addressNotHere" | "addressNotAllowed">> = {
  EADDRINUSE: "addressInUse",
  EADDRNOTAVAIL: "addressNotHere",
  EACCES: "addressNotAllowed",
  EPERM: "addressNotAllowed",
};
