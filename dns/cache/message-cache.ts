import type { Message } from "../wire/message.ts";
import type { ResourceRecord } from "../wire/record.ts";
import { rcodes } from "../wire/record-type.ts";
import { type WireForm, wireFormOf } from "./wire-form.ts";

/** Of answers, or of denials and failures. */
export interface CacheShare {
  readonly entries: number;
  /** Seconds: no answer is kept longer, or shorter. */
  readonly maxTtl: number;
  readonly minTtl: number;
}

export interface CacheLimits {
  readonly success: CacheShare;
  readonly denial: CacheShare;
  readonly failureSeconds: number;
  /** How long after its end an entry may still be served while the upstream is away; 0 = never. */
  readonly staleSeconds: number;
  /** What is served after its end says so many seconds; default 0. */
  readonly staleTtl?: number;
  /** After a failure an upstream is left alone for so long where an answer stands in; default as long as failures are kept. */
  readonly recheckSeconds?: number;
  /** A denial does not take the place of an answer that may still be served, be it after its end. Default it does. */
  readonly prefersPositive?: boolean;
  /** Asked again ahead of the end, when less than `percent` of its life is left and it was asked for `amount` times with gaps of at most `gap` ms. */
  readonly prefetch?: { readonly amount: number; readonly gap: number; readonly percent: number };
  /** Answers keep the TTL they came with. */
  readonly keepTtl?: boolean;
}

/** CoreDNS's defaults, but for stale answers and prefetching, which it has off: a node goes on with what it knew. */
export const defaultCacheLimits: CacheLimits = {
  success: { entries: 9984, maxTtl: 3600, minTtl: 0 },
  denial: { entries: 9984, maxTtl: 1800, minTtl: 0 },
  failureSeconds: 5,
  staleSeconds: 3600,
  prefetch: { amount: 2, gap: 3_600_000, percent: 10 },
};

export type CacheKind = "success" | "denial" | "failure";

interface Entry {
  readonly key: string;
  readonly message: Message;
  readonly kind: CacheKind;
  /** Monotonic milliseconds. */
  readonly stored: number;
  /** Milliseconds from `stored`. */
  readonly life: number;
  /** Since the last gap. */
  hits: number;
  lastHit: number;
  /** After a failure the upstream is left alone until then, and this answer stands in. Monotonic milliseconds. */
  retryAt: number;
  /** When it was last put behind all others. Monotonic milliseconds. */
  moved: number;
  /** Its bytes, and the key they are found by. */
  wire?: { readonly key: string; readonly form: WireForm };
}

/** An answer as bytes, fresh. */
export interface WireHit {
  readonly form: WireForm;
  readonly kind: CacheKind;
  /** Seconds to be taken from its TTLs. */
  readonly age: number;
}

/** An entry that is asked for all the time is put behind the others no more often than this. Milliseconds. */
const moveEvery = 1000;

export interface CacheHit {
  /** With what is left of each TTL. */
  readonly message: Message;
  readonly kind: CacheKind;
  /** Its time is over; TTLs are 0. */
  readonly stale: boolean;
  /** Milliseconds since its end; 0 while it is fresh. */
  readonly over: number;
  /** The upstream failed a moment ago, and is left alone. */
  readonly resting: boolean;
  /** Popular and soon over: worth asking again before it is gone. */
  readonly nearEnd: boolean;
}

/** Answers by question, with the time as an argument (monotonic milliseconds). The least recently used go first. */
export class MessageCache {
  readonly #successes = new Map<string, Entry>();
  readonly #denials = new Map<string, Entry>();
  readonly #byWire = new Map<string, Entry>();
  readonly #limits: CacheLimits;
  #evicted = 0;

  constructor(limits: CacheLimits) {
    this.#limits = limits;
  }

  /** Answers; and denials with failures. */
  get sizes(): { readonly success: number; readonly denial: number } {
    return { success: this.#successes.size, denial: this.#denials.size };
  }

  get evictions(): number {
    return this.#evicted;
  }

  /** What is known; with `stale` also what is over, for when the upstream could not answer, which `fresh` gives only for a while
   *  after a failure. The id is the stored one's. */
  get(key: string, now: number, allow: "fresh" | "stale"): CacheHit | undefined {
    const entry = this.#successes.get(key) ?? this.#denials.get(key);
    if (entry === undefined) return undefined;
    const of = this.#mapOf(entry.kind);
    const age = now - entry.stored;
    const over = age - entry.life;
    if (over >= 0) {
      const gone = entry.kind === "failure" || over >= this.#limits.staleSeconds * 1000;
      if (gone) this.#drop(entry);
      if (gone || (allow === "fresh" && now >= entry.retryAt)) return undefined;
    }
    this.#touch(entry, of, now);
    const { keepTtl, staleTtl = 0 } = this.#limits;
    const message =
      over >= 0 ? mapTtl(entry.message, () => staleTtl) : keepTtl === true ? entry.message : withAge(entry.message, Math.floor(age / 1000));
    return {
      message,
      kind: entry.kind,
      stale: over >= 0,
      over: Math.max(0, over),
      resting: now < entry.retryAt,
      nearEnd: over < 0 && this.#isNearEnd(entry, -over),
    };
  }

  /** Finds what is kept by a wire key as well from now on; what has no such form is not. */
  remember(key: string, wireKey: () => string): void {
    const entry = this.#successes.get(key) ?? this.#denials.get(key);
    if (entry === undefined || entry.wire !== undefined || entry.kind === "failure") return;
    const form = wireFormOf(entry.message);
    if (form === undefined) return;
    const wire = wireKey();
    entry.wire = { key: wire, form };
    this.#byWire.set(wire, entry);
  }

  /** A fresh answer by its wire key, as a hit of `get` would be. One that is worth asking for again is left to that. */
  wire(key: string, now: number): WireHit | undefined {
    const entry = this.#byWire.get(key);
    if (entry?.wire === undefined) return undefined;
    const age = now - entry.stored;
    if (age >= entry.life || this.#isNearEnd(entry, entry.life - age, 1)) return undefined;
    if (now - entry.moved > moveEvery) this.#touch(entry, this.#mapOf(entry.kind), now);
    else this.#count(entry, now);
    return { form: entry.wire.form, kind: entry.kind, age: this.#limits.keepTtl === true ? 0 : Math.floor(age / 1000) };
  }

  #touch(entry: Entry, of: Map<string, Entry>, now: number): void {
    // a Map keeps the order of insertion: put in again is last to go
    of.delete(entry.key);
    of.set(entry.key, entry);
    entry.moved = now;
    this.#count(entry, now);
  }

  #count(entry: Entry, now: number): void {
    const { prefetch } = this.#limits;
    entry.hits = prefetch !== undefined && now - entry.lastHit > prefetch.gap ? 1 : entry.hits + 1;
    entry.lastHit = now;
  }

  /** `more`: hits that are not counted yet. */
  #isNearEnd(entry: Entry, left: number, more = 0): boolean {
    const { prefetch } = this.#limits;
    return prefetch !== undefined && entry.hits + more >= prefetch.amount && left < (entry.life * prefetch.percent) / 100;
  }

  #drop(entry: Entry): void {
    this.#mapOf(entry.kind).delete(entry.key);
    if (entry.wire !== undefined && this.#byWire.get(entry.wire.key) === entry) this.#byWire.delete(entry.wire.key);
  }

  /** What may still be served, and is not given up for a message of this kind. */
  #outlives(known: Entry, kind: CacheKind, now: number): boolean {
    if (known.kind === "failure") return false;
    if (kind === "failure") return true;
    const { prefersPositive, staleSeconds } = this.#limits;
    const isOver = now - known.stored - known.life >= staleSeconds * 1000;
    return prefersPositive === true && kind === "denial" && known.kind === "success" && !isOver;
  }

  /** Keeps an answer as long as RFC 2308 and the caps allow; says whether it was kept. A failure never takes the place of an answer. */
  set(key: string, message: Message, now: number): boolean {
    const kind = kindOf(message);
    const seconds = kind === undefined ? 0 : lifeSeconds(message, kind, this.#limits);
    if (kind === undefined || seconds <= 0 || message.truncated) return false;
    const known = this.#successes.get(key) ?? this.#denials.get(key);
    if (known !== undefined && this.#outlives(known, kind, now)) {
      known.retryAt = now + ((kind === "failure" && this.#limits.recheckSeconds) || seconds) * 1000;
      return false;
    }
    if (known !== undefined) this.#drop(known);
    const share = kind === "success" ? this.#limits.success : this.#limits.denial;
    if (share.entries === 0) return false;
    const to = this.#mapOf(kind);
    const life = seconds * 1000;
    to.set(key, { key, message: withTtl(message, seconds, share), kind, stored: now, life, hits: 0, lastHit: now, moved: now, retryAt: 0 });
    if (to.size > share.entries) {
      const oldest = to.values().next();
      if (oldest.done !== true) this.#drop(oldest.value);
      this.#evicted++;
    }
    return true;
  }

  #mapOf(kind: CacheKind): Map<string, Entry> {
    return kind === "success" ? this.#successes : this.#denials;
  }
}

function kindOf(m: Message): CacheKind | undefined {
  if (m.rcode === rcodes.SERVFAIL) return "failure";
  if (m.rcode === rcodes.NXDOMAIN) return "denial";
  if (m.rcode !== rcodes.NOERROR) return undefined;
  const wanted = m.questions[0]?.type;
  const answered = m.answers.some((r) => r.data.kind !== "CNAME") || (m.answers.length > 0 && wanted === 5);
  return answered ? "success" : "denial";
}

/** Of an answer the smallest TTL; of a negative one the SOA's TTL or minimum, whichever is less (RFC 2308 section 5), and without a SOA nothing. */
function lifeSeconds(m: Message, kind: CacheKind, limits: CacheLimits): number {
  if (kind === "failure") return limits.failureSeconds;
  const answers = m.answers.reduce((least, r) => Math.min(least, r.ttl), Number.POSITIVE_INFINITY);
  const { success, denial } = limits;
  if (kind === "success") return Math.max(Math.min(answers, success.maxTtl), success.minTtl);
  const soa = m.authority.find((r) => r.data.kind === "SOA");
  if (soa?.data.kind !== "SOA") return 0;
  return Math.max(Math.min(answers, soa.ttl, soa.data.minimum, denial.maxTtl), denial.minTtl);
}

function withAge(m: Message, seconds: number): Message {
  return mapTtl(m, (ttl) => Math.max(0, ttl - seconds));
}

function withTtl(m: Message, seconds: number, { minTtl }: CacheShare): Message {
  return mapTtl(m, (ttl) => Math.min(Math.max(ttl, minTtl), seconds));
}

function mapTtl(m: Message, change: (ttl: number) => number): Message {
  const map = (records: readonly ResourceRecord[]): readonly ResourceRecord[] => records.map((r) => ({ ...r, ttl: change(r.ttl) }));
  return { ...m, answers: map(m.answers), authority: map(m.authority), additional: map(m.additional) };
}
