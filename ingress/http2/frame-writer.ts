import type { FloodGuard } from "./flood-guard.ts";
import {
  errorCode,
  frameHead,
  kinds,
  largestWindow,
  printHeaders,
  printReset,
  printWindowUpdate,
  usualFrameBytes,
  usualWindow,
} from "./frames.ts";
import { HpackEncoder } from "./hpack-encoder.ts";
import type { BlockSource } from "./pending-bytes.ts";
import type { Http2Stream, StreamHost } from "./stream.ts";

/** Where the bytes of a connection go; its blocks may be used again once what was written of them has left the call, or the cork. */
export interface ByteOutlet extends BlockSource {
  /** Written, and not taken yet. */
  readonly queuedBytes: number;
  /** Text is latin1. False: what is written piles up; tell the session when there is room. */
  write(data: Buffer | string): boolean;
  /** Writes between the two leave together. */
  cork(): void;
  uncork(): void;
}

/** Told of what becomes of streams. */
export interface StreamKeeper {
  /** This side gave it up while the other could still send. */
  onReset(stream: number): void;
  onForgotten(stream: Http2Stream): void;
}

/** What a connection may have of bodies on its way here; streams have the usual window each. */
const receiveWindow = 1024 * 1024;
/** Bytes that connections send as one with the text before them. */
const joinedBytes = 8 * 1024;
/** What is answered piles up no further, where the other side does not read. */
const mostUnread = 1024 * 1024;
/** A DATA frame with more in it is work, and so is a shorter one that no window has cut. */
const leastWork = 512;

/** What one side says on a connection of HTTP/2, and the connection's own windows. */
export class FrameWriter implements StreamHost {
  readonly encoder = new HpackEncoder();
  readonly holdsBack: boolean;
  readonly #outlet: ByteOutlet;
  readonly #guard: FloodGuard;
  readonly #keeper: StreamKeeper;
  /** Have something to send, or wait to be told of room. */
  readonly #waiting = new Set<Http2Stream>();
  #sendRoom = usualWindow;
  #receiveRoom = receiveWindow;
  /** Of bodies, gone their way and not given back to the window. */
  #owed = 0;
  #full = false;
  /** Writes of one turn of all streams are being put together. */
  #pumping = false;
  /** They may still be written from. */
  readonly #spent: Buffer[] = [];
  #stopped = false;

  constructor(outlet: ByteOutlet, o: { readonly guard: FloodGuard; readonly keeper: StreamKeeper; readonly holdsBack: boolean }) {
    this.#outlet = outlet;
    this.#guard = o.guard;
    this.#keeper = o.keeper;
    this.holdsBack = o.holdsBack;
  }

  get full(): boolean {
    return this.#full;
  }

  /** What was answered is not read. */
  get unread(): boolean {
    return this.#outlet.queuedBytes > mostUnread;
  }

  /** Frames as they are. */
  write(text: string): void {
    if (!this.#stopped) this.#outlet.write(text);
  }

  /** As write, with the larger window of the connection. */
  start(settings: string): void {
    this.write(settings + printWindowUpdate(0, receiveWindow - usualWindow));
  }

  /** Nothing is written from here on. */
  stop(): void {
    this.#stopped = true;
  }

  /** There is room again where bytes go. */
  drained(): void {
    this.#full = false;
    this.pump();
  }

  /** The other side lets so much more be sent; gives what is wrong with that. */
  widen(more: number): number {
    if (more === 0) return errorCode.protocol;
    this.#sendRoom += more;
    if (this.#sendRoom > largestWindow) return errorCode.flowControl;
    this.pump();
    return errorCode.none;
  }

  /** A DATA frame of so many bytes begins; false: more than the window lets. */
  takeRoom(bytes: number): boolean {
    this.#receiveRoom -= bytes;
    return this.#receiveRoom >= 0;
  }

  credit(bytes: number): void {
    this.#owed += bytes;
    if (this.#owed < receiveWindow / 2 || this.#stopped) return;
    this.#receiveRoom += this.#owed;
    this.#outlet.write(printWindowUpdate(0, this.#owed));
    this.#owed = 0;
  }

  /** A message's fields, as a block of this connection's encoder. */
  sendBlock(stream: Http2Stream, block: string, o: { readonly last: boolean }): void {
    this.write(printHeaders(stream.id, block, o.last ? kinds.onlyHeaders : kinds.headers));
  }

  sendFields(stream: Http2Stream, fields: readonly string[] | undefined): void {
    if (fields === undefined || fields.length === 0) this.write(frameHead(0, kinds.lastData, stream.id));
    else this.write(printHeaders(stream.id, this.encoder.fields(fields), kinds.onlyHeaders));
  }

  sendData(stream: Http2Stream, bytes: Buffer, last: boolean): number {
    if (this.#full || this.#stopped) return 0;
    const most = Math.min(bytes.length, stream.sendRoom, this.#sendRoom);
    if (most <= 0) return 0;
    const outlet = this.#outlet;
    const alone = most > joinedBytes;
    let room = true;
    if (alone) outlet.cork();
    for (let at = 0; at < most; at += usualFrameBytes) {
      const to = Math.min(at + usualFrameBytes, most);
      outlet.write(frameHead(to - at, last && to === bytes.length ? kinds.lastData : kinds.data, stream.id));
      room = outlet.write(at === 0 && to === bytes.length ? bytes : bytes.subarray(at, to));
    }
    if (alone) outlet.uncork();
    stream.sendRoom -= most;
    this.#sendRoom -= most;
    if (most >= leastWork || most === bytes.length) this.#guard.worked(4 * Math.ceil(most / usualFrameBytes));
    // what was corked may have left with the uncork
    this.#full = !room && outlet.queuedBytes > 0;
    return most;
  }

  sendReset(stream: Http2Stream, code: number): void {
    if (!stream.remoteEnded) this.#keeper.onReset(stream.id);
    this.write(printReset(stream.id, code));
  }

  sendWindow(stream: Http2Stream, bytes: number): void {
    this.write(printWindowUpdate(stream.id, bytes));
  }

  awaitRoom(stream: Http2Stream): void {
    this.#waiting.add(stream);
  }

  forget(stream: Http2Stream): void {
    this.#waiting.delete(stream);
    this.#keeper.onForgotten(stream);
  }

  takeBlock(): Buffer {
    return this.#outlet.takeBlock();
  }

  giveBlock(block: Buffer): void {
    if (this.#pumping) this.#spent.push(block);
    else this.#outlet.giveBlock(block);
  }

  /** A frame of each in turn, as long as there is room; they leave together. */
  pump(): void {
    if (this.#full || this.#pumping || this.#waiting.size === 0) return;
    this.#pumping = true;
    this.#outlet.cork();
    this.#takeTurns();
    this.#outlet.uncork();
    this.#pumping = false;
    for (const block of this.#spent.splice(0)) this.#outlet.giveBlock(block);
  }

  #takeTurns(): void {
    let still = 0;
    while (!this.#full && !this.#stopped && still < this.#waiting.size) {
      const [stream] = this.#waiting;
      if (stream === undefined) return;
      this.#waiting.delete(stream);
      still = stream.flush() ? 0 : still + 1;
      if (stream.waits) this.#waiting.add(stream);
    }
  }
}
