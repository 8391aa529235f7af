import { connect as netConnect, type Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { getSystemErrorName } from "node:util";
import type { Connection, ConnectionEvents, ConnectionFactory, Peer } from "./connection.ts";
import { HandleWriter, type WriterOwner } from "./handle-writer.ts";
import { listenForSockets, netConnections, type OnFault, plainIp, silent } from "./net-connection.ts";
import { sharedBuffer, sharedRoom } from "./read-buffer.ts";
import type { SendRing } from "./send-ring.ts";
import { handleOf, holds, type StreamBindings, type StreamHandle, streamBindings } from "./stream-handles.ts";
import { TurnWrites } from "./turn-writes.ts";

/**
 * The fast transport: sockets are accepted and connected by node:net and node:tls; then reads and writes go past their
 * streams, to the handle below; what many say in one turn leaves by `ring`. `undefined` where this Node's handles are not as they are known to be.
 */
export function handleConnections(onFault: OnFault, ring?: SendRing): ConnectionFactory | undefined {
  const bindings = streamBindings();
  if (bindings === undefined) return undefined;
  const turn = new TurnWrites(ring);
  const portable = netConnections(onFault);
  const adopt = (socket: Socket, peer?: Peer): Connection => {
    const handle = handleOf(socket);
    if (handle === undefined) return portable.adopt(socket, peer);
    return new HandleConnection(socket, handle, { bindings, turn, onFault, ...(peer === undefined ? {} : { peer }) });
  };
  return {
    listen: (at, accept) => listenForSockets(at, (socket) => accept(adopt(socket))),
    adopt,
    connect: (to, events, onReady) => {
      if (to.tls) return portable.connect(to, events, onReady);
      const socket = netConnect({ host: to.ip, port: to.port, allowHalfOpen: true, noDelay: true });
      const handle = handleOf(socket);
      if (handle === undefined) {
        socket.destroy();
        return portable.connect(to, events, onReady);
      }
      socket.once("connect", onReady);
      return new HandleConnection(socket, handle, { bindings, turn, onFault, events });
    },
  };
}

/** libuv's UV_EOF. */
const endOfFile = -4095;

interface HandleOptions {
  readonly bindings: StreamBindings;
  readonly turn: TurnWrites;
  readonly onFault: OnFault;
  readonly events?: ConnectionEvents;
  readonly peer?: Peer;
}

/** A connection whose bytes go through the handle of its socket; the socket keeps its life: end, errors, close. */
class HandleConnection implements Connection, WriterOwner {
  events: ConnectionEvents;
  readonly remoteIp: string;
  readonly remotePort: number;
  readonly localPort: number;
  readonly #socket: Socket;
  readonly #handle: StreamHandle;
  readonly #bindings: StreamBindings;
  readonly #onFault: OnFault;
  readonly #writer: HandleWriter;
  #room = sharedRoom();
  #paused = false;
  #ended = false;
  #gone = false;
  #error: Error | undefined;

  constructor(socket: Socket, handle: StreamHandle, o: HandleOptions) {
    this.#socket = socket;
    this.#handle = handle;
    this.#bindings = o.bindings;
    this.#writer = new HandleWriter(handle, this, { ...o, tls: socket instanceof TLSSocket });
    this.#onFault = o.onFault;
    this.events = o.events ?? silent;
    this.remoteIp = o.peer?.ip ?? plainIp(socket.remoteAddress ?? "");
    this.remotePort = o.peer?.port ?? socket.remotePort ?? 0;
    this.localPort = socket.localPort ?? 0;
    socket.setNoDelay(true);
    socket.on("error", (e: Error) => {
      this.#error ??= e;
    });
    socket.on("close", () => this.#closed());
    handle.onread = () => this.#read();
    handle.useUserBuffer(this.#room);
    // node:net begins to read when the connection is there
    if (socket.connecting) return;
    // what the stream had read before the handle was taken
    const early: unknown = socket.read();
    if (Buffer.isBuffer(early))
      process.nextTick(() => {
        if (holds(socket, handle)) this.#deliver(early);
      });
    if (!handle.reading) {
      handle.reading = true;
      handle.readStart();
    }
  }

  get isOpen(): boolean {
    return holds(this.#socket, this.#handle);
  }

  get unsent(): boolean {
    return this.#writer.unsent;
  }

  get queuedBytes(): number {
    return this.#writer.queuedBytes;
  }

  /** Called by the handle. What was read has been written on, or copied, when it returns: the next read goes to the same memory, or the part it gives. */
  #read(): Uint8Array | undefined {
    const n = this.#bindings.state[this.#bindings.readBytesOrError] ?? 0;
    if (n > 0) this.#deliver(sharedBuffer.subarray(0, n));
    else if (n < 0) this.#readFailed(n);
    const room = sharedRoom();
    if (room === this.#room) return undefined;
    this.#room = room;
    return room;
  }

  #readFailed(code: number): void {
    this.#handle.reading = false;
    this.#handle.readStop();
    if (code === endOfFile) this.#readEnd();
    else this.#fail(code);
  }

  #deliver(bytes: Buffer): void {
    if (this.#gone) return;
    try {
      this.events.onData(bytes);
    } catch (error) {
      this.#fault(error);
    }
  }

  #readEnd(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#guard(() => this.events.onEnd());
    if (this.#gone) return;
    // TLS has no half that lives on
    if (this.#socket instanceof TLSSocket) this.end();
    if (this.#socket.writableFinished) this.#socket.destroy();
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
    this.#socket.destroy();
  }

  #fail(code: number): void {
    if (this.#gone) return;
    this.#socket.destroy(failure(code));
  }

  #closed(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#handle.onread = ignore;
    this.#writer.close();
    this.#guard(() => this.events.onClose(this.#error));
  }

  write(data: Buffer | string): boolean {
    return !holds(this.#socket, this.#handle) || this.#writer.write(data);
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
    if (this.#socket.destroyed) return;
    this.#handle.reading = false;
    this.#handle.readStop();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (this.#socket.destroyed || this.#ended) return;
    this.#handle.reading = true;
    this.#handle.readStart();
  }

  end(): void {
    if (!this.#socket.destroyed) this.#writer.end();
  }

  /** The socket says that it was the last, and goes when the other side has said so too. */
  onAllWritten(): void {
    if (this.#socket.writableEnded || this.#socket.destroyed) return;
    this.#socket.end(() => {
      if (this.#ended) this.#socket.destroy();
    });
  }

  abort(): void {
    this.#socket.destroy();
  }

  reset(): void {
    // a TLS connection that ends without close_notify is truncated already
    if (this.#socket instanceof TLSSocket) this.#socket.destroy();
    else this.#socket.resetAndDestroy();
  }

  detach(unread: Buffer): Socket {
    const socket = this.#socket;
    this.#writer.flush();
    this.#gone = true;
    this.events = silent;
    this.#handle.onread = () => this.#readForSocket();
    // the stream believes that a read is under way, as it was when the handle was taken
    this.resume();
    for (const event of ["error", "close"]) socket.removeAllListeners(event);
    socket.pause();
    if (unread.length > 0) socket.unshift(unread);
    if (this.#ended) socket.push(null);
    return socket;
  }

  /** The buffer stays with the handle for good: what comes in it is copied to the stream, whose _read starts the handle again. */
  #readForSocket(): undefined {
    const n = this.#bindings.state[this.#bindings.readBytesOrError] ?? 0;
    if (n === 0) return undefined;
    if (n > 0 && this.#socket.push(Buffer.from(sharedBuffer.subarray(0, n)))) return undefined;
    this.#handle.reading = false;
    this.#handle.readStop();
    if (n === endOfFile) this.#socket.push(null);
    else if (n < 0) this.#socket.destroy(failure(n));
    return undefined;
  }
}

function failure(code: number): Error {
  const name = getSystemErrorName(code);
  return Object.assign(new Error(`the connection failed: ${name}`), { code: name });
}

/** The handle insists on a function to call. */
function ignore(): undefined {
  return undefined;
}
