import type { AccessEntry } from "./context.ts";
import { defaultLogFormat, printLine } from "./log-line.ts";

/** `json`: one object a line; `nginx`: as log-format-upstream has it, or as ingress-nginx writes by default. */
export type AccessLogFormat = "json" | "nginx";

export function printAccess(e: AccessEntry, format: AccessLogFormat): string {
  return format === "json" ? printJson(e) : printLine(e.format ?? defaultLogFormat, e);
}

/** Put together by hand: JSON.stringify takes several times as long, and this stands in every request's way. */
function printJson(e: AccessEntry): string {
  return (
    `{"time":"${isoTime(e.time)}","clientIp":${quoted(e.clientIp)},"method":${quoted(e.method)},"host":${quoted(e.host)},` +
    `"target":${quoted(e.target)},"protocol":${quoted(e.protocol)},"status":${e.status},"requestBytes":${e.requestBytes},` +
    `"responseBytes":${e.responseBytes},"route":${quoted(e.route)},"service":${quoted(e.service)},"upstream":${quoted(e.upstream)},` +
    `"reason":${quoted(e.reason)},"referer":${quoted(e.referer)},"userAgent":${quoted(e.userAgent)},"requestId":${quoted(e.requestId)},"user":${quoted(e.user)},` +
    `"namespace":${quoted(e.namespace)},"ingress":${quoted(e.ingress)},"servicePort":${e.servicePort},"canary":${quoted(e.canary)},` +
    `"traceId":${quoted(e.traceId)},"spanId":${quoted(e.spanId)},"milliseconds":${rounded(e.milliseconds)}` +
    `${e.upstreamTimes === undefined ? "" : `,"upstreamMilliseconds":${rounded(e.upstreamTimes.wholeMs)}`}}`
  );
}

function quoted(text: string): string {
  return /[^ !#-[\]-~]/.test(text) ? JSON.stringify(text) : `"${text}"`;
}

let lastMillisecond = -1;
let lastIso = "";

/** Many lines are of one millisecond. */
function isoTime(time: number): string {
  if (time !== lastMillisecond) {
    lastMillisecond = time;
    lastIso = new Date(time).toISOString();
  }
  return lastIso;
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
