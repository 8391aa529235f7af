import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import type { Socket } from "node:net";
import type { Ip } from "../../src/base/ip.ts";
import type { DnsAddress } from "../config/dns-config.ts";
import type { TlsCertificate } from "../config/tls-config.ts";
import { headerBytes } from "../wire/message.ts";
import { type Accepting, acceptConnections } from "./accept.ts";
import type { QueryEngine } from "./engine.ts";
import { leastTtl } from "./least-ttl.ts";
import type { StreamOptions } from "./tcp-listener.ts";
import { ClientsByPeer, tlsOptions, writeKeys } from "./tls-listener.ts";

const mediaType = "application/dns-message";
const maxMessage = 0xffff;
/** Base64 of the longest message, and some room for what else may stand in a URL. */
const maxUrl = 90_000;

export interface HttpsOptions extends StreamOptions {
  /** Absent: a proxy in front has ended TLS. */
  readonly certificate?: TlsCertificate | undefined;
  readonly path: string;
}

/** What is said to a request that has no DNS answer. */
interface Refusal {
  readonly status: 400 | 404 | 405 | 413 | 415;
  readonly headers?: Readonly<Record<string, string>>;
}

type Request = Http2ServerRequest | IncomingMessage;
type Response = Http2ServerResponse | ServerResponse;

/** One listening socket of DNS over HTTPS (RFC 8484): GET and POST, in HTTP/2 and HTTP/1.1. */
export function startHttpsListener(at: DnsAddress, engine: QueryEngine, options: HttpsOptions): Accepting {
  const { limits, certificate, path } = options;
  const clients = new ClientsByPeer();
  const out = new Uint8Array(maxMessage);
  const onRequest = (request: Request, response: Response): void => {
    const session = "stream" in request ? request.stream?.session : undefined;
    const client = clients.of(session?.socket ?? request.socket);
    request.on("error", () => {});
    response.on("error", () => {});
    if (client === undefined) {
      say(response, 400);
      return;
    }
    void serve(request, response, client).catch(() => say(response, 400));
  };

  const serve = async (request: Request, response: Response, client: Ip): Promise<void> => {
    const query = await queryOf(request, path);
    if ("status" in query) {
      say(response, query.status, query.headers);
      return;
    }
    const n = engine.now(query, query.length, client, out, "https");
    const answer = n === undefined ? await engine.later(query, client, "https") : out.slice(0, n);
    if (answer === undefined || answer.length === 0) {
      say(response, 400);
      return;
    }
    // a cache on the way may keep it no longer than any of its records (RFC 8484 section 5.1)
    const headers = { "content-type": mediaType, "content-length": answer.length, "cache-control": `max-age=${leastTtl(answer)}` };
    say(response, 200, headers, answer);
  };

  const server = certificate === undefined ? plainServer(limits, onRequest) : secureServer(certificate, limits, onRequest);

  return acceptConnections(at, options, (socket, client) => {
    clients.add(socket, client);
    socket.on("error", () => socket.destroy());
    server.emit("connection", socket);
  });
}

function secureServer(certificate: TlsCertificate, limits: HttpsOptions["limits"], onRequest: (q: Request, a: Response) => void): Server {
  const server = createSecureServer(
    {
      ...tlsOptions(certificate),
      allowHTTP1: true,
      settings: { maxConcurrentStreams: limits.pipelined, maxHeaderListSize: 128 << 10 },
    },
    onRequest,
  );
  server.on("session", (session) => session.setTimeout(limits.idle, () => session.close()));
  server.on("sessionError", () => {});
  writeKeys(server, certificate);
  server.on("tlsClientError", (_, socket) => socket.destroy());
  return server;
}

/** A URL may be as long as a question. */
function plainServer(limits: HttpsOptions["limits"], onRequest: (q: Request, a: Response) => void): Server {
  return createServer({ keepAliveTimeout: limits.idle, maxHeaderSize: 128 << 10 }, onRequest);
}

/** What both kinds of server do with a connection that was accepted elsewhere. */
interface Server {
  emit(event: "connection", socket: Socket): boolean;
}

function say(to: Response, status: number, headers: Readonly<Record<string, string | number>> = {}, body?: Uint8Array): void {
  // both have the same methods, which no type says of them together
  const response = to as ServerResponse;
  response.writeHead(status, headers);
  response.end(body);
}

async function queryOf(request: Request, path: string): Promise<Uint8Array | Refusal> {
  const { url = "/" } = request;
  if (url.length > maxUrl) return { status: 413 };
  const asked = new URL(url, "https://dns.invalid");
  if (asked.pathname !== path) return { status: 404 };
  if (request.method === "GET" || request.method === "HEAD") {
    const text = asked.searchParams.get("dns") ?? "";
    // base64url without padding (RFC 8484 section 6)
    if (!/^[A-Za-z0-9_-]+$/.test(text)) return { status: 400 };
    return checked(Buffer.from(text, "base64url"));
  }
  if (request.method !== "POST") return { status: 405, headers: { allow: "GET, POST" } };
  if (request.headers["content-type"]?.split(";")[0]?.trim().toLowerCase() !== mediaType) return { status: 415 };
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request) {
    const bytes = chunk as Buffer;
    length += bytes.length;
    if (length > maxMessage) return { status: 413 };
    chunks.push(bytes);
  }
  return checked(Buffer.concat(chunks));
}

function checked(query: Buffer): Uint8Array | Refusal {
  return query.length < headerBytes ? { status: 400 } : query.length > maxMessage ? { status: 413 } : query;
}
