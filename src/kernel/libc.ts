import { createRequire } from "node:module";

/** Socket calls of libc. Each returns -1 on failure, with the reason in `errno()` until the next call of this thread. */
export interface LibC {
  socket(domain: number, type: number, protocol: number): number;
  socketpair(domain: number, type: number, protocol: number, descriptors: Uint8Array): number;
  bind(fd: number, address: Uint8Array, length: number): number;
  connect(fd: number, address: Uint8Array, length: number): number;
  listen(fd: number, backlog: number): number;
  getsockname(fd: number, address: Uint8Array, length: Uint8Array): number;
  setsockopt(fd: number, level: number, option: number, value: Uint8Array, length: number): number;
  getsockopt(fd: number, level: number, option: number, value: Uint8Array, length: Uint8Array): number;
  send(fd: number, data: Uint8Array, length: number, flags: number): number;
  recv(fd: number, data: Uint8Array, length: number, flags: number): number;
  /** `header` is the address of a struct msghdr. */
  sendmsg(fd: number, header: bigint, flags: number): number;
  recvmsg(fd: number, header: bigint, flags: number): number;
  close(fd: number): number;
  /** Where a buffer of this process lies, for structures that point to it; good for as long as the buffer is referenced. */
  addressOf(buffer: Uint8Array): bigint;
  /** Gives the heap's free pages back to the system, but for so many bytes at its end. */
  malloc_trim(pad: number): number;
  errno(): number;
}

let loaded: LibC | undefined;

/** Loaded when first needed: commands that open nothing do not pay for it. Throws where FFI or glibc is missing. */
export function libc(): LibC {
  if (loaded !== undefined) return loaded;
  const koffi = createRequire(import.meta.url)("koffi") as typeof import("koffi");
  const lib = koffi.load("libc.so.6");
  loaded = {
    socket: lib.func("int socket(int, int, int)"),
    socketpair: lib.func("int socketpair(int, int, int, _Out_ uint8_t *)"),
    bind: lib.func("int bind(int, const uint8_t *, uint32_t)"),
    connect: lib.func("int connect(int, const uint8_t *, uint32_t)"),
    listen: lib.func("int listen(int, int)"),
    getsockname: lib.func("int getsockname(int, _Out_ uint8_t *, _Inout_ uint8_t *)"),
    setsockopt: lib.func("int setsockopt(int, int, int, const uint8_t *, uint32_t)"),
    getsockopt: lib.func("int getsockopt(int, int, int, _Inout_ uint8_t *, _Inout_ uint8_t *)"),
    send: lib.func("int64_t send(int, const uint8_t *, size_t, int)"),
    recv: lib.func("int64_t recv(int, _Out_ uint8_t *, size_t, int)"),
    sendmsg: lib.func("int64_t sendmsg(int, uint64_t, int)"),
    recvmsg: lib.func("int64_t recvmsg(int, uint64_t, int)"),
    close: lib.func("int close(int)"),
    addressOf: (buffer) => koffi.address(buffer),
    malloc_trim: lib.func("int malloc_trim(size_t)"),
    errno: () => koffi.errno(),
  };
  return loaded;
}
