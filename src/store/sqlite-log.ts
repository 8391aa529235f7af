import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { StoreErrorCode } from "./errors.ts";
import { durable, LogAppend, rowsPerRev } from "./log-append.ts";
import { type Heads, type LogRow, type PackedRows, packRows, type WriterCalls } from "./sqlite-messages.ts";
import type { Key, Rev, Stored } from "./store.ts";

const pageBytes = 4096; // SQLite's default
const applicationId = 0x66777931; // "fwy1" in the file's header
/** How long the other connection of this server may have the file. Milliseconds; it takes one commit's time. */
const patience = 10_000;

/** The file: an append-only log of versions. Synchronous; lives in the writer's thread. */
export class SqliteLog {
  readonly #lock: DatabaseSync;
  readonly #db: DatabaseSync;
  readonly #append: LogAppend;
  readonly #get: StatementSync;
  readonly #list: StatementSync;
  readonly #history: StatementSync;

  constructor(file: string, maxBytes?: number) {
    // One server has two connections to the file, so the lock that keeps a second server away is another file's, kept until the end.
    this.#lock = new DatabaseSync(`${file}-lock`, { timeout: 0 });
    this.#lock.exec("BEGIN EXCLUSIVE");
    this.#db = new DatabaseSync(file, { timeout: patience });
    this.#db.exec(`${durable}; PRAGMA cache_size = -4096`);
    this.#db.exec("BEGIN IMMEDIATE");
    const id = Number(this.#db.prepare("PRAGMA application_id").get()?.["application_id"]);
    if (id !== 0 && id !== applicationId) throw new Error("another program's database");
    this.#db.exec(`PRAGMA application_id = ${applicationId};
      CREATE TABLE IF NOT EXISTS log (id INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB);
      CREATE INDEX IF NOT EXISTS log_key ON log (key, id);
      CREATE INDEX IF NOT EXISTS log_deleted ON log (key, id) WHERE value IS NULL;
      CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
      COMMIT`);
    limitPages(this.#db, maxBytes);
    this.#append = new LogAppend(this.#db);
    this.#get = this.#db.prepare("SELECT id, value FROM log WHERE key = ? ORDER BY id DESC LIMIT 1");
    // With max() SQLite takes the other columns from the row that has the maximum.
    this.#list = this.#db.prepare(
      `SELECT key, max(id) AS id, value FROM log WHERE key > ? AND key > ? AND key < ? AND id < ?
       GROUP BY key HAVING value IS NOT NULL ORDER BY key LIMIT ?`,
    );
    this.#list.setReturnArrays(true);
    this.#history = this.#db.prepare("SELECT id, key, value FROM log WHERE id >= ? AND id < ? AND key > ? AND key < ? ORDER BY id");
  }

  open(): WriterCalls["open"]["answer"] {
    return { rev: this.#rev(), compacted: this.#meta("compacted"), heads: this.#heads() };
  }

  /** Compaction may have removed the newest row (a deletion): the counter must not go back. */
  #rev(): Rev {
    const last = this.#db.prepare("SELECT max(id) AS id FROM log").get()?.["id"] ?? 0;
    return Math.max(revOf(last), this.#meta("rev"));
  }

  #meta(name: string): number {
    return Number(this.#db.prepare("SELECT value FROM meta WHERE name = ?").get(name)?.["value"] ?? 0);
  }

  /** From the indexes alone: the values, which are most of the file, are not read. */
  #heads(): Heads {
    const deleted = new Map(
      this.#db
        .prepare("SELECT key, max(id) AS id FROM log WHERE value IS NULL GROUP BY key")
        .all()
        .map((r) => [r["key"], r["id"]]),
    );
    const newest = this.#db.prepare("SELECT key, max(id) FROM log GROUP BY key");
    newest.setReturnArrays(true);
    const keys: string[] = [];
    const revs: Rev[] = [];
    for (const [key, id] of newest.all() as unknown as [string, number][]) {
      if (deleted.get(key) === id) continue;
      keys.push(key);
      revs.push(revOf(id));
    }
    return { keys: keys.join("\n"), revs: Float64Array.from(revs) };
  }

  write(rows: Iterable<LogRow>): void {
    this.#append.append(rows);
  }

  /** Takes what was written into the file proper, so that the log beside it can begin anew. */
  checkpoint(): void {
    this.#db.exec("PRAGMA wal_checkpoint(PASSIVE)");
  }

  get(key: Key): Stored | null {
    const row = this.#get.get(key);
    const value = row?.["value"];
    return row !== undefined && value instanceof Uint8Array ? { key, rev: revOf(row["id"]), value } : null;
  }

  list(ask: WriterCalls["list"]["ask"]): PackedRows {
    const rows = this.#list.all(ask.prefix, ask.after, endOf(ask.prefix), (ask.at + 1) * rowsPerRev, ask.limit) as unknown as [
      string,
      number,
      Uint8Array,
    ][];
    return packRows(rows.map(([key, id, value]) => ({ key, rev: revOf(id), value })));
  }

  history(ask: WriterCalls["history"]["ask"]): readonly LogRow[] {
    const rows = this.#history.all((ask.after + 1) * rowsPerRev, (ask.upTo + 1) * rowsPerRev, ask.prefix, endOf(ask.prefix));
    return rows.map((row) => {
      const value = row["value"];
      return { key: String(row["key"]), rev: revOf(row["id"]), value: value instanceof Uint8Array ? value : undefined };
    });
  }

  compact(before: Rev): void {
    const limit = before * rowsPerRev;
    this.#append.transaction(() => {
      const rev = this.#rev();
      this.#db
        .prepare(
          `DELETE FROM log WHERE id < ?1 AND EXISTS
             (SELECT 1 FROM log AS later WHERE later.key = log.key AND later.id > log.id AND later.id < ?1 + ${rowsPerRev})`,
        )
        .run(limit);
      this.#db.prepare("DELETE FROM log WHERE id < ? AND value IS NULL").run(limit);
      this.#db.prepare("INSERT OR REPLACE INTO meta (name, value) VALUES ('compacted', ?), ('rev', ?)").run(before, rev);
    });
  }

  close(): void {
    this.#db.close();
    this.#lock.close();
  }
}

/** So that the file stays below so many bytes; each connection has to be told. */
export function limitPages(db: DatabaseSync, maxBytes: number | undefined): void {
  if (maxBytes !== undefined) db.exec(`PRAGMA max_page_count = ${Math.ceil(maxBytes / pageBytes)}`);
}

/** SQLite's result code, in words of the store. https://www.sqlite.org/rescode.html */
export function codeOf(error: unknown): StoreErrorCode {
  const code = error instanceof Error && "errcode" in error ? Number(error.errcode) & 0xff : -1;
  if (code === 5 || code === 6) return "locked";
  if (code === 13) return "full";
  if (code === 11 || code === 26) return "unreadable";
  return "io";
}

function revOf(id: unknown): Rev {
  return Math.floor(Number(id) / rowsPerRev);
}

/** The first key behind all that start with the prefix. */
function endOf(prefix: Key): Key {
  return prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
}
