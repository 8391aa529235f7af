import { sendNow } from "./send-now.ts";
import type { RingSender, SendRing } from "./send-ring.ts";
import type { StreamBindings, StreamHandle, WriteRequest } from "./stream-handles.ts";
import { highWaterMark } from "./thrift.ts";
import { joinedBytes, type TurnWriter, type TurnWrites } from "./turn-writes.ts";

/** Told of what comes of writes. */
export interface WriterOwner {
  /** Its descriptor is still its own. */
  readonly isOpen: boolean;
  /** All is with the kernel, after a write gave false. */
  onDrain(): void;
  /** All is with the kernel, after `end`. */
  onAllWritten(): void;
  onWriteError(code: number): void;
}

export interface WriterOptions {
  readonly bindings: StreamBindings;
  readonly turn: TurnWrites;
  /** A handle of TLS has encrypted, or copied, all it is given when its write returns; others may read from it until they tell. */
  readonly tls: boolean;
}

/**
 * What is written on the handle of one socket: text at the end of the turn, bytes at once, one write under way at a time. The
 * bytes of others are offered to the kernel where they are; only what it does not take, or what has to wait, is copied.
 */
export class HandleWriter implements TurnWriter, RingSender {
  readonly #handle: StreamHandle;
  readonly #bindings: StreamBindings;
  readonly #turn: TurnWrites;
  readonly #owner: WriterOwner;
  readonly #tls: boolean;
  /** What was said this turn, as a part of its text; the queue is empty then. */
  #from = 0;
  #to = 0;
  /** Used again after each write that was done at once. */
  #request: WriteRequest | undefined;
  /** Waits to be uncorked, for the end of the turn, or for the write that is under way: a second one on a TLS handle would abort the process. */
  #queue: Buffer[] = [];
  #queued = 0;
  #writing = false;
  #corks = 0;
  #waiting = false;
  #ending = false;
  #closed = false;
  /** What was said this turn is with the ring. */
  #offered = false;
  /** The handle is asked for it once. */
  #descriptor = -1;

  constructor(handle: StreamHandle, owner: WriterOwner, o: WriterOptions) {
    this.#handle = handle;
    this.#owner = owner;
    this.#bindings = o.bindings;
    this.#turn = o.turn;
    this.#tls = o.tls;
  }

  /** Something waits, and no write is under way. */
  get unsent(): boolean {
    return (this.#to > this.#from || this.#queue.length > 0) && !this.#writing;
  }

  /** Written, and not with the kernel yet. */
  get queuedBytes(): number {
    return this.#queued;
  }

  /** Text is latin1. False: wait for onDrain. */
  write(data: Buffer | string): boolean {
    if (this.#ending || this.#closed) return true;
    if (data.length === 0) return this.#queued < highWaterMark();
    if (this.#writeThisTurn(data)) return true;
    this.#queueTurn();
    this.#keep(data);
    if (typeof data !== "string") this.#flush();
    else if (!this.#writing && this.#corks === 0) this.#turn.add(this);
    if (this.#queued < highWaterMark()) return true;
    this.#waiting = true;
    return false;
  }

  /** Text, and short bytes behind it, where nothing else has to leave before them. */
  #writeThisTurn(data: Buffer | string): boolean {
    if (this.#writing || this.#corks > 0 || this.#queue.length > 0) return false;
    const { text } = this.#turn;
    if (this.#to > this.#from) {
      if (text.end !== this.#to || data.length > joinedBytes || !text.add(data)) return false;
      this.#to = text.end;
      return true;
    }
    if (typeof data !== "string" || !text.add(data)) return false;
    this.#to = text.end;
    this.#from = this.#to - data.length;
    this.#turn.add(this);
    return true;
  }

  /** What was said this turn goes before what comes now. */
  #queueTurn(): void {
    if (this.#to === this.#from) return;
    const said = this.#turn.text.view(this.#from, this.#to);
    this.#from = this.#to;
    this.#enqueue(this.#corks > 0 ? Buffer.from(said) : said);
  }

  /** Bytes behind a write that is under way must live until it is done; what is flushed or uncorked in this turn need not. */
  #keep(data: Buffer | string): void {
    if (typeof data === "string") this.#enqueue(Buffer.from(data, "latin1"));
    else this.#enqueue(this.#writing ? Buffer.from(data) : data);
  }

  #enqueue(data: Buffer): void {
    this.#queue.push(data);
    this.#queued += data.length;
  }

  #flush(): void {
    if (this.#writing || this.#corks > 0 || this.#closed) return;
    if (this.#to > this.#from) this.#sendTurn();
    else if (this.#queue.length > 0) {
      const parts = this.#queue;
      this.#queue = [];
      this.#queued = 0;
      this.#send(parts);
    }
    if (this.#writing || this.#closed) return;
    // not from within the write that found no room: its caller has yet to hear that
    if (this.#waiting) this.#turn.add(this);
    if (this.#ending) this.#owner.onAllWritten();
  }

  #sendTurn(): void {
    const { text } = this.#turn;
    const bytes = text.view(this.#from, this.#to);
    this.#from = this.#to;
    this.#start(bytes);
    if (this.#writing && !this.#tls) text.handOver();
  }

  #send(parts: readonly Buffer[]): void {
    if (this.#tls) {
      const [only] = parts;
      if (only !== undefined && parts.length === 1) this.#start(only);
      else this.#startMany(parts);
      return;
    }
    const rest = sendNow(this.#handle.fd, parts);
    if (rest !== undefined) this.#start(rest);
  }

  #start(data: Buffer): void {
    const request = this.#nextRequest();
    this.#started(request, this.#handle.writeBuffer(request, data), [data]);
  }

  #startMany(parts: readonly Buffer[]): void {
    const request = this.#nextRequest();
    this.#started(request, this.#handle.writev(request, parts, true), parts);
  }

  #nextRequest(): WriteRequest {
    const request = this.#request ?? new this.#bindings.WriteWrap();
    this.#request = undefined;
    request.handle = this.#handle;
    return request;
  }

  #started(request: WriteRequest, code: number, parts: readonly Buffer[]): void {
    if (code !== 0) {
      this.#owner.onWriteError(code);
      return;
    }
    if (this.#bindings.state[this.#bindings.lastWriteWasAsync] === 0) {
      this.#request = request;
      return;
    }
    this.#writing = true;
    request.data = parts;
    let bytes = 0;
    for (const part of parts) bytes += part.length;
    this.#queued += bytes;
    request.oncomplete = (status) => {
      this.#writing = false;
      this.#queued -= bytes;
      if (this.#closed) return;
      if (status < 0) this.#owner.onWriteError(status);
      else this.#flush();
    };
  }

  endTurn(): void {
    if (this.#waiting && this.#queued === 0 && !this.#closed) {
      this.#waiting = false;
      this.#owner.onDrain();
    } else this.#flush();
  }

  /** Text only: who waits for room, or for the end, is told when it is sent. */
  sendBy(ring: SendRing): boolean {
    // who sent something at once in this turn, and then said more, is due twice
    if (this.#offered) return true;
    if (this.#to === this.#from || this.#tls || this.#writing || this.#corks > 0 || this.#waiting || this.#ending) return false;
    if (this.#closed || !this.#owner.isOpen) return false;
    if (this.#descriptor < 0) this.#descriptor = this.#handle.fd;
    this.#offered = ring.add(this, this.#descriptor, this.#turn.text.memory, this.#from, this.#to);
    return this.#offered;
  }

  sent(bytes: number): void {
    this.#offered = false;
    const from = this.#from + bytes;
    this.#from = this.#to;
    if (from < this.#to) this.#start(Buffer.from(this.#turn.text.view(from, this.#to)));
  }

  /** Bytes written until uncork must live until then. */
  cork(): void {
    this.#corks++;
    this.#queueTurn();
  }

  uncork(): void {
    if (this.#corks > 0) this.#corks--;
    this.#flush();
  }

  /** Sends what waits for the end of the turn. */
  flush(): void {
    this.#flush();
  }

  /** What was written is sent, then onAllWritten. */
  end(): void {
    if (this.#ending || this.#closed) return;
    this.#ending = true;
    this.#flush();
  }

  /** Nothing more is sent, nothing more is told. */
  close(): void {
    this.#closed = true;
    this.#from = this.#to;
    this.#queue = [];
  }
}
