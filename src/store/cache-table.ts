import { ByteArena, bytesAt, ownPlace, type Place } from "./byte-arena.ts";
import { decodeObject, withRev } from "./object-bytes.ts";
import type { Rev } from "./store.ts";

/** What selectors look at. */
export interface Selectable {
  readonly labels: Readonly<Record<string, string>>;
  readonly fields: Readonly<Record<string, string>>;
}

/** Takes labels and selectable fields out of a decoded object. */
export type Project = (object: Readonly<Record<string, unknown>>) => Selectable;

/** One object as its bytes; selectors' view of it is made when first asked for. */
export class CacheEntry {
  /** `namespace/name`, or `name` for cluster-scoped kinds. */
  readonly key: string;
  readonly rev: Rev;
  readonly #project: Project;
  #place: Place;
  #selectable: Selectable | undefined;

  constructor(key: string, rev: Rev, place: Place, project: Project) {
    this.key = key;
    this.rev = rev;
    this.#place = place;
    this.#project = project;
  }

  get bytes(): Uint8Array {
    return bytesAt(this.#place);
  }

  /** How many bytes it has. */
  get size(): number {
    return this.#place.size;
  }

  get place(): Place {
    return this.#place;
  }

  /** The same bytes are somewhere else now. */
  move(place: Place): void {
    this.#place = place;
  }

  get selectable(): Selectable {
    this.#selectable ??= this.#project(decodeObject(this.bytes));
    return this.#selectable;
  }
}

export type EventType = "ADDED" | "MODIFIED" | "DELETED";

/** A change as its watchers see it; the line of each type is encoded once for all of them. */
export class CacheEvent {
  readonly rev: Rev;
  readonly key: string;
  /** undefined = deleted. */
  readonly current: CacheEntry | undefined;
  readonly previous: CacheEntry | undefined;
  readonly #head: string;
  /** Made when somebody watches. */
  #lines: Map<EventType, Uint8Array> | undefined;

  constructor(change: {
    readonly key: string;
    readonly rev: Rev;
    readonly current?: CacheEntry;
    readonly previous?: CacheEntry;
    readonly head: string;
  }) {
    this.key = change.key;
    this.rev = change.rev;
    this.current = change.current;
    this.previous = change.previous;
    this.#head = change.head;
  }

  /** What it is for somebody who sees only what `matches`; undefined = nothing. */
  typeFor(matches: (entry: CacheEntry) => boolean): EventType | undefined {
    const now = this.current !== undefined && matches(this.current);
    const before = this.previous !== undefined && matches(this.previous);
    if (now) return before ? "MODIFIED" : "ADDED";
    return before ? "DELETED" : undefined;
  }

  /** The object of the event: what is no longer seen is shown as it was last, with this event's revision. */
  object(type: EventType): Uint8Array {
    if (type !== "DELETED" && this.current !== undefined) return this.current.bytes;
    return this.previous === undefined ? new Uint8Array() : withRev(this.#head, this.previous.bytes, this.rev);
  }

  /** `{"type":…,"object":…}` and a newline. */
  line(type: EventType): Uint8Array {
    this.#lines ??= new Map();
    let line = this.#lines.get(type);
    if (line === undefined) {
      line = eventLine(type, this.object(type));
      this.#lines.set(type, line);
    }
    return line;
  }

  /** All who watch have been told: who asks for a line later gets a new one. */
  told(): void {
    this.#lines = undefined;
  }
}

const maxEvents = 8192;
const maxEventBytes = 4 << 20;
/** What an event takes itself, beside the bytes of what it replaced. */
const eventOverhead = 256;

type Listener = (event: CacheEvent) => void;
/** Those who are told `first`, before all others: traffic waits for them. */
export type Turn = "first" | "in-turn";

/** The objects of one resource, sorted by key, and their last events. */
export class CacheTable {
  readonly head: string;
  readonly #project: Project;
  readonly #entries = new Map<string, CacheEntry>();
  readonly #arena = new ByteArena();
  #sorted: string[] = [];
  #ring: CacheEvent[] = [];
  #ringBytes = 0;
  /** Events after this revision are in the ring. */
  #floor: Rev;
  #lastChange: Rev;
  readonly #listeners: Readonly<Record<Turn, Set<Listener>>> = { first: new Set(), "in-turn": new Set() };

  constructor(head: string, project: Project) {
    this.head = head;
    this.#project = project;
    this.#floor = 0;
    this.#lastChange = 0;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The revision of the last change; 0 when nothing was loaded or changed. */
  get lastChange(): Rev {
    return this.#lastChange;
  }

  get watchers(): number {
    return this.#listeners.first.size + this.#listeners["in-turn"].size;
  }

  get(key: string): CacheEntry | undefined {
    return this.#entries.get(key);
  }

  /** An entry that is not (any more) in the table, to be matched like those that are. */
  entryOf(key: string, rev: Rev, bytes: Uint8Array): CacheEntry {
    return new CacheEntry(key, rev, ownPlace(bytes), this.#project);
  }

  /** In order of keys; `prefix` is "" or `namespace/`, `after` the key to start behind. */
  range(prefix = "", after = ""): CacheEntry[] {
    const out: CacheEntry[] = [];
    for (let i = this.#place(after > prefix ? `${after}\0` : prefix); i < this.#sorted.length; i++) {
      const key = this.#sorted[i] ?? "";
      if (!key.startsWith(prefix)) break;
      const entry = this.#entries.get(key);
      if (entry !== undefined) out.push(entry);
    }
    return out;
  }

  /** Fills an empty table with what the store held; no events. The bytes are the table's own from then on. */
  load(items: Iterable<{ readonly key: string; readonly rev: Rev; readonly bytes: Uint8Array }>): void {
    for (const { key, rev, bytes } of items) {
      this.#entries.set(key, new CacheEntry(key, rev, this.#arena.adopt(bytes), this.#project));
      this.#lastChange = Math.max(this.#lastChange, rev);
    }
  }

  loaded(rev: Rev): void {
    this.#sorted = [...this.#entries.keys()].sort();
    this.#floor = rev;
  }

  /** `bytes` undefined = deleted. */
  apply(key: string, rev: Rev, bytes: Uint8Array | undefined): void {
    const previous = this.#entries.get(key);
    const current = bytes === undefined ? undefined : new CacheEntry(key, rev, this.#arena.put(bytes), this.#project);
    if (current === undefined) {
      if (previous === undefined) return;
      this.#entries.delete(key);
      this.#sorted.splice(this.#place(key), 1);
    } else {
      this.#entries.set(key, current);
      if (previous === undefined) this.#sorted.splice(this.#place(key), 0, key);
    }
    if (previous !== undefined) this.#remove(previous);
    this.#lastChange = rev;
    const event = new CacheEvent({
      key,
      rev,
      head: this.head,
      ...(current === undefined ? {} : { current }),
      ...(previous === undefined ? {} : { previous }),
    });
    this.#remember(event);
    for (const listener of this.#listeners.first) listener(event);
    for (const listener of this.#listeners["in-turn"]) listener(event);
    event.told();
  }

  /** Calls `listener` for every event after `after`, at once for those that were. "too-old" when some are forgotten. */
  subscribe(after: Rev, listener: Listener, turn: Turn = "in-turn"): (() => void) | "too-old" {
    if (after < this.#floor) return "too-old";
    for (const event of this.#ring.slice(this.#firstAfter(after))) listener(event);
    const listeners = this.#listeners[turn];
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  get oldest(): Rev {
    return this.#floor;
  }

  /** The last events keep what it was, in memory of its own: a block stays as long as anything in it. */
  #remove(entry: CacheEntry): void {
    const { place } = entry;
    entry.move(ownPlace(entry.bytes.slice()));
    this.#arena.free(place);
    if (this.#arena.sparse) this.#arena.collect(this.#entries.values());
  }

  #remember(event: CacheEvent): void {
    this.#ring.push(event);
    this.#ringBytes += sizeOf(event);
    if (this.#ring.length <= maxEvents && this.#ringBytes <= maxEventBytes) return;
    // A quarter at once: dropping one at each event would copy the ring each time.
    const dropped = this.#ring.slice(0, Math.ceil(this.#ring.length / 4));
    this.#ring = this.#ring.slice(dropped.length);
    for (const old of dropped) this.#ringBytes -= sizeOf(old);
    this.#floor = dropped.at(-1)?.rev ?? this.#floor;
  }

  #firstAfter(rev: Rev): number {
    let low = 0;
    let high = this.#ring.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#ring[middle]?.rev ?? 0) > rev) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #place(key: string): number {
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#sorted[middle] ?? "") >= key) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

/** One line of a watch. */
export function eventLine(type: string, object: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`{"type":"${type}","object":`), object, Buffer.from("}\n")]);
}

function sizeOf(event: CacheEvent): number {
  return eventOverhead + (event.previous?.size ?? 0);
}
