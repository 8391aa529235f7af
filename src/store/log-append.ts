import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { LogRow } from "./sqlite-messages.ts";

/** A commit's writes stand at id = revision × this + place in it, so one integer key orders the whole log. */
export const rowsPerRev = 4096;

/** What each connection to the file begins with: a transaction is on disk once it is over. */
export const durable = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL";

/** Puts rows at the end of the log. */
export class LogAppend {
  readonly #db: DatabaseSync;
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;
  readonly #insert: StatementSync;

  constructor(db: DatabaseSync) {
    this.#db = db;
    this.#begin = db.prepare("BEGIN IMMEDIATE");
    this.#commit = db.prepare("COMMIT");
    this.#insert = db.prepare("INSERT INTO log (id, key, value) VALUES (?, ?, ?)");
  }

  /** In one transaction: all of them are on disk when it returns, none when it throws. */
  append(rows: Iterable<LogRow>): void {
    this.transaction(() => {
      let rev = -1;
      let place = 0;
      for (const row of rows) {
        place = row.rev === rev ? place + 1 : 0;
        rev = row.rev;
        if (place >= rowsPerRev) throw new Error(`more than ${rowsPerRev} writes in one commit`);
        this.#put(row, place);
      }
    });
  }

  /** As append, of the only row of its commit: a statement alone is a transaction, and costs a third less. */
  appendOne(row: LogRow): void {
    this.#put(row, 0);
  }

  #put({ rev, key, value }: LogRow, place: number): void {
    this.#insert.run(rev * rowsPerRev + place, key, value ?? null);
  }

  transaction(body: () => void): void {
    this.#begin.run();
    try {
      body();
      this.#commit.run();
    } catch (error) {
      // A full disk may have rolled it back already.
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
  }
}
