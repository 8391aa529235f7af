import type { Socket } from "node:net";

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

/** What the binding tells of the last call, in cells of one array. */
export interface StreamBindings {
  readonly WriteWrap: new () => WriteRequest;
  readonly state: Int32Array;
  readonly readBytesOrError: number;
  readonly lastWriteWasAsync: number;
}

/** The binding of this Node, or undefined where it is not there or has another shape. */
export function streamBindings(): StreamBindings | undefined {
  try {
    const load: unknown = Reflect.get(process, "binding");
    if (typeof load !== "function") return undefined;
    const binding: unknown = Reflect.apply(load, process, ["stream_wrap"]);
    if (!isBinding(binding)) return undefined;
    return {
      WriteWrap: binding.WriteWrap,
      state: binding.streamBaseState,
      readBytesOrError: binding.kReadBytesOrError,
      lastWriteWasAsync: binding.kLastWriteWasAsync,
    };
  } catch {
    // a Node that has closed the door
    return undefined;
  }
}

interface RawBinding {
  readonly WriteWrap: new () => WriteRequest;
  readonly streamBaseState: Int32Array;
  readonly kReadBytesOrError: number;
  readonly kLastWriteWasAsync: number;
}

function isBinding(b: unknown): b is RawBinding {
  return (
    typeof b === "object" &&
    b !== null &&
    typeof Reflect.get(b, "WriteWrap") === "function" &&
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
  return (
    typeof h === "object" &&
    h !== null &&
    typeof Reflect.get(h, "fd") === "number" &&
    methods.every((m) => typeof Reflect.get(h, m) === "function")
  );
}
