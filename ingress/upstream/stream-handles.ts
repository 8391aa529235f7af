import type { Server, Socket } from "node:net";

/** The parts of a socket's libuv handle that the fast transport uses (Node's lib/internal/stream_base_commons.js). */
export interface StreamHandle {
  onread: ((this: StreamHandle, bytes: unknown) => unknown) | undefined;
  reading: boolean;
  /** The socket's descriptor; -1 when it is closed. */
  readonly fd: number;
  readStart(): number;
  readStop(): number;
  useUserBuffer(buffer: Uint8Array): void;
  writeBuffer(request: WriteRequest, data: Uint8Array): number;
  writev(request: WriteRequest, chunks: readonly Uint8Array[], allBuffers: true): number;
}

export interface WriteRequest {
  handle: StreamHandle | undefined;
  oncomplete: ((status: number) => void) | undefined;
  /** Keeps what is being written alive. */
  data: unknown;
}

/** Of a plain connection, with what a socket would use to end it and to know its ends. */
export interface AcceptedHandle extends StreamHandle {
  getpeername(into: PeerName): number;
  shutdown(request: ShutdownRequest): number;
  close(done?: () => void): void;
  reset(done: () => void): number;
  setNoDelay(on: boolean): number;
  /** Bytes that the kernel has not taken. */
  readonly writeQueueSize: number;
  /** Whose bytes go through it; alive as long as it. */
  above?: object;
}

/** Filled by the handle. */
export interface PeerName {
  address?: string;
  port?: number;
}

export interface ShutdownRequest {
  handle: StreamHandle | undefined;
  oncomplete: ((status: number) => void) | undefined;
}

/** Of a server that listens. */
export interface ListeningHandle {
  onconnection: (this: unknown, error: number, client: unknown) => void;
  setNoDelay(on: boolean): number;
}

/** What the binding tells of the last call, in cells of one array. */
export interface StreamBindings {
  readonly WriteWrap: new () => WriteRequest;
  readonly ShutdownWrap: new () => ShutdownRequest;
  readonly state: Int32Array;
  readonly readBytesOrError: number;
  readonly lastWriteWasAsync: number;
}

/** The binding of this Node, or undefined where it is not there or has another shape. */
export function streamBindings(): StreamBindings | undefined {
  try {
    const binding = bindingOf("stream_wrap");
    if (!isBinding(binding)) return undefined;
    return {
      WriteWrap: binding.WriteWrap,
      ShutdownWrap: binding.ShutdownWrap,
      state: binding.streamBaseState,
      readBytesOrError: binding.kReadBytesOrError,
      lastWriteWasAsync: binding.kLastWriteWasAsync,
    };
  } catch {
    // a Node that has closed the door
    return undefined;
  }
}

/** Wakes the event loop; it keeps the process alive while it is ref'ed. */
export interface WakeHandle {
  onWake: () => void;
  ref(): void;
  unref(): void;
}

interface PipeHandle {
  onread: (() => void) | undefined;
  open(descriptor: number): number;
  useUserBuffer(buffer: Uint8Array): void;
  readStart(): number;
  ref(): void;
  unref(): void;
}

/** Of a descriptor that counts (eventfd); not ref'ed yet. Undefined where this Node's handles cannot. */
export function openWakeHandle(eventfd: number): WakeHandle | undefined {
  try {
    const Pipe: unknown = Reflect.get(Object(bindingOf("pipe_wrap")), "Pipe");
    if (typeof Pipe !== "function") return undefined;
    const pipe = Reflect.construct(Pipe, [0]) as PipeHandle;
    if (pipe.open(eventfd) !== 0) return undefined;
    const count = Buffer.allocUnsafeSlow(16);
    pipe.useUserBuffer(count);
    // the handle itself does not keep its buffer
    const wake = { onWake: () => {}, count, ref: () => pipe.ref(), unref: () => pipe.unref() };
    pipe.onread = () => wake.onWake();
    if (pipe.readStart() !== 0) return undefined;
    pipe.unref();
    return wake;
  } catch {
    // as below
    return undefined;
  }
}

/** Throws from a Node that has closed the door. */
export function bindingOf(name: string): unknown {
  const load: unknown = Reflect.get(process, "binding");
  return typeof load === "function" ? Reflect.apply(load, process, [name]) : undefined;
}

interface RawBinding {
  readonly WriteWrap: new () => WriteRequest;
  readonly ShutdownWrap: new () => ShutdownRequest;
  readonly streamBaseState: Int32Array;
  readonly kReadBytesOrError: number;
  readonly kLastWriteWasAsync: number;
}

function isBinding(b: unknown): b is RawBinding {
  return (
    typeof b === "object" &&
    b !== null &&
    typeof Reflect.get(b, "WriteWrap") === "function" &&
    typeof Reflect.get(b, "ShutdownWrap") === "function" &&
    Reflect.get(b, "streamBaseState") instanceof Int32Array &&
    typeof Reflect.get(b, "kReadBytesOrError") === "number" &&
    typeof Reflect.get(b, "kLastWriteWasAsync") === "number"
  );
}

const methods = ["readStart", "readStop", "useUserBuffer", "writeBuffer", "writev"];

/** The handle below an open socket, if it can do what is needed. */
export function handleOf(socket: Socket): StreamHandle | undefined {
  const handle: unknown = Reflect.get(socket, "_handle");
  return isHandle(handle) ? handle : undefined;
}

/** A socket lets go of its handle when it is destroyed; `destroyed` itself is asked of both its streams each time. */
export function holds(socket: Socket & { readonly _handle?: unknown }, handle: StreamHandle): boolean {
  return socket._handle === handle;
}

function isHandle(h: unknown): h is StreamHandle {
  return hasMethods(h, methods) && typeof Reflect.get(h, "fd") === "number";
}

const acceptedMethods = ["getpeername", "shutdown", "close", "reset", "setNoDelay"];

/** What a listening handle hands over, if it can do what is needed. */
export function isAcceptedHandle(h: unknown): h is AcceptedHandle {
  return isHandle(h) && hasMethods(h, acceptedMethods);
}

/** The handle below a server that listens, if connections can be taken from it. */
export function listeningHandleOf(server: Server): ListeningHandle | undefined {
  const handle: unknown = Reflect.get(server, "_handle");
  return isListeningHandle(handle) ? handle : undefined;
}

function isListeningHandle(h: unknown): h is ListeningHandle {
  return hasMethods(h, ["onconnection", "setNoDelay"]);
}

export function hasMethods(h: unknown, names: readonly string[]): h is object {
  return typeof h === "object" && h !== null && names.every((n) => typeof Reflect.get(h, n) === "function");
}
