import { readSync } from "node:fs";
import { type IoRing, openIoRing, ringEntries } from "../../src/kernel/io-ring.ts";
import { socketPair } from "../../src/kernel/socket.ts";

/** Who sends by a ring. */
export interface RingSender {
  /** The kernel took so many bytes; 0 too where the socket is full, or broken. Must not throw. */
  sent(bytes: number): void;
}

// linux/io_uring.h, linux/socket.h
const IORING_OP_SEND = 26;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
/** Cells of a struct io_uring_sqe; those that are not named stay zero. */
const cell = { opcode: 0, descriptor: 1, addressLow: 4, addressHigh: 5, length: 6, flags: 7, userData: 8 } as const;
const fourGiB = 2 ** 32;

/**
 * Sends what many sockets have to say in one system call, and one call out of JavaScript. No send waits: each is over when the call
 * returns, so that nothing is ever under way, and memory and descriptors are their owners' again.
 */
export class SendRing {
  readonly #ring: Pick<IoRing, "calls" | "cellOf" | "make" | "addressOf">;
  readonly #senders: RingSender[] = [];
  readonly #outcomes = new Int32Array(ringEntries);
  #memory: Uint8Array | undefined;
  #low = 0;
  #high = 0;
  #works = true;

  constructor(ring: Pick<IoRing, "calls" | "cellOf" | "make" | "addressOf">) {
    this.#ring = ring;
  }

  /** A part of memory that is never moved goes to a socket with the next `send`. False: not by this ring. */
  add(sender: RingSender, descriptor: number, memory: Uint8Array, from: number, to: number): boolean {
    const place = this.#senders.length;
    if (place === ringEntries || !this.#works) return false;
    if (memory !== this.#memory) this.#lookAt(memory);
    const { calls } = this.#ring;
    const at = this.#ring.cellOf(place);
    const low = this.#low + from;
    calls[at + cell.opcode] = IORING_OP_SEND;
    calls[at + cell.descriptor] = descriptor;
    calls[at + cell.addressLow] = low;
    calls[at + cell.addressHigh] = low < fourGiB ? this.#high : this.#high + 1;
    calls[at + cell.length] = to - from;
    calls[at + cell.flags] = MSG_DONTWAIT | MSG_NOSIGNAL;
    calls[at + cell.userData] = place;
    this.#senders.push(sender);
    return true;
  }

  #lookAt(memory: Uint8Array): void {
    const address = this.#ring.addressOf(memory);
    this.#memory = memory;
    this.#low = Number(BigInt.asUintN(32, address));
    this.#high = Number(address >> 32n);
  }

  /** Sends all that was added, then tells. */
  send(): void {
    const count = this.#senders.length;
    if (count === 0) return;
    const outcomes = this.#outcomes;
    outcomes.fill(0, 0, count);
    if (!this.#ring.make(count, outcomes)) this.#works = false;
    const senders = this.#senders.splice(0);
    for (let i = 0; i < count; i++) senders[i]?.sent(Math.max(0, outcomes[i] ?? 0));
  }
}

let opened: SendRing | "none" | undefined;

/** The ring of this thread, if it has one that was seen to work. */
export function sendRing(): SendRing | undefined {
  if (opened === undefined) {
    const ring = openIoRing();
    opened = ring !== undefined && delivers(new SendRing(ring)) ? new SendRing(ring) : "none";
  }
  return opened === "none" ? undefined : opened;
}

/** Sends to two sockets of its own: a word to one, and more than it can hold to the other, which must not make it wait. */
function delivers(ring: SendRing): boolean {
  const word = Buffer.from("ring");
  const memory = Buffer.alloc(4 * 1024 * 1024);
  memory.set(word);
  const [idle, full] = [socketPair(), socketPair()];
  try {
    const took: number[] = [];
    const told = (bytes: number): void => void took.push(bytes);
    ring.add({ sent: told }, idle.ends[0], memory, 0, word.length);
    ring.add({ sent: told }, full.ends[0], memory, 0, memory.length);
    ring.send();
    const [words = 0, most = 0] = took;
    const heard = Buffer.alloc(word.length);
    return words === word.length && most > 0 && most < memory.length && readSync(idle.ends[1], heard) === word.length && heard.equals(word);
  } catch {
    return false;
  } finally {
    idle.close();
    full.close();
  }
}
