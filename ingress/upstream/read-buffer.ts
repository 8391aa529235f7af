import { readyMost } from "../../src/kernel/readiness.ts";
import { isLent } from "./lent-memory.ts";
import { thrift } from "./thrift.ts";

/** A response of usual size; what fills it gets the larger one. */
const smallBytes = 16 * 1024;
const largeBytes = 64 * 1024;

/** Whose memory it is, so that a write that is still under way can be told to its owner. */
const owners = new WeakMap<ArrayBufferLike, ReadBuffer>();

/**
 * Where one connection reads into, again and again, as long as what was read has left the process when the reader
 * returns. A write that the kernel did not take at once pins it, and the next read gets a fresh one. It is never shared
 * between connections: others would read over what a pinned one still has to send.
 */
export class ReadBuffer {
  #buffer: Buffer;
  #pinned = false;
  /** Settled by what was read: where the next read goes must not change before it comes. */
  #nextBytes = smallBytes;

  constructor() {
    this.#buffer = this.#fresh(smallBytes);
  }

  /** Where the next read goes. */
  next(): Buffer {
    if (this.#pinned || this.#nextBytes !== this.#buffer.length) {
      this.#buffer = this.#fresh(this.#nextBytes);
      this.#pinned = false;
    }
    return this.#buffer;
  }

  /** So many bytes of it were filled. */
  read(bytes: number): void {
    if (thrift.isOn) this.#nextBytes = smallBytes;
    else if (bytes === this.#buffer.length) this.#nextBytes = largeBytes;
  }

  #fresh(bytes: number): Buffer {
    const buffer = Buffer.allocUnsafeSlow(bytes);
    owners.set(buffer.buffer, this);
    return buffer;
  }

  #pin(memory: ArrayBufferLike): void {
    if (this.#buffer.buffer === memory) this.#pinned = true;
  }

  /** These bytes are with a write that is still under way. */
  static pin(bytes: Buffer): void {
    const owner = owners.get(bytes.buffer);
    if (owner !== undefined) owner.#pin(bytes.buffer);
  }
}

const sharedBytes = 256 * 1024;
/** Of each connection that a ring reads with others at a time: a head and a short body. */
export const slotBytes = 8 * 1024;

const sharedMemory = Buffer.allocUnsafeSlow(sharedBytes + readyMost * slotBytes);

/**
 * What all connections of the fast transport read into. It stays in the processor's cache, and a response of usual size is one read.
 * What is to outlive the read must be copied.
 */
export const sharedBuffer: Buffer = sharedMemory.subarray(0, sharedBytes);

/** Where a ring reads what came on many at a time. */
export const slots: Buffer = sharedMemory.subarray(sharedBytes);

const thriftyPart = sharedBuffer.subarray(0, smallBytes);

/** Where the next read goes: a part of it while memory is short, since what a slow reader does not take is copied whole. */
export function sharedRoom(): Buffer {
  return thrift.isOn ? thriftyPart : sharedBuffer;
}

/** These bytes, or a copy of them where others write over them as soon as the caller returns. */
export function lasting(bytes: Buffer): Buffer {
  return bytes.buffer === sharedBuffer.buffer || isLent(bytes.buffer) ? Buffer.from(bytes) : bytes;
}
