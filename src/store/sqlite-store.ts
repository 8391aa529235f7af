import { CommitPace } from "./commit-pace.ts";
import { compactedError, StoreError } from "./errors.ts";
import { EventQueue } from "./event-queue.ts";
import { LoneWriter } from "./lone-writer.ts";
import { codeOf } from "./sqlite-log.ts";
import { blocksOf, type Heads, type LogRow, packRows, unpackRows } from "./sqlite-messages.ts";
import { SqliteWriter } from "./sqlite-writer.ts";
import type { CommitResult, Key, ListOptions, Lookup, Page, Rev, Store, StoreEvent, Write } from "./store.ts";

/** A commit that has its revision and waits to be durable. */
interface Pending {
  readonly rev: Rev;
  readonly rows: readonly LogRow[];
  /** What each key's head was before, to take it back. */
  readonly before: readonly (readonly [Key, Rev | undefined])[];
  readonly resolve: (result: CommitResult) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Opens (or makes) the file and locks it; rejects with `locked` when another server has it. The order of commits is
 * decided here, in memory; whatever has queued is made durable in one transaction, by a worker unless it is one commit alone,
 * and only then is it seen.
 */
export async function openSqliteStore(file: string, limits: { readonly maxBytes?: number } = {}): Promise<Store> {
  let store: SqliteStore | undefined;
  const writer = new SqliteWriter(file, (error) => store?.lost(error));
  try {
    const { rev, compacted, heads } = await writer.ask("open", { file, ...limits });
    const checkpoint = (): void => void writer.ask("checkpoint", null).catch(() => undefined); // the next one will do
    const lone = new LoneWriter(file, limits.maxBytes, checkpoint);
    store = new SqliteStore({ file, writer, lone, rev, compacted, heads: mapOf(heads) });
    return store;
  } catch (error) {
    await writer.terminate();
    throw error;
  }
}

interface Opened {
  readonly file: string;
  readonly writer: SqliteWriter;
  readonly lone: LoneWriter;
  readonly rev: Rev;
  readonly compacted: Rev;
  readonly heads: Map<Key, Rev>;
}

class SqliteStore implements Store {
  readonly #file: string;
  readonly #writer: SqliteWriter;
  readonly #lone: LoneWriter;
  /** The newest revision of each key, also of commits on their way. */
  readonly #heads: Map<Key, Rev>;
  #assigned: Rev;
  #durable: Rev;
  #compacted: Rev;
  #queued: Pending[] = [];
  #flight: Promise<void> | undefined;
  readonly #pace = new CommitPace();
  readonly #watchers = new Set<{ readonly prefix: Key; readonly queue: EventQueue<StoreEvent> }>();
  #closed = false;

  constructor(opened: Opened) {
    this.#file = opened.file;
    this.#writer = opened.writer;
    this.#lone = opened.lone;
    this.#heads = opened.heads;
    this.#assigned = opened.rev;
    this.#durable = opened.rev;
    this.#compacted = opened.compacted;
  }

  async get(key: Key): Promise<Lookup> {
    this.#check();
    const rev = this.#durable;
    const item = await this.#writer.ask("get", { key });
    return item === null ? { kind: "not-found", rev } : { kind: "found", rev: Math.max(rev, item.rev), item };
  }

  async list(prefix: Key, options: ListOptions = {}): Promise<Page> {
    this.#check();
    const at = options.at ?? this.#durable;
    if (at < this.#compacted) throw compactedError(at, this.#compacted);
    const limit = options.limit ?? -1;
    const rows = await this.#writer.ask("list", { prefix, at, limit: limit < 0 ? -1 : limit + 1, after: options.after ?? "" });
    const items = [...unpackRows(rows)].flatMap(({ key, rev, value }) => (value === undefined ? [] : { key, rev, value }));
    if (limit < 0 || items.length <= limit) return { rev: at, items };
    const page = items.slice(0, limit);
    const last = page.at(-1);
    return last === undefined ? { rev: at, items: page } : { rev: at, items: page, next: last.key };
  }

  async commit(writes: readonly Write[]): Promise<CommitResult> {
    this.#check();
    for (const { key, expect } of writes) {
      if ((this.#heads.get(key) ?? "absent") === expect) continue;
      // What stands in the way may not be durable yet; if it fails, the caller tries again on what is.
      await this.#barrier();
      const found = await this.get(key);
      return { ok: false, key, conflict: found.kind === "found" ? found.item : "absent" };
    }
    const rev = this.#assigned + 1;
    const rows = writes.map(({ key, encode }): LogRow => ({ key, rev, value: encode === "delete" ? undefined : encode(rev) }));
    const before = writes.map(({ key }) => [key, this.#heads.get(key)] as const);
    this.#assigned = rev;
    for (const row of rows) {
      if (row.value === undefined) this.#heads.delete(row.key);
      else this.#heads.set(row.key, rev);
    }
    return new Promise((resolve, reject) => {
      const pending = { rev, rows, before, resolve, reject };
      // told of each commit, also of those that queue: else a burst would seem to come one by one
      const alone = this.#pace.comesAlone();
      if (alone && this.#flight === undefined && this.#commitAlone(pending)) return;
      this.#queued.push(pending);
      this.#flight ??= this.#flush();
    });
  }

  async *watch(prefix: Key, after: Rev, signal: AbortSignal): AsyncGenerator<StoreEvent> {
    this.#check();
    if (after < this.#compacted) throw compactedError(after, this.#compacted);
    const queue = new EventQueue<StoreEvent>();
    const watcher = { prefix, queue };
    const stop = (): void => queue.end();
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) queue.end();
    const upTo = this.#durable;
    this.#watchers.add(watcher);
    try {
      if (upTo > after) for (const row of await this.#writer.ask("history", { prefix, after, upTo })) yield eventOf(row);
      if (!signal.aborted) yield { kind: "progress", rev: upTo };
      for await (const event of queue.drain()) {
        if (signal.aborted) return;
        if (event.rev > after || event.kind === "progress") yield event;
      }
    } finally {
      this.#watchers.delete(watcher);
      signal.removeEventListener("abort", stop);
    }
  }

  async compact(before: Rev): Promise<void> {
    this.#check();
    const to = Math.min(before, this.#durable);
    if (to <= this.#compacted) return;
    this.#compacted = to;
    await this.#writer.ask("compact", { before: to });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#flight;
    for (const w of this.#watchers) w.queue.end();
    this.#lone.close();
    await this.#writer.ask("close", null);
    await this.#writer.terminate();
  }

  /** The writer is gone, and the lock with it: whoever follows is told. */
  lost(error: StoreError): void {
    this.#lone.close();
    for (const w of this.#watchers) w.queue.end(this.#closed ? undefined : error);
  }

  /** Writes what is queued, and what queued meanwhile, until nothing is left. */
  async #flush(): Promise<void> {
    await nextTurn(); // what else has come by now joins the first transaction
    while (this.#queued.length > 0) {
      const batch = this.#queued;
      this.#queued = [];
      try {
        await this.#write(batch);
      } catch (error) {
        this.#revert(batch, error);
        continue;
      }
      for (const pending of batch) this.#publish(pending);
    }
    this.#flight = undefined;
  }

  /** At once. False: not its kind, it has to queue. */
  #commitAlone(pending: Pending): boolean {
    try {
      if (!this.#writeAlone(pending.rows)) return false;
    } catch (error) {
      this.#revert([pending], error);
      return true;
    }
    this.#publish(pending);
    return true;
  }

  /** Returns once it is on disk. */
  async #write(batch: readonly Pending[]): Promise<void> {
    const rows = batch.flatMap((p) => p.rows);
    if (batch.length === 1 && this.#writeAlone(rows)) return;
    const packed = packRows(rows);
    await this.#writer.ask("write", packed, blocksOf(packed));
  }

  #writeAlone(rows: readonly LogRow[]): boolean {
    try {
      return this.#lone.write(rows);
    } catch (error) {
      throw new StoreError(codeOf(error), this.#file, error);
    }
  }

  #publish(pending: Pending): void {
    this.#durable = pending.rev;
    for (const watcher of this.#watchers) {
      for (const row of pending.rows) if (row.key.startsWith(watcher.prefix)) watcher.queue.push(eventOf(row));
      watcher.queue.push({ kind: "progress", rev: pending.rev });
    }
    pending.resolve({ ok: true, rev: pending.rev });
  }

  /** A batch that failed takes with it what queued behind: that may rest on values which never came to be. */
  #revert(batch: readonly Pending[], error: unknown): void {
    const all = [...batch, ...this.#queued];
    this.#queued = [];
    for (const pending of all.toReversed()) {
      for (const [key, rev] of pending.before.toReversed()) {
        if (rev === undefined) this.#heads.delete(key);
        else this.#heads.set(key, rev);
      }
    }
    this.#assigned = this.#durable;
    for (const pending of all) pending.reject(error);
  }

  /** Resolves when all that is on its way now has been written, or has failed. */
  async #barrier(): Promise<void> {
    if (this.#flight === undefined) return;
    await new Promise<void>((done) => {
      this.#queued.push({ rev: this.#assigned, rows: [], before: [], resolve: () => done(), reject: () => done() });
    });
  }

  #check(): void {
    if (this.#closed) throw new StoreError("closed", this.#file);
  }
}

function mapOf({ keys, revs }: Heads): Map<Key, Rev> {
  const map = new Map<Key, Rev>();
  if (keys !== "") for (const [i, key] of keys.split("\n").entries()) map.set(key, revs[i] ?? 0);
  return map;
}

/** After everything that the loop found ready in this turn. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function eventOf(row: LogRow): StoreEvent {
  const { key, rev, value } = row;
  return value === undefined ? { kind: "delete", key, rev } : { kind: "put", key, rev, value };
}
