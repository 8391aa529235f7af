import { createServer, connect as netConnect, type Server, type Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { Connection, ConnectionEvents, ConnectionFactory, ListenAt, Listening, Peer, UpstreamAddress } from "./connection.ts";
import { lasting, ReadBuffer } from "./read-buffer.ts";
import { highWaterMark } from "./thrift.ts";
import { joinedBytes, type TurnWriter, TurnWrites } from "./turn-writes.ts";
import { connectTls } from "./upstream-tls.ts";

/** Told of what should not happen; the connection it happened on is closed, the others go on. */
export type OnFault = (error: unknown) => void;

/** The portable transport: public interfaces of node:net and node:tls only. */
export function netConnections(onFault: OnFault): ConnectionFactory {
  const o: NetOptions = { onFault, turn: new TurnWrites() };
  return {
    listen: (at, accept) => listenForSockets(at, (socket) => accept(connectionOf(socket, silent, o))),
    adopt: (socket, peer) => connectionOf(socket, silent, peer === undefined ? o : { ...o, peer }),
    connect: (to, events, onReady) => connect(to, { ...o, events, onReady }),
  };
}

/** For who has nobody yet. */
export const silent: ConnectionEvents = { onData: () => {}, onDrain: () => {}, onEnd: () => {}, onClose: () => {} };

interface NetOptions {
  readonly onFault: OnFault;
  readonly turn: TurnWrites;
  readonly peer?: Peer;
}

/** Takes over an open socket, plain or TLS. */
function connectionOf(socket: Socket, events: ConnectionEvents, o: NetOptions): Connection {
  const connection = new NetConnection(socket, events, o);
  socket.on("data", (bytes: Buffer) => connection.deliver(bytes));
  return connection;
}

class NetConnection implements Connection, TurnWriter {
  events: ConnectionEvents;
  readonly #socket: Socket;
  readonly remoteIp: string;
  readonly remotePort: number;
  readonly localPort: number;
  readonly #onFault: OnFault;
  readonly #turn: TurnWrites;
  #waiting = false;
  #paused = false;
  #corked: Buffer[] = [];
  /** Leaves at the end of the turn. */
  #text = "";

  constructor(socket: Socket, events: ConnectionEvents, o: NetOptions) {
    this.#socket = socket;
    this.#turn = o.turn;
    this.events = events;
    this.#onFault = o.onFault;
    this.remoteIp = o.peer?.ip ?? plainIp(socket.remoteAddress ?? "");
    this.remotePort = o.peer?.port ?? socket.remotePort ?? 0;
    this.localPort = socket.localPort ?? 0;
    let error: Error | undefined;
    socket.setNoDelay(true);
    socket.on("drain", () => {
      if (!this.#waiting) return;
      this.#waiting = false;
      this.#guard(() => this.events.onDrain());
    });
    socket.on("end", () => this.#guard(() => this.events.onEnd()));
    socket.on("error", (e: Error) => {
      error = e;
      // what TLS finds wrong does not end its socket
      socket.destroy();
    });
    socket.on("close", () => this.#guard(() => this.events.onClose(error)));
  }

  get unsent(): boolean {
    return this.#text !== "";
  }

  get queuedBytes(): number {
    return this.#socket.writableLength;
  }

  deliver(bytes: Buffer): void {
    // as #guard, without a closure: this is called for every read
    try {
      this.events.onData(bytes);
    } catch (error) {
      this.#failed(error);
    }
  }

  /** A fault in what one client or endpoint sets off must not take the process, and all other clients, with it. */
  #guard(tell: () => void): void {
    try {
      tell();
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    this.#onFault(error);
    this.#socket.destroy();
  }

  write(data: Buffer | string): boolean {
    const socket = this.#socket;
    if (socket.destroyed || socket.writableEnded) return true;
    if (typeof data === "string" && socket.writableLength === 0) {
      if (this.#text === "" && socket.writableCorked === 0) this.#turn.add(this);
      this.#text += data;
      return true;
    }
    if (this.#text === "") return this.#write(data);
    if (typeof data !== "string" && data.length <= joinedBytes && socket.writableLength === 0) {
      this.#text += data.toString("latin1");
      return true;
    }
    this.cork();
    this.endTurn();
    const room = this.#write(data);
    this.uncork();
    return room;
  }

  #write(data: Buffer | string): boolean {
    const socket = this.#socket;
    if (typeof data === "string") socket.write(data, "latin1");
    else socket.write(lasting(data));
    const waiting = socket.writableLength;
    if (waiting === 0) return true;
    if (typeof data !== "string") {
      // while corked nothing has been offered to the kernel: uncork will see what it took
      if (socket.writableCorked > 0) this.#corked.push(data);
      else ReadBuffer.pin(data);
    }
    if (waiting < highWaterMark()) return true;
    this.#waiting = true;
    return false;
  }

  /** Sends the text of this turn. */
  endTurn(): void {
    const text = this.#text;
    this.#text = "";
    if (text !== "" && !this.#socket.destroyed) this.#socket.write(text, "latin1");
  }

  cork(): void {
    this.#socket.cork();
  }

  uncork(): void {
    this.endTurn();
    this.#socket.uncork();
    if (this.#corked.length === 0 || this.#socket.writableCorked > 0) return;
    if (this.#socket.writableLength > 0) for (const data of this.#corked) ReadBuffer.pin(data);
    this.#corked = [];
  }

  pause(): void {
    this.#paused = true;
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#socket.resume();
  }

  end(): void {
    this.endTurn();
    this.#socket.end();
  }

  finish(): void {
    this.endTurn();
    // a close says as well that it was the last
    if (this.#socket.writableLength === 0 && !(this.#socket instanceof TLSSocket)) this.#socket.destroy();
    else this.#socket.destroySoon();
  }

  abort(): void {
    this.#socket.destroy();
  }

  detach(unread: Buffer): Socket {
    const socket = this.#socket;
    this.endTurn();
    for (const event of ["data", "drain", "end", "error", "close"]) socket.removeAllListeners(event);
    socket.pause();
    this.events = silent;
    if (unread.length > 0) socket.unshift(unread);
    return socket;
  }

  reset(): void {
    // a TLS connection that ends without close_notify is truncated already
    if (this.#socket instanceof TLSSocket) this.#socket.destroy();
    else this.#socket.resetAndDestroy();
  }
}

function connect(to: UpstreamAddress, o: NetOptions & { readonly events: ConnectionEvents; readonly onReady: () => void }): Connection {
  if (to.tls) {
    const socket = connectTls(to, to.protocols ?? []);
    socket.once("secureConnect", o.onReady);
    return connectionOf(socket, o.events, o);
  }
  let connection: NetConnection | undefined;
  const into = new ReadBuffer();
  const socket = netConnect({
    host: to.ip,
    port: to.port,
    allowHalfOpen: true,
    onread: {
      buffer: () => into.next(),
      callback: (n, buffer) => {
        into.read(n);
        connection?.deliver((buffer as Buffer).subarray(0, n));
        return true;
      },
    },
  });
  connection = new NetConnection(socket, o.events, o);
  socket.once("connect", o.onReady);
  return connection;
}

/**
 * The sockets themselves, for what wraps them (TLS). A server that was handed in is closed with the listening. `onListening`: before the
 * first connection.
 */
export function listenForSockets(at: ListenAt, accept: (socket: Socket) => void, onListening?: (server: Server) => void): Listening {
  let server: Server;
  let ready: Promise<void>;
  if ("server" in at) {
    server = at.server;
    // half-open: an answer may still be under way when the client has said its last
    Object.assign(server, { allowHalfOpen: true });
    server.on("connection", accept);
    onListening?.(server);
    ready = Promise.resolve();
  } else {
    server = createServer({ allowHalfOpen: true }, accept);
    ready = new Promise((resolve, reject) => {
      server.once("error", reject);
      server.once("listening", () => {
        server.off("error", reject);
        onListening?.(server);
        resolve();
      });
    });
    server.listen("fd" in at ? { fd: at.fd } : { host: at.ip, port: at.port, backlog: 4096 });
  }
  // a connection that could not be accepted (no descriptor left) is that client's loss, not the end of the process
  server.on("error", ignore);
  let closing: Promise<void> | undefined;
  return {
    ready,
    address: () => {
      const a = server.address();
      return typeof a === "object" && a !== null ? { ip: a.address, port: a.port } : { ip: "", port: 0 };
    },
    close: () => {
      closing ??= new Promise((resolve) => {
        server.off("connection", accept);
        server.off("error", ignore);
        // resolves once no connection is left; the owner does not wait for that here
        if (server.listening) server.close();
        resolve();
      });
      return closing;
    },
  };
}

function ignore(): void {
  // told to nobody: see where it is listened for
}

/** `::ffff:10.0.0.1` of a dual-stack socket is the IPv4 address it stands for. */
export function plainIp(ip: string): string {
  return ip.startsWith("::ffff:") && ip.includes(".") ? ip.slice(7) : ip;
}
