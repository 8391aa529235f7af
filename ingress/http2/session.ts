import { type BlockHead, type BlockSink, dependsOn, FieldBlocks } from "./field-blocks.ts";
import type { FloodGuard } from "./flood-guard.ts";
import { type FrameHead, FrameReader, type FrameSink } from "./frame-reader.ts";
import { type ByteOutlet, FrameWriter, type StreamKeeper } from "./frame-writer.ts";
import { errorCode, frameFlag, frameHead, frameType, kinds, largestWindow, printGoaway, printReset } from "./frames.ts";
import { type DecodedFields, type FieldLimits, HpackDecoder } from "./hpack-decoder.ts";
import { PastStreams } from "./past-streams.ts";
import { PeerSettings } from "./peer-settings.ts";
import { Http2Stream } from "./stream.ts";

/** What a server and a client do differently. */
export interface SessionSide {
  /** What is said first. */
  readonly greeting: string;
  /** Some of what the other side has to say before its frames is still to come. */
  readonly amid: boolean;
  /** The last stream that the other side has begun. */
  readonly lastHeard: number;
  /** The other side may say that it takes pushes: a client may. */
  readonly peerTakesPush: boolean;
  /** What a stream holds counts in the window of its connection: else one that waits would stop all others. */
  readonly holdsBack: boolean;
  /** Where frames begin in what came; -1: it is none of HTTP/2. */
  framesAt(bytes: Buffer): number;
  /** All of one read was heard. */
  onRead(): void;
  /** A field block of a stream that nobody has begun yet. */
  onNewFields(head: BlockHead, fields: DecodedFields): void;
  onFields(stream: Http2Stream, head: BlockHead, fields: DecodedFields): void;
  /** A DATA frame begins. */
  onBody(): void;
  /** The other side gave the stream up, or is gone. */
  onLost(stream: Http2Stream, code: number): void;
  /** The first settings of the other side, or others. */
  onSettings(): void;
  /** The other side takes no stream above this one. */
  onGoaway(lastStream: number): void;
  /** No stream is open any more. */
  onIdle(): void;
  /** The connection has to be closed: what was wrong is said already. */
  onFailed(code: number): void;
}

export interface SessionOptions {
  readonly outlet: ByteOutlet;
  readonly side: SessionSide;
  readonly limits: FieldLimits;
  readonly guard: FloodGuard;
}

/**
 * One connection of HTTP/2 (RFC 9113), between bytes that come and bytes that go: what is the same for a server and a client. It knows
 * no socket and no clock.
 */
export class Http2Session implements FrameSink, BlockSink, StreamKeeper {
  readonly writer: FrameWriter;
  readonly peer: PeerSettings;
  readonly #side: SessionSide;
  readonly #guard: FloodGuard;
  readonly #reader = new FrameReader(this);
  readonly #blocks: FieldBlocks;
  readonly #decoder: HpackDecoder;
  readonly #past = new PastStreams();
  readonly #streams = new Map<number, Http2Stream>();
  #settled = false;
  #lastStream = 0;
  #dataStream: Http2Stream | undefined;
  #failed = false;

  constructor(o: SessionOptions) {
    this.#side = o.side;
    this.#guard = o.guard;
    this.peer = new PeerSettings(o.side.peerTakesPush);
    this.#blocks = new FieldBlocks(this, 2 * o.limits.bytes);
    this.#decoder = new HpackDecoder(o.limits);
    this.writer = new FrameWriter(o.outlet, { guard: o.guard, keeper: this, holdsBack: o.side.holdsBack });
  }

  /** Says what this side has to say of itself. */
  start(): void {
    this.writer.start(this.#side.greeting);
  }

  get streamCount(): number {
    return this.#streams.size;
  }

  get streams(): Iterable<Http2Stream> {
    return this.#streams.values();
  }

  /** The last stream that was begun, whether it became one or not. */
  get lastStream(): number {
    return this.#lastStream;
  }

  /** The other side has said its settings. */
  get settled(): boolean {
    return this.#settled;
  }

  /** Nothing is heard or said any more. */
  get failed(): boolean {
    return this.#failed;
  }

  /** Waits for the rest of a frame, or of a message's fields. */
  get amid(): boolean {
    return this.#reader.amid || this.#blocks.amid || this.#side.amid;
  }

  /** Bytes as they come; nothing of them is kept beyond the call without a copy. */
  receive(bytes: Buffer): void {
    if (this.#failed) return;
    const at = this.#side.framesAt(bytes);
    if (at < 0) {
      this.fail(errorCode.protocol);
      return;
    }
    this.#reader.read(bytes, at);
    this.#side.onRead();
  }

  /** There is room again where bytes go. */
  drained(): void {
    this.writer.drained();
  }

  /** So much time has passed: what is bought from it is there again. */
  passed(milliseconds: number): void {
    this.#guard.passed(milliseconds);
  }

  /** The connection is gone. */
  closed(): void {
    this.#failed = true;
    this.writer.stop();
    this.#reader.stop();
    for (const stream of [...this.#streams.values()]) this.#side.onLost(stream, errorCode.cancel);
  }

  /** Ends the connection for what the other side did. */
  fail(code: number): void {
    if (this.#failed) return;
    this.writer.write(printGoaway(this.#side.lastHeard, code));
    this.closed();
    this.#side.onFailed(code);
  }

  // streams

  /** Streams up to this one are begun from here on, or never. */
  comeTo(stream: number): void {
    this.#past.begun(this.#lastStream, stream);
    this.#lastStream = stream;
  }

  open(id: number): Http2Stream {
    const stream = new Http2Stream(this.writer, id, this.peer.initialWindow);
    this.#streams.set(id, stream);
    this.#guard.worked(10);
    return stream;
  }

  /** What the other side did wrong with one stream. */
  blame(stream: Http2Stream, code: number): void {
    stream.reset(code);
    this.countReset();
  }

  /** Resets a stream that never became one, or is no more. */
  refuse(stream: number, code: number): void {
    this.#past.reset(stream);
    this.writer.write(printReset(stream, code));
    this.countReset();
  }

  /** False: the connection has ended, so many streams were given up. */
  countReset(): boolean {
    if (this.#guard.reset()) return true;
    this.fail(errorCode.enhanceYourCalm);
    return false;
  }

  /** A frame that brings nothing; false: the connection has ended for it. */
  countIdle(): boolean {
    if (this.#guard.idle() && !this.writer.unread) return true;
    this.fail(errorCode.enhanceYourCalm);
    return false;
  }

  onReset(stream: number): void {
    this.#past.reset(stream);
  }

  onForgotten(stream: Http2Stream): void {
    this.#streams.delete(stream.id);
    if (this.#streams.size === 0) this.#side.onIdle();
  }

  // reading frames

  onFault(code: number): void {
    this.fail(code);
  }

  onFrame(head: FrameHead, bytes: Buffer, from: number): void {
    // the first frame of a side is its settings (RFC 9113 section 3.4)
    const first = !this.#settled && head.type !== frameType.settings;
    if (first || !this.#blocks.allows(head, head.type === frameType.continuation)) {
      this.fail(errorCode.protocol);
      return;
    }
    switch (head.type) {
      case frameType.headers:
        if (head.stream % 2 === 0) this.fail(errorCode.protocol);
        else this.#blocks.headers(head, bytes, from);
        return;
      case frameType.continuation:
        this.#blocks.continuation(head, bytes, from);
        return;
      case frameType.window:
        this.#onWindow(head, bytes, from);
        return;
      case frameType.reset:
        this.#onResetFrame(head, bytes, from);
        return;
      case frameType.settings:
        this.#onSettings(head, bytes, from);
        return;
      case frameType.ping:
        this.#onPing(head, bytes, from);
        return;
      case frameType.priority:
        this.#onPriority(head, bytes, from);
        return;
      case frameType.goaway:
        if (head.stream !== 0 || head.length < 8) this.fail(head.stream !== 0 ? errorCode.protocol : errorCode.frameSize);
        else if (this.countIdle()) this.#side.onGoaway(bytes.readUInt32BE(from) & largestWindow);
        return;
      case frameType.push:
        this.fail(errorCode.protocol);
        return;
      default:
        this.countIdle();
    }
  }

  onBlock(head: BlockHead, bytes: Buffer, from: number, to: number): void {
    const open = this.#streams.get(head.stream);
    if (open === undefined && head.stream <= this.#lastStream && !this.#past.wasReset(head.stream)) {
      this.fail(this.#past.neverBegan(head.stream) ? errorCode.protocol : errorCode.streamClosed);
      return;
    }
    // whatever becomes of the stream, the other side's table has changed
    const fields = this.#decoder.decode(bytes, from, to);
    if (fields === undefined) this.fail(errorCode.compression);
    else if (open !== undefined) this.#side.onFields(open, head, fields);
    else if (head.stream > this.#lastStream) this.#side.onNewFields(head, fields);
    else this.countIdle();
  }

  /** Fields behind a body, which end the stream. */
  receiveTrailers(stream: Http2Stream, last: boolean, fields: DecodedFields): void {
    if (stream.remoteEnded) this.blame(stream, errorCode.streamClosed);
    else if (!last || !fields.sound || fields.tooLarge || fields.lines.some((l) => l.name.startsWith(":"))) {
      this.blame(stream, errorCode.protocol);
    } else {
      stream.receiveFields(fields.lines, true);
      if (!stream.closed && !stream.receiveEnd()) this.blame(stream, errorCode.protocol);
    }
  }

  onDataHead(head: FrameHead): void {
    this.#dataStream = undefined;
    if (!this.#settled || this.#blocks.amid || !this.#isPast(head.stream)) {
      this.fail(errorCode.protocol);
      return;
    }
    if (!this.writer.takeRoom(head.length)) {
      this.fail(errorCode.flowControl);
      return;
    }
    this.#side.onBody();
    if (head.length === 0 && (head.flags & frameFlag.endStream) === 0) this.countIdle();
    const stream = this.#streams.get(head.stream);
    if (stream === undefined) this.#onPastData(head.stream);
    else if (stream.remoteEnded) this.blame(stream, errorCode.streamClosed);
    else if (!stream.headed) this.blame(stream, errorCode.protocol);
    else if (!stream.takeRoom(head.length)) this.blame(stream, errorCode.flowControl);
    else this.#dataStream = stream;
  }

  #onPastData(stream: number): void {
    if (this.#past.wasReset(stream)) this.countIdle();
    else if (this.#past.neverBegan(stream)) this.fail(errorCode.protocol);
    else if (this.countIdle()) this.refuse(stream, errorCode.streamClosed);
  }

  onPadding(_head: FrameHead, padding: number): void {
    const stream = this.#dataStream;
    if (stream === undefined || stream.closed) this.writer.credit(padding);
    else stream.skip(padding);
  }

  onData(_head: FrameHead, bytes: Buffer): void {
    const stream = this.#dataStream;
    if (stream === undefined || stream.closed) this.writer.credit(bytes.length);
    else if (stream.receive(bytes)) this.#guard.worked(1);
    else this.blame(stream, errorCode.protocol);
  }

  onDataEnd(head: FrameHead): void {
    const stream = this.#dataStream;
    if ((head.flags & frameFlag.endStream) === 0 || stream === undefined || stream.closed) return;
    if (!stream.receiveEnd()) this.blame(stream, errorCode.protocol);
  }

  #onWindow({ length, stream: id }: FrameHead, bytes: Buffer, from: number): void {
    if (length !== 4) {
      this.fail(errorCode.frameSize);
      return;
    }
    if (!this.countIdle()) return;
    const more = bytes.readUInt32BE(from) & largestWindow;
    if (id !== 0) {
      this.#widenStream(id, more);
      return;
    }
    const fault = this.writer.widen(more);
    if (fault !== errorCode.none) this.fail(fault);
  }

  #widenStream(id: number, more: number): void {
    const stream = this.#streams.get(id);
    if (stream === undefined) {
      if (!this.#isPast(id)) this.fail(errorCode.protocol);
      return;
    }
    stream.sendRoom += more;
    if (more === 0) this.blame(stream, errorCode.protocol);
    else if (stream.sendRoom > largestWindow) this.blame(stream, errorCode.flowControl);
    else if (stream.waits) this.writer.pump();
  }

  /** It was begun once, or can no longer be. */
  #isPast(id: number): boolean {
    return id <= this.#lastStream && id % 2 === 1;
  }

  #onResetFrame({ length, stream: id }: FrameHead, bytes: Buffer, from: number): void {
    if (!this.#isPast(id)) this.fail(errorCode.protocol);
    else if (length !== 4) this.fail(errorCode.frameSize);
    else if (this.countReset()) {
      const stream = this.#streams.get(id);
      if (stream === undefined) this.countIdle();
      else this.#side.onLost(stream, bytes.readUInt32BE(from));
    }
  }

  #onSettings({ length, stream, flags }: FrameHead, bytes: Buffer, from: number): void {
    if (stream !== 0) {
      this.fail(errorCode.protocol);
      return;
    }
    if (!this.countIdle()) return;
    if ((flags & frameFlag.ack) !== 0) {
      // what is acknowledged comes behind what its sender has to say of itself
      if (length !== 0 || !this.#settled) this.fail(length !== 0 ? errorCode.frameSize : errorCode.protocol);
      return;
    }
    this.#settled = true;
    const before = this.peer.initialWindow;
    const fault = this.peer.read(bytes, from, length);
    if (fault !== errorCode.none) {
      this.fail(fault);
      return;
    }
    const { headerTableBytes } = this.peer;
    if (headerTableBytes !== undefined) this.writer.encoder.limitTable(headerTableBytes);
    this.writer.write(frameHead(0, kinds.settingsAck, 0));
    this.#moveWindows(this.peer.initialWindow - before);
    if (!this.#failed) this.#side.onSettings();
  }

  /** RFC 9113 section 6.9.2. */
  #moveWindows(by: number): void {
    if (by === 0) return;
    for (const stream of this.#streams.values()) {
      stream.sendRoom += by;
      if (stream.sendRoom > largestWindow) {
        this.fail(errorCode.flowControl);
        return;
      }
    }
    if (by > 0) this.writer.pump();
  }

  #onPing({ length, stream, flags }: FrameHead, bytes: Buffer, from: number): void {
    if (stream !== 0) this.fail(errorCode.protocol);
    else if (length !== 8) this.fail(errorCode.frameSize);
    else if (this.countIdle() && (flags & frameFlag.ack) === 0)
      this.writer.write(frameHead(8, kinds.pingAck, 0) + bytes.toString("latin1", from, from + 8));
  }

  /** Priorities are deprecated: only what breaks their rules is told (RFC 9113 sections 5.3.2 and 6.3). */
  #onPriority({ length, stream: id }: FrameHead, bytes: Buffer, from: number): void {
    if (id === 0) {
      this.fail(errorCode.protocol);
      return;
    }
    if (!this.countIdle()) return;
    const fault = length !== 5 ? errorCode.frameSize : dependsOn(bytes, from) === id ? errorCode.protocol : errorCode.none;
    if (fault === errorCode.none) return;
    const stream = this.#streams.get(id);
    if (stream !== undefined) this.blame(stream, fault);
    else if (this.#isPast(id)) this.refuse(id, fault);
    // no stream can be reset that was never begun
    else this.fail(fault);
  }
}
