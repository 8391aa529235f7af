import { createRequire } from "node:module";
import { openPollRing, type PollRing } from "./io-ring.ts";

/** So many are told of at a time. */
export const readyMost = 64;

// linux/eventpoll.h
const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLLIN = 1;
const EPOLLERR = 8;
const EPOLLHUP = 0x10;
const EPOLLRDHUP = 0x2000;
const EPOLLET = 1 << 31;
/** Cells of 32 bits of a struct epoll_event, which is packed on x86-64 only. */
const event = process.arch === "x64" ? ({ cells: 3, key: 1 } as const) : ({ cells: 4, key: 2 } as const);

interface EpollCalls {
  epoll_ctl(set: number, what: number, descriptor: number, event: bigint): number;
  epoll_wait(set: number, events: bigint, most: number, ms: number): number;
}

/**
 * A set of sockets, and which of them have something new to read: told of once, so that who is told reads all of it. libuv has a callback
 * for each of its own; here many are asked for by one call.
 */
export class Readiness {
  readonly #set: number;
  readonly #calls: EpollCalls;
  readonly #poll: PollRing;
  readonly #events = new Int32Array(readyMost * event.cells);
  readonly #eventsAt: bigint;
  readonly #asked = new Int32Array(event.cells);
  readonly #askedAt: bigint;

  constructor(set: number, poll: PollRing, calls: EpollCalls & { addressOf(memory: Uint8Array): bigint }) {
    this.#set = set;
    this.#poll = poll;
    this.#calls = calls;
    this.#eventsAt = calls.addressOf(new Uint8Array(this.#events.buffer));
    this.#askedAt = calls.addressOf(new Uint8Array(this.#asked.buffer));
  }

  /** It is told of by its key; at once where there is something to read already. */
  add(descriptor: number, key: number): boolean {
    this.#asked[0] = EPOLLIN | EPOLLRDHUP | EPOLLET;
    this.#asked[event.key] = key;
    return this.#calls.epoll_ctl(this.#set, EPOLL_CTL_ADD, descriptor, this.#askedAt) === 0;
  }

  /** A descriptor that is closed leaves by itself. */
  remove(descriptor: number): void {
    this.#calls.epoll_ctl(this.#set, EPOLL_CTL_DEL, descriptor, this.#askedAt);
  }

  /** How many have something new. */
  look(): number {
    return Math.max(0, this.#calls.epoll_wait(this.#set, this.#eventsAt, readyMost, 0));
  }

  /** Of one of those. */
  keyAt(place: number): number {
    return this.#events[place * event.cells + event.key] ?? 0;
  }

  /** One of those has its end behind what it has to say. */
  endsAt(place: number): boolean {
    return ((this.#events[place * event.cells] ?? 0) & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) !== 0;
  }

  /** The event loop is woken, once, when one has something new. False: it cannot be. */
  await(): boolean {
    return this.#poll.await(this.#set);
  }
}

/** With the descriptor that can be read when the event loop is to be woken; undefined where there is no io_uring. */
export function openReadiness(): { readonly readiness: Readiness; readonly eventfd: number } | undefined {
  const poll = openPollRing();
  if (poll === undefined) return undefined;
  const koffi = createRequire(import.meta.url)("koffi") as typeof import("koffi");
  const lib = koffi.load("libc.so.6");
  const set = Number(lib.func("int epoll_create1(int)")(EPOLL_CLOEXEC));
  if (set < 0) return undefined;
  const calls = {
    epoll_ctl: lib.func("int epoll_ctl(int, int, int, uintptr_t)"),
    epoll_wait: lib.func("int epoll_wait(int, uintptr_t, int, int)"),
    addressOf: (memory: Uint8Array) => BigInt(koffi.address(memory)),
  };
  return { readiness: new Readiness(set, poll.ring, calls), eventfd: poll.eventfd };
}
