import { connect as netConnect, type Socket } from "node:net";
import { getSystemErrorName } from "node:util";
import type { Connection, ConnectionEvents, ConnectionFactory, Peer } from "./connection.ts";
import { HandleWriter, type WriterOwner } from "./handle-writer.ts";
import { listenForHandles } from "./listen-for-handles.ts";
import { netConnections, type OnFault, silent } from "./net-connection.ts";
import { sharedBuffer, sharedRoom } from "./read-buffer.ts";
import type { SendRing } from "./send-ring.ts";
import { type StreamBindings, type StreamHandle, streamBindings } from "./stream-handles.ts";
import { lifeOfSocket, type StreamLife } from "./stream-life.ts";
import { TurnWrites } from "./turn-writes.ts";

/**
 * The fast transport: sockets are connected by node:net, and secured by node:tls; then reads and writes go past their streams, to the
 * handle below. Plain connections are accepted as handles, and have no socket. What many say in one turn leaves by `ring`. `undefined`
 * where this Node's handles are not as they are known to be.
 */
export function handleConnections(onFault: OnFault, ring?: SendRing): ConnectionFactory | undefined {
  const bindings = streamBindings();
  if (bindings === undefined) return undefined;
  const turn = new TurnWrites(ring);
  const portable = netConnections(onFault);
  const options = { bindings, turn, onFault };
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
      return new HandleConnection(life, { ...options, events });
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

/** A connection whose bytes go through its handle; what it is beside them is its StreamLife's. */
class HandleConnection implements Connection, WriterOwner {
  events: ConnectionEvents;
  readonly remoteIp: string;
  readonly remotePort: number;
  readonly localPort: number;
  readonly #life: StreamLife;
  readonly #handle: StreamHandle;
  readonly #bindings: StreamBindings;
  readonly #onFault: OnFault;
  readonly #writer: HandleWriter;
  #room = sharedRoom();
  #paused = false;
  #ended = false;
  #finishing = false;
  #gone = false;

  constructor(life: StreamLife, o: HandleOptions) {
    const { handle } = life;
    this.#life = life;
    this.#handle = handle;
    this.#bindings = o.bindings;
    this.#writer = new HandleWriter(handle, this, { bindings: o.bindings, turn: o.turn, tls: life.tls });
    this.#onFault = o.onFault;
    this.events = o.events ?? silent;
    this.remoteIp = o.peer?.ip ?? life.remoteIp;
    this.remotePort = o.peer?.port ?? life.remotePort;
    this.localPort = life.localPort;
    life.whenClosed((error) => this.#closed(error));
    handle.onread = () => this.#read();
    handle.useUserBuffer(this.#room);
    // node:net begins to read when the connection is there
    if (life.connecting) return;
    const early = life.early();
    if (early !== undefined)
      process.nextTick(() => {
        if (life.open) this.#deliver(early);
      });
    if (!handle.reading) {
      handle.reading = true;
      handle.readStart();
    }
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
    this.#life.destroy(failure(code));
  }

  #closed(error: Error | undefined): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#handle.onread = ignore;
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
    if (!this.#life.open) return;
    this.#handle.reading = false;
    this.#handle.readStop();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (!this.#life.open || this.#ended) return;
    this.#handle.reading = true;
    this.#handle.readStart();
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
    if (this.#finishing && !this.#life.tls) this.#life.destroy();
    else
      this.#life.shutDown(() => {
        if (this.#ended || this.#finishing) this.#life.destroy();
      });
  }

  abort(): void {
    this.#life.destroy();
  }

  reset(): void {
    this.#life.reset();
  }

  detach(unread: Buffer): Socket {
    this.#writer.flush();
    this.#gone = true;
    this.events = silent;
    // the stream believes that a read is under way, as it was when the handle was taken
    this.resume();
    const socket = this.#life.giveUp();
    this.#handle.onread = () => this.#readFor(socket);
    socket.pause();
    if (unread.length > 0) socket.unshift(unread);
    if (this.#ended) socket.push(null);
    return socket;
  }

  /** The buffer stays with the handle for good: what comes in it is copied to the stream, whose _read starts the handle again. */
  #readFor(socket: Socket): undefined {
    const n = this.#bindings.state[this.#bindings.readBytesOrError] ?? 0;
    if (n === 0) return undefined;
    if (n > 0 && socket.push(Buffer.from(sharedBuffer.subarray(0, n)))) return undefined;
    this.#handle.reading = false;
    this.#handle.readStop();
    if (n === endOfFile) socket.push(null);
    else if (n < 0) socket.destroy(failure(n));
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
