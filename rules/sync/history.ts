import type { Backend } from "../model/backend.ts";
import type { ServiceEffect } from "./effects.ts";

/** What an object's change was, as far as it made rules change. */
export interface HistoryCause {
  readonly kind: string;
  readonly namespace?: string;
  readonly name: string;
  readonly resourceVersion: string;
  readonly change: "added" | "changed" | "deleted";
  /** Of a Service, Node or ServiceCIDR that changed: what is not as it was, `spec.externalTrafficPolicy`. */
  readonly fields: readonly string[];
}

/**
 * applied: at once · retried: after tries that failed · refused: without what the kernel refused · repaired: others had changed
 * the rules · failing: not in force yet, tried again and again.
 */
export type Outcome = "applied" | "retried" | "refused" | "repaired" | "failing";

/** One transaction of rules. */
export interface HistoryEntry {
  /** Counts up from 1 within one run of the agent. */
  readonly id: number;
  /** When it was in force: milliseconds since 1970. Of one that is failing, when it was tried last. */
  readonly at: number;
  readonly backend: Backend;
  readonly outcome: Outcome;
  /** The first one of a run: everything there was. */
  readonly full: boolean;
  readonly tries: number;
  /** How long it took to apply, last try. */
  readonly durationMs: number;
  /** From the first of its changes being seen to being in force. */
  readonly waitedMs: number;
  /** Elements, rules or listeners changed. */
  readonly elements: number;
  readonly staleFlows: number;
  readonly causes: readonly HistoryCause[];
  /** How many more causes there were. */
  readonly moreCauses: number;
  readonly services: readonly ServiceEffect[];
  /** How many more addresses and ports changed, of Services that are not in `services`. */
  readonly moreFrontends: number;
  /** What the kernel refused, in words. */
  readonly refused: readonly { readonly object: string; readonly message: string }[];
  /** Of tries that failed: what the last one said. */
  readonly error?: string;
}

export interface HistoryLimits {
  readonly entries: number;
  /** Of memory, as estimated. */
  readonly bytes: number;
}

export const defaultHistoryLimits: HistoryLimits = { entries: 1_000, bytes: 1024 * 1024 };

export interface HistoryQuery {
  /** `namespace/name`: what changed this Service's rules. */
  readonly service?: string | undefined;
  /** Milliseconds since 1970. */
  readonly since?: number | undefined;
  /** The latest so many. */
  readonly limit?: number | undefined;
}

/** The last transactions, bounded in number and memory: the oldest go first. */
export class RuleHistory {
  readonly #limits: HistoryLimits;
  /** A ring: `#first` is the place of the oldest. */
  readonly #ring: (HistoryEntry | undefined)[] = [];
  #first = 0;
  #count = 0;
  #bytes = 0;
  #id = 0;
  #failing: HistoryEntry | undefined;

  constructor(limits: HistoryLimits = defaultHistoryLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** A transaction is in force; whatever failed before is told by it. */
  add(entry: Omit<HistoryEntry, "id">): HistoryEntry {
    this.#failing = undefined;
    const added = { id: ++this.#id, ...entry };
    const { entries, bytes } = this.#limits;
    const size = sizeOf(added);
    while (this.#count > 0 && (this.#count >= entries || this.#bytes + size > bytes)) this.#drop();
    this.#ring[(this.#first + this.#count) % entries] = added;
    this.#count++;
    this.#bytes += size;
    return added;
  }

  /** A try failed: shown as the latest until one succeeds. */
  failing(entry: Omit<HistoryEntry, "id">): void {
    this.#failing = { id: this.#id + 1, ...entry };
  }

  /** Latest first. */
  list(query: HistoryQuery = {}): readonly HistoryEntry[] {
    const found: HistoryEntry[] = [];
    const limit = query.limit ?? Number.POSITIVE_INFINITY;
    for (const entry of this.#latestFirst()) {
      if (found.length >= limit || (query.since !== undefined && entry.at < query.since)) break;
      if (query.service === undefined || concerns(entry, query.service)) found.push(entry);
    }
    return found;
  }

  *#latestFirst(): Iterable<HistoryEntry> {
    if (this.#failing !== undefined) yield this.#failing;
    for (let i = this.#count - 1; i >= 0; i--) {
      const entry = this.#ring[(this.#first + i) % this.#limits.entries];
      if (entry !== undefined) yield entry;
    }
  }

  #drop(): void {
    const oldest = this.#ring[this.#first];
    this.#ring[this.#first] = undefined;
    this.#first = (this.#first + 1) % this.#limits.entries;
    this.#count--;
    if (oldest !== undefined) this.#bytes -= sizeOf(oldest);
  }
}

/** A full transaction changed every Service, though it names a few only. */
function concerns(entry: HistoryEntry, service: string): boolean {
  return (
    entry.services.some((s) => s.service === service || s.service.startsWith(`${service}:`)) ||
    entry.refused.some((r) => r.object === `Service ${service}`) ||
    entry.causes.some((c) => c.kind === "Service" && `${c.namespace ?? ""}/${c.name}` === service)
  );
}

/** Roughly: objects and arrays by their fields, text by its length. */
function sizeOf(entry: HistoryEntry): number {
  let bytes = 240;
  for (const c of entry.causes) bytes += 120 + c.name.length + c.fields.length * 40;
  for (const s of entry.services) bytes += 200 + s.service.length + (s.gained.length + s.lost.length) * 40 + s.settings.length * 100;
  for (const r of entry.refused) bytes += 60 + r.object.length + r.message.length;
  return bytes + (entry.error?.length ?? 0);
}
