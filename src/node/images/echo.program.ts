// The image fairway/echo: says who answered, and to whom.
import { createSocket, type Socket } from "node:dgram";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { isIPv6, type Socket as Stream } from "node:net";
import { WebSocketServer } from "ws";

const { env } = process;
const port = Number(env["PORT"] ?? 8080);
const drainMs = 5000;
const freshMs = 1000;
/** What it answers where the path says nothing about that: a version that fails has 500. */
const usual = /^[1-5][0-9]{2}$/.test(env["STATUS"] ?? "") ? Number(env["STATUS"]) : 200;
const maxDelayMs = 3_600_000;
const me = {
  pod: env["POD_NAME"] ?? env["HOSTNAME"] ?? "",
  namespace: env["POD_NAMESPACE"] ?? "",
  node: env["NODE_NAME"] ?? "",
  podIP: env["POD_IP"] ?? "",
};
// Where pods are plain processes, each has an address of its own and must keep to it; a container has all to itself.
const bindTo = env["FAIRWAY_DNS"] !== undefined && me.podIP !== "" ? me.podIP : undefined;
const { TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile } = env;

let draining = false;
/** Connections that have not asked for anything yet. */
const fresh = new Set<Stream>();
const answer: RequestListener = (request, response) => {
  fresh.delete(request.socket);
  const path = (request.url ?? "/").split("?")[0] ?? "/";
  const status = /^\/status\/([1-5][0-9]{2})$/.exec(path);
  const delay = /^\/delay\/([0-9]{1,7})$/.exec(path);
  request.resume();
  if (path === "/healthz") respond(response, 200, "ok\n", "text/plain");
  else if (status !== null) describe(request, response, Number(status[1]));
  else if (delay !== null) setTimeout(() => describe(request, response, usual), Math.min(Number(delay[1]), maxDelayMs));
  else describe(request, response, usual);
};

function describe(request: IncomingMessage, response: ServerResponse, status: number): void {
  const { remoteAddress = "", remotePort = 0 } = request.socket;
  const plain = remoteAddress.replace(/^::ffff:(?=\d+\.)/, "");
  const client = isIPv6(plain) ? `[${plain}]:${remotePort}` : `${plain}:${remotePort}`;
  const body = { ...me, client, method: request.method ?? "", path: request.url ?? "", headers: request.headers };
  respond(response, status, `${JSON.stringify(body)}\n`, "application/json");
}

function respond(response: ServerResponse, status: number, body: string, type: string): void {
  // A connection that was kept alive must not be used again once the server is leaving.
  if (draining) response.setHeader("connection", "close");
  // RFC 9110 section 15: these have no content.
  const empty = status < 200 || status === 204 || status === 304;
  if (empty) response.writeHead(status).end();
  else response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(body) }).end(body);
}

const secure = certFile !== undefined && keyFile !== undefined;
const server: Server = secure
  ? createTlsServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) }, answer)
  : createServer(answer);
// Long enough for a proxy's pool of idle connections to close its end first.
server.keepAliveTimeout = 75_000;

server.on(secure ? "secureConnection" : "connection", (socket: Stream) => {
  fresh.add(socket);
  socket.once("close", () => fresh.delete(socket));
});

const sockets = new WebSocketServer({ noServer: true });
server.on("upgrade", (request, socket: Stream, head) => {
  fresh.delete(socket);
  if ((request.url ?? "").split("?")[0] !== "/ws") {
    socket.end("HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    return;
  }
  sockets.handleUpgrade(request, socket, head, (client) => {
    client.on("message", (data, isBinary) => client.send(data, { binary: isBinary }));
    client.on("error", () => client.terminate());
  });
});

const udp = startUdp();
server.listen({ port, ...(bindTo === undefined ? {} : { host: bindTo }) });
server.on("error", (error) => {
  console.error(`cannot listen on ${bindTo ?? "*"}:${port}: ${error.message}`);
  process.exit(1);
});

function startUdp(): Socket {
  const host = bindTo ?? "::";
  const socket = createSocket({ type: isIPv6(host) ? "udp6" : "udp4" });
  socket.on("message", (_, from) => socket.send(me.pod, from.port, from.address));
  socket.on("error", (error) => console.error(`UDP: ${error.message}`));
  socket.bind({ port, address: host });
  return socket;
}

function leave(): void {
  if (draining) return;
  draining = true;
  udp.close();
  setTimeout(() => process.exit(0), drainMs);
  // 1001: going away.
  for (const client of sockets.clients) client.close(1001);
  // Node calls a connection idle whose first request is still on its way; nobody would send that request again.
  const close = (patience: number): void => {
    if (fresh.size > 0 && patience > 0) setTimeout(close, 20, patience - 20);
    else server.close(() => process.exit(0));
  };
  // One turn, in which connections that the kernel has accepted already come in.
  setTimeout(close, 20, freshMs);
}
process.on("SIGTERM", leave);
process.on("SIGINT", leave);
