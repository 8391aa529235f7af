import type { DomainName } from "../../wire/name.ts";
import type { Directive } from "../corefile.ts";
import { readOptions, type Words, wordsOf } from "../words.ts";
import { type BlockContext, zonesOr } from "./block-context.ts";

/** Of answers, or of denials. */
export interface CacheShare {
  readonly entries: number;
  /** Seconds. */
  readonly maxTtl: number;
  readonly minTtl: number;
}

export interface CacheConfig {
  readonly plugin: "cache";
  readonly zones: readonly DomainName[];
  readonly success: CacheShare;
  readonly denial: CacheShare;
  /** Asked again ahead of the end when it was asked for `amount` times with no gap longer than `gap` ms. Absent: never. */
  readonly prefetch?: { readonly amount: number; readonly gap: number /** Of the TTL that is left, 10 to 90. */; readonly percent: number };
  /** Served after their end while nothing better comes, for `seconds`. */
  readonly serveStale?: {
    readonly seconds: number;
    readonly refresh: "immediate" | "verify" /** Milliseconds `verify` waits. */;
    readonly patience: number;
    /** Seconds that such an answer says it may be kept. */
    readonly ttl: number;
    /** Seconds after a failure in which nobody is asked again; 0: as long as failures are kept. */
    readonly recheckSeconds: number;
    /** An answer that may still be served outlives denials of its name. */
    readonly prefersPositive: boolean;
  };
  readonly servfailSeconds: number;
  /** Zones whose answers, or denials, are not kept. */
  readonly disabled: { readonly success: readonly DomainName[]; readonly denial: readonly DomainName[] };
  /** Answers keep the TTL they came with. */
  readonly keepTtl: boolean;
}

const entries = 9984;

export function readCache(d: Directive, block: BlockContext): CacheConfig {
  const words = wordsOf(d);
  const ttl = /^[0-9]+$/.test(words.peek() ?? "") ? words.integer("a TTL", 1, 0x7fffffff) : undefined;
  const zones = zonesOr(words, block);
  let success: CacheShare = { entries, maxTtl: ttl ?? 3600, minTtl: 0 };
  let denial: CacheShare = { entries, maxTtl: ttl ?? 1800, minTtl: 0 };
  let prefetch: CacheConfig["prefetch"];
  let serveStale: Omit<NonNullable<CacheConfig["serveStale"]>, "prefersPositive"> | undefined;
  let prefersPositive = false;
  let servfailSeconds = 5;
  let keepTtl = false;
  const disabled: { success: readonly DomainName[]; denial: readonly DomainName[] } = { success: [], denial: [] };
  readOptions(d, {
    success: (w) => void (success = readShare(w, success)),
    denial: (w) => void (denial = readShare(w, denial)),
    prefetch: (w) => {
      const amount = w.integer("a number of questions", 0, 0x7fffffff);
      const gap = w.left === 0 ? 60_000 : w.duration("a time");
      const percent = w.left === 0 ? 10 : Number(/^([0-9]{1,3})%$/.exec(w.take("a percentage"))?.[1] ?? Number.NaN);
      if (!(percent >= 10 && percent <= 90)) w.fail("a percentage from 10% to 90% is wanted");
      prefetch = amount === 0 ? undefined : { amount, gap, percent };
    },
    serve_stale: (w) => {
      const isMode = w.peek() === "immediate" || w.peek() === "verify";
      const seconds = w.left === 0 || isMode ? 3600 : w.duration("a time") / 1000;
      const refresh = w.left === 0 ? "immediate" : w.choice(["immediate", "verify"]);
      const patience = refresh === "verify" && w.left > 0 ? w.duration("a time") : 0;
      const ttl = w.left === 0 ? 0 : wholeSeconds(w);
      const recheckSeconds = w.left === 0 ? 0 : wholeSeconds(w);
      serveStale = { seconds, refresh, patience: patience === 0 ? Number.POSITIVE_INFINITY : patience, ttl, recheckSeconds };
    },
    serve_stale_policy: (w) => void (prefersPositive = w.choice(["prefer_positive"]) === "prefer_positive"),
    servfail: (w) => {
      servfailSeconds = Math.floor(w.duration("a time") / 1000);
      if (servfailSeconds > 300) w.fail("failures are kept for 5m at most (RFC 2308 section 7.1)");
    },
    disable: (w) => {
      const kind = w.choice(["success", "denial"]);
      disabled[kind] = zonesOr(w, { ...block, zones });
    },
    keepttl: () => void (keepTtl = true),
  });
  return {
    plugin: "cache",
    zones,
    success,
    denial,
    servfailSeconds,
    disabled,
    keepTtl,
    ...(prefetch === undefined ? {} : { prefetch }),
    ...(serveStale === undefined ? {} : { serveStale: { ...serveStale, prefersPositive } }),
  };
}

function wholeSeconds(w: Words): number {
  const seconds = w.duration("a time") / 1000;
  return Number.isInteger(seconds) ? seconds : w.fail("whole seconds are wanted");
}

function readShare(w: Words, known: CacheShare): CacheShare {
  const count = w.integer("a capacity", 0, 100_000_000);
  const maxTtl = w.left === 0 ? known.maxTtl : w.integer("a TTL", 0, 0x7fffffff);
  const minTtl = w.left === 0 ? known.minTtl : w.integer("a TTL", 0, 0x7fffffff);
  return { entries: count, maxTtl, minTtl };
}
