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
/** Between two reads of so much, others get their turn. */
const readBytes = 256 * 1024;

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
  const older = olderFiles(path);
  try {
    if (options.tailLines === undefined) {
      for (const file of older) {
        const whole = new FileTail(file);
        try {
          for (let lines = whole.read(); lines.length > 0; lines = whole.read())
            yield limited(printLogLines(selectLines(lines, options), options));
        } finally {
          whole.close();
        }
      }
    } else {
      const lines = lastLines(older, tail, options.tailLines);
      yield limited(printLogLines(selectLines(lines, options), options));
    }
    const { tailLines: _, ...rest } = options;
    while (left > 0 && !signal.aborted) {
      // Asked before the read: what was written before the end is read after the question.
      const over = !options.follow || deps.ended();
      const lines = tail.read();
      if (lines.length > 0) yield limited(printLogLines(selectLines(lines, rest), options));
      else if (over) return;
      else await deps.clock.sleep(pollMs, signal).catch(() => undefined);
    }
  } finally {
    tail.close();
  }
}

/** Enough of the end to hold `count` whole lines, from as few bytes as that takes; leaves `tail` at its file's end. */
function lastLines(older: readonly string[], tail: FileTail, count: number): readonly LogLine[] {
  let lines = tail.readEnd(count);
  for (const file of older.toReversed()) {
    if (lines.filter((l) => l.whole).length > count) break;
    const before = new FileTail(file);
    lines = [...before.readEnd(count), ...lines];
    before.close();
  }
  return lines;
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
  #at = 0;
  #rest: Buffer = Buffer.alloc(0);

  constructor(path: string) {
    this.#path = path;
  }

  /** Whole lines that have come since the last call, of a quarter MiB at most; none: there is no more yet. */
  read(): readonly LogLine[] {
    const lines: LogLine[] = [];
    while (lines.length === 0) {
      this.#open();
      if (this.#fd === undefined) break;
      if (this.#readTo(lines, readBytes) > 0) continue;
      const now = existsSync(this.#path) ? statSync(this.#path).ino : undefined;
      if (now === undefined || now === fstatSync(this.#fd).ino) break;
      this.close();
    }
    return lines;
  }

  /** More than `count` lines of the file's end, or all of it. */
  readEnd(count: number): readonly LogLine[] {
    this.#open();
    if (this.#fd === undefined) return [];
    const { size } = fstatSync(this.#fd);
    for (let bytes = chunkBytes; ; bytes *= 4) {
      const from = Math.max(0, size - bytes);
      this.#at = from;
      this.#rest = Buffer.alloc(0);
      const lines: LogLine[] = [];
      this.#readTo(lines, size - from);
      // The first may be half a line, which does not look like one, or the rest of a longer one.
      const whole = lines.filter((l) => l.whole).length;
      if (from === 0 || whole > count + 1) return from === 0 ? lines : lines.slice(1);
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #open(): void {
    if (this.#fd !== undefined || !existsSync(this.#path)) return;
    this.#fd = openSync(this.#path, "r");
    this.#at = 0;
  }

  /** Returns the number of bytes read. */
  #readTo(lines: LogLine[], atMost: number): number {
    const buffer = Buffer.allocUnsafe(chunkBytes);
    const pieces: Buffer[] = [this.#rest];
    let total = 0;
    while (this.#fd !== undefined && total < atMost) {
      const size = readSync(this.#fd, buffer, 0, Math.min(chunkBytes, atMost - total), this.#at);
      if (size === 0) break;
      pieces.push(Buffer.from(buffer.subarray(0, size)));
      this.#at += size;
      total += size;
    }
    if (total === 0) return 0;
    const all = Buffer.concat(pieces);
    const end = all.lastIndexOf(10);
    for (const text of end < 0 ? [] : all.subarray(0, end).toString("utf8").split("\n")) {
      const line = parseLogLine(text);
      if (line !== undefined) lines.push(line);
    }
    this.#rest = all.subarray(end + 1);
    return total;
  }
}
