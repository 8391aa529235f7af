import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import type { Ip } from "../../src/base/ip.ts";
import type { DnsAddress } from "../config/dns-config.ts";
import type { TlsCertificate } from "../config/tls-config.ts";
import { headerBytes } from "../wire/message.ts";
import { type Accepting, acceptConnections } from "./accept.ts";
import type { QueryEngine } from "./engine.ts";
import { leastTtl } from "./least-ttl.ts";
import type { StreamOptions } from "./tcp-listener.ts";
import { ClientsByPeer, tlsOptions } from "./tls-listener.ts";

const mediaType = "application/dns-message";
const maxMessage = 0xffff;
/** Base64 of the longest message, and some room for what else may stand in a URL. */
const maxUrl = 90_000;

export interface HttpsOptions extends StreamOptions {
  readonly certificate: TlsCertificate;
  readonly path: string;
}

/** What is said to a request that has no DNS answer. */
interface Refusal {
  readonly status: 400 | 404 | 405 | 413 | 415;
  readonly headers?: Readonly<Record<string, string>>;
}

/** One listening socket of DNS over HTTPS (RFC 8484): GET and POST, in HTTP/2 and HTTP/1.1. */
export function startHttpsListener(at: DnsAddress, engine: QueryEngine, options: HttpsOptions): Accepting {
  const { limits, certificate, path } = options;
  const clients = new ClientsByPeer();
  const out = new Uint8Array(maxMessage);
  const server = createSecureServer({
    ...tlsOptions(certificate),
    allowHTTP1: true,
    settings: { maxConcurrentStreams: limits.pipelined, maxHeaderListSize: 128 << 10 },
  });
  server.on("session", (session) => session.setTimeout(limits.idle, () => session.close()));
  server.on("sessionError", () => {});
  server.on("tlsClientError", (_, socket) => socket.destroy());
  server.on("request", (request, response) => {
    const client = clients.of(request.stream?.session?.socket ?? request.socket);
    request.on("error", () => {});
    response.on("error", () => {});
    if (client === undefined) {
      response.writeHead(400).end();
      return;
    }
    void serve(request, response, client).catch(() => response.writeHead(400).end());
  });

  const serve = async (request: Http2ServerRequest, response: Http2ServerResponse, client: Ip): Promise<void> => {
    const query = await queryOf(request, path);
    if ("status" in query) {
      response.writeHead(query.status, query.headers).end();
      return;
    }
    const n = engine.now(query, query.length, client, out, "https");
    const answer = n === undefined ? await engine.later(query, client, "https") : out.slice(0, n);
    if (answer === undefined || answer.length === 0) {
      response.writeHead(400).end();
      return;
    }
    // a cache on the way may keep it no longer than any of its records (RFC 8484 section 5.1)
    const headers = { "content-type": mediaType, "content-length": answer.length, "cache-control": `max-age=${leastTtl(answer)}` };
    response.writeHead(200, headers).end(answer);
  };

  return acceptConnections(at, options, (socket, client) => {
    clients.add(socket, client);
    socket.on("error", () => socket.destroy());
    server.emit("connection", socket);
  });
}

async function queryOf(request: Http2ServerRequest, path: string): Promise<Uint8Array | Refusal> {
  if (request.url.length > maxUrl) return { status: 413 };
  const url = new URL(request.url, "https://dns.invalid");
  if (url.pathname !== path) return { status: 404 };
  if (request.method === "GET" || request.method === "HEAD") {
    const text = url.searchParams.get("dns") ?? "";
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
