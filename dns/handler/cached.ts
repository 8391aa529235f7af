import type { Clock } from "../../src/base/clock.ts";
import type { CacheHit, MessageCache } from "../cache/message-cache.ts";
import { flagBitsOf, wireKey } from "../cache/wire-key.ts";
import type { Message } from "../wire/message.ts";
import { canonicalName, type DomainName, encodeName } from "../wire/name.ts";
import { classIn, rcodes, typeNumbers } from "../wire/record-type.ts";
import { type DnsContext, type DnsHandler, emptyAnswer, type Query, type Wrap } from "./handler.ts";
import { closestZone } from "./zone-match.ts";

/** What the cache did, for metrics. */
export interface CacheObserver {
  readonly hit: (kind: "success" | "denial") => void;
  readonly miss: () => void;
  /** An answer was served `seconds` after its end. */
  readonly stale: (seconds: number) => void;
  readonly prefetch: () => void;
}

export interface CachedOptions {
  readonly clock: Clock;
  readonly observe: CacheObserver;
  /** Waits for what goes on after its answer was given. */
  readonly background: (task: Promise<unknown>) => void;
  /** Canonical; default all. */
  readonly zones?: readonly DomainName[];
  /** Whose answers are kept, by who had a part in them; default all. */
  readonly isKept?: (took: ReadonlySet<string>) => boolean;
  /** Whom it serves; others neither fill nor probe it. Default all. */
  readonly isServed?: (q: Query) => boolean;
  readonly disabled?: { readonly success: readonly DomainName[]; readonly denial: readonly DomainName[] };
  /**
   * How answers whose time is over are served: `verify` when the upstream fails, or says nothing for `patience` ms;
   * `immediate` at once, and the upstream is asked afterwards. Default verify.
   */
  readonly stale?: { readonly refresh: "immediate" | "verify"; readonly patience: number; readonly prefersPositive?: boolean };
}

const defaultStale: NonNullable<CachedOptions["stale"]> = { refresh: "verify", patience: Number.POSITIVE_INFINITY };

/** An answer on its way, and who had a part in it. */
interface Pending {
  readonly answer: Promise<Message>;
  readonly took: ReadonlySet<string>;
}

/**
 * Answers from the cache, and what is asked again while an answer is on its way waits for that one. When the upstream fails, an
 * answer whose time is over is better than none (RFC 8767).
 */
export function answerCached(cache: MessageCache, options: CachedOptions): Wrap {
  const { clock, observe, background, zones = ["."], stale = defaultStale } = options;
  return (next) => {
    const pending = new Map<string, Pending>();
    const ask = (key: string, q: Query, c: DnsContext): Pending => {
      const known = pending.get(key);
      if (known !== undefined) return known;
      const answer = askNext(next, q, c)
        .then(
          (message) => {
            if (isKept(options, q, message, c)) cache.set(key, message, clock.monotonic());
            return message;
          },
          (error: unknown) => {
            // no answer is a failure to remember too: a dead upstream is not waited for by each who asks
            cache.set(key, emptyAnswer(q.message, rcodes.SERVFAIL), clock.monotonic());
            throw error;
          },
        )
        .finally(() => pending.delete(key));
      const started = { answer, took: c.took };
      pending.set(key, started);
      return started;
    };
    /** Than an answer whose time is over. */
    const isBetter = ({ rcode, answers }: Message): boolean =>
      rcode !== rcodes.SERVFAIL && (stale.prefersPositive !== true || (rcode === rcodes.NOERROR && answers.length > 0));
    const told = (hit: CacheHit, q: Query, c: DnsContext): Message => {
      if (hit.stale) observe.stale(hit.over / 1000);
      else observe.hit(hit.kind === "success" ? "success" : "denial");
      c.took.add("cache");
      if (!hit.stale) cache.remember(keyOf(q), () => wireKeyOf(q));
      return forQuery(hit.message, q);
    };
    return async (q, c) => {
      if (!isFor(options, q, zones)) return next(q, c);
      const key = keyOf(q);
      const now = clock.monotonic();
      const hit = cache.get(key, now, stale.refresh === "immediate" ? "stale" : "fresh");
      if (hit !== undefined && (!hit.stale || hit.kind !== "failure")) {
        const message = told(hit, q, c);
        if ((hit.nearEnd || (hit.stale && stale.refresh === "immediate" && !hit.resting)) && !pending.has(key)) {
          if (hit.nearEnd) observe.prefetch();
          background(ask(key, q, ownContext(c)).answer.catch(() => {}));
        }
        return message;
      }
      observe.miss();
      const failed = (fallback: () => Message): Message => {
        const old = cache.get(key, clock.monotonic(), "stale");
        return old === undefined || old.kind === "failure" || (old.kind === "denial" && !old.stale) ? fallback() : told(old, q, c);
      };
      const asked = ask(key, q, c);
      try {
        const message = await withPatience(
          asked.answer,
          cache.get(key, now, "stale") === undefined ? Number.POSITIVE_INFINITY : stale.patience,
          clock,
        );
        if (message === "late") return failed(() => emptyAnswer(q.message, rcodes.SERVFAIL));
        for (const name of asked.took) c.took.add(name);
        return isBetter(message) ? forQuery(message, q) : failed(() => forQuery(message, q));
      } catch (error) {
        return failed(() => {
          throw error;
        });
      }
    };
  };
}

/** What goes on without its client must not end with it. */
function ownContext(c: DnsContext): DnsContext {
  return { ...c, took: new Set(), metadata: new Map(c.metadata), reply: { dropped: false } };
}

function isFor({ isServed }: CachedOptions, q: Query, zones: readonly DomainName[]): boolean {
  const { type, class: rrClass, name } = q.question;
  if (rrClass !== classIn || type === typeNumbers.AXFR || type === typeNumbers.IXFR) return false;
  return closestZone(canonicalName(name), zones) !== undefined && isServed?.(q) !== false;
}

function isKept({ isKept: ofThese, disabled }: CachedOptions, q: Query, message: Message, c: DnsContext): boolean {
  if (ofThese?.(c.took) === false || c.reply.dropped) return false;
  const isSuccess = message.rcode === rcodes.NOERROR && message.answers.length > 0;
  const off = isSuccess ? disabled?.success : disabled?.denial;
  return off === undefined || closestZone(canonicalName(q.question.name), off) === undefined;
}

async function withPatience(answer: Promise<Message>, patience: number, clock: Clock): Promise<Message | "late"> {
  if (patience === Number.POSITIVE_INFINITY) return answer;
  const over = new AbortController();
  try {
    return await Promise.race([answer, clock.sleep(patience, over.signal).then(() => "late" as const)]);
  } finally {
    over.abort();
    // whoever comes later has it; its failure was not waited for
    answer.catch(() => {});
  }
}

async function askNext(next: DnsHandler, q: Query, c: DnsContext): Promise<Message> {
  return next(q, c);
}

function keyOf(q: Query): string {
  const { type, class: rrClass, name } = q.question;
  return `${type} ${rrClass} ${flagsOf(q)} ${canonicalName(name)}`;
}

function wireKeyOf(q: Query): string {
  const name = encodeName(canonicalName(q.question.name));
  return wireKey(name, 0, name.length, q.question.type, flagsOf(q));
}

function flagsOf({ message: { checkingDisabled, authenticData, edns } }: Query): number {
  return flagBitsOf({ checkingDisabled, authenticData, dnssecOk: edns?.dnssecOk === true });
}

/** Id, question (in the case it was asked in) and flags of the client that gets it. */
function forQuery(m: Message, q: Query): Message {
  return {
    ...m,
    id: q.message.id,
    questions: [q.question],
    recursionDesired: q.message.recursionDesired,
    checkingDisabled: q.message.checkingDisabled,
  };
}
