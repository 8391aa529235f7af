import { createRequire } from "node:module";
import { type Ip, ipFromBytes } from "../../src/base/ip.ts";
import { bindSocket, closeSocket } from "../../src/kernel/socket.ts";

/** Datagrams of one system call. */
export const batchSize = 64;
/** Queries are far shorter; a longer one is cut, and then answered FORMERR. */
const queryBytes = 2048;
/** The most that `udpBytes` may be. */
const answerBytes = 4096;

// linux/socket.h
const MSG_DONTWAIT = 0x40;
const AF_INET = 2;
/** struct mmsghdr, iovec and sockaddr_in6 on 64-bit Linux (x86-64 and arm64 alike). */
const mmsghdrBytes = 64;
const iovecBytes = 16;
const addressBytes = 28;
const addressStride = 32;
const at = { name: 0, nameLength: 8, iov: 16, iovLength: 24, length: 56 } as const;

interface LibC {
  recvmmsg(fd: number, headers: bigint, count: number, flags: number, timeout: bigint): number;
  sendmmsg(fd: number, headers: bigint, count: number, flags: number): number;
}

/**
 * Reads and writes many datagrams in one system call each. Node has neither: it makes a call, and some objects, per datagram.
 * The memory is laid out once, so that a batch costs no allocation.
 */
export class DatagramBatch {
  readonly #libc: LibC;
  readonly #memory: Uint8Array;
  readonly #view: DataView;
  readonly #received: bigint;
  readonly #sent: bigint;
  readonly #sentAt: number;
  readonly #namesAt: number;
  readonly #queries: readonly Uint8Array[];
  readonly #answers: readonly Uint8Array[];
  readonly #answerIovsAt: number;
  readonly #base: bigint;
  #queued = 0;

  constructor(libc: LibC, addressOf: (memory: Uint8Array) => bigint) {
    this.#libc = libc;
    const receivedIovsAt = batchSize * mmsghdrBytes;
    this.#sentAt = receivedIovsAt + batchSize * iovecBytes;
    this.#answerIovsAt = this.#sentAt + batchSize * mmsghdrBytes;
    this.#namesAt = this.#answerIovsAt + batchSize * iovecBytes;
    const queriesAt = this.#namesAt + batchSize * addressStride;
    const answersAt = queriesAt + batchSize * queryBytes;
    // a backing store of its own lies outside of the heap and is never moved
    this.#memory = new Uint8Array(new ArrayBuffer(answersAt + batchSize * answerBytes));
    this.#view = new DataView(this.#memory.buffer);
    this.#base = addressOf(this.#memory);
    this.#received = this.#base;
    this.#sent = this.#base + BigInt(this.#sentAt);
    this.#queries = slots(this.#memory, queriesAt, queryBytes);
    this.#answers = slots(this.#memory, answersAt, answerBytes);
    for (let i = 0; i < batchSize; i++) {
      this.#header(i * mmsghdrBytes, this.#namesAt + i * addressStride, receivedIovsAt + i * iovecBytes);
      this.#pointer(receivedIovsAt + i * iovecBytes, queriesAt + i * queryBytes);
      this.#pointer(receivedIovsAt + i * iovecBytes + 8, queryBytes, 0n);
      this.#header(this.#sentAt + i * mmsghdrBytes, 0, this.#answerIovsAt + i * iovecBytes);
    }
  }

  /** How many came without waiting; 0 for none and for any error, which the event loop's own read will meet again. */
  receive(fd: number): number {
    for (let i = 0; i < batchSize; i++) this.#view.setUint32(i * mmsghdrBytes + at.nameLength, addressBytes, true);
    this.#queued = 0;
    return Math.max(0, this.#libc.recvmmsg(fd, this.#received, batchSize, MSG_DONTWAIT, 0n));
  }

  /** The bytes of all datagrams, each with the rest of its slot. */
  get queries(): readonly Uint8Array[] {
    return this.#queries;
  }

  /** The bytes of datagram `i`, behind which the rest of the slot is left over. */
  query(i: number): Uint8Array {
    return this.#queries[i] ?? this.#memory;
  }

  length(i: number): number {
    return this.#view.getUint32(i * mmsghdrBytes + at.length, true);
  }

  /** Room for the answer to datagram `i`. */
  answer(i: number): Uint8Array {
    return this.#answers[i] ?? this.#memory;
  }

  /** IPv4's 32 bits, as a key for what is known of a client; undefined for IPv6. */
  ipv4(i: number): number | undefined {
    const name = this.#namesAt + i * addressStride;
    return this.#view.getUint16(name, true) === AF_INET ? this.#view.getUint32(name + 4) : undefined;
  }

  ip(i: number): Ip {
    const name = this.#namesAt + i * addressStride;
    const six = this.#view.getUint16(name, true) !== AF_INET;
    return ipFromBytes(six ? this.#memory.subarray(name + 8, name + 24) : this.#memory.subarray(name + 4, name + 8));
  }

  port(i: number): number {
    return this.#view.getUint16(this.#namesAt + i * addressStride + 2);
  }

  /** Where datagram `i` came from, for `setAddress`: bytes of its own. */
  address(i: number): Uint8Array {
    const name = this.#namesAt + i * addressStride;
    return Uint8Array.from(this.#memory.subarray(name, name + this.#view.getUint32(i * mmsghdrBytes + at.nameLength, true)));
  }

  /** Puts the answer of datagram `i` into the next `send`. */
  queue(i: number, length: number): void {
    const header = this.#sentAt + this.#queued * mmsghdrBytes;
    const iov = this.#answerIovsAt + this.#queued * iovecBytes;
    this.#pointer(header + at.name, this.#namesAt + i * addressStride);
    this.#view.setUint32(header + at.nameLength, this.#view.getUint32(i * mmsghdrBytes + at.nameLength, true), true);
    this.#pointer(iov, (this.#answers[i] ?? this.#memory).byteOffset);
    this.#view.setUint32(iov + 8, length, true);
    this.#queued++;
  }

  /** Sends what was queued. One that cannot be sent (its client is gone) is left out; a full socket buffer drops the rest, as UDP may. */
  send(fd: number): void {
    let done = 0;
    let refused = 0;
    while (done < this.#queued && refused < 2) {
      const sent = this.#libc.sendmmsg(fd, this.#sent + BigInt(done * mmsghdrBytes), this.#queued - done, MSG_DONTWAIT);
      if (sent > 0) refused = 0;
      else refused++;
      // the first of a call that fails is what failed; the next one may be for another client
      done += sent > 0 ? sent : 1;
    }
    this.#queued = 0;
  }

  /** Makes `queue(i)` go to an address of one's own choice. */
  setAddress(i: number, address: Uint8Array): void {
    this.#memory.set(address, this.#namesAt + i * addressStride);
    this.#view.setUint32(i * mmsghdrBytes + at.nameLength, address.length, true);
  }

  #header(header: number, name: number, iov: number): void {
    this.#pointer(header + at.name, name);
    this.#pointer(header + at.iov, iov);
    this.#view.setUint32(header + at.iovLength, 1, true);
  }

  #pointer(place: number, offset: number, base: bigint = this.#base): void {
    this.#view.setBigUint64(place, base + BigInt(offset), true);
  }
}

function slots(memory: Uint8Array, start: number, bytes: number): readonly Uint8Array[] {
  return Array.from({ length: batchSize }, (_, i) => memory.subarray(start + i * bytes, start + (i + 1) * bytes));
}

/**
 * A batch that was seen to work on this machine; undefined where it does not: another system or word size, no FFI, a filter of
 * system calls. Then node's own sockets do, at twice the cost.
 */
export function openDatagramBatch(): DatagramBatch | undefined {
  if (process.platform !== "linux" || (process.arch !== "x64" && process.arch !== "arm64")) return undefined;
  try {
    const koffi = createRequire(import.meta.url)("koffi") as typeof import("koffi");
    const lib = koffi.load("libc.so.6");
    const libc: LibC = {
      recvmmsg: lib.func("int recvmmsg(int, uintptr_t, uint32_t, int, uintptr_t)"),
      sendmmsg: lib.func("int sendmmsg(int, uintptr_t, uint32_t, int)"),
    };
    const batch = new DatagramBatch(libc, (memory) => BigInt(koffi.address(memory)));
    return echoes(batch) ? batch : undefined;
  } catch {
    return undefined;
  }
}

/** Sends two datagrams to a socket of its own over loopback, and finds them there with their bytes and source. */
function echoes(batch: DatagramBatch): boolean {
  const socket = bindSocket({ ip: "127.0.0.1", port: 0, type: "udp" });
  try {
    const self = Uint8Array.from([AF_INET, 0, socket.port >> 8, socket.port & 255, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    for (let i = 0; i < 2; i++) {
      batch.setAddress(i, self);
      batch.answer(i).fill(0xa0 + i, 0, 3 + i);
      batch.queue(i, 3 + i);
    }
    batch.send(socket.fd);
    if (batch.receive(socket.fd) !== 2) return false;
    return [0, 1].every(
      (i) =>
        batch.length(i) === 3 + i &&
        batch
          .query(i)
          .subarray(0, 3 + i)
          .every((b) => b === 0xa0 + i) &&
        batch.ip(i) === "127.0.0.1" &&
        batch.port(i) === socket.port,
    );
  } finally {
    closeSocket(socket);
  }
}
