import { readSync } from "node:fs";
import { type IoRing, openIoRing, ringEntries } from "../../src/kernel/io-ring.ts";
import { socketPair } from "../../src/kernel/socket.ts";

/** Who sends by a ring. */
export interface RingSender {
  /** The kernel took so many bytes; 0 too where the socket is full, or broken. Must not throw. */
  sent(bytes: number): void;
}

/**
 * Sends what many sockets have to say in one system call, and one call out of JavaScript. No send waits: each is over when the call
 * returns, so that nothing is ever under way, and memory and descriptors are their owners' again.
 */
export class SendRing {
  readonly #ring: IoRing;
  readonly #senders: RingSender[] = [];
  readonly #outcomes = new Int32Array(ringEntries);
  #works = true;

  constructor(ring: IoRing) {
    this.#ring = ring;
  }

  /** A part of memory that is never moved goes to a socket with the next `send`. False: not by this ring. */
  add(sender: RingSender, descriptor: number, memory: Uint8Array, from: number, to: number): boolean {
    const place = this.#senders.length;
    if (place === ringEntries || !this.#works) return false;
    this.#ring.send(place, descriptor, memory, from, to);
    this.#senders.push(sender);
    return true;
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

/** Undefined where there is no io_uring for this process, or it was not seen to work. */
export function openSendRing(): SendRing | undefined {
  const ring = openIoRing();
  return ring !== undefined && delivers(new SendRing(ring)) ? new SendRing(ring) : undefined;
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
