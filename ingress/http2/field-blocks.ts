import type { FrameHead } from "./frame-reader.ts";
import { errorCode, frameFlag } from "./frames.ts";

/** What the HEADERS frame of a field block says beside it. */
export interface BlockHead {
  readonly stream: number;
  /** Nothing of the stream comes behind it. */
  readonly last: boolean;
  /** Its priority names the stream itself (RFC 9113 section 5.3.1). */
  readonly selfDependent: boolean;
}

export interface BlockSink {
  /** A whole block; bytes are not kept beyond the call. */
  onBlock(head: BlockHead, bytes: Buffer, from: number, to: number): void;
  onFault(code: number): void;
}

/** Frames of one block, beside the first. */
const mostContinuations = 32;

/** HEADERS and CONTINUATION to field blocks: what comes in one frame is read where it is. */
export class FieldBlocks {
  readonly #sink: BlockSink;
  readonly #mostBytes: number;
  /** Of a block that comes in several frames. */
  #open: BlockHead | undefined;
  #parts: Buffer[] = [];
  #bytes = 0;

  /** `mostBytes`: of a block that comes in several frames. */
  constructor(sink: BlockSink, mostBytes: number) {
    this.#sink = sink;
    this.#mostBytes = mostBytes;
  }

  /** In the middle of a block. */
  get amid(): boolean {
    return this.#open !== undefined;
  }

  /** Nothing may stand between the frames of a block (RFC 9113 section 4.3). */
  allows(head: FrameHead, continuation: boolean): boolean {
    return this.#open === undefined ? !continuation : continuation && head.stream === this.#open.stream;
  }

  /** Of a stream that a client may begin. */
  headers(frame: FrameHead, bytes: Buffer, from: number): void {
    const { stream, flags } = frame;
    let at = from;
    let to = from + frame.length;
    if ((flags & frameFlag.padded) !== 0) to -= bytes[at++] ?? 0;
    let selfDependent = false;
    if ((flags & frameFlag.priority) !== 0) {
      selfDependent = at + 5 <= to && dependsOn(bytes, at) === stream;
      at += 5;
    }
    if (at > to) {
      this.#sink.onFault(errorCode.protocol);
      return;
    }
    const head = { stream, last: (flags & frameFlag.endStream) !== 0, selfDependent };
    if ((flags & frameFlag.endHeaders) !== 0) this.#sink.onBlock(head, bytes, at, to);
    else {
      this.#open = head;
      this.#parts = [Buffer.from(bytes.subarray(at, to))];
      this.#bytes = to - at;
    }
  }

  continuation(frame: FrameHead, bytes: Buffer, from: number): void {
    const head = this.#open;
    if (head === undefined) return;
    this.#parts.push(Buffer.from(bytes.subarray(from, from + frame.length)));
    this.#bytes += frame.length;
    // what is too large is unpacked to be refused, but not at any length
    if (this.#bytes > this.#mostBytes || this.#parts.length > mostContinuations) this.#sink.onFault(errorCode.enhanceYourCalm);
    else if ((frame.flags & frameFlag.endHeaders) !== 0) {
      const parts = this.#parts;
      this.#open = undefined;
      this.#parts = [];
      this.#sink.onBlock(head, Buffer.concat(parts), 0, this.#bytes);
    }
  }
}

/** The stream that a priority names (RFC 9113 section 6.3); the highest bit says something else. */
export function dependsOn(bytes: Buffer, at: number): number {
  return bytes.readUInt32BE(at) & 0x7fff_ffff;
}
