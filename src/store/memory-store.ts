import { compactedError, StoreError } from "./errors.ts";
import { EventQueue } from "./event-queue.ts";
import type { CommitResult, Key, ListOptions, Lookup, Page, Rev, Store, Stored, StoreEvent, Write } from "./store.ts";

interface Version {
  readonly key: Key;
  readonly rev: Rev;
  /** undefined = deleted at this revision. */
  readonly value: Uint8Array | undefined;
}

/** Keeps everything in memory: for tests and throw-away clusters. */
export class MemoryStore implements Store {
  /** All versions since the compaction, oldest first; and by key. */
  #log: Version[] = [];
  readonly #versions = new Map<Key, Version[]>();
  #rev: Rev = 0;
  #compacted: Rev = 0;
  readonly #watchers = new Set<{ readonly prefix: Key; readonly queue: EventQueue<StoreEvent> }>();
  #closed = false;

  async get(key: Key): Promise<Lookup> {
    this.#check();
    const item = this.#current(key);
    return item === undefined ? { kind: "not-found", rev: this.#rev } : { kind: "found", rev: this.#rev, item };
  }

  async list(prefix: Key, options: ListOptions = {}): Promise<Page> {
    this.#check();
    const at = options.at ?? this.#rev;
    if (at < this.#compacted) throw compactedError(at, this.#compacted);
    const after = options.after ?? "";
    const keys = [...this.#versions.keys()].filter((k) => k.startsWith(prefix) && k > after).sort();
    const items: Stored[] = [];
    for (const key of keys) {
      const version = this.#versions.get(key)?.findLast((v) => v.rev <= at);
      if (version?.value === undefined) continue;
      const last = items.at(-1);
      if (items.length === options.limit && last !== undefined) return { rev: at, items, next: last.key };
      items.push({ key, rev: version.rev, value: version.value });
    }
    return { rev: at, items };
  }

  async commit(writes: readonly Write[]): Promise<CommitResult> {
    this.#check();
    for (const { key, expect } of writes) {
      const current = this.#current(key);
      if ((current?.rev ?? "absent") !== expect) return { ok: false, key, conflict: current ?? "absent" };
    }
    const rev = this.#rev + 1;
    const versions = writes.map(
      ({ key, encode }): Version => ({ key, rev, value: encode === "delete" ? undefined : Uint8Array.from(encode(rev)) }),
    );
    this.#rev = rev;
    for (const version of versions) {
      this.#log.push(version);
      const of = this.#versions.get(version.key);
      if (of === undefined) this.#versions.set(version.key, [version]);
      else of.push(version);
      for (const w of this.#watchers) if (version.key.startsWith(w.prefix)) w.queue.push(eventOf(version));
    }
    for (const w of this.#watchers) w.queue.push({ kind: "progress", rev });
    return { ok: true, rev };
  }

  async *watch(prefix: Key, after: Rev, signal: AbortSignal): AsyncGenerator<StoreEvent> {
    this.#check();
    if (after < this.#compacted) throw compactedError(after, this.#compacted);
    const queue = new EventQueue<StoreEvent>();
    const watcher = { prefix, queue };
    const stop = (): void => queue.end();
    for (const version of this.#log) if (version.rev > after && version.key.startsWith(prefix)) queue.push(eventOf(version));
    queue.push({ kind: "progress", rev: this.#rev });
    if (signal.aborted) queue.end();
    signal.addEventListener("abort", stop, { once: true });
    this.#watchers.add(watcher);
    try {
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
    if (before <= this.#compacted) return;
    this.#compacted = Math.min(before, this.#rev);
    for (const [key, versions] of this.#versions) {
      const keep = versions.filter(
        (v, i) => v.rev >= this.#compacted || (v.value !== undefined && (versions[i + 1]?.rev ?? Infinity) > this.#compacted),
      );
      if (keep.length === 0) this.#versions.delete(key);
      else this.#versions.set(key, keep);
    }
    this.#log = this.#log.filter((v) => v.rev > this.#compacted);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const w of this.#watchers) w.queue.end();
  }

  #current(key: Key): Stored | undefined {
    const version = this.#versions.get(key)?.at(-1);
    return version?.value === undefined ? undefined : { key, rev: version.rev, value: version.value };
  }

  #check(): void {
    if (this.#closed) throw new StoreError("closed", "memory store");
  }
}

function eventOf(version: Version): StoreEvent {
  const { key, rev, value } = version;
  return value === undefined ? { kind: "delete", key, rev } : { kind: "put", key, rev, value };
}
