import type { FieldLine } from "./field-line.ts";
import { FloodGuard } from "./flood-guard.ts";
import { type FrameHead, FrameReader, type FrameSink } from "./frame-reader.ts";
import {
  clientPreface,
  errorCode,
  frameFlag,
  frameHead,
  frameType,
  kinds,
  largestWindow,
  printGoaway,
  printHeaders,
  printReset,
  printSettings,
  printWindowUpdate,
  settingId,
  usualFrameBytes,
  usualWindow,
} from "./frames.ts";
import { type DecodedFields, type FieldLimits, HpackDecoder } from "./hpack-decoder.ts";
import { HpackEncoder } from "./hpack-encoder.ts";
import { PastStreams } from "./past-streams.ts";
import { PeerSettings } from "./peer-settings.ts";
import { Http2Stream, type StreamHost } from "./stream.ts";

/** Where the bytes of a connection go. */
export interface ByteOutlet {
  /** Written, and not taken yet. */
  readonly queuedBytes: number;
  /** Text is latin1. False: what is written piles up; tell the session when there is room. */
  write(data: Buffer | string): boolean;
  /** Writes between the two leave together. */
  cork(): void;
  uncork(): void;
}

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

/** What a connection may have of bodies on its way here; streams have the usual window each. */
const receiveWindow = 1024 * 1024;
/** Bytes that connections send as one with the text before them. */
const joinedBytes = 8 * 1024;
/** Frames of one field block. */
const mostContinuations = 32;
/** Acknowledgements pile up no further, where the other side does not read. */
const mostUnread = 1024 * 1024;
/** A DATA frame with more in it is work. */
const leastWork = 512;

/** Of a field block that comes in several frames. */
interface OpenBlock {
  readonly stream: number;
  readonly last: boolean;
  readonly selfDependent: boolean;
  readonly parts: Buffer[];
  bytes: number;
}

/**
 * The server's side of one connection of HTTP/2 (RFC 9113), between bytes that come and bytes that go: it knows no socket and no
 * clock. Streams that are begun and given up within one read are never told.
 */
export class Http2Session implements FrameSink, StreamHost {
  readonly #outlet: ByteOutlet;
  readonly #owner: SessionOwner;
  readonly #limits: FieldLimits;
  readonly #maxStreams: number;
  readonly #reader = new FrameReader(this);
  readonly #decoder: HpackDecoder;
  readonly encoder = new HpackEncoder();
  readonly #guard = new FloodGuard();
  readonly #peer = new PeerSettings();
  readonly #past = new PastStreams();
  readonly #streams = new Map<number, Http2Stream>();
  /** Have something to send, or wait to be told of room. */
  readonly #waiting = new Set<Http2Stream>();
  /** Letters of the client's preface that have come. */
  #prefaceRead = 0;
  #settled = false;
  /** Begun in this read, and not told yet. */
  #begun: { readonly stream: Http2Stream; readonly fields: DecodedFields }[] = [];
  #lastStream = 0;
  /** Streams above are not taken any more. */
  #mostStream = largestWindow;
  #block: OpenBlock | undefined;
  #dataStream: Http2Stream | undefined;
  #sendRoom = usualWindow;
  #receiveRoom = receiveWindow;
  #owed = 0;
  #full = false;
  #failed = false;

  constructor(o: SessionOptions) {
    this.#outlet = o.outlet;
    this.#owner = o.owner;
    this.#limits = o.limits;
    this.#maxStreams = o.maxStreams;
    this.#decoder = new HpackDecoder(o.limits);
  }

  /** Says what this side has to say of itself. */
  start(): void {
    const settings = printSettings([
      [settingId.maxConcurrentStreams, this.#maxStreams],
      [settingId.maxHeaderListSize, this.#limits.bytes],
      [settingId.connectProtocol, 1],
    ]);
    this.#outlet.write(settings + printWindowUpdate(0, receiveWindow - usualWindow));
  }

  get streamCount(): number {
    return this.#streams.size;
  }

  /** Waits for the rest of a frame, or of a message's fields. */
  get amid(): boolean {
    return this.#reader.amid || this.#block !== undefined || this.#prefaceRead < clientPreface.length;
  }

  get full(): boolean {
    return this.#full;
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
    this.#full = false;
    this.#pump();
  }

  /** So much time has passed: what is bought from it is there again. */
  passed(milliseconds: number): void {
    this.#guard.passed(milliseconds);
  }

  /** Asks for no more streams; those on their way are still taken (RFC 9113 section 6.8). */
  announceEnd(): void {
    if (!this.#failed) this.#outlet.write(printGoaway(largestWindow, errorCode.none));
  }

  /** Takes no more streams; those that are open finish. */
  refuseMore(): void {
    if (this.#failed || this.#mostStream !== largestWindow) return;
    this.#mostStream = this.#lastStream;
    this.#outlet.write(printGoaway(this.#lastStream, errorCode.none));
  }

  /** The connection is gone. */
  closed(): void {
    this.#failed = true;
    this.#reader.stop();
    this.#begun = [];
    for (const stream of [...this.#streams.values()]) stream.close(errorCode.cancel);
  }

  // reading frames

  onFault(code: number): void {
    this.#fail(code);
  }

  onFrame(head: FrameHead, bytes: Buffer, from: number): void {
    if (this.#block !== undefined && (head.type !== frameType.continuation || head.stream !== this.#block.stream)) {
      this.#fail(errorCode.protocol);
      return;
    }
    // the first frame of a side is its settings (RFC 9113 section 3.4)
    if (!this.#settled && head.type !== frameType.settings) {
      this.#fail(errorCode.protocol);
      return;
    }
    switch (head.type) {
      case frameType.headers:
        this.#onHeaders(head, bytes, from);
        return;
      case frameType.continuation:
        this.#onContinuation(head, bytes, from);
        return;
      case frameType.window:
        this.#onWindow(head, bytes, from);
        return;
      case frameType.reset:
        this.#onReset(head, bytes, from);
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

  #onHeaders(head: FrameHead, bytes: Buffer, from: number): void {
    const { stream, flags } = head;
    if (stream === 0 || stream % 2 === 0) {
      this.#fail(errorCode.protocol);
      return;
    }
    let at = from;
    let to = from + head.length;
    if ((flags & frameFlag.padded) !== 0) to -= bytes[at++] ?? 0;
    let selfDependent = false;
    if ((flags & frameFlag.priority) !== 0) {
      selfDependent = at + 5 <= to && (bytes.readUInt32BE(at) & 0x7fff_ffff) === stream;
      at += 5;
    }
    if (at > to) {
      this.#fail(errorCode.protocol);
      return;
    }
    const last = (flags & frameFlag.endStream) !== 0;
    if ((flags & frameFlag.endHeaders) !== 0) this.#onBlock({ stream, last, selfDependent }, bytes, at, to);
    else this.#block = { stream, last, selfDependent, parts: [Buffer.from(bytes.subarray(at, to))], bytes: to - at };
  }

  #onContinuation(head: FrameHead, bytes: Buffer, from: number): void {
    const block = this.#block;
    if (block === undefined) {
      this.#fail(errorCode.protocol);
      return;
    }
    block.parts.push(Buffer.from(bytes.subarray(from, from + head.length)));
    block.bytes += head.length;
    // what is too large is unpacked to be refused, but not at any length
    if (block.bytes > 2 * this.#limits.bytes || block.parts.length > mostContinuations) this.#fail(errorCode.enhanceYourCalm);
    else if ((head.flags & frameFlag.endHeaders) !== 0) {
      this.#block = undefined;
      this.#onBlock(block, Buffer.concat(block.parts), 0, block.bytes);
    }
  }

  #onBlock(head: Pick<OpenBlock, "stream" | "last" | "selfDependent">, bytes: Buffer, from: number, to: number): void {
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

  #begin(head: Pick<OpenBlock, "stream" | "last" | "selfDependent">, fields: DecodedFields): void {
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
    const stream = new Http2Stream(this, head.stream, this.#peer.initialWindow);
    this.#streams.set(head.stream, stream);
    this.#guard.worked(10);
    if (head.last) stream.endsWithHead();
    this.#begun.push({ stream, fields });
  }

  /** Resets a stream that never became one. */
  #refuse(stream: number, code: number): void {
    this.#past.reset(stream);
    this.#outlet.write(printReset(stream, code));
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
    if (this.#block !== undefined || head.stream === 0 || head.stream > this.#lastStream || head.stream % 2 === 0) {
      this.#fail(errorCode.protocol);
      return;
    }
    this.#receiveRoom -= head.length;
    if (this.#receiveRoom < 0) {
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
    if (stream === undefined || stream.closed) this.credit(padding);
    else stream.skip(padding);
  }

  onData(_head: FrameHead, bytes: Buffer): void {
    const stream = this.#dataStream;
    if (stream === undefined || stream.closed) this.credit(bytes.length);
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
    if (id === 0) this.#widen(more);
    else this.#widenStream(id, more);
  }

  #widen(more: number): void {
    this.#sendRoom += more;
    if (more === 0) this.#fail(errorCode.protocol);
    else if (this.#sendRoom > largestWindow) this.#fail(errorCode.flowControl);
    else this.#pump();
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
    else if (stream.waits) this.#pump();
  }

  /** It was begun once, or can no longer be. */
  #isPast(id: number): boolean {
    return id <= this.#lastStream && id % 2 === 1;
  }

  #onReset({ length, stream: id }: FrameHead, bytes: Buffer, from: number): void {
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
    if (headerTableBytes !== undefined) this.encoder.limitTable(headerTableBytes);
    this.#outlet.write(frameHead(0, kinds.settingsAck, 0));
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
    if (by > 0) this.#pump();
  }

  #onPing({ length, stream, flags }: FrameHead, bytes: Buffer, from: number): void {
    if (stream !== 0) this.#fail(errorCode.protocol);
    else if (length !== 8) this.#fail(errorCode.frameSize);
    else if (this.#idle() && (flags & frameFlag.ack) === 0)
      this.#outlet.write(frameHead(8, kinds.pingAck, 0) + bytes.toString("latin1", from, from + 8));
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
    if (this.#guard.idle() && (!this.#full || this.#outlet.queuedBytes < mostUnread)) return true;
    this.#fail(errorCode.enhanceYourCalm);
    return false;
  }

  #fail(code: number): void {
    if (this.#failed) return;
    this.#outlet.write(printGoaway(this.#lastStream, code));
    this.closed();
    this.#owner.onFailed(code);
  }

  // writing, as streams ask for it

  /** A message's fields, as a block of this connection's encoder. */
  sendBlock(stream: Http2Stream, block: string, o: { readonly last: boolean }): void {
    if (!this.#failed) this.#outlet.write(printHeaders(stream.id, block, o.last ? kinds.onlyHeaders : kinds.headers));
  }

  sendFields(stream: Http2Stream, fields: readonly string[] | undefined): void {
    if (this.#failed) return;
    if (fields === undefined || fields.length === 0) this.#outlet.write(frameHead(0, kinds.lastData, stream.id));
    else this.#outlet.write(printHeaders(stream.id, this.encoder.fields(fields), kinds.onlyHeaders));
  }

  sendData(stream: Http2Stream, bytes: Buffer, last: boolean): number {
    if (this.#full || this.#failed) return 0;
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
    if (most >= leastWork) this.#guard.worked(4 * Math.ceil(most / usualFrameBytes));
    // what was corked may have left with the uncork
    this.#full = !room && outlet.queuedBytes > 0;
    return most;
  }

  sendReset(stream: Http2Stream, code: number): void {
    if (this.#failed) return;
    if (!stream.remoteEnded) this.#past.reset(stream.id);
    this.#outlet.write(printReset(stream.id, code));
  }

  sendWindow(stream: Http2Stream, bytes: number): void {
    if (!this.#failed) this.#outlet.write(printWindowUpdate(stream.id, bytes));
  }

  credit(bytes: number): void {
    this.#owed += bytes;
    if (this.#owed < receiveWindow / 2 || this.#failed) return;
    this.#receiveRoom += this.#owed;
    this.#outlet.write(printWindowUpdate(0, this.#owed));
    this.#owed = 0;
  }

  awaitRoom(stream: Http2Stream): void {
    this.#waiting.add(stream);
  }

  forget(stream: Http2Stream): void {
    this.#streams.delete(stream.id);
    this.#waiting.delete(stream);
    if (this.#streams.size === 0) this.#owner.onIdle();
  }

  /** A frame of each in turn, as long as there is room. */
  #pump(): void {
    let still = 0;
    while (!this.#full && !this.#failed && still < this.#waiting.size) {
      const [stream] = this.#waiting;
      if (stream === undefined) return;
      this.#waiting.delete(stream);
      still = stream.flush() ? 0 : still + 1;
      if (stream.waits) this.#waiting.add(stream);
    }
  }
}

/** RFC 9113 section 6.3; the highest bit says something else. */
function dependsOn(bytes: Buffer, at: number): number {
  return bytes.readUInt32BE(at) & 0x7fff_ffff;
}
