import { isShared, ReadBuffer } from "./read-buffer.ts";
import type { StreamBindings, StreamHandle, WriteRequest } from "./stream-handles.ts";
import { joinedBytes, type TurnWriter, type TurnWrites } from "./turn-writes.ts";

/** Bytes the kernel has not taken yet, above which writers wait. */
const highWaterMark = 128 * 1024;

/** Told of what comes of writes. */
export interface WriterOwner {
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

/** What is written on the handle of one socket: text at the end of the turn, bytes at once, one write under way at a time. */
export class HandleWriter implements TurnWriter {
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
  /** Waits for the end of the turn, or for the write that is under way: a second one on a TLS handle would abort the process. */
  #queue: (Buffer | string)[] = [];
  #queued = 0;
  #writing = false;
  #corks = 0;
  #waiting = false;
  #ending = false;
  #closed = false;

  constructor(handle: StreamHandle, owner: WriterOwner, o: WriterOptions) {
    this.#handle = handle;
    this.#owner = owner;
    this.#bindings = o.bindings;
    this.#turn = o.turn;
    this.#tls = o.tls;
  }

  get ending(): boolean {
    return this.#ending;
  }

  /** Something waits, and no write is under way. */
  get unsent(): boolean {
    return (this.#to > this.#from || this.#queue.length > 0) && !this.#writing;
  }

  /** Text is latin1. False: wait for onDrain. */
  write(data: Buffer | string): boolean {
    if (this.#ending || this.#closed) return true;
    if (data.length === 0) return this.#queued < highWaterMark;
    if (this.#writeThisTurn(data)) return true;
    this.#spill();
    if (typeof data === "string") this.#writeText(data);
    else if (this.#writing || this.#corks > 0 || this.#queue.length > 0) {
      this.#keep(data);
      this.#flush();
    } else this.#start(data);
    if (this.#queued < highWaterMark) return true;
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

  /** What was said this turn waits with what comes now: the memory of the turn is not there for longer. */
  #spill(): void {
    if (this.#to === this.#from) return;
    const text = this.#turn.text.text(this.#from, this.#to);
    this.#from = this.#to;
    this.#queue.push(text);
    this.#queued += text.length;
  }

  #writeText(text: string): void {
    const queue = this.#queue;
    const last = queue.length - 1;
    // not asked below 0: that is a property by name, which takes long to find absent
    const before = last < 0 ? undefined : queue[last];
    this.#queued += text.length;
    if (typeof before === "string") queue[last] = before + text;
    else {
      queue.push(text);
      if (last < 0 && !this.#writing && this.#corks === 0) this.#turn.add(this);
    }
  }

  /** Bytes that wait for another write must live until they are sent; what is only corked leaves before its reader returns. */
  #keep(data: Buffer): void {
    const lasting = this.#lasting(data);
    this.#queue.push(lasting);
    this.#queued += lasting.length;
    if (this.#writing) ReadBuffer.pin(lasting);
  }

  /** The shared buffer is read into by others: what may stay in it for longer is copied. */
  #lasting(data: Buffer): Buffer {
    return isShared(data) ? Buffer.from(data) : data;
  }

  #start(data: Buffer | string): void {
    const request = this.#nextRequest();
    if (typeof data === "string") this.#sent(request, this.#handle.writeLatin1String(request, data), data);
    else {
      const lasting = this.#tls ? data : this.#lasting(data);
      this.#sent(request, this.#handle.writeBuffer(request, lasting), lasting);
    }
  }

  #startTurn(): void {
    const { text } = this.#turn;
    const bytes = text.view(this.#from, this.#to);
    this.#from = this.#to;
    const request = this.#nextRequest();
    this.#sent(request, this.#handle.writeBuffer(request, bytes), bytes);
    if (this.#writing && !this.#tls) text.handOver();
  }

  #startMany(all: readonly (Buffer | string)[]): void {
    const chunks: unknown[] = [];
    for (const data of all) chunks.push(data, typeof data === "string" ? "latin1" : "buffer");
    const request = this.#nextRequest();
    this.#sent(request, this.#handle.writev(request, chunks, false), all);
  }

  #nextRequest(): WriteRequest {
    const request = this.#request ?? new this.#bindings.WriteWrap();
    this.#request = undefined;
    request.handle = this.#handle;
    return request;
  }

  #sent(request: WriteRequest, code: number, data: Buffer | string | readonly (Buffer | string)[]): void {
    if (code !== 0) {
      this.#owner.onWriteError(code);
      return;
    }
    if (this.#bindings.state[this.#bindings.lastWriteWasAsync] === 0) {
      this.#request = request;
      return;
    }
    this.#writing = true;
    request.data = data;
    let bytes = 0;
    for (const one of typeof data === "string" || Buffer.isBuffer(data) ? [data] : data) {
      bytes += one.length;
      if (typeof one !== "string" && !this.#tls) ReadBuffer.pin(one);
    }
    this.#queued += bytes;
    request.oncomplete = (status) => {
      this.#writing = false;
      this.#queued -= bytes;
      if (this.#closed) return;
      if (status < 0) this.#owner.onWriteError(status);
      else this.#flush();
    };
  }

  #flush(): void {
    if (this.#writing || this.#corks > 0 || this.#closed) return;
    const queue = this.#queue;
    if (this.#to > this.#from) this.#startTurn();
    else if (queue.length > 1) {
      this.#queue = [];
      for (const data of queue) this.#queued -= data.length;
      this.#startMany(queue);
    } else {
      const only = queue.pop();
      if (only !== undefined) {
        this.#queued -= only.length;
        this.#start(only);
      }
    }
    if (this.#writing || this.#closed) return;
    // not from within the write that found no room: its caller has yet to hear that
    if (this.#waiting) this.#turn.add(this);
    if (this.#ending) this.#owner.onAllWritten();
  }

  endTurn(): void {
    if (this.#waiting && this.#queued === 0 && !this.#closed) {
      this.#waiting = false;
      this.#owner.onDrain();
    } else this.#flush();
  }

  cork(): void {
    this.#spill();
    this.#corks++;
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
