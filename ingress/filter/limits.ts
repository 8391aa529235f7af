import type { FilterOf } from "../route/filter.ts";
import { isInside } from "./address-list.ts";
import type { FilterContext, FilteredRequest, FilterOutcome, Limits, SharedLimits } from "./outcome.ts";

export function applyRequestRate(f: FilterOf<"rateLimit">, r: FilteredRequest, c: FilterContext): FilterOutcome | undefined {
  if (f.exempt !== undefined && isInside(f.exempt, r.clientIp)) return undefined;
  return c.world.limits.takeToken(f.bucket, r.clientIp, f, c.now)
    ? undefined
    : { reply: { status: f.status, headers: [], by: "rateLimit" } };
}

export function applyConnectionLimit(f: FilterOf<"connectionLimit">, r: FilteredRequest, c: FilterContext): FilterOutcome | undefined {
  if (f.exempt !== undefined && isInside(f.exempt, r.clientIp)) return undefined;
  const release = c.world.limits.enter(f.bucket, r.clientIp, f.limit);
  return release === undefined ? { reply: { status: f.status, headers: [], by: "connectionLimit" } } : { release };
}

interface Bucket {
  /** Requests above the rate so far. */
  excess: number;
  at: number;
  /** When it was put last in the order of those seen. */
  placedAt: number;
}

/** The order of those seen is kept this well; milliseconds. */
const placeMs = 1_000;

/** Clients remembered; past it the longest unseen are forgotten. */
const maxBuckets = 100_000;

/** Limits of one process: what all its connections share. */
export class ProcessLimits implements Limits {
  readonly #buckets = new Map<string, Bucket>();
  readonly #inFlight = new Map<string, number>();

  /** nginx's leaky bucket: the first request is free, `burst` more may come at once, the rate drains them. */
  takeToken(bucket: string, client: string, rate: { readonly perMinute: number; readonly burst: number }, now: number): boolean {
    const key = `${bucket} ${client}`;
    const old = this.#buckets.get(key);
    const excess = old === undefined ? 0 : Math.max(0, old.excess - ((now - old.at) * rate.perMinute) / 60_000 + 1);
    if (excess > rate.burst) return false;
    if (old !== undefined && now - old.placedAt < placeMs) {
      old.excess = excess;
      old.at = now;
      return true;
    }
    // put last again: a Map keeps the order of insertion, so the first is the longest unseen
    if (old !== undefined) this.#buckets.delete(key);
    else if (this.#buckets.size >= maxBuckets) this.#forgetOldest();
    this.#buckets.set(key, { excess, at: now, placedAt: now });
    return true;
  }

  enter(bucket: string, client: string, limit: number): (() => void) | undefined {
    const key = `${bucket} ${client}`;
    const now = this.#inFlight.get(key) ?? 0;
    if (now >= limit) return undefined;
    this.#inFlight.set(key, now + 1);
    let left = false;
    return () => {
      if (left) return;
      left = true;
      const rest = (this.#inFlight.get(key) ?? 1) - 1;
      if (rest === 0) this.#inFlight.delete(key);
      else this.#inFlight.set(key, rest);
    };
  }

  #forgetOldest(): void {
    for (const key of this.#buckets.keys()) {
      this.#buckets.delete(key);
      return;
    }
  }
}

/** For questions: nothing is counted, nothing refused. */
export const noLimits: Limits = { takeToken: () => true, enter: () => () => {} };

export const noSharedLimits: SharedLimits = { take: () => true };
