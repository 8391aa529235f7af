import type { AccessEntry } from "./context.ts";
import { printJson } from "./json-line.ts";
import { defaultLogFormat, printLine } from "./log-line.ts";

/** `json`: one object a line; `nginx`: as log-format-upstream has it, or as ingress-nginx writes by default. */
export type AccessLogFormat = "json" | "nginx";

export function printAccess(e: AccessEntry, format: AccessLogFormat): string {
  return format === "json" ? printJson(e) : printLine(e.format ?? defaultLogFormat, e);
}

/** Gives a promise where it has to catch up: the bytes are its own until then. Else their memory is used again. */
export type LogSink = (bytes: Buffer) => Promise<void> | undefined;

/** Lines gathered before they are written. */
const blockBytes = 64 * 1024;
const flushMs = 200;
/** Lines dropped rather than kept when the reader does not keep up. */
const mostBytes = 4 * 1024 * 1024;
/** Of one character in UTF-8. */
const mostBytesOfOne = 3;

/**
 * Writes lines in batches: a system call for many requests, and never in a request's way. Each is put into memory as bytes at once: as one
 * growing text they cost twice as much, and outlive collections of young garbage.
 */
export class AccessLog {
  readonly #format: AccessLogFormat;
  readonly #write: LogSink;
  #block = Buffer.allocUnsafeSlow(blockBytes);
  /** Of the block: lines. */
  #end = 0;
  /** Wait for the sink, before the block. */
  #waiting: Buffer[] = [];
  /** Of their memory. */
  #waitingBytes = 0;
  #timer: NodeJS.Timeout | undefined;
  #writing = false;
  /** Lines that were not written, for want of a reader. */
  dropped = 0;

  constructor(format: AccessLogFormat, write: LogSink) {
    this.#format = format;
    this.#write = write;
  }

  add(entry: AccessEntry): void {
    if (this.#waitingBytes > mostBytes) {
      this.dropped++;
      return;
    }
    const line = `${printAccess(entry, this.#format)}\n`;
    const most = line.length * mostBytesOfOne;
    if (most > blockBytes - this.#end) this.#writeBlock();
    if (most > blockBytes) this.#give(Buffer.from(line));
    else this.#end += this.#block.write(line, this.#end);
    this.#timer ??= setTimeout(() => this.flush(), flushMs).unref();
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    // else they go when the sink is done
    if (!this.#writing) this.#writeBlock();
  }

  #writeBlock(): void {
    if (this.#end === 0) return;
    const block = this.#block;
    const lines = block.subarray(0, this.#end);
    this.#end = 0;
    if (!this.#give(lines)) this.#block = Buffer.allocUnsafeSlow(blockBytes);
  }

  /** True when the memory can be used again. */
  #give(lines: Buffer): boolean {
    if (this.#writing) {
      this.#waiting.push(lines);
      this.#waitingBytes += lines.buffer.byteLength;
      return false;
    }
    const under = this.#write(lines);
    if (under === undefined) return true;
    this.#writing = true;
    const done = (): void => {
      this.#writing = false;
      this.#giveWaiting();
    };
    under.then(done, done);
    return false;
  }

  #giveWaiting(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    for (const lines of waiting) this.#give(lines);
    this.flush();
  }
}
