import type { FilterOf } from "../route/filter.ts";
import { isInside } from "./address-list.ts";
import { alone, type LimitNews, NodeBuckets, NodeFlights, type NodeLimitsDeps } from "./node-limits.ts";
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

/**
 * Limits of one node, as each of its processes keeps them: it counts what it lets in itself, hears what the others let in, and so
 * all together are above a limit by no more than what is under way between them.
 */
export class NodeLimits implements Limits {
  readonly #buckets: NodeBuckets;
  readonly #flights: NodeFlights;

  constructor(deps: NodeLimitsDeps = alone) {
    this.#buckets = new NodeBuckets(deps);
    this.#flights = new NodeFlights(deps);
  }

  takeToken(bucket: string, client: string, rate: { readonly perMinute: number; readonly burst: number }, now: number): boolean {
    return this.#buckets.take(`${bucket} ${client}`, rate, now);
  }

  enter(bucket: string, client: string, limit: number): (() => void) | undefined {
    return this.#flights.enter(`${bucket} ${client}`, limit);
  }

  /** What the others have not heard of. */
  news(): LimitNews {
    return { taken: this.#buckets.fresh(), inFlight: this.#flights.fresh() };
  }

  /** The same, and again what they were told a short while ago. */
  changes(): LimitNews {
    return { taken: this.#buckets.all(), inFlight: this.#flights.all() };
  }

  /** What another process of the node said of itself, in the order in which it said it. */
  merge(origin: string, { taken, inFlight }: LimitNews, now: number): void {
    this.#buckets.merge(origin, taken, now);
    this.#flights.merge(origin, inFlight);
  }

  forget(origin: string): void {
    this.#flights.forget(origin);
  }
}

/** For questions: nothing is counted, nothing refused. */
export const noLimits: Limits = { takeToken: () => true, enter: () => () => {} };

export const noSharedLimits: SharedLimits = { take: () => true };
