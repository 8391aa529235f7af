import { readSync } from "node:fs";
import { type IoRing, openIoRing, ringEntries } from "../../src/kernel/io-ring.ts";
import { openReadiness, type Readiness } from "../../src/kernel/readiness.ts";
import { sharedBuffer, sharedRoom, slotBytes, slots } from "./read-buffer.ts";
import { openWakeHandle, type WakeHandle } from "./stream-handles.ts";

/** Whose socket a ring reads. Must not throw. */
export interface RingReader {
  /** Its descriptor is still its own. */
  readonly isOpen: boolean;
  /** False: it is left out until `watch`. */
  readonly wantsBytes: boolean;
  /** Good until it returns. */
  onBytes(bytes: Buffer): void;
  onReadEnd(): void;
  /** A negative error number. */
  onReadError(code: number): void;
}

const EAGAIN = 11;
const EINTR = 4;
/** So many at a time mean that more will come before the event loop has gone round. */
const busy = 4;

/** One socket that is read by a ring. */
export class RingRead {
  readonly reader: RingReader;
  readonly descriptor: number;
  readonly key: number;
  isWatched = false;
  /** What it said last was more than a slot. */
  isLarge = false;
  /** The other side has ended: there is something behind what is read. */
  isEnding = false;
  /** Is read again in the next turn, whether it has something new or not. */
  isUnfinished = false;

  constructor(reader: RingReader, descriptor: number, key: number) {
    this.reader = reader;
    this.descriptor = descriptor;
    this.key = key;
  }
}

/**
 * Reads what came on many sockets by one system call, where a handle has a call, and a callback from libuv, for each. No read
 * waits: nothing is under way when a socket is paused, closed or given to somebody else.
 */
export class ReadRing {
  readonly #ring: IoRing;
  readonly #readiness: Readiness;
  readonly #wake: WakeHandle;
  readonly #endTurn: () => void;
  readonly #reads: (RingRead | undefined)[] = [];
  readonly #freeKeys: number[] = [];
  readonly #outcomes = new Int32Array(ringEntries);
  /** They have more than was read of them. */
  #unfinished: RingRead[] = [];
  #count = 0;
  #works = true;
  #turnIsDue = false;
  #awaits = false;
  readonly #turn = (): void => this.#readTurn();

  /** `endTurn` is called before each turn's reads. */
  constructor(ring: IoRing, readiness: Readiness, o: { readonly wake: WakeHandle; readonly endTurn: () => void }) {
    this.#ring = ring;
    const { wake } = o;
    this.#endTurn = o.endTurn;
    this.#readiness = readiness;
    this.#wake = wake;
    wake.onWake = () => {
      this.#awaits = false;
      this.#readTurn();
    };
  }

  /** Undefined: it has to be read otherwise. */
  add(reader: RingReader, descriptor: number): RingRead | undefined {
    const key = this.#freeKeys.pop() ?? this.#reads.length;
    const read = new RingRead(reader, descriptor, key);
    this.#reads[key] = read;
    if (this.#count++ === 0) this.#wake.ref();
    this.watch(read);
    if (read.isWatched) return read;
    this.forget(read);
    return undefined;
  }

  /** For good. */
  forget(read: RingRead): void {
    if (this.#reads[read.key] !== read) return;
    this.unwatch(read);
    this.#reads[read.key] = undefined;
    this.#freeKeys.push(read.key);
    if (--this.#count === 0) this.#wake.unref();
  }

  watch(read: RingRead): void {
    if (read.isWatched) return;
    read.isWatched = this.#readiness.add(read.descriptor, read.key);
    if (!this.#awaits) this.#goOn();
  }

  unwatch(read: RingRead): void {
    if (!read.isWatched) return;
    read.isWatched = false;
    // the number of one that was closed may be another's by now
    if (read.reader.isOpen) this.#readiness.remove(read.descriptor);
  }

  #goOn(): void {
    if (this.#turnIsDue) return;
    this.#turnIsDue = true;
    setImmediate(this.#turn);
  }

  #readTurn(): void {
    this.#turnIsDue = false;
    // an end that is read now must not overtake what was said because of what was read before
    this.#endTurn();
    const ready = this.#readiness.look();
    this.#readAll(ready);
    if (this.#awaits) return;
    if (ready >= busy || this.#unfinished.length > 0) this.#goOn();
    else if (this.#readiness.await()) this.#awaits = true;
    else this.#goOn();
  }

  #readAll(ready: number): void {
    const large = this.#unfinished;
    this.#unfinished = [];
    const small: RingRead[] = [];
    for (let i = 0; i < ready; i++) {
      const read = this.#reads[this.#readiness.keyAt(i)];
      if (read === undefined) continue;
      if (this.#readiness.endsAt(i)) read.isEnding = true;
      if (read.isUnfinished) continue;
      if (!read.reader.wantsBytes) this.unwatch(read);
      else if (read.isLarge || !this.#works) large.push(read);
      else {
        this.#ring.receive(small.length, read.descriptor, slots, small.length * slotBytes, (small.length + 1) * slotBytes);
        small.push(read);
      }
    }
    if (small.length > 0) this.#readSmall(small);
    for (const read of large) this.#readLarge(read);
  }

  #readSmall(reads: readonly RingRead[]): void {
    const outcomes = this.#outcomes;
    outcomes.fill(-EAGAIN, 0, reads.length);
    if (!this.#ring.make(reads.length, outcomes)) this.#works = false;
    for (const [i, read] of reads.entries()) {
      const n = outcomes[i] ?? 0;
      if (n === slotBytes) read.isLarge = true;
      if (n === slotBytes || (n > 0 && read.isEnding) || !this.#works) this.#readAgain(read);
      if (n > 0) read.reader.onBytes(slots.subarray(i * slotBytes, i * slotBytes + n));
      else this.#noBytes(read, n);
    }
  }

  /** All into the one buffer that stays in the processor's cache. */
  #readLarge(read: RingRead): void {
    read.isUnfinished = false;
    // what came before in this turn may have closed or paused it
    if (!read.isWatched || !read.reader.isOpen) return;
    if (!read.reader.wantsBytes) {
      this.unwatch(read);
      return;
    }
    const room = sharedRoom();
    const n = receive(read.descriptor, room);
    read.isLarge = n >= slotBytes;
    if (n === room.length || (n > 0 && read.isEnding)) this.#readAgain(read);
    if (n > 0) read.reader.onBytes(sharedBuffer.subarray(0, n));
    else this.#noBytes(read, n);
  }

  #readAgain(read: RingRead): void {
    read.isUnfinished = true;
    this.#unfinished.push(read);
  }

  #noBytes(read: RingRead, n: number): void {
    if (n === -EAGAIN || n === -EINTR) return;
    this.unwatch(read);
    if (n === 0) read.reader.onReadEnd();
    else read.reader.onReadError(n);
  }
}

/** As the system call: a number of bytes, or a negative error number. */
function receive(descriptor: number, room: Buffer): number {
  try {
    return readSync(descriptor, room);
  } catch (error) {
    const code: unknown = error instanceof Error ? Reflect.get(error, "errno") : undefined;
    return typeof code === "number" && code < 0 ? code : -EAGAIN;
  }
}

/** Undefined where there is no io_uring for this process. */
export function openReadRing(endTurn: () => void): ReadRing | undefined {
  const ring = openIoRing();
  const readiness = ring === undefined ? undefined : openReadiness();
  const wake = readiness === undefined ? undefined : openWakeHandle(readiness.eventfd);
  if (ring === undefined || readiness === undefined || wake === undefined) return undefined;
  return new ReadRing(ring, readiness.readiness, { wake, endTurn });
}
