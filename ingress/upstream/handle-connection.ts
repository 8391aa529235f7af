import { connect as netConnect, type Socket } from "node:net";
import { BareClient, type ListenBare } from "./bare-client.ts";
import type { Connection, ConnectionEvents, ConnectionFactory, Peer } from "./connection.ts";
import { HandleWriter, type WriterOwner } from "./handle-writer.ts";
import { listenForHandles } from "./listen-for-handles.ts";
import { netConnections, type OnFault, silent } from "./net-connection.ts";
import type { ReadRing } from "./read-ring.ts";
import type { Rings } from "./rings.ts";
import { HandleReader, type ReaderOwner, readFailure, SharedReader, type SocketReader } from "./socket-reader.ts";
import { type StreamBindings, streamBindings } from "./stream-handles.ts";
import { lifeOfSocket, type StreamLife } from "./stream-life.ts";
import { tlsBinding } from "./tls-handles.ts";
import { TlsHandshakes } from "./tls-life.ts";
import { TurnWrites } from "./turn-writes.ts";

/**
 * The fast transport: sockets are connected by node:net; then reads and writes go past their streams, to the handle below. Connections are
 * accepted as handles, and secured there, and have no socket. What many say and are told in one turn passes by `rings`.
 * `undefined` where this Node's handles are not as they are known to be.
 */
export function handleConnections(onFault: OnFault, rings?: Rings): ConnectionFactory | undefined {
  const bindings = streamBindings();
  if (bindings === undefined) return undefined;
  const portable = netConnections(onFault);
  const turn = rings?.writes ?? new TurnWrites();
  const options: HandleOptions = { bindings, turn, onFault, ...(rings === undefined ? {} : { readRing: rings.reads }) };
  const adopt = (socket: Socket, peer?: Peer): Connection => {
    const life = lifeOfSocket(socket);
    if (life === undefined) return portable.adopt(socket, peer);
    return new HandleConnection(life, peer === undefined ? options : { ...options, peer });
  };
  return {
    listen: (at, accept) =>
      listenForHandles(at, bindings, {
        onLife: (life) => accept(new HandleConnection(life, options)),
        onSocket: (socket) => accept(adopt(socket)),
      }),
    ...bareClients(options),
    adopt,
    connect: (to, events, onReady) => {
      if (to.tls) return portable.connect(to, events, onReady);
      const socket = netConnect({ host: to.ip, port: to.port, allowHalfOpen: true, noDelay: true });
      const life = lifeOfSocket(socket);
      if (life === undefined) {
        socket.destroy();
        return portable.connect(to, events, onReady);
      }
      socket.once("connect", onReady);
      const connection = new HandleConnection(life, { ...options, events });
      if (rings !== undefined) {
        // node:net would read by itself
        socket.pause();
        socket.once("connect", () => connection.read());
      }
      return connection;
    },
  };
}

function bareClients(o: HandleOptions): { readonly listenBare?: ListenBare } {
  const binding = tlsBinding();
  if (binding === undefined) return {};
  const handshakes = new TlsHandshakes(binding, o.bindings);
  const connectionOf = (life: StreamLife): Connection => new HandleConnection(life, o);
  return {
    listenBare: (at, { onClient, onSocket }) =>
      listenForHandles(at, o.bindings, { onLife: (life) => onClient(new BareClient(life, handshakes, connectionOf)), onSocket }),
  };
}

interface HandleOptions {
  readonly bindings: StreamBindings;
  readonly turn: TurnWrites;
  readonly onFault: OnFault;
  readonly readRing?: ReadRing;
  readonly events?: ConnectionEvents;
  readonly peer?: Peer;
}

/** A connection whose bytes go through its handle; what it is beside them is its StreamLife's. */
class HandleConnection implements Connection, WriterOwner, ReaderOwner {
  events: ConnectionEvents;
  readonly remoteIp: string;
  readonly remotePort: number;
  readonly localPort: number;
  readonly #life: StreamLife;
  readonly #reader: SocketReader;
  readonly #onFault: OnFault;
  readonly #writer: HandleWriter;
  #paused = false;
  #ended = false;
  #finishing = false;
  #gone = false;

  constructor(life: StreamLife, o: HandleOptions) {
    const { handle } = life;
    this.#life = life;
    this.#writer = new HandleWriter(handle, this, { bindings: o.bindings, turn: o.turn, tls: life.tls });
    this.#onFault = o.onFault;
    this.events = o.events ?? silent;
    this.remoteIp = o.peer?.ip ?? life.remoteIp;
    this.remotePort = o.peer?.port ?? life.remotePort;
    this.localPort = life.localPort;
    life.whenClosed((error) => this.#closed(error));
    this.#reader =
      o.readRing === undefined || life.tls
        ? new HandleReader(handle, this, o.bindings)
        : new SharedReader(handle, this, { ring: o.readRing, bindings: o.bindings });
    // node:net begins to read when the connection is there
    if (life.connecting) return;
    const early = life.early();
    if (early !== undefined)
      process.nextTick(() => {
        if (life.open) this.onBytes(early);
      });
    this.#reader.start();
  }

  /** From now on, where nothing else begins it. */
  read(): void {
    this.#reader.start();
  }

  get isOpen(): boolean {
    return this.#life.open;
  }

  get unsent(): boolean {
    return this.#writer.unsent;
  }

  get queuedBytes(): number {
    return this.#writer.queuedBytes;
  }

  onBytes(bytes: Buffer): void {
    if (this.#gone) return;
    try {
      this.events.onData(bytes);
    } catch (error) {
      this.#fault(error);
    }
  }

  onReadError(code: number): void {
    this.#fail(code);
  }

  onReadEnd(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#guard(() => this.events.onEnd());
    if (this.#gone) return;
    // TLS has no half that lives on
    if (this.#life.tls) this.end();
    if (this.#life.shut) this.#life.destroy();
  }

  #guard(tell: () => void): void {
    try {
      tell();
    } catch (error) {
      this.#fault(error);
    }
  }

  #fault(error: unknown): void {
    this.#onFault(error);
    this.#life.destroy();
  }

  #fail(code: number): void {
    if (this.#gone) return;
    this.#life.destroy(readFailure(code));
  }

  #closed(error: Error | undefined): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#reader.close();
    this.#writer.close();
    this.#guard(() => this.events.onClose(error));
  }

  write(data: Buffer | string): boolean {
    return !this.#life.open || this.#writer.write(data);
  }

  cork(): void {
    this.#writer.cork();
  }

  uncork(): void {
    this.#writer.uncork();
  }

  onDrain(): void {
    this.#guard(() => this.events.onDrain());
  }

  onWriteError(code: number): void {
    this.#fail(code);
  }

  pause(): void {
    if (this.#paused || this.#ended) return;
    this.#paused = true;
    if (this.#life.open) this.#reader.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (this.#life.open && !this.#ended) this.#reader.resume();
  }

  end(): void {
    if (this.#life.open) this.#writer.end();
  }

  finish(): void {
    this.#finishing = true;
    this.end();
  }

  /** The other side is told that it was the last, and the connection goes when that has said so too. */
  onAllWritten(): void {
    // a close says it as well
    if (this.#finishing && !this.#life.tls) {
      this.#life.destroy();
      return;
    }
    this.#life.shutDown(() => {
      if (this.#ended || this.#finishing) this.#life.destroy();
    });
    if (this.#finishing && this.#life.hasLeft === true) this.#life.destroy();
  }

  abort(): void {
    this.#life.destroy();
  }

  reset(): void {
    this.#life.reset();
  }

  /** TLS that never had a socket cannot have one. */
  get detach(): ((unread: Buffer) => Socket) | undefined {
    const life = this.#life;
    return canGiveUp(life) ? (unread) => this.#detach(life, unread) : undefined;
  }

  #detach(life: Required<StreamLife>, unread: Buffer): Socket {
    this.#writer.flush();
    this.#gone = true;
    this.events = silent;
    this.#reader.letGo();
    const socket = life.giveUp();
    socket.pause();
    if (unread.length > 0) socket.unshift(unread);
    this.#reader.handOver(socket, this.#ended);
    if (this.#ended) socket.push(null);
    return socket;
  }
}

function canGiveUp(life: StreamLife): life is Required<StreamLife> {
  return life.giveUp !== undefined;
}
