import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { type ClientHttp2Session, constants, connect as http2Connect } from "node:http2";
import { Agent, get } from "node:https";
import { connect as tlsConnect } from "node:tls";
import WebSocket from "ws";

export interface IngressAt {
  readonly ip: string;
  readonly https: number;
  /** Server name and Host. */
  readonly host: string;
}

/** A request that was not answered with 200, and the client's port of the connection it was on. */
export interface FailedRequest {
  readonly port: number | undefined;
  readonly what: string;
}

export interface LoadResult {
  readonly requests: number;
  readonly failures: readonly FailedRequest[];
  /** Pods that answered. */
  readonly pods: ReadonlySet<string>;
}

/** `kept`: one connection for all requests; `fresh`: one for each; `http2`: one session until it is told to go. */
export type LoadKind = "kept" | "fresh" | "http2";

/** Longer than any answer takes on a machine that is slow and busy. */
const patienceMs = 60_000;
/** Between requests: what is tested is that none fails, not how many there can be. */
const restMs = 50;

/** One client that asks for `/` of the echo image until it is told to stop. */
export async function askUntil(signal: AbortSignal, to: IngressAt, kind: LoadKind): Promise<LoadResult> {
  const failures: FailedRequest[] = [];
  const pods = new Set<string>();
  const asker = kind === "http2" ? http2Asker(to) : http1Asker(to, kind === "kept");
  let requests = 0;
  for (; !signal.aborted; requests++) {
    const answer = await asker.ask();
    if ("what" in answer) failures.push(answer);
    else pods.add(answer.pod);
    await new Promise((r) => setTimeout(r, restMs));
  }
  asker.close();
  return { requests, failures, pods };
}

interface Asker {
  ask(): Promise<FailedRequest | { readonly pod: string }>;
  close(): void;
}

function answerOf(status: number | undefined, body: string, port: number | undefined): FailedRequest | { readonly pod: string } {
  return status === 200 ? { pod: (JSON.parse(body) as { pod: string }).pod } : { port, what: `status ${status}` };
}

function http1Asker(to: IngressAt, keepAlive: boolean): Asker {
  const agent = new Agent({ keepAlive, maxSockets: 1, rejectUnauthorized: false, servername: to.host });
  return {
    ask: () =>
      new Promise((resolve) => {
        let port: number | undefined;
        const fail = (error: Error): void => resolve({ port, what: String(error) });
        const options = { host: to.ip, port: to.https, path: "/", agent, headers: { host: to.host }, timeout: patienceMs };
        const request = get(options, (response) => {
          let body = "";
          response.on("data", (d: Buffer) => (body += d.toString()));
          response.on("error", fail);
          response.on("end", () => resolve(answerOf(response.statusCode, body, port)));
        });
        request.on("socket", (socket) => {
          port = socket.localPort;
          if (socket.connecting) socket.once("connect", () => (port = socket.localPort));
        });
        request.on("timeout", () => request.destroy(new Error("no answer in time")));
        request.on("error", fail);
      }),
    close: () => agent.destroy(),
  };
}

function http2Asker(to: IngressAt): Asker {
  let current: { readonly session: ClientHttp2Session; port: number | undefined } | undefined;
  const opened = (): NonNullable<typeof current> => {
    if (current !== undefined && !current.session.closed && !current.session.destroyed) return current;
    const socket = tlsConnect({ host: to.ip, port: to.https, servername: to.host, ALPNProtocols: ["h2"], rejectUnauthorized: false });
    const session = http2Connect(`https://${to.host}`, { createConnection: () => socket });
    const made: NonNullable<typeof current> = { session, port: undefined };
    socket.once("connect", () => (made.port = socket.localPort));
    // its requests tell
    session.on("error", () => undefined);
    session.on("goaway", () => session.close());
    current = made;
    return made;
  };
  const ask = (): ReturnType<Asker["ask"]> =>
    new Promise((resolve) => {
      const on = opened();
      const stream = on.session.request({ ":path": "/", ":authority": to.host });
      let status: number | undefined;
      let body = "";
      stream.setTimeout(patienceMs, () => stream.destroy(new Error("no answer in time")));
      stream.on("response", (headers) => (status = headers[":status"]));
      stream.on("data", (d: Buffer) => (body += d.toString()));
      stream.on("error", (error) => {
        // it crossed the GOAWAY and has not been acted upon: any client takes that elsewhere (RFC 9113 section 8.7)
        const refused = on.session.closed && stream.rstCode === constants.NGHTTP2_REFUSED_STREAM;
        resolve(refused ? ask() : { port: on.port, what: String(error) });
      });
      stream.on("end", () => {
        if (status !== undefined) resolve(answerOf(status, body, on.port));
      });
      stream.on("close", () => resolve({ port: on.port, what: "the stream was closed without an answer" }));
      stream.end();
    });
  return { ask, close: () => current?.session.destroy() };
}

export interface Talk {
  readonly open: Promise<void>;
  /** Why it is no longer open. */
  closed(): string | undefined;
  echoes(): number;
  /** The client's end of its connection, once it is open. */
  port(): number;
  end(): void;
}

/** A WebSocket that says something all the time. */
export function openTalk(to: IngressAt, path: string): Talk {
  const options = { headers: { host: to.host }, servername: to.host, rejectUnauthorized: false };
  const socket = new WebSocket(`wss://${to.ip}:${to.https}${path}`, [], options);
  let echoes = 0;
  let closed: string | undefined;
  let port = 0;
  socket.once("upgrade", (response) => (port = response.socket.localPort ?? 0));
  const open = new Promise<void>((resolve, reject) => {
    socket.once("open", resolve);
    socket.once("error", reject);
  });
  socket.on("message", () => echoes++);
  socket.on("close", (code) => (closed ??= `closed with ${code}`));
  socket.on("error", (error) => (closed ??= String(error)));
  const saying = setInterval(() => {
    if (socket.readyState === WebSocket.OPEN) socket.send("still there?");
  }, 100);
  return {
    open,
    closed: () => closed,
    echoes: () => echoes,
    port: () => port,
    end: () => {
      clearInterval(saying);
      socket.terminate();
    },
  };
}

/** A call of gRPC that says something all the time; over a session that is told to go while it is open. */
export interface Call extends Talk {
  /** Says that no more is coming, and waits for the trailers: `grpc-status` as the server gave it. */
  finish(): Promise<string>;
}

export function openCall(to: IngressAt, path: string): Call {
  const session = http2Connect(`https://${to.ip}:${to.https}`, { rejectUnauthorized: false, servername: to.host });
  session.on("error", () => undefined);
  const stream = session.request({
    ":method": "POST",
    ":path": path,
    ":authority": to.host,
    "content-type": "application/grpc",
    te: "trailers",
  });
  const message = grpcMessage("still there?");
  let bytes = 0;
  let status: string | undefined;
  let closed: string | undefined;
  const open = new Promise<void>((resolve, reject) => {
    stream.once("response", (answer) => {
      if (answer[":status"] === 200 && answer["grpc-status"] === undefined) resolve();
      else reject(new Error(`status ${answer[":status"]}, grpc-status ${String(answer["grpc-status"])}`));
    });
    stream.once("error", reject);
  });
  const over = new Promise<void>((resolve) => stream.once("close", resolve));
  stream.on("data", (d: Buffer) => (bytes += d.length));
  stream.on("trailers", (trailers) => (status = String(trailers["grpc-status"])));
  stream.on("error", (error) => (closed ??= String(error)));
  stream.on("close", () => (closed ??= `the stream was closed, grpc-status ${status ?? "none"}`));
  const saying = setInterval(() => stream.write(message), 100);
  const end = (): void => {
    clearInterval(saying);
    session.destroy();
  };
  return {
    open,
    closed: () => closed,
    echoes: () => bytes / message.length,
    port: () => session.socket.localPort ?? 0,
    end,
    finish: async () => {
      clearInterval(saying);
      stream.end();
      await over;
      return status ?? `none, ${closed ?? "open"}`;
    },
  };
}

/** Not compressed, with its length before it. */
function grpcMessage(text: string): Buffer {
  const out = Buffer.alloc(5 + text.length);
  out.writeUInt32BE(text.length, 1);
  out.write(text, 5);
  return out;
}

/** The clients' ports of the connections to `port` that a process holds; it should be stopped, so that it takes no more. */
export function clientPortsOf(pid: number, port: number): ReadonlySet<number> {
  const inodes = new Set(readdirSync(`/proc/${pid}/fd`).map((fd) => linkOf(`/proc/${pid}/fd/${fd}`)));
  const local = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const out = new Set<number>();
  for (const line of readFileSync("/proc/net/tcp", "utf8").split("\n").slice(1)) {
    const [, here = "", there = "", , , , , , , inode] = line.trim().split(/\s+/);
    if (here.endsWith(local) && inodes.has(`socket:[${inode}]`)) out.add(Number.parseInt(there.split(":")[1] ?? "", 16));
  }
  return out;
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    // closed meanwhile
    return "";
  }
}
