import { errorCode, frameFlag, frameType, headBytes, usualFrameBytes } from "./frames.ts";

/** Of the frame at hand. */
export interface FrameHead {
  readonly length: number;
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
}

/** Told of frames in the order of the wire. The head is valid during the call only, and so are bytes. */
export interface FrameSink {
  /** A frame other than DATA, whole: its payload stands at `from`. */
  onFrame(head: FrameHead, bytes: Buffer, from: number): void;
  /** A DATA frame begins; what it carries follows as it comes. */
  onDataHead(head: FrameHead): void;
  /** `padding`: bytes of the frame that are none of the body. */
  onPadding(head: FrameHead, padding: number): void;
  onData(head: FrameHead, bytes: Buffer): void;
  onDataEnd(head: FrameHead): void;
  /** The bytes are no frames; nothing is read from here on. */
  onFault(code: number): void;
}

/**
 * Bytes to frames, however they are cut. What is whole is read where it is; of a frame that comes in pieces each byte is copied once;
 * the body is never copied.
 */
export class FrameReader {
  readonly #sink: FrameSink;
  readonly #head = { length: 0, type: 0, flags: 0, stream: 0 };
  /** Of a head that came in pieces. */
  readonly #headPart = Buffer.alloc(headBytes);
  #headFilled = 0;
  /** Of a payload that came in pieces. */
  #payload: Buffer | undefined;
  #filled = 0;
  /** Of the DATA frame at hand. */
  #dataLeft = 0;
  #paddingLeft = 0;
  #paddingDue = false;
  #inData = false;
  #stopped = false;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** In the middle of a frame. */
  get amid(): boolean {
    return this.#headFilled > 0 || this.#payload !== undefined || this.#inData;
  }

  /** Reads nothing from here on. */
  stop(): void {
    this.#stopped = true;
    this.#payload = undefined;
  }

  read(bytes: Buffer, from: number): void {
    let at = from;
    while (!this.#stopped && (at < bytes.length || (this.#inData && this.#dataLeft + this.#paddingLeft === 0))) {
      if (this.#inData) at = this.#readData(bytes, at);
      else if (this.#payload !== undefined) at = this.#fill(this.#payload, bytes, at);
      else at = this.#readFrame(bytes, at);
    }
  }

  #readFrame(bytes: Buffer, from: number): number {
    const at = this.#readHead(bytes, from);
    if (at < 0) return bytes.length;
    const { length, type } = this.#head;
    if (length > usualFrameBytes) this.#fault(errorCode.frameSize);
    else if (type === frameType.data) this.#beginData();
    else if (bytes.length - at >= length) {
      this.#sink.onFrame(this.#head, bytes, at);
      return at + length;
    } else {
      this.#payload = Buffer.allocUnsafe(length);
      this.#filled = 0;
    }
    return at;
  }

  /** Where the payload begins; -1: the head is not there yet. */
  #readHead(bytes: Buffer, from: number): number {
    if (this.#headFilled === 0 && bytes.length - from >= headBytes) {
      this.#parseHead(bytes, from);
      return from + headBytes;
    }
    const part = Math.min(headBytes - this.#headFilled, bytes.length - from);
    bytes.copy(this.#headPart, this.#headFilled, from, from + part);
    this.#headFilled += part;
    if (this.#headFilled < headBytes) return -1;
    this.#headFilled = 0;
    this.#parseHead(this.#headPart, 0);
    return from + part;
  }

  #parseHead(b: Buffer, at: number): void {
    const head = this.#head;
    head.length = byte(b, at) * 65_536 + byte(b, at + 1) * 256 + byte(b, at + 2);
    head.type = byte(b, at + 3);
    head.flags = byte(b, at + 4);
    head.stream = ((byte(b, at + 5) & 0x7f) << 24) | (byte(b, at + 6) << 16) | (byte(b, at + 7) << 8) | byte(b, at + 8);
  }

  #fill(payload: Buffer, bytes: Buffer, from: number): number {
    const part = Math.min(payload.length - this.#filled, bytes.length - from);
    bytes.copy(payload, this.#filled, from, from + part);
    this.#filled += part;
    if (this.#filled === payload.length) {
      this.#payload = undefined;
      this.#sink.onFrame(this.#head, payload, 0);
    }
    return from + part;
  }

  #beginData(): void {
    const { length, flags } = this.#head;
    this.#inData = true;
    this.#dataLeft = length;
    this.#paddingLeft = 0;
    this.#paddingDue = (flags & frameFlag.padded) !== 0;
    if (this.#paddingDue && length === 0) this.#fault(errorCode.frameSize);
    else this.#sink.onDataHead(this.#head);
  }

  #readData(bytes: Buffer, from: number): number {
    let at = from;
    if (this.#paddingDue) {
      const padding = byte(bytes, at++);
      this.#paddingDue = false;
      this.#dataLeft -= 1 + padding;
      this.#paddingLeft = padding;
      if (this.#dataLeft < 0) {
        this.#fault(errorCode.protocol);
        return at;
      }
      this.#sink.onPadding(this.#head, 1 + padding);
    }
    const data = Math.min(this.#dataLeft, bytes.length - at);
    if (data > 0) {
      this.#dataLeft -= data;
      this.#sink.onData(this.#head, bytes.subarray(at, at + data));
      at += data;
    }
    const padding = this.#dataLeft === 0 ? Math.min(this.#paddingLeft, bytes.length - at) : 0;
    this.#paddingLeft -= padding;
    if (this.#dataLeft === 0 && this.#paddingLeft === 0 && !this.#stopped) {
      this.#inData = false;
      this.#sink.onDataEnd(this.#head);
    }
    return at + padding;
  }

  #fault(code: number): void {
    this.stop();
    this.#sink.onFault(code);
  }
}

function byte(bytes: Buffer, at: number): number {
  return bytes[at] ?? 0;
}
