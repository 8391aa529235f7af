import { closeSync, existsSync, mkdirSync, openSync, renameSync, rmSync, statSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import type { Clock } from "../base/clock.ts";

export type LogStream = "stdout" | "stderr";

/** As the kubelet's defaults: containerLogMaxSize and containerLogMaxFiles. */
const maxBytes = 10 * 1024 * 1024;
const maxFiles = 5;
/** Longer lines are cut into parts, tagged P, as CRI log files have it. */
const maxLine = 16 * 1024;

/**
 * Writes a container's output to a file as CRI runtimes do: `<RFC 3339 time> <stream> <F|P> <line>`. Full files become `.1`, `.2`, …
 */
export class ContainerLogWriter {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #rest: Record<LogStream, Buffer> = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
  readonly #listeners = new Set<(stream: LogStream, bytes: Buffer) => void>();
  #fd: number | undefined;
  #size = 0;

  constructor(path: string, clock: Clock) {
    this.#path = path;
    this.#clock = clock;
  }

  /** Live output, as it comes; the returned function ends it. */
  onOutput(listener: (stream: LogStream, bytes: Buffer) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  write(stream: LogStream, bytes: Buffer): void {
    for (const listener of this.#listeners) listener(stream, bytes);
    const stamp = printTime(this.#clock.now());
    const parts: Buffer[] = [];
    let rest = this.#rest[stream].length === 0 ? bytes : Buffer.concat([this.#rest[stream], bytes]);
    for (;;) {
      const newline = rest.indexOf(10);
      const end = newline >= 0 && newline <= maxLine ? newline : rest.length > maxLine ? maxLine : -1;
      if (end < 0) break;
      const whole = end === newline;
      parts.push(Buffer.from(`${stamp} ${stream} ${whole ? "F" : "P"} `), rest.subarray(0, end), newlineBytes);
      rest = rest.subarray(whole ? end + 1 : end);
    }
    this.#rest[stream] = Buffer.from(rest);
    if (parts.length > 0) this.#append(Buffer.concat(parts));
  }

  /** Writes what has no line end yet, and closes the file. */
  close(): void {
    for (const stream of ["stdout", "stderr"] as const) {
      const rest = this.#rest[stream];
      if (rest.length === 0) continue;
      this.#rest[stream] = Buffer.alloc(0);
      this.#append(Buffer.concat([Buffer.from(`${printTime(this.#clock.now())} ${stream} F `), rest, newlineBytes]));
    }
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
    this.#listeners.clear();
  }

  #append(bytes: Buffer): void {
    if (this.#fd !== undefined && this.#size + bytes.length > maxBytes) this.#rotate();
    if (this.#fd === undefined) {
      mkdirSync(dirname(this.#path), { recursive: true });
      this.#fd = openSync(this.#path, "a", 0o640);
      this.#size = statSync(this.#path).size;
    }
    writeSync(this.#fd, bytes);
    this.#size += bytes.length;
  }

  #rotate(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
    rmSync(`${this.#path}.${maxFiles - 1}`, { force: true });
    for (let i = maxFiles - 2; i >= 0; i--) {
      const from = i === 0 ? this.#path : `${this.#path}.${i}`;
      if (existsSync(from)) renameSync(from, `${this.#path}.${i + 1}`);
    }
  }
}

const newlineBytes = Buffer.from("\n");

// RFC 3339 with nine digits, as other runtimes write it; the clock has three.
function printTime(ms: number): string {
  return new Date(ms).toISOString().replace("Z", "000000Z");
}
