import { type BlockHead, type BlockSink, dependsOn, FieldBlocks } from "./field-blocks.ts";
import type { FieldLine } from "./field-line.ts";
import { FloodGuard } from "./flood-guard.ts";
import { type FrameHead, FrameReader, type FrameSink } from "./frame-reader.ts";
import { type ByteOutlet, FrameWriter, type StreamKeeper } from "./frame-writer.ts";
import {
  clientPreface,
  errorCode,
  frameFlag,
  frameHead,
  frameType,
  kinds,
  largestWindow,
  printGoaway,
  printReset,
  printSettings,
  settingId,
} from "./frames.ts";
import { type DecodedFields, type FieldLimits, HpackDecoder } from "./hpack-decoder.ts";
import { PastStreams } from "./past-streams.ts";
import { PeerSettings } from "./peer-settings.ts";
import { Http2Stream } from "./stream.ts";

/** Whose connection it is. */
export interface SessionOwner {
  /** The other side has begun a stream; its owner has to be set in the call. */
  onStream(stream: Http2Stream, lines: readonly FieldLine[]): void;
  /** As onStream, with more fields than may be. */
  onOversized(stream: Http2Stream): void;
  /** No stream is open any more. */
  onIdle(): void;
  /** The connection has to be closed: what was wrong is said already. */
  onFailed(code: number): void;
}

export interface SessionOptions {
  readonly outlet: ByteOutlet;
  readonly owner: SessionOwner;
  readonly limits: FieldLimits;
  /** Streams that the other side may have open at once. */
  readonly maxStreams: number;
}

/**
 * The server's side of one connection of HTTP/2 (RFC 9113), between bytes that come and bytes that go: it knows no socket and no
 * clock. Streams that are begun and given up within one read are never told.
 */
export class Http2Session implements FrameSink, BlockSink, StreamKeeper {
  readonly #owner: SessionOwner;
  readonly #limits: FieldLimits;
  readonly #maxStreams: number;
  readonly #reader = new FrameReader(this);
  readonly #blocks: FieldBlocks;
  readonly #decoder: HpackDecoder;
  readonly #guard = new FloodGuard();
  readonly writer: FrameWriter;
  readonly #peer = new PeerSettings();
  readonly #past = new PastStreams();
  readonly #streams = new Map<number, Http2Stream>();
  /** Letters of the client's preface that have come. */
  #prefaceRead = 0;
  #settled = false;
  /** Begun in this read, and not told yet. */
  #begun: { readonly stream: Http2Stream; readonly fields: DecodedFields }[] = [];
  #lastStream = 0;
  /** Streams above are not taken any more. */
  #mostStream = largestWindow;
  #dataStream: Http2Stream | undefined;
  #failed = false;

  constructor(o: SessionOptions) {
    this.#owner = o.owner;
    this.#limits = o.limits;
    this.#maxStreams = o.maxStreams;
    this.#blocks = new FieldBlocks(this, 2 * o.limits.bytes);
    this.#decoder = new HpackDecoder(o.limits);
    this.writer = new FrameWriter(o.outlet, this.#guard, this);
  }

  /** Says what this side has to say of itself. */
  start(): void {
    const settings = printSettings([
      [settingId.maxConcurrentStreams, this.#maxStreams],
      [settingId.maxHeaderListSize, this.#limits.bytes],
      [settingId.connectProtocol, 1],
    ]);
    this.writer.start(settings);
  }

  get streamCount(): number {
    return this.#streams.size;
  }

  /** Waits for the rest of a frame, or of a message's fields. */
  get amid(): boolean {
    return this.#reader.amid || this.#blocks.amid || this.#prefaceRead < clientPreface.length;
  }

  /** Bytes as they come; nothing of them is kept beyond the call without a copy. */
  receive(bytes: Buffer): void {
    if (this.#failed) return;
    let at = 0;
    while (this.#prefaceRead < clientPreface.length && at < bytes.length) {
      if (bytes[at++] === clientPreface.charCodeAt(this.#prefaceRead++)) continue;
      this.#fail(errorCode.protocol);
      return;
    }
    this.#reader.read(bytes, at);
    this.#beginAll();
  }

  /** There is room again where bytes go. */
  drained(): void {
    this.writer.drained();
  }

  /** So much time has passed: what is bought from it is there again. */
  passed(milliseconds: number): void {
    this.#guard.passed(milliseconds);
  }

  /** Asks for no more streams; those on their way are still taken (RFC 9113 section 6.8). */
  announceEnd(): void {
    this.writer.write(printGoaway(largestWindow, errorCode.none));
  }

  /** Takes no more streams; those that are open finish. */
  refuseMore(): void {
    if (this.#mostStream !== largestWindow) return;
    this.#mostStream = this.#lastStream;
    this.writer.write(printGoaway(this.#lastStream, errorCode.none));
  }

  /** The connection is gone. */
  closed(): void {
    this.#failed = true;
    this.writer.stop();
    this.#reader.stop();
    this.#begun = [];
    for (const stream of [...this.#streams.values()]) stream.close(errorCode.cancel);
  }

  // reading frames

  onFault(code: number): void {
    this.#fail(code);
  }

  onFrame(head: FrameHead, bytes: Buffer, from: number): void {
    // the first frame of a side is its settings (RFC 9113 section 3.4)
    const first = !this.#settled && head.type !== frameType.settings;
    if (first || !this.#blocks.allows(head, head.type === frameType.continuation)) {
      this.#fail(errorCode.protocol);
      return;
    }
    switch (head.type) {
      case frameType.headers:
        if (head.stream % 2 === 0) this.#fail(errorCode.protocol);
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
        if (head.stream !== 0 || head.length < 8) this.#fail(head.stream !== 0 ? errorCode.protocol : errorCode.frameSize);
        else this.#idle();
        return;
      case frameType.push:
        this.#fail(errorCode.protocol);
        return;
      default:
        this.#idle();
    }
  }

  onBlock(head: BlockHead, bytes: Buffer, from: number, to: number): void {
    const open = this.#streams.get(head.stream);
    if (open === undefined && head.stream <= this.#lastStream && !this.#past.wasReset(head.stream)) {
      this.#fail(this.#past.neverBegan(head.stream) ? errorCode.protocol : errorCode.streamClosed);
      return;
    }
    // whatever becomes of the stream, the other side's table has changed
    const fields = this.#decoder.decode(bytes, from, to);
    if (fields === undefined) this.#fail(errorCode.compression);
    else if (open !== undefined) this.#onTrailers(open, head.last, fields);
    else if (head.stream > this.#lastStream) this.#begin(head, fields);
    else this.#idle();
  }

  #begin(head: BlockHead, fields: DecodedFields): void {
    this.#past.begun(this.#lastStream, head.stream);
    this.#lastStream = head.stream;
    if (head.stream > this.#mostStream || this.#streams.size >= this.#maxStreams) {
      this.#refuse(head.stream, errorCode.refusedStream);
      return;
    }
    if (!fields.sound || head.selfDependent) {
      this.#refuse(head.stream, errorCode.protocol);
      return;
    }
    const stream = new Http2Stream(this.writer, head.stream, this.#peer.initialWindow);
    this.#streams.set(head.stream, stream);
    this.#guard.worked(10);
    if (head.last) stream.endsWithHead();
    this.#begun.push({ stream, fields });
  }

  /** Resets a stream that never became one. */
  #refuse(stream: number, code: number): void {
    this.#past.reset(stream);
    this.writer.write(printReset(stream, code));
    if (!this.#guard.reset()) this.#fail(errorCode.enhanceYourCalm);
  }

  #onTrailers(stream: Http2Stream, last: boolean, fields: DecodedFields): void {
    this.#beginAll();
    if (stream.remoteEnded) this.blame(stream, errorCode.streamClosed);
    else if (!last || !fields.sound || fields.tooLarge || fields.lines.some((l) => l.name.startsWith(":"))) {
      this.blame(stream, errorCode.protocol);
    } else {
      stream.receiveFields(fields.lines);
      if (!stream.closed && !stream.receiveEnd()) this.blame(stream, errorCode.protocol);
    }
  }

  /** Tells of the streams that were begun and are not given up yet. */
  #beginAll(): void {
    if (this.#begun.length === 0) return;
    const begun = this.#begun;
    this.#begun = [];
    for (const { stream, fields } of begun) {
      if (stream.closed) continue;
      if (fields.tooLarge) {
        if (!this.#guard.reset()) this.#fail(errorCode.enhanceYourCalm);
        else this.#owner.onOversized(stream);
      } else this.#owner.onStream(stream, fields.lines);
    }
  }

  /** What the other side did wrong with one stream. */
  blame(stream: Http2Stream, code: number): void {
    stream.reset(code);
    if (!this.#guard.reset()) this.#fail(errorCode.enhanceYourCalm);
  }

  onDataHead(head: FrameHead): void {
    this.#dataStream = undefined;
    if (this.#blocks.amid || head.stream === 0 || head.stream > this.#lastStream || head.stream % 2 === 0) {
      this.#fail(errorCode.protocol);
      return;
    }
    if (!this.writer.takeRoom(head.length)) {
      this.#fail(errorCode.flowControl);
      return;
    }
    this.#beginAll();
    if (head.length === 0 && (head.flags & frameFlag.endStream) === 0) this.#idle();
    const stream = this.#streams.get(head.stream);
    if (stream === undefined) this.#onPastData(head.stream);
    else if (stream.remoteEnded) this.blame(stream, errorCode.streamClosed);
    else if (!stream.takeRoom(head.length)) this.blame(stream, errorCode.flowControl);
    else this.#dataStream = stream;
  }

  #onPastData(stream: number): void {
    if (this.#past.wasReset(stream)) this.#idle();
    else if (this.#past.neverBegan(stream)) this.#fail(errorCode.protocol);
    else this.#refuse(stream, errorCode.streamClosed);
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
      this.#fail(errorCode.frameSize);
      return;
    }
    if (!this.#idle()) return;
    const more = bytes.readUInt32BE(from) & 0x7fff_ffff;
    if (id !== 0) {
      this.#widenStream(id, more);
      return;
    }
    const fault = this.writer.widen(more);
    if (fault !== errorCode.none) this.#fail(fault);
  }

  #widenStream(id: number, more: number): void {
    const stream = this.#streams.get(id);
    if (stream === undefined) {
      if (!this.#isPast(id)) this.#fail(errorCode.protocol);
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
    if (id === 0 || !this.#isPast(id)) this.#fail(errorCode.protocol);
    else if (length !== 4) this.#fail(errorCode.frameSize);
    else if (!this.#guard.reset()) this.#fail(errorCode.enhanceYourCalm);
    else this.#streams.get(id)?.close(bytes.readUInt32BE(from));
  }

  #onSettings({ length, stream, flags }: FrameHead, bytes: Buffer, from: number): void {
    if (stream !== 0) {
      this.#fail(errorCode.protocol);
      return;
    }
    if (!this.#idle()) return;
    this.#settled = true;
    if ((flags & frameFlag.ack) !== 0) {
      if (length !== 0) this.#fail(errorCode.frameSize);
      return;
    }
    const before = this.#peer.initialWindow;
    const fault = this.#peer.read(bytes, from, length);
    if (fault !== errorCode.none) {
      this.#fail(fault);
      return;
    }
    const { headerTableBytes } = this.#peer;
    if (headerTableBytes !== undefined) this.writer.encoder.limitTable(headerTableBytes);
    this.writer.write(frameHead(0, kinds.settingsAck, 0));
    this.#moveWindows(this.#peer.initialWindow - before);
  }

  /** RFC 9113 section 6.9.2. */
  #moveWindows(by: number): void {
    if (by === 0) return;
    for (const stream of this.#streams.values()) {
      stream.sendRoom += by;
      if (stream.sendRoom > largestWindow) {
        this.#fail(errorCode.flowControl);
        return;
      }
    }
    if (by > 0) this.writer.pump();
  }

  #onPing({ length, stream, flags }: FrameHead, bytes: Buffer, from: number): void {
    if (stream !== 0) this.#fail(errorCode.protocol);
    else if (length !== 8) this.#fail(errorCode.frameSize);
    else if (this.#idle() && (flags & frameFlag.ack) === 0)
      this.writer.write(frameHead(8, kinds.pingAck, 0) + bytes.toString("latin1", from, from + 8));
  }

  /** Priorities are deprecated: only what breaks their rules is told (RFC 9113 sections 5.3.2 and 6.3). */
  #onPriority({ length, stream: id }: FrameHead, bytes: Buffer, from: number): void {
    if (id === 0) {
      this.#fail(errorCode.protocol);
      return;
    }
    if (!this.#idle()) return;
    const fault = length !== 5 ? errorCode.frameSize : dependsOn(bytes, from) === id ? errorCode.protocol : errorCode.none;
    if (fault === errorCode.none) return;
    const stream = this.#streams.get(id);
    if (stream !== undefined) this.blame(stream, fault);
    else if (this.#isPast(id)) this.#refuse(id, fault);
    // no stream can be reset that was never begun
    else this.#fail(fault);
  }

  /** False: the connection has ended for it. */
  #idle(): boolean {
    if (this.#guard.idle() && !this.writer.unread) return true;
    this.#fail(errorCode.enhanceYourCalm);
    return false;
  }

  #fail(code: number): void {
    if (this.#failed) return;
    this.writer.write(printGoaway(this.#lastStream, code));
    this.closed();
    this.#owner.onFailed(code);
  }

  // streams, as the writer tells of them

  onReset(stream: number): void {
    this.#past.reset(stream);
  }

  onForgotten(stream: Http2Stream): void {
    this.#streams.delete(stream.id);
    if (this.#streams.size === 0) this.#owner.onIdle();
  }
}
