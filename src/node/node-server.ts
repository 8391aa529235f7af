import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { WebSocketServer } from "ws";
import type { Clock } from "../base/clock.ts";
import type { Ip } from "../base/ip.ts";
import type { Running } from "../base/running.ts";
import { type LogOptions, readLog } from "./log-reader.ts";
import type { AttachOptions, ExecSession } from "./pod-runtime.ts";
import { joinStreams, logProtocol, sendLog, streamProtocols } from "./stream-channels.ts";

export interface NodeServerConfig {
  /** 0: any free one. */
  readonly port: number;
  readonly caPem: string;
  readonly certPem: string;
  readonly keyPem: string;
}

/** A container that a caller names. */
export interface ServedContainer {
  /** The log file of the last attempt, or of the one before it; a text says why there is none. */
  log(previous: boolean): { readonly path: string; ended(): boolean } | { readonly missing: string };
  /** A text says why not. */
  exec(argv: readonly string[], options: { readonly tty: boolean; readonly stdin: boolean }): ExecSession | { readonly missing: string };
  attach(options: AttachOptions): ExecSession | { readonly missing: string };
}

export interface NodeServerDeps {
  readonly clock: Clock;
  find(namespace: string, pod: string, container: string): ServedContainer | undefined;
}

export interface NodeServer extends Running {
  readonly port: number;
}

/** Who may call: the API server, by its certificate. */
const mastersOrg = "system:masters";

/** The node's own API: logs, exec and attach, over mutual TLS. Rejects when the port cannot be had. */
export async function startNodeServer(config: NodeServerConfig & { readonly ip: Ip }, deps: NodeServerDeps): Promise<NodeServer> {
  const server = createServer(
    { ca: config.caPem, cert: config.certPem, key: config.keyPem, requestCert: true, rejectUnauthorized: true, minVersion: "TLSv1.2" },
    (request, response) => {
      void answer(request, response, deps).catch(() => response.destroy());
    },
  );
  const serverOf = (protocols: readonly string[]): WebSocketServer =>
    new WebSocketServer({ noServer: true, handleProtocols: (offered) => protocols.find((p) => offered.has(p)) ?? false });
  const sockets: Sockets = { streams: serverOf(streamProtocols), logs: serverOf([logProtocol]) };
  server.on("upgrade", (request: IncomingMessage, socket: Socket, head: Buffer) => upgrade(request, socket, head, sockets, deps));
  server.on("tlsClientError", () => undefined);
  const listening = Promise.withResolvers<void>();
  server.once("error", listening.reject);
  server.listen({ port: config.port, host: config.ip }, listening.resolve);
  await listening.promise;
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : config.port,
    ready: Promise.resolve(),
    close: () =>
      new Promise((resolve) => {
        for (const client of [...sockets.streams.clients, ...sockets.logs.clients]) client.terminate();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(request: IncomingMessage, response: ServerResponse, deps: NodeServerDeps): Promise<void> {
  const url = new URL(request.url ?? "/", "https://node");
  if (url.pathname === "/healthz") {
    response.writeHead(200, { "content-type": "text/plain" }).end("ok");
    return;
  }
  if (!mayCall(request)) {
    refuse(response, 403, "Forbidden", "this node's API is for the API server");
    return;
  }
  const at = parsePath(url.pathname);
  if (at?.verb === "exec" || at?.verb === "attach") {
    refuse(response, 400, "BadRequest", "you must specify a WebSocket upgrade to exec or attach; kubectl 1.31 and newer do");
    return;
  }
  if (at === undefined || at.verb !== "containerLogs" || request.method !== "GET") {
    refuse(response, 404, "NotFound", "the node has no such path");
    return;
  }
  const stop = new AbortController();
  const log = askedLog(at, url.searchParams, deps, stop.signal);
  if (typeof log === "string") {
    refuse(response, 400, "BadRequest", log);
    return;
  }
  response.on("close", () => stop.abort());
  response.writeHead(200, { "content-type": "text/plain" });
  response.flushHeaders();
  for await (const bytes of log) {
    if (!response.write(bytes)) await new Promise<void>((resolve) => void response.once("drain", resolve).once("close", resolve));
    if (stop.signal.aborted) return;
  }
  response.end();
}

/** The lines that a caller wants; a text says why there are none. */
function askedLog(at: NodePath, query: URLSearchParams, deps: NodeServerDeps, signal: AbortSignal): AsyncIterable<Uint8Array> | string {
  const container = deps.find(at.namespace, at.pod, at.container);
  const log = container?.log(isTrue(query.get("previous"))) ?? { missing: `container not found ("${at.container}")` };
  if ("missing" in log) return log.missing;
  const options = parseLogOptions(query, deps.clock.now());
  return typeof options === "string" ? options : readLog(log.path, options, { clock: deps.clock, ended: log.ended }, signal);
}

interface Sockets {
  readonly streams: WebSocketServer;
  readonly logs: WebSocketServer;
}

function upgrade(request: IncomingMessage, socket: Socket, head: Buffer, sockets: Sockets, deps: NodeServerDeps): void {
  const url = new URL(request.url ?? "/", "https://node");
  const at = parsePath(url.pathname);
  socket.on("error", () => socket.destroy());
  if (!mayCall(request)) {
    refuseUpgrade(socket, 403, "Forbidden", "this node's API is for the API server");
    return;
  }
  if (request.headers.upgrade?.toLowerCase() !== "websocket") {
    refuseUpgrade(socket, 400, "BadRequest", `unable to upgrade: this node speaks WebSocket, not ${request.headers.upgrade ?? "this"}`);
    return;
  }
  if (at === undefined) {
    refuseUpgrade(socket, 404, "NotFound", "the node has no such path");
    return;
  }
  const query = url.searchParams;
  if (at.verb === "containerLogs") {
    const stop = new AbortController();
    const log = askedLog(at, query, deps, stop.signal);
    if (typeof log === "string") refuseUpgrade(socket, 400, "BadRequest", log);
    else sockets.logs.handleUpgrade(request, socket, head, (client) => void sendLog(client, log, stop));
    return;
  }
  const on = (...names: readonly string[]): boolean => names.some((name) => isTrue(query.get(name)));
  const container = deps.find(at.namespace, at.pod, at.container);
  const tty = on("tty");
  const options = { tty, stdin: on("stdin", "input") };
  const session =
    container === undefined
      ? { missing: `container not found ("${at.container}")` }
      : at.verb === "exec"
        ? container.exec(query.getAll("command"), options)
        : container.attach(options);
  if ("missing" in session) {
    refuseUpgrade(socket, 404, "NotFound", session.missing);
    return;
  }
  sockets.streams.handleUpgrade(request, socket, head, (client) => {
    joinStreams(session, client, { stdout: on("stdout", "output"), stderr: on("stderr", "error") && !tty });
  });
}

interface NodePath {
  readonly verb: "containerLogs" | "exec" | "attach";
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
}

/** `/exec/<namespace>/<pod>[/<uid>]/<container>`, percent-encoded. */
function parsePath(path: string): NodePath | undefined {
  const parts = path.split("/").slice(1).map(decode);
  const [verb, namespace, pod] = parts;
  const container = parts.length === 4 ? parts[3] : parts.length === 5 ? parts[4] : undefined;
  if (namespace === undefined || pod === undefined || container === undefined) return undefined;
  return verb === "containerLogs" || verb === "exec" || verb === "attach" ? { verb, namespace, pod, container } : undefined;
}

/** A text says which value is wrong. */
export function parseLogOptions(query: URLSearchParams, now: number): LogOptions | string {
  const number = (name: string): number | undefined => {
    const text = query.get(name);
    return text === null || text === "" ? undefined : Number(text);
  };
  const tailLines = number("tailLines");
  const limitBytes = number("limitBytes");
  const sinceSeconds = number("sinceSeconds");
  for (const [name, value, least] of [
    ["tailLines", tailLines, 0],
    ["limitBytes", limitBytes, 1],
    ["sinceSeconds", sinceSeconds, 1],
  ] as const) {
    if (value !== undefined && !(Number.isInteger(value) && value >= least)) return `${name}: must be a whole number of at least ${least}`;
  }
  const sinceTime = query.get("sinceTime");
  const since = sinceSeconds !== undefined ? now - sinceSeconds * 1000 : sinceTime === null ? undefined : Date.parse(sinceTime);
  if (since !== undefined && Number.isNaN(since)) return "sinceTime: must be a time as RFC 3339 writes it";
  return {
    follow: isTrue(query.get("follow")),
    timestamps: isTrue(query.get("timestamps")),
    ...(tailLines === undefined ? {} : { tailLines }),
    ...(limitBytes === undefined ? {} : { limitBytes }),
    ...(since === undefined ? {} : { since }),
  };
}

// The handshake has checked the chain: a certificate that is there was signed by the cluster's authority.
function mayCall(request: IncomingMessage): boolean {
  const { O } = (request.socket as TLSSocket).getPeerCertificate().subject ?? {};
  return (Array.isArray(O) ? O : [O]).includes(mastersOrg);
}

function refuse(response: ServerResponse, code: number, reason: string, message: string): void {
  response.writeHead(code, { "content-type": "application/json" }).end(statusBody(code, reason, message));
}

function refuseUpgrade(socket: Socket, code: number, reason: string, message: string): void {
  const body = statusBody(code, reason, message);
  const head = `HTTP/1.1 ${code} ${reason}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close`;
  socket.end(`${head}\r\n\r\n${body}`);
}

function statusBody(code: number, reason: string, message: string): string {
  return JSON.stringify({ kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure", message, reason, code });
}

function isTrue(text: string | null): boolean {
  return text === "true" || text === "1";
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
