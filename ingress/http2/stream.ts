import type { FieldLine } from "./field-line.ts";
import { errorCode, usualWindow } from "./frames.ts";
import { type BlockSource, PendingBytes } from "./pending-bytes.ts";

/** Whose stream it is. Nothing comes after onClosed. */
export interface StreamOwner {
  /** Trailers; before them, where it is an answer that is waited for, its heads. `last`: nothing comes behind them. */
  onFields(lines: readonly FieldLine[], last: boolean): void;
  /** `bytes` are not kept beyond the call without a copy. */
  onData(bytes: Buffer): void;
  /** The other side has sent all. */
  onEnd(): void;
  /** There is room again, after send gave false. */
  onDrain(): void;
  /** Once, last: `none` where both sides have ended, else who gave the stream up says why. */
  onClosed(code: number): void;
}

/** The connection, as its streams see it. */
export interface StreamHost extends BlockSource {
  /** What was written has not left: it would only pile up. */
  readonly full: boolean;
  /** What a stream holds counts in the connection's window, as long as it does. */
  readonly holdsBack: boolean;
  /** Sends as much as the windows and the connection let through; how many bytes. `last`: the end of the stream, with the last of them. */
  sendData(stream: Http2Stream, bytes: Buffer, last: boolean): number;
  /** An empty block: only the end. */
  sendFields(stream: Http2Stream, fields: readonly string[] | undefined): void;
  sendReset(stream: Http2Stream, code: number): void;
  sendWindow(stream: Http2Stream, bytes: number): void;
  /** So many bytes of bodies have gone their way. */
  credit(bytes: number): void;
  /** It is told when there is room. */
  awaitRoom(stream: Http2Stream): void;
  forget(stream: Http2Stream): void;
}

const noBuffers: readonly Buffer[] = [];
const nobody: StreamOwner = { onFields: () => {}, onData: () => {}, onEnd: () => {}, onDrain: () => {}, onClosed: () => {} };

/** How its body ends: by itself, or with trailers. */
interface End {
  readonly trailers: readonly string[] | undefined;
}

/** One stream of a connection of HTTP/2: two directions, each with its window and its end. */
export class Http2Stream {
  readonly id: number;
  owner: StreamOwner = nobody;
  /** The head of what the other side has to say has come. */
  headed = false;
  /** What the other side lets this one send. */
  sendRoom: number;
  readonly #host: StreamHost;
  #receiveRoom = usualWindow;
  /** Received, handed on, and not yet given back to the window. */
  #owed = 0;
  /** Of the body, as it was announced; -1: it was not. */
  #announced = -1;
  #received = 0;
  #paused = false;
  /** Came while paused. */
  #held: Buffer[] | readonly Buffer[] = noBuffers;
  /** Trailers, and the end, that wait behind what is held. */
  #heldFields: readonly FieldLine[] | undefined;
  #remoteEnded = false;
  #endTold = false;
  /** Was sent, and waits for a window, or for the connection. */
  #pending: PendingBytes | undefined;
  #end: End | undefined;
  /** The end is sent. */
  #localEnded = false;
  /** The owner has said all: it may have announced how much that is, so that the end was sent before. */
  #complete = false;
  /** The owner waits for onDrain. */
  #awaited = false;
  #closed = false;
  #givenUp = false;

  constructor(host: StreamHost, id: number, sendRoom: number) {
    this.#host = host;
    this.id = id;
    this.sendRoom = sendRoom;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** This side has reset it. */
  get givenUp(): boolean {
    return this.#givenUp;
  }

  /** The other side has ended. */
  get remoteEnded(): boolean {
    return this.#remoteEnded;
  }

  /** Nothing can be sent any more. */
  get localEnded(): boolean {
    return this.#localEnded || this.#end !== undefined || this.#closed;
  }

  /** Bytes that were sent and still wait for a window, or for the connection. */
  get queuedBytes(): number {
    return this.#pending?.bytes ?? 0;
  }

  /** Has something to send, or to tell its owner, once there is room. */
  get waits(): boolean {
    return !this.#closed && (this.queuedBytes > 0 || this.#awaited);
  }

  /** The head was all: its owner knows that. */
  endsWithHead(): void {
    this.#remoteEnded = true;
    this.#endTold = true;
  }

  /** Called before any of the body is read. */
  announce(bytes: number): void {
    this.#announced = bytes;
  }

  // sending

  /** False: wait for onDrain. */
  send(bytes: Buffer): boolean {
    if (this.localEnded || bytes.length === 0) return true;
    this.#offer(bytes, false);
    if (this.queuedBytes === 0 && !this.#host.full) return true;
    this.#awaited = true;
    this.#host.awaitRoom(this);
    return false;
  }

  /** As send, and the end goes with it; the stream is open until its owner says so too. */
  sendLast(bytes: Buffer): void {
    if (this.localEnded) return;
    this.#offer(bytes, true);
    if (this.queuedBytes === 0) this.#ended();
    else {
      this.#end = { trailers: undefined };
      this.#host.awaitRoom(this);
    }
  }

  /** The end was sent with the head; the stream is open until its owner says so too. */
  endedWithHead(): void {
    if (!this.localEnded) this.#ended();
  }

  /** No more is sent, but trailers where there are some: flat. */
  end(trailers: readonly string[] | undefined): void {
    if (this.#complete || this.#closed) return;
    this.#complete = true;
    if (this.localEnded) this.#closeIfDone();
    else if (this.queuedBytes > 0) this.#end = { trailers };
    else this.#sendEnd(trailers);
  }

  #offer(bytes: Buffer, last: boolean): void {
    const sent = this.queuedBytes > 0 ? 0 : this.#host.sendData(this, bytes, last);
    if (sent === bytes.length) return;
    // it is sent later, the bytes are not ours to keep
    this.#pending ??= new PendingBytes(this.#host);
    this.#pending.append(sent === 0 ? bytes : bytes.subarray(sent));
  }

  /** Sends a frame of what waits; says so when there is room. False: nothing moved. */
  flush(): boolean {
    const pending = this.#pending;
    const first = pending?.first();
    if (pending === undefined || first === undefined) return this.#tellRoom();
    const last = this.#end !== undefined && this.#end.trailers === undefined && first.length === pending.bytes;
    const sent = this.#host.sendData(this, first, last);
    if (sent === 0) return false;
    pending.consume(sent);
    if (pending.bytes > 0) return true;
    if (last) this.#ended();
    else if (this.#end !== undefined) this.#sendEnd(this.#end.trailers);
    else this.#tellRoom();
    return true;
  }

  #tellRoom(): boolean {
    if (!this.#awaited || this.#host.full) return false;
    this.#awaited = false;
    this.owner.onDrain();
    return true;
  }

  #sendEnd(trailers: readonly string[] | undefined): void {
    this.#host.sendFields(this, trailers);
    this.#ended();
  }

  #ended(): void {
    this.#localEnded = true;
    this.#awaited = false;
    this.#closeIfDone();
  }

  // receiving

  /** A DATA frame of so many bytes begins; false: more than its window lets. */
  takeRoom(bytes: number): boolean {
    this.#receiveRoom -= bytes;
    return this.#receiveRoom >= 0;
  }

  /** Padding, or what nobody wants. */
  skip(bytes: number): void {
    this.#credit(bytes);
  }

  /** A frame has so many bytes of the body, which follow; false: more than was announced, and none of them may be told. */
  expect(bytes: number): boolean {
    this.#received += bytes;
    return this.#announced < 0 || this.#received <= this.#announced;
  }

  receive(bytes: Buffer): void {
    if (this.#paused) this.#hold(bytes);
    else {
      this.owner.onData(bytes);
      this.#credit(bytes.length);
    }
  }

  #hold(bytes: Buffer): void {
    if (this.#held === noBuffers) this.#held = [];
    (this.#held as Buffer[]).push(Buffer.from(bytes));
    if (!this.#host.holdsBack) this.#host.credit(bytes.length);
  }

  #deliverHeld(bytes: Buffer): void {
    this.owner.onData(bytes);
    if (this.#host.holdsBack) this.#host.credit(bytes.length);
    this.#giveBack(bytes.length);
  }

  #credit(bytes: number): void {
    this.#host.credit(bytes);
    this.#giveBack(bytes);
  }

  /** To the stream's own window. */
  #giveBack(bytes: number): void {
    this.#owed += bytes;
    if (this.#owed < usualWindow / 2 || this.#remoteEnded || this.#closed) return;
    this.#receiveRoom += this.#owed;
    this.#host.sendWindow(this, this.#owed);
    this.#owed = 0;
  }

  receiveFields(lines: readonly FieldLine[], last: boolean): void {
    if (this.#paused) this.#heldFields = lines;
    else this.owner.onFields(lines, last);
  }

  /** False: less than was announced. */
  receiveEnd(): boolean {
    if (this.#announced >= 0 && this.#received !== this.#announced) return false;
    this.#remoteEnded = true;
    this.#tellEnd();
    return true;
  }

  #tellEnd(): void {
    if (!this.#remoteEnded || this.#paused || this.#endTold || this.#closed) return;
    this.#endTold = true;
    this.owner.onEnd();
    this.#closeIfDone();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    while (!this.#isPaused() && !this.#closed) {
      const bytes = (this.#held as Buffer[]).shift();
      if (bytes === undefined) break;
      this.#deliverHeld(bytes);
    }
    if (this.#isPaused() || this.#closed) return;
    const fields = this.#heldFields;
    this.#heldFields = undefined;
    if (fields !== undefined) this.owner.onFields(fields, true);
    this.#tellEnd();
  }

  /** The owner may pause while it is told. */
  #isPaused(): boolean {
    return this.#paused;
  }

  // the end

  /** Gives the stream up; what waits is not sent. */
  reset(code: number): void {
    if (this.#closed) return;
    this.#givenUp = true;
    if (!this.#localEnded || !this.#remoteEnded) this.#host.sendReset(this, code);
    this.close(code);
  }

  /** It is no more, without a word to the other side. */
  close(code: number): void {
    if (this.#closed) return;
    this.#closed = true;
    let held = 0;
    for (const bytes of this.#held) held += bytes.length;
    this.#held = noBuffers;
    this.#pending?.clear();
    this.#host.forget(this);
    if (held > 0 && this.#host.holdsBack) this.#host.credit(held);
    this.owner.onClosed(code);
  }

  /** The other side wants no more of it, or is gone: what came whole and is still held goes its way. */
  lose(code: number): void {
    if (!this.#remoteEnded || this.#endTold) {
      this.close(code);
      return;
    }
    this.#localEnded = true;
    this.#complete = true;
    this.#awaited = false;
    this.#end = undefined;
    this.#pending?.clear();
  }

  #closeIfDone(): void {
    if (this.#localEnded && this.#complete && this.#endTold) this.close(errorCode.none);
  }
}
