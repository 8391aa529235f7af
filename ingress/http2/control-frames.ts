import { dependsOn } from "./field-blocks.ts";
import type { FrameHead } from "./frame-reader.ts";
import type { FrameWriter } from "./frame-writer.ts";
import { errorCode, frameFlag, frameHead, frameType, kinds, largestWindow } from "./frames.ts";
import { PeerSettings } from "./peer-settings.ts";
import type { SessionSide } from "./session-side.ts";
import type { Http2Stream } from "./stream.ts";

/** The session, as frames that are none of a message see it. */
export interface ControlHost {
  readonly writer: FrameWriter;
  readonly failed: boolean;
  readonly streams: ReadonlyMap<number, Http2Stream>;
  isPast(id: number): boolean;
  /** Ends the connection. */
  fail(code: number): void;
  /** Resets the stream, and counts that. */
  blame(stream: Http2Stream, code: number): void;
  refuse(id: number, code: number): void;
  /** False: the connection has ended for it. */
  countReset(): boolean;
  countIdle(): boolean;
}

/** Frames that are none of a message: settings, windows, resets, and what only has to be answered, or not even that. */
export class ControlFrames {
  /** What the other side has said of itself. */
  readonly peer: PeerSettings;
  readonly #host: ControlHost;
  readonly #side: SessionSide;
  #settled = false;

  constructor(host: ControlHost, side: SessionSide) {
    this.#host = host;
    this.#side = side;
    this.peer = new PeerSettings(side.peerTakesPush);
  }

  /** The other side has said its settings. */
  get settled(): boolean {
    return this.#settled;
  }

  read(head: FrameHead, bytes: Buffer, from: number): void {
    switch (head.type) {
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
        this.#onGoaway(head, bytes, from);
        return;
      case frameType.push:
        this.#host.fail(errorCode.protocol);
        return;
      default:
        this.#host.countIdle();
    }
  }

  #onWindow({ length, stream: id }: FrameHead, bytes: Buffer, from: number): void {
    if (length !== 4) {
      this.#host.fail(errorCode.frameSize);
      return;
    }
    if (!this.#host.countIdle()) return;
    const more = bytes.readUInt32BE(from) & largestWindow;
    if (id !== 0) {
      this.#widenStream(id, more);
      return;
    }
    const fault = this.#host.writer.widen(more);
    if (fault !== errorCode.none) this.#host.fail(fault);
  }

  #widenStream(id: number, more: number): void {
    const stream = this.#host.streams.get(id);
    if (stream === undefined) {
      if (!this.#host.isPast(id)) this.#host.fail(errorCode.protocol);
      return;
    }
    stream.sendRoom += more;
    if (more === 0) this.#host.blame(stream, errorCode.protocol);
    else if (stream.sendRoom > largestWindow) this.#host.blame(stream, errorCode.flowControl);
    else if (stream.waits) this.#host.writer.pump();
  }

  #onReset({ length, stream: id }: FrameHead, bytes: Buffer, from: number): void {
    if (!this.#host.isPast(id)) this.#host.fail(errorCode.protocol);
    else if (length !== 4) this.#host.fail(errorCode.frameSize);
    else if (this.#host.countReset()) {
      const stream = this.#host.streams.get(id);
      if (stream === undefined) this.#host.countIdle();
      else this.#side.onLost(stream, bytes.readUInt32BE(from));
    }
  }

  #onSettings({ length, stream, flags }: FrameHead, bytes: Buffer, from: number): void {
    if (stream !== 0) {
      this.#host.fail(errorCode.protocol);
      return;
    }
    if (!this.#host.countIdle()) return;
    if ((flags & frameFlag.ack) !== 0) {
      // what is acknowledged comes behind what its sender has to say of itself
      if (length !== 0 || !this.#settled) this.#host.fail(length !== 0 ? errorCode.frameSize : errorCode.protocol);
      return;
    }
    this.#settled = true;
    const before = this.peer.initialWindow;
    const fault = this.peer.read(bytes, from, length);
    if (fault !== errorCode.none) {
      this.#host.fail(fault);
      return;
    }
    const { headerTableBytes } = this.peer;
    if (headerTableBytes !== undefined) this.#host.writer.encoder.limitTable(headerTableBytes);
    this.#host.writer.write(frameHead(0, kinds.settingsAck, 0));
    this.#moveWindows(this.peer.initialWindow - before);
    if (!this.#host.failed) this.#side.onSettings();
  }

  /** RFC 9113 section 6.9.2. */
  #moveWindows(by: number): void {
    if (by === 0) return;
    for (const stream of this.#host.streams.values()) {
      stream.sendRoom += by;
      if (stream.sendRoom > largestWindow) {
        this.#host.fail(errorCode.flowControl);
        return;
      }
    }
    if (by > 0) this.#host.writer.pump();
  }

  #onPing({ length, stream, flags }: FrameHead, bytes: Buffer, from: number): void {
    if (stream !== 0) this.#host.fail(errorCode.protocol);
    else if (length !== 8) this.#host.fail(errorCode.frameSize);
    else if (this.#host.countIdle() && (flags & frameFlag.ack) === 0)
      this.#host.writer.write(frameHead(8, kinds.pingAck, 0) + bytes.toString("latin1", from, from + 8));
  }

  #onGoaway({ length, stream }: FrameHead, bytes: Buffer, from: number): void {
    if (stream !== 0) this.#host.fail(errorCode.protocol);
    else if (length < 8) this.#host.fail(errorCode.frameSize);
    else if (this.#host.countIdle()) this.#side.onGoaway(bytes.readUInt32BE(from) & largestWindow);
  }

  /** Priorities are deprecated: only what breaks their rules is told (RFC 9113 sections 5.3.2 and 6.3). */
  #onPriority({ length, stream: id }: FrameHead, bytes: Buffer, from: number): void {
    if (id === 0) {
      this.#host.fail(errorCode.protocol);
      return;
    }
    if (!this.#host.countIdle()) return;
    const fault = length !== 5 ? errorCode.frameSize : dependsOn(bytes, from) === id ? errorCode.protocol : errorCode.none;
    if (fault === errorCode.none) return;
    const stream = this.#host.streams.get(id);
    if (stream !== undefined) this.#host.blame(stream, fault);
    else if (this.#host.isPast(id)) this.#host.refuse(id, fault);
    // no stream can be reset that was never begun
    else this.#host.fail(fault);
  }
}
