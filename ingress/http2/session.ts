import { ControlFrames, type ControlHost } from "./control-frames.ts";
import { type BlockHead, type BlockSink, FieldBlocks } from "./field-blocks.ts";
import type { FloodGuard } from "./flood-guard.ts";
import { type FrameHead, FrameReader, type FrameSink } from "./frame-reader.ts";
import { type ByteOutlet, FrameWriter, type StreamKeeper } from "./frame-writer.ts";
import { errorCode, frameFlag, frameType, printGoaway, printReset } from "./frames.ts";
import { type DecodedFields, type FieldLimits, HpackDecoder } from "./hpack-decoder.ts";
import { PastStreams } from "./past-streams.ts";
import type { PeerSettings } from "./peer-settings.ts";
import type { SessionSide } from "./session-side.ts";
import { Http2Stream } from "./stream.ts";

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
export class Http2Session implements FrameSink, BlockSink, StreamKeeper, ControlHost {
  readonly writer: FrameWriter;
  readonly #side: SessionSide;
  readonly #guard: FloodGuard;
  readonly #reader = new FrameReader(this);
  readonly #blocks: FieldBlocks;
  readonly #decoder: HpackDecoder;
  readonly #control: ControlFrames;
  readonly #past = new PastStreams();
  readonly #streams = new Map<number, Http2Stream>();
  #lastStream = 0;
  #dataStream: Http2Stream | undefined;
  #failed = false;

  constructor(o: SessionOptions) {
    this.#side = o.side;
    this.#guard = o.guard;
    this.#blocks = new FieldBlocks(this, 2 * o.limits.bytes);
    this.#decoder = new HpackDecoder(o.limits);
    this.writer = new FrameWriter(o.outlet, { guard: o.guard, keeper: this, holdsBack: o.side.holdsBack });
    this.#control = new ControlFrames(this, o.side);
  }

  /** Says what this side has to say of itself. */
  start(): void {
    this.writer.start(this.#side.greeting);
  }

  get streamCount(): number {
    return this.#streams.size;
  }

  /** Those that are open, by number. */
  get streams(): ReadonlyMap<number, Http2Stream> {
    return this.#streams;
  }

  /** The last stream that was begun, whether it became one or not. */
  get lastStream(): number {
    return this.#lastStream;
  }

  /** The other side has said its settings. */
  get settled(): boolean {
    return this.#control.settled;
  }

  /** What the other side has said of itself. */
  get peer(): PeerSettings {
    return this.#control.peer;
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

  /** It was begun once, or can no longer be. */
  isPast(id: number): boolean {
    return id <= this.#lastStream && id % 2 === 1;
  }

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
    const first = !this.settled && head.type !== frameType.settings;
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
      default:
        this.#control.read(head, bytes, from);
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
    if (!this.settled || this.#blocks.amid || !this.isPast(head.stream)) {
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
    else if ((head.flags & frameFlag.padded) === 0 && !stream.expect(head.length)) this.blame(stream, errorCode.protocol);
    else this.#dataStream = stream;
  }

  #onPastData(stream: number): void {
    if (this.#past.wasReset(stream)) this.countIdle();
    else if (this.#past.neverBegan(stream)) this.fail(errorCode.protocol);
    else if (this.countIdle()) this.refuse(stream, errorCode.streamClosed);
  }

  onPadding(head: FrameHead, padding: number): void {
    const stream = this.#dataStream;
    if (stream === undefined || stream.closed) {
      this.writer.credit(padding);
      return;
    }
    stream.skip(padding);
    if (!stream.expect(head.length - padding)) this.blame(stream, errorCode.protocol);
  }

  onData(_head: FrameHead, bytes: Buffer): void {
    const stream = this.#dataStream;
    if (stream === undefined || stream.closed) this.writer.credit(bytes.length);
    else {
      stream.receive(bytes);
      this.#guard.worked(1);
    }
  }

  onDataEnd(head: FrameHead): void {
    const stream = this.#dataStream;
    if ((head.flags & frameFlag.endStream) === 0 || stream === undefined || stream.closed) return;
    if (!stream.receiveEnd()) this.blame(stream, errorCode.protocol);
  }
}
