import type { Message } from "../wire/message.ts";
import type { ResourceRecord } from "../wire/record.ts";
import { rcodes } from "../wire/record-type.ts";

export interface CacheLimits {
  readonly entries: number;
  /** Caps in seconds. */
  readonly successSeconds: number;
  readonly denialSeconds: number;
  readonly failureSeconds: number;
  /** How long after its end an entry may still be served while the upstream is away; 0 = never. */
  readonly staleSeconds: number;
}

/** CoreDNS's defaults, but for stale answers, which it has off: a node goes on with what it knew. */
export const defaultCacheLimits: CacheLimits = {
  entries: 9984,
  successSeconds: 3600,
  denialSeconds: 1800,
  failureSeconds: 5,
  staleSeconds: 3600,
};

export type CacheKind = "success" | "denial" | "failure";

interface Entry {
  readonly message: Message;
  readonly kind: CacheKind;
  /** Monotonic milliseconds. */
  readonly stored: number;
  /** Milliseconds from `stored`. */
  readonly life: number;
  hits: number;
  /** After a failure the upstream is left alone until then, and this answer stands in. Monotonic milliseconds. */
  retryAt: number;
}

export interface CacheHit {
  /** With what is left of each TTL. */
  readonly message: Message;
  readonly kind: CacheKind;
  /** Its time is over; TTLs are 0. */
  readonly stale: boolean;
  /** A tenth of its life is left and it was asked for more than once: worth asking again before it is gone. */
  readonly nearEnd: boolean;
}

/** Popular enough to be asked again ahead of time. */
const prefetchHits = 2;

/** Answers by question, with the time as an argument (monotonic milliseconds). The least recently used go first. */
export class MessageCache {
  readonly #entries = new Map<string, Entry>();
  readonly #limits: CacheLimits;
  #evicted = 0;

  constructor(limits: CacheLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#entries.size;
  }

  get evictions(): number {
    return this.#evicted;
  }

  /** What is known; with `stale` also what is over, for when the upstream could not answer, which `fresh` gives only for a while
   *  after a failure. The id is the stored one's. */
  get(key: string, now: number, allow: "fresh" | "stale"): CacheHit | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    const age = now - entry.stored;
    const over = age - entry.life;
    if (over >= 0) {
      const gone = entry.kind === "failure" || over >= this.#limits.staleSeconds * 1000;
      if (gone) this.#entries.delete(key);
      if (gone || (allow === "fresh" && now >= entry.retryAt)) return undefined;
    }
    // a Map keeps the order of insertion: put in again is last to go
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    entry.hits++;
    return {
      message: withAge(entry.message, over >= 0 ? Number.POSITIVE_INFINITY : Math.floor(age / 1000)),
      kind: entry.kind,
      stale: over >= 0,
      nearEnd: over < 0 && entry.hits >= prefetchHits && -over < entry.life / 10,
    };
  }

  /** Keeps an answer as long as RFC 2308 and the caps allow; says whether it was kept. A failure never takes the place of an answer. */
  set(key: string, message: Message, now: number): boolean {
    const kind = kindOf(message);
    const seconds = kind === undefined ? 0 : lifeSeconds(message, kind, this.#limits);
    if (kind === undefined || seconds <= 0 || message.truncated) return false;
    const known = this.#entries.get(key);
    if (kind === "failure" && known !== undefined && known.kind !== "failure") {
      known.retryAt = now + seconds * 1000;
      return false;
    }
    this.#entries.delete(key);
    this.#entries.set(key, { message: withMaxTtl(message, seconds), kind, stored: now, life: seconds * 1000, hits: 0, retryAt: 0 });
    if (this.#entries.size > this.#limits.entries) {
      const oldest = this.#entries.keys().next();
      if (oldest.done !== true) this.#entries.delete(oldest.value);
      this.#evicted++;
    }
    return true;
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
  if (kind === "success") return Math.min(answers, limits.successSeconds);
  const soa = m.authority.find((r) => r.data.kind === "SOA");
  if (soa?.data.kind !== "SOA") return 0;
  return Math.min(answers, soa.ttl, soa.data.minimum, limits.denialSeconds);
}

function withAge(m: Message, seconds: number): Message {
  return mapTtl(m, (ttl) => Math.max(0, ttl - seconds));
}

function withMaxTtl(m: Message, seconds: number): Message {
  return mapTtl(m, (ttl) => Math.min(ttl, seconds));
}

function mapTtl(m: Message, change: (ttl: number) => number): Message {
  const map = (records: readonly ResourceRecord[]): readonly ResourceRecord[] => records.map((r) => ({ ...r, ttl: change(r.ttl) }));
  return { ...m, answers: map(m.answers), authority: map(m.authority), additional: map(m.additional) };
}
