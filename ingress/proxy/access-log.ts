import type { AccessEntry } from "./context.ts";

/** `json`: one object a line; `nginx`: the line ingress-nginx writes by default (log-format-upstream). */
export type AccessLogFormat = "json" | "nginx";

export function printAccess(e: AccessEntry, format: AccessLogFormat): string {
  return format === "json" ? printJson(e) : printNginx(e);
}

function printJson(e: AccessEntry): string {
  const { time, milliseconds, ...rest } = e;
  return JSON.stringify({ time: new Date(time).toISOString(), ...rest, milliseconds: rounded(milliseconds) });
}

function printNginx(e: AccessEntry): string {
  const seconds = (e.milliseconds / 1000).toFixed(3);
  const upstream = e.upstream === "" ? "-" : e.upstream.replace(" ", ":");
  return (
    `${e.clientIp} - - [${localTime(e.time)}] "${safe(`${e.method} ${e.target} ${e.protocol}`)}" ${e.status} ${e.responseBytes} ` +
    `"${safe(e.referer) || "-"}" "${safe(e.userAgent) || "-"}" ${e.requestBytes} ${seconds} [${e.service || "-"}] [] ` +
    `${upstream} ${e.upstream === "" ? "-" : e.responseBytes} ${e.upstream === "" ? "-" : seconds} ${e.upstream === "" ? "-" : e.status} ${e.requestId}`
  );
}

/** As nginx escapes what clients send: quotes, backslashes and what is no printable ASCII, as \xXX. */
function safe(text: string): string {
  return text.replace(/[^\x20-\x7e]|["\\]/g, (c) => `\\x${(c.charCodeAt(0) & 255).toString(16).toUpperCase().padStart(2, "0")}`);
}

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** nginx's $time_local, in UTC as containers have it. */
function localTime(time: number): string {
  const d = new Date(time);
  const two = (n: number): string => String(n).padStart(2, "0");
  const clock = `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())}`;
  return `${two(d.getUTCDate())}/${months[d.getUTCMonth()] ?? ""}/${d.getUTCFullYear()}:${clock} +0000`;
}

function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
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
