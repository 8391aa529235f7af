import type { Socket } from "node:net";
import { getSystemErrorName } from "node:util";
import { sharedBuffer, sharedRoom } from "./read-buffer.ts";
import type { ReadRing, RingRead, RingReader } from "./read-ring.ts";
import { holds, type StreamBindings, type StreamHandle } from "./stream-handles.ts";

/** Told of what is read; never while it is paused, nor after `close`. */
export interface ReaderOwner {
  /** Its descriptor is still its own. */
  readonly isOpen: boolean;
  /** Good until it returns. */
  onBytes(bytes: Buffer): void;
  onReadEnd(): void;
  /** A negative error number. */
  onReadError(code: number): void;
}

/** How the bytes of one socket come, past its stream. */
export interface SocketReader {
  /** Of a socket that is connected, once. */
  start(): void;
  pause(): void;
  resume(): void;
  close(): void;
  /** Before `handOver`, while the descriptor is still its owner's. */
  letGo(): void;
  /** What was read and not told goes to the stream, as does what comes from now on. `ended`: that was told already. */
  handOver(socket: Socket, ended: boolean): void;
}

/** libuv's UV_EOF. */
const endOfFile = -4095;
/** ENOMEM: the kernel has no room to watch one more. */
const outOfMemory = -12;
const nothing = Buffer.alloc(0);

/** By the handle: libuv calls for each read. */
export class HandleReader implements SocketReader {
  readonly #handle: StreamHandle;
  readonly #bindings: StreamBindings;
  readonly #owner: ReaderOwner;
  #room = sharedRoom();

  constructor(handle: StreamHandle, owner: ReaderOwner, bindings: StreamBindings) {
    this.#handle = handle;
    this.#owner = owner;
    this.#bindings = bindings;
    handle.onread = () => this.#read();
    handle.useUserBuffer(this.#room);
  }

  start(): void {
    if (!this.#handle.reading) startReading(this.#handle);
  }

  /** Called by the handle. What was read has been written on, or copied, when it returns: the next read goes to the same memory, or the part it gives. */
  #read(): Uint8Array | undefined {
    const n = this.#bindings.state[this.#bindings.readBytesOrError] ?? 0;
    if (n > 0) this.#owner.onBytes(sharedBuffer.subarray(0, n));
    else if (n < 0) {
      stopReading(this.#handle);
      if (n === endOfFile) this.#owner.onReadEnd();
      else this.#owner.onReadError(n);
    }
    const room = sharedRoom();
    if (room === this.#room) return undefined;
    this.#room = room;
    return room;
  }

  pause(): void {
    stopReading(this.#handle);
  }

  resume(): void {
    startReading(this.#handle);
  }

  close(): void {
    this.#handle.onread = ignore;
  }

  letGo(): void {
    // the handle reads on
  }

  handOver(socket: Socket, ended: boolean): void {
    readForSocket(this.#handle, socket, this.#bindings);
    // the stream believes that a read is under way, as it was when the handle was taken
    if (!ended) startReading(this.#handle);
  }
}

/** By a ring, with others at a time. */
export class SharedReader implements SocketReader, RingReader {
  readonly #ring: ReadRing;
  readonly #handle: StreamHandle;
  readonly #bindings: StreamBindings;
  #owner: ReaderOwner;
  #read: RingRead | undefined;
  #paused = false;
  /** Read already when what another socket said brought the pause. */
  #held: Buffer[] = [];
  /** The same, as the outcome of a read: 0 is the end. */
  #heldEnd: number | undefined;

  constructor(handle: StreamHandle, owner: ReaderOwner, o: { readonly ring: ReadRing; readonly bindings: StreamBindings }) {
    this.#ring = o.ring;
    this.#handle = handle;
    this.#owner = owner;
    this.#bindings = o.bindings;
  }

  get isOpen(): boolean {
    return this.#owner.isOpen;
  }

  get wantsBytes(): boolean {
    return !this.#paused && !this.#holds();
  }

  #holds(): boolean {
    return this.#held.length > 0 || this.#heldEnd !== undefined;
  }

  start(): void {
    if (!this.#owner.isOpen) return;
    if (this.#handle.reading) stopReading(this.#handle);
    this.#read = this.#ring.add(this, this.#handle.fd);
    if (this.#read === undefined) this.#owner.onReadError(outOfMemory);
  }

  onBytes(bytes: Buffer): void {
    if (!this.wantsBytes) this.#held.push(Buffer.from(bytes));
    else if (this.#owner.isOpen) this.#owner.onBytes(bytes);
  }

  onReadEnd(): void {
    this.#onEnd(0);
  }

  onReadError(code: number): void {
    this.#onEnd(code);
  }

  #onEnd(code: number): void {
    if (!this.wantsBytes) this.#heldEnd = code;
    else if (!this.#owner.isOpen) return;
    else if (code === 0) this.#owner.onReadEnd();
    else this.#owner.onReadError(code);
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    // not from within: who resumes may be on its way to something else
    if (this.#holds()) process.nextTick(() => this.#giveHeld());
    else if (this.#read !== undefined) this.#ring.watch(this.#read);
  }

  #giveHeld(): void {
    while (this.#held.length > 0 && !this.#paused && this.#owner.isOpen) this.#owner.onBytes(this.#held.shift() ?? nothing);
    if (this.#paused || !this.#owner.isOpen || this.#held.length > 0) return;
    const end = this.#heldEnd;
    this.#heldEnd = undefined;
    if (end !== undefined) this.#onEnd(end);
    else if (this.#read !== undefined) this.#ring.watch(this.#read);
  }

  close(): void {
    this.#handle.onread = ignore;
    this.letGo();
    this.#held = [];
  }

  letGo(): void {
    if (this.#read !== undefined) this.#ring.forget(this.#read);
    this.#read = undefined;
  }

  handOver(socket: Socket, ended: boolean): void {
    const held = this.#held;
    const end = ended ? undefined : this.#heldEnd;
    this.#held = [];
    this.#heldEnd = undefined;
    this.#paused = false;
    // the ring may have read more of it in this turn
    this.#owner = new StreamOwner(socket, this.#handle);
    this.#handle.useUserBuffer(sharedRoom());
    readForSocket(this.#handle, socket, this.#bindings);
    if (!ended && end === undefined) startReading(this.#handle);
    for (const bytes of held) socket.push(bytes);
    if (end !== undefined) this.#onEnd(end);
  }
}

/** A stream that has its socket back. */
class StreamOwner implements ReaderOwner {
  readonly #socket: Socket;
  readonly #handle: StreamHandle;

  constructor(socket: Socket, handle: StreamHandle) {
    this.#socket = socket;
    this.#handle = handle;
  }

  get isOpen(): boolean {
    return holds(this.#socket, this.#handle);
  }

  onBytes(bytes: Buffer): void {
    if (!this.#socket.push(Buffer.from(bytes))) stopReading(this.#handle);
  }

  onReadEnd(): void {
    stopReading(this.#handle);
    this.#socket.push(null);
  }

  onReadError(code: number): void {
    stopReading(this.#handle);
    this.#socket.destroy(readFailure(code));
  }
}

/** The buffer stays with the handle for good: what comes in it is copied to the stream, whose _read starts the handle again. */
function readForSocket(handle: StreamHandle, socket: Socket, bindings: StreamBindings): void {
  const owner = new StreamOwner(socket, handle);
  handle.onread = () => {
    const n = bindings.state[bindings.readBytesOrError] ?? 0;
    if (n > 0) owner.onBytes(sharedBuffer.subarray(0, n));
    else if (n === endOfFile) owner.onReadEnd();
    else if (n < 0) owner.onReadError(n);
  };
}

function startReading(handle: StreamHandle): void {
  handle.reading = true;
  handle.readStart();
}

function stopReading(handle: StreamHandle): void {
  handle.reading = false;
  handle.readStop();
}

export function readFailure(code: number): Error {
  const name = getSystemErrorName(code);
  return Object.assign(new Error(`the connection failed: ${name}`), { code: name });
}

/** The handle insists on a function to call. */
function ignore(): undefined {
  return undefined;
}
