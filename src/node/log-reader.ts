import { closeSync, existsSync, fstatSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Clock } from "../base/clock.ts";

export interface LogOptions {
  readonly follow: boolean;
  readonly timestamps: boolean;
  readonly tailLines?: number;
  /** Only lines from this time on; milliseconds since 1970. */
  readonly since?: number;
  readonly limitBytes?: number;
}

/** A line as CRI log files have it. */
export interface LogLine {
  readonly time: string;
  readonly stream: string;
  /** The line ends here: not cut for its length. */
  readonly whole: boolean;
  readonly text: string;
}

const pollMs = 50;
const chunkBytes = 64 * 1024;

/** `undefined` for a line that is no log line (cut off by a full disk or a stopped machine). */
export function parseLogLine(line: string): LogLine | undefined {
  const match = /^(\S+) (stdout|stderr) ([FP])(?: (.*))?$/s.exec(line);
  if (match === null) return undefined;
  const [, time = "", stream = "", tag, text = ""] = match;
  return { time, stream, whole: tag === "F", text };
}

/** What a reader of the log sees of these lines. */
export function printLogLines(lines: readonly LogLine[], options: Pick<LogOptions, "timestamps">): string {
  let begins = true;
  let text = "";
  for (const line of lines) {
    text += `${options.timestamps && begins ? `${line.time} ` : ""}${line.text}${line.whole ? "\n" : ""}`;
    begins = line.whole;
  }
  return text;
}

/** The lines of the end: `tailLines` whole ones, from `since` on. */
export function selectLines(lines: readonly LogLine[], options: LogOptions): readonly LogLine[] {
  const { since, tailLines } = options;
  const recent = since === undefined ? lines : lines.filter((l) => Date.parse(l.time) >= since);
  if (tailLines === undefined) return recent;
  let from = recent.length;
  let whole = 0;
  while (from > 0) {
    if (recent[from - 1]?.whole) whole++;
    if (whole > tailLines) break;
    from--;
  }
  return recent.slice(from);
}

/**
 * A container's log with its older, rotated parts; with `follow`, until `ended` says that nothing more will come, or the signal aborts.
 */
export async function* readLog(
  path: string,
  options: LogOptions,
  deps: { readonly clock: Clock; ended(): boolean },
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  let left = options.limitBytes ?? Number.POSITIVE_INFINITY;
  const limited = (text: string): Buffer => {
    const bytes = Buffer.from(text);
    const kept = bytes.length > left ? bytes.subarray(0, left) : bytes;
    left -= kept.length;
    return kept;
  };
  const tail = new FileTail(path);
  try {
    const before = olderFiles(path).flatMap((file) => new FileTail(file).readAllAndClose());
    yield limited(printLogLines(selectLines([...before, ...tail.read()], options), options));
    while (options.follow && left > 0 && !signal.aborted) {
      // Asked before the read: what was written before the end is read after the question.
      const over = deps.ended();
      const lines = selectLines(tail.read(), { ...options, tailLines: Number.MAX_SAFE_INTEGER });
      if (lines.length > 0) yield limited(printLogLines(lines, options));
      else if (over) return;
      else await deps.clock.sleep(pollMs, signal).catch(() => undefined);
    }
  } finally {
    tail.close();
  }
}

/** `x.log.4` … `x.log.1`, the oldest first. */
function olderFiles(path: string): readonly string[] {
  const folder = dirname(path);
  if (!existsSync(folder)) return [];
  const prefix = `${basename(path)}.`;
  return readdirSync(folder)
    .filter((name) => name.startsWith(prefix) && /^\d+$/.test(name.slice(prefix.length)))
    .sort((a, b) => Number(b.slice(prefix.length)) - Number(a.slice(prefix.length)))
    .map((name) => join(folder, name));
}

/** Reads on where it stopped, over rotations: a file is read to its end before its successor is. */
class FileTail {
  readonly #path: string;
  #fd: number | undefined;
  #rest: Buffer = Buffer.alloc(0);

  constructor(path: string) {
    this.#path = path;
  }

  /** Whole lines that have come since the last call. */
  read(): readonly LogLine[] {
    const lines: LogLine[] = [];
    for (;;) {
      if (this.#fd === undefined && existsSync(this.#path)) this.#fd = openSync(this.#path, "r");
      if (this.#fd === undefined) return lines;
      this.#readTo(lines);
      const now = existsSync(this.#path) ? statSync(this.#path).ino : undefined;
      if (now === undefined || now === fstatSync(this.#fd).ino) return lines;
      this.close();
    }
  }

  readAllAndClose(): readonly LogLine[] {
    const lines = this.read();
    this.close();
    return lines;
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #readTo(lines: LogLine[]): void {
    const buffer = Buffer.alloc(chunkBytes);
    for (;;) {
      const size = this.#fd === undefined ? 0 : readSync(this.#fd, buffer, 0, chunkBytes, null);
      if (size === 0) return;
      let rest = Buffer.concat([this.#rest, buffer.subarray(0, size)]);
      for (let newline = rest.indexOf(10); newline >= 0; newline = rest.indexOf(10)) {
        const line = parseLogLine(rest.subarray(0, newline).toString("utf8"));
        if (line !== undefined) lines.push(line);
        rest = rest.subarray(newline + 1);
      }
      this.#rest = rest;
    }
  }
}
