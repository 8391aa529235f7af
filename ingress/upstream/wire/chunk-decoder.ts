import { parseHeaderBlock } from "./header-block.ts";

/** What a decoder asks of its reader. `end` gets the trailer lines, without the empty one, as latin1. */
export interface ChunkSink {
  onBody(bytes: Buffer): void;
  onTrailers(text: string): void;
}

const maxSizeDigits = 12;
const maxExtensionBytes = 256;
const maxTrailerBytes = 8 * 1024;
const maxTrailers = 64;
/** Chunks up to this size that follow others in one read are moved up to them: a body of tiny chunks costs its reader one call a read. */
const joinedBytes = 2 * 1024;
/** Extensions and sizes of all chunks together may not outweigh the data by more than this (CVE-2023-39326). */
const maxOverhead = 64 * 1024;

type State = "size" | "extension" | "sizeLf" | "data" | "dataCr" | "dataLf" | "trailer" | "done";

/** RFC 9112 section 7.1, strictly: CRLF only, bounded sizes, extensions and trailers. One body long. */
export class ChunkDecoder {
  #state: State = "size";
  #size = 0;
  #digits = 0;
  #extension = 0;
  #overhead = 0;
  #data = 0;
  #trailers = "";
  /** Data of this read that is decoded and not handed on: a part of its bytes. */
  #from = 0;
  #to = 0;

  get done(): boolean {
    return this.#state === "done";
  }

  /**
   * How many bytes were used: fewer than given only once done. A text is a fault: the stream cannot go on. What was used of
   * `bytes` may have been written over.
   */
  push(bytes: Buffer, sink: ChunkSink): number | string {
    this.#from = 0;
    this.#to = 0;
    const used = this.#decode(bytes, sink);
    this.#handOn(bytes, sink);
    return used;
  }

  #handOn(bytes: Buffer, sink: ChunkSink): void {
    const from = this.#from;
    if (from === this.#to) return;
    this.#from = this.#to;
    sink.onBody(bytes.subarray(from, this.#to));
  }

  #decode(bytes: Buffer, sink: ChunkSink): number | string {
    let i = 0;
    while (i < bytes.length) {
      switch (this.#state) {
        case "size": {
          const c = bytes[i++] ?? 0;
          const digit = hexDigit(c);
          if (digit >= 0) {
            if (++this.#digits > maxSizeDigits) return "a chunk size that is too long";
            this.#size = this.#size * 16 + digit;
          } else if (this.#digits === 0) return "a chunk without a size";
          else if (c === 0x0d) this.#state = "sizeLf";
          else if (c === 0x3b) this.#state = "extension";
          else return "a chunk size that is no number";
          break;
        }
        case "extension": {
          const c = bytes[i++] ?? 0;
          if (c === 0x0d) this.#state = "sizeLf";
          else if (c < 0x20 && c !== 0x09) return "a control character in a chunk extension";
          else if (c === 0x7f) return "a control character in a chunk extension";
          else if (++this.#extension > maxExtensionBytes) return "a chunk extension that is too long";
          break;
        }
        case "sizeLf": {
          if (bytes[i++] !== 0x0a) return "a bare CR after a chunk size";
          this.#overhead += this.#extension + this.#digits;
          this.#data += this.#size;
          if (this.#overhead > maxOverhead && this.#overhead > this.#data) return "more chunk framing than data";
          this.#state = this.#size === 0 ? "trailer" : "data";
          this.#digits = 0;
          this.#extension = 0;
          break;
        }
        case "data": {
          const n = Math.min(this.#size, bytes.length - i);
          if (n <= joinedBytes && this.#to > this.#from) bytes.copyWithin(this.#to, i, i + n);
          else {
            this.#handOn(bytes, sink);
            this.#from = i;
            this.#to = i;
          }
          this.#to += n;
          i += n;
          this.#size -= n;
          if (this.#size === 0) this.#state = "dataCr";
          break;
        }
        case "dataCr":
          if (bytes[i++] !== 0x0d) return "no CRLF after a chunk";
          this.#state = "dataLf";
          break;
        case "dataLf":
          if (bytes[i++] !== 0x0a) return "no CRLF after a chunk";
          this.#state = "size";
          break;
        case "trailer": {
          const c = bytes[i++] ?? 0;
          this.#trailers += String.fromCharCode(c);
          if (this.#trailers.length > maxTrailerBytes) return "trailers that are too long";
          const before = this.#trailers.charCodeAt(this.#trailers.length - 2);
          if (c === 0x0a) {
            if (before !== 0x0d) return "a bare LF in the trailers";
            if (this.#trailers === "\r\n" || this.#trailers.endsWith("\r\n\r\n")) {
              const text = this.#trailers.slice(0, this.#trailers === "\r\n" ? 0 : -4);
              const block = parseHeaderBlock(text, 0, maxTrailers);
              if ("fault" in block) return `${block.fault} in the trailers`;
              this.#state = "done";
              this.#handOn(bytes, sink);
              sink.onTrailers(text);
            }
          } else if (before === 0x0d) return "a bare CR in the trailers";
          break;
        }
        case "done":
          return i;
      }
    }
    return i;
  }
}

function hexDigit(c: number): number {
  if (c >= 0x30 && c <= 0x39) return c - 0x30;
  if (c >= 0x61 && c <= 0x66) return c - 0x57;
  if (c >= 0x41 && c <= 0x46) return c - 0x37;
  return -1;
}
