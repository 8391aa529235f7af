import type { AccessEntry } from "./context.ts";
import { printJson } from "./json-line.ts";
import { defaultLogFormat, printLine } from "./log-line.ts";

/** `json`: one object a line; `nginx`: as log-format-upstream has it, or as ingress-nginx writes by default. */
export type AccessLogFormat = "json" | "nginx";

export function printAccess(e: AccessEntry, format: AccessLogFormat): string {
  return format === "json" ? printJson(e) : printLine(e.format ?? defaultLogFormat, e);
}

/** Text gathered before it is written. */
const flushBytes = 32 * 1024;
const flushMs = 200;
/** Lines dropped rather than kept when the reader does not keep up. */
const mostBytes = 4 * 1024 * 1024;

/** Writes lines in batches: a system call for many requests, and never in a request's way. */
export class AccessLog {
  readonly #format: AccessLogFormat;
  /** Gives a promise where the sink has to catch up. */
  readonly #write: (text: string) => Promise<void> | undefined;
  #lines = "";
  #timer: NodeJS.Timeout | undefined;
  #writing = false;
  /** Lines that were not written, for want of a reader. */
  dropped = 0;

  constructor(format: AccessLogFormat, write: (text: string) => Promise<void> | undefined) {
    this.#format = format;
    this.#write = write;
  }

  add(entry: AccessEntry): void {
    if (this.#lines.length > mostBytes) {
      this.dropped++;
      return;
    }
    this.#lines += `${printAccess(entry, this.#format)}\n`;
    if (this.#lines.length >= flushBytes) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), flushMs).unref();
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#writing || this.#lines === "") return;
    const text = this.#lines;
    this.#lines = "";
    const under = this.#write(text);
    if (under === undefined) return;
    this.#writing = true;
    const done = (): void => {
      this.#writing = false;
      this.flush();
    };
    under.then(done, done);
  }
}
