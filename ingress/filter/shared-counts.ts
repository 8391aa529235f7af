import type { SharedLimits, SharedRateUse } from "./outcome.ts";

/** What one process has let in under a key, in one window of time and the one before it. */
export interface CountEntry {
  readonly key: string;
  readonly windowMs: number;
  /** Number of the window since 1970. */
  readonly window: number;
  readonly previous: number;
  readonly current: number;
}

interface Row {
  window: number;
  previous: number;
  current: number;
}

interface Count {
  readonly windowMs: number;
  readonly own: Row;
  /** By process. */
  readonly others: Map<string, Row>;
  /** Let in since it was last told. */
  untold: number;
  /** How often it is still told again, since datagrams get lost. */
  repeats: number;
}

export interface SharedCountsDeps {
  /** Milliseconds since 1970: windows begin at the same time everywhere. */
  readonly time: () => number;
  /** Other processes that hear of our counts. */
  readonly peers: () => number;
  /** Enough has come together that the others should hear of it now. */
  readonly onUrgent: () => void;
}

/** Keys counted; past it, those unused for longest are forgotten. */
const maxKeys = 100_000;
const repeats = 3;
/** Keys of other processes are no longer than those of this one. */
const maxKeyLength = 256;

/**
 * Rates that several processes keep together. Each counts what it lets in itself, exactly, and tells the others; what it does
 * not know yet is what the others let in since they last told. A process tells at the latest when it has let in its part of
 * half of what was left, so that near the limit each request is told at once.
 */
export class SharedCounts implements SharedLimits {
  readonly #deps: SharedCountsDeps;
  readonly #counts = new Map<string, Count>();
  readonly #changed = new Set<string>();

  constructor(deps: SharedCountsDeps) {
    this.#deps = deps;
  }

  /** A window that slides: of the window before, the part counts that is still within one length from now. */
  take(use: SharedRateUse): boolean {
    const { limit, windowMs } = use;
    const key = `${use.bucket} ${windowMs} ${use.client}`.slice(0, maxKeyLength);
    const time = this.#deps.time();
    const window = Math.floor(time / windowMs);
    const count = this.#countOf(key, windowMs, window);
    roll(count.own, window);
    let { previous, current } = count.own;
    for (const [origin, row] of count.others) {
      if (row.window < window - 1) count.others.delete(origin);
      else if (row.window === window) {
        previous += row.previous;
        current += row.current;
      } else if (row.window < window) previous += row.current;
      // a clock that is ahead: what it calls the window before is this one
      else current += row.previous + row.current;
    }
    const left = limit - current - previous * (1 - (time / windowMs - window));
    if (left < 1) return false;
    count.own.current++;
    count.untold++;
    count.repeats = repeats;
    this.#changed.add(key);
    const peers = this.#deps.peers();
    if (peers > 0 && count.untold >= Math.max(1, Math.floor(left / (2 * (peers + 1))))) this.#deps.onUrgent();
    return true;
  }

  /** What the others have not heard of. */
  news(): readonly CountEntry[] {
    return this.#tell((c) => c.untold > 0);
  }

  /** The same, and again what they were told a short while ago. */
  changes(): readonly CountEntry[] {
    const entries = this.#tell(() => true);
    for (const { key } of entries) {
      const count = this.#counts.get(key);
      if (count !== undefined && --count.repeats <= 0) this.#changed.delete(key);
    }
    return entries;
  }

  #tell(isTold: (count: Count) => boolean): readonly CountEntry[] {
    const entries: CountEntry[] = [];
    for (const key of this.#changed) {
      const count = this.#counts.get(key);
      if (count === undefined) this.#changed.delete(key);
      else if (isTold(count)) {
        entries.push(entryOf(key, count));
        count.untold = 0;
      }
    }
    return entries;
  }

  /** For a process that is new. */
  all(): readonly CountEntry[] {
    return [...this.#counts].filter(([, c]) => c.own.current + c.own.previous > 0).map(([key, c]) => entryOf(key, c));
  }

  /** What another process said of itself; older news than what is known changes nothing. */
  merge(origin: string, entries: readonly CountEntry[]): void {
    for (const { key, windowMs, window, previous, current } of entries) {
      if (key.length > maxKeyLength || !(windowMs > 0)) continue;
      const now = Math.floor(this.#deps.time() / windowMs);
      // of long ago, or of a clock that cannot be right
      if (window < now - 1 || window > now + 1) continue;
      const { others } = this.#countOf(key, windowMs, now);
      const known = others.get(origin);
      if (known !== undefined && (known.window > window || (known.window === window && known.current >= current))) continue;
      others.set(origin, { window, previous, current });
    }
  }

  /** Lets go of keys that nobody has used for two windows. */
  sweep(): void {
    const time = this.#deps.time();
    for (const [key, { windowMs, own, others }] of this.#counts) {
      const oldest = Math.floor(time / windowMs) - 1;
      if (own.window < oldest && ![...others.values()].some((r) => r.window >= oldest)) this.#counts.delete(key);
    }
  }

  #countOf(key: string, windowMs: number, window: number): Count {
    let count = this.#counts.get(key);
    if (count !== undefined) return count;
    if (this.#counts.size >= maxKeys)
      for (const oldest of this.#counts.keys()) {
        this.#counts.delete(oldest);
        break;
      }
    count = { windowMs, own: { window, previous: 0, current: 0 }, others: new Map(), untold: 0, repeats: 0 };
    this.#counts.set(key, count);
    return count;
  }
}

function roll(row: Row, window: number): void {
  if (row.window === window) return;
  row.previous = row.window === window - 1 ? row.current : 0;
  row.current = 0;
  row.window = window;
}

function entryOf(key: string, { windowMs, own }: Count): CountEntry {
  return { key, windowMs, ...own };
}
