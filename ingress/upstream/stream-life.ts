import { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { Peer } from "./connection.ts";
import { plainIp } from "./net-connection.ts";
import { type AcceptedHandle, handleOf, holds, type ShutdownRequest, type StreamHandle } from "./stream-handles.ts";

/** What a connection is beside its bytes: who is at its ends, and how it ends. */
export interface StreamLife {
  readonly handle: StreamHandle;
  readonly tls: boolean;
  readonly remoteIp: string;
  readonly remotePort: number;
  readonly localPort: number;
  /** The connection is not there yet; it begins to read by itself. */
  readonly connecting: boolean;
  /** Neither destroyed nor let go of. */
  readonly open: boolean;
  /** Our side has said that it was the last, and the kernel has it. */
  readonly shut: boolean;
  /** After `shutDown`: our last word is with the kernel, and a close takes nothing of it back. Absent where that is not known so soon. */
  readonly hasLeft?: boolean;
  /** What was read before the handle was taken. */
  early(): Buffer | undefined;
  /** Told once, last. */
  whenClosed(tell: (error: Error | undefined) => void): void;
  /** Says that it was the last; `done` when the kernel has it. */
  shutDown(done: () => void): void;
  destroy(error?: Error): void;
  /** As destroy, and the other side cannot take it for an orderly end. */
  reset(): void;
  /** The socket, for who goes on with it; nobody else is told anything from here on. Absent where there can be none. */
  giveUp?(): Socket;
}

/** Of a socket of node:net or node:tls, which keeps its life; undefined where its handle cannot do what is needed. */
export function lifeOfSocket(socket: Socket): StreamLife | undefined {
  const handle = handleOf(socket);
  return handle === undefined ? undefined : new SocketLife(socket, handle);
}

class SocketLife implements StreamLife {
  readonly handle: StreamHandle;
  readonly tls: boolean;
  readonly #socket: Socket;

  constructor(socket: Socket, handle: StreamHandle) {
    this.#socket = socket;
    this.handle = handle;
    this.tls = socket instanceof TLSSocket;
    socket.setNoDelay(true);
  }

  get remoteIp(): string {
    return plainIp(this.#socket.remoteAddress ?? "");
  }

  get remotePort(): number {
    return this.#socket.remotePort ?? 0;
  }

  get localPort(): number {
    return this.#socket.localPort ?? 0;
  }

  get connecting(): boolean {
    return this.#socket.connecting;
  }

  get open(): boolean {
    return holds(this.#socket, this.handle);
  }

  get shut(): boolean {
    return this.#socket.writableFinished;
  }

  early(): Buffer | undefined {
    const bytes: unknown = this.#socket.read();
    return Buffer.isBuffer(bytes) ? bytes : undefined;
  }

  whenClosed(tell: (error: Error | undefined) => void): void {
    let error: Error | undefined;
    this.#socket.on("error", (e: Error) => {
      error ??= e;
      // what TLS finds wrong does not end its socket
      this.#socket.destroy();
    });
    this.#socket.on("close", () => tell(error));
  }

  shutDown(done: () => void): void {
    if (!this.#socket.writableEnded && !this.#socket.destroyed) this.#socket.end(done);
  }

  destroy(error?: Error): void {
    this.#socket.destroy(error);
  }

  reset(): void {
    // a TLS connection that ends without close_notify is truncated already
    if (this.tls) this.#socket.destroy();
    else this.#socket.resetAndDestroy();
  }

  giveUp(): Socket {
    for (const event of ["error", "close"]) this.#socket.removeAllListeners(event);
    return this.#socket;
  }
}

export interface AcceptedOptions {
  readonly peer: Peer;
  /** Where the listening socket is bound. */
  readonly localPort: number;
  readonly ShutdownWrap: new () => ShutdownRequest;
}

/**
 * Of a plain connection as the listening handle accepts it. Most are never asked for a socket, and to make one, with its streams and
 * listeners, costs more than the rest of a new connection.
 */
export class HandleLife implements StreamLife {
  readonly handle: AcceptedHandle;
  readonly tls = false;
  readonly connecting = false;
  readonly remoteIp: string;
  readonly remotePort: number;
  readonly localPort: number;
  open = true;
  shut = false;
  readonly #ShutdownWrap: new () => ShutdownRequest;
  #shutting = false;
  #tell: ((error: Error | undefined) => void) | undefined;
  #error: Error | undefined;

  constructor(handle: AcceptedHandle, o: AcceptedOptions) {
    this.handle = handle;
    this.remoteIp = plainIp(o.peer.ip);
    this.remotePort = o.peer.port;
    this.localPort = o.localPort;
    this.#ShutdownWrap = o.ShutdownWrap;
  }

  early(): undefined {
    return undefined;
  }

  whenClosed(tell: (error: Error | undefined) => void): void {
    this.#tell = tell;
  }

  /** `by`: the handle above this one, if it has a word of its own to say. */
  shutDown(done: () => void, by: Pick<AcceptedHandle, "shutdown"> = this.handle): void {
    if (this.#shutting || !this.open) return;
    this.#shutting = true;
    const request = new this.#ShutdownWrap();
    request.handle = this.handle;
    const finish = (): void => {
      this.shut = true;
      if (this.open) done();
    };
    request.oncomplete = finish;
    // a connection that is broken already has nobody to say it to
    if (by.shutdown(request) !== 0) process.nextTick(finish);
  }

  destroy(error?: Error): void {
    if (!this.open) return;
    this.#ends(error);
    this.handle.close(this.#closed);
  }

  reset(): void {
    if (!this.open) return;
    this.#ends(undefined);
    if (this.handle.reset(this.#closed) !== 0) this.handle.close(this.#closed);
  }

  #ends(error: Error | undefined): void {
    this.open = false;
    this.#error = error;
  }

  readonly #closed = (): void => this.#tell?.(this.#error);

  giveUp(): Socket {
    this.open = false;
    this.#tell = undefined;
    // node:net makes its own sockets so; its types know of other handles only
    const options: object = { handle: this.handle, allowHalfOpen: true };
    return new Socket(options);
  }
}
