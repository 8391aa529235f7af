import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { StoreErrorCode } from "./errors.ts";
import { type Heads, type LogRow, type PackedRows, packRows, type WriterCalls } from "./sqlite-messages.ts";
import type { Key, Rev, Stored } from "./store.ts";

/** A commit's writes stand at id = revision × this + place in it, so one integer key orders the whole log. */
const rowsPerRev = 4096;
const pageBytes = 4096; // SQLite's default
const applicationId = 0x66777931; // "fwy1" in the file's header

/** The file: an append-only log of versions. Synchronous; lives in the writer's thread. */
export class SqliteLog {
  readonly #db: DatabaseSync;
  readonly #insert: StatementSync;
  readonly #get: StatementSync;
  readonly #list: StatementSync;
  readonly #history: StatementSync;

  constructor(file: string, maxBytes?: number) {
    this.#db = new DatabaseSync(file, { timeout: 0 });
    // The lock is taken by the first transaction and kept until the file is closed: a second server cannot open it.
    this.#db.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -4096");
    this.#db.exec("BEGIN IMMEDIATE");
    const id = Number(this.#db.prepare("PRAGMA application_id").get()?.["application_id"]);
    if (id !== 0 && id !== applicationId) throw new Error("another program's database");
    this.#db.exec(`PRAGMA application_id = ${applicationId};
      CREATE TABLE IF NOT EXISTS log (id INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB);
      CREATE INDEX IF NOT EXISTS log_key ON log (key, id);
      CREATE INDEX IF NOT EXISTS log_deleted ON log (key, id) WHERE value IS NULL;
      CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
      COMMIT`);
    if (maxBytes !== undefined) this.#db.exec(`PRAGMA max_page_count = ${Math.ceil(maxBytes / pageBytes)}`);
    this.#insert = this.#db.prepare("INSERT INTO log (id, key, value) VALUES (?, ?, ?)");
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
    this.#transaction(() => {
      let rev = -1;
      let place = 0;
      for (const row of rows) {
        place = row.rev === rev ? place + 1 : 0;
        rev = row.rev;
        if (place >= rowsPerRev) throw new Error(`more than ${rowsPerRev} writes in one commit`);
        this.#insert.run(rev * rowsPerRev + place, row.key, row.value ?? null);
      }
    });
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
    this.#transaction(() => {
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
  }

  #transaction(body: () => void): void {
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      body();
      this.#db.exec("COMMIT");
    } catch (error) {
      // A full disk may have rolled it back already.
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
  }
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
