import { DatabaseSync } from "node:sqlite";
import { systemClock } from "../base/clock.ts";
import { durable, LogAppend } from "./log-append.ts";
import { codeOf, limitPages } from "./sqlite-log.ts";
import type { LogRow } from "./sqlite-messages.ts";

/** A larger commit is the worker's. Bytes. */
const small = 64 << 10;
/** How long a write may hold up all else of this thread. Milliseconds. */
const quick = 2;
/** For one that took longer, the worker writes, beside it, for so many times as long: a slow disk holds up little of the time. */
const spared = 50;
/**
 * Time without a slow write that counts for those to come. A quick disk has one now and then: had the worker to write after each, it
 * would write most of what comes in a row. Milliseconds.
 */
const savedUp = 1000;
/** Its log grows until somebody takes it over into the file: that is the worker's, after so many writes. */
const writesPerCheckpoint = 200;

/**
 * Writes a commit that stands alone from the thread that has it. With one writer at a time the way to another thread and back
 * costs more than the write itself; with many, the worker syncs one batch while this thread makes the next.
 */
export class LoneWriter {
  readonly #db: DatabaseSync;
  readonly #append: LogAppend;
  readonly #checkpoint: () => void;
  readonly #now: () => number;
  /** From then on all slow writes are made up for. */
  #evenAt: number | undefined;
  #writes = 0;
  #closed = false;

  /** `checkpoint` is called when it is time for one. */
  constructor(file: string, maxBytes: number | undefined, checkpoint: () => void, now: () => number = systemClock.monotonic) {
    this.#checkpoint = checkpoint;
    this.#now = now;
    // What the worker is about is not waited for: it takes this commit as well.
    this.#db = new DatabaseSync(file, { timeout: 0 });
    this.#db.exec(`${durable}; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -1024`);
    limitPages(this.#db, maxBytes);
    this.#append = new LogAppend(this.#db);
  }

  /** True: it is on disk. False: not its kind, or the disk is slow; nothing was written. Throws SQLite's errors. */
  write(rows: readonly LogRow[]): boolean {
    const started = this.#now();
    this.#evenAt ??= started;
    if (this.#closed || started < this.#evenAt || sizeOf(rows) > small) return false;
    try {
      const [first] = rows;
      if (first !== undefined && rows.length === 1) this.#append.appendOne(first);
      else this.#append.append(rows);
    } catch (error) {
      if (codeOf(error) === "locked") return false;
      throw error;
    }
    const ended = this.#now();
    const took = ended - started;
    if (took > quick) this.#evenAt = Math.max(this.#evenAt, ended - savedUp) + took * (spared + 1);
    if (++this.#writes % writesPerCheckpoint === 0) this.#checkpoint();
    return true;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#db.close();
  }
}

function sizeOf(rows: readonly LogRow[]): number {
  return rows.reduce((sum, row) => sum + (row.value?.length ?? 0), 0);
}
