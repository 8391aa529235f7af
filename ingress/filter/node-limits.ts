/** How much one process has taken from a client's bucket: whole figures, so that what is lost is in the next word. */
export type TakenEntry = readonly [key: string, total: number, ownExcess: number, perMinute: number];
/** Requests of a client that are in flight in one process. */
export type InFlightEntry = readonly [key: string, count: number];

/** What one process tells the others of its node. */
export interface LimitNews {
  readonly taken: readonly TakenEntry[];
  readonly inFlight: readonly InFlightEntry[];
}

export interface NodeLimitsDeps {
  /** Other processes of this node that hear of our counts. */
  readonly peers: () => number;
  /** Enough has come together that they should hear of it now. */
  readonly onUrgent: () => void;
}

/** Nobody else: a process that counts for itself. */
export const alone: NodeLimitsDeps = { peers: () => 0, onUrgent: () => undefined };

/** Said again, since datagrams get lost. */
const repeats = 3;

/** Keys of which others have not heard all. */
class Untold {
  readonly #left = new Map<string, number>();

  mark(key: string): void {
    this.#left.set(key, repeats);
  }

  /** What they were never told. */
  fresh(): readonly string[] {
    const keys = [...this.#left].flatMap(([key, left]) => (left === repeats ? [key] : []));
    for (const key of keys) this.#left.set(key, repeats - 1);
    return keys;
  }

  /** That, and again what they were told a short while ago. */
  all(): readonly string[] {
    const keys = [...this.#left.keys()];
    for (const [key, left] of this.#left) {
      if (left === 1) this.#left.delete(key);
      else this.#left.set(key, left - 1);
    }
    return keys;
  }
}

/** A process tells the others at the latest when it has taken its part of half of what is left: near the limit, each at once. */
function isUrgent(untold: number, left: number, peers: number): boolean {
  return untold >= Math.max(1, Math.floor(left / (2 * (peers + 1))));
}

interface Bucket {
  /** Requests above the rate so far, of all processes. */
  excess: number;
  /** Of this one. */
  ownExcess: number;
  at: number;
  /** When it was put last in the order of those seen. */
  placedAt: number;
  perMinute: number;
  taken: number;
  untold: number;
  /** What each other process had taken when it last told; most have none. */
  others: Map<string, number> | undefined;
}

/** The order of those seen is kept this well; milliseconds. */
const placeMs = 1_000;

/** Clients remembered; past it the longest unseen are forgotten. */
const maxBuckets = 100_000;

/** nginx's leaky buckets: the first request is free, `burst` more may come at once, the rate drains them. */
export class NodeBuckets {
  readonly #deps: NodeLimitsDeps;
  readonly #buckets = new Map<string, Bucket>();
  readonly #untold = new Untold();

  constructor(deps: NodeLimitsDeps) {
    this.#deps = deps;
  }

  take(key: string, rate: { readonly perMinute: number; readonly burst: number }, now: number): boolean {
    const old = this.#buckets.get(key);
    const excess = old === undefined ? 0 : drained(old, old.excess, rate.perMinute, now) + 1;
    if (excess > rate.burst) return false;
    const bucket = old ?? emptyBucket(now);
    bucket.ownExcess = bucket.taken === 0 ? 0 : drained(bucket, bucket.ownExcess, rate.perMinute, now) + 1;
    bucket.excess = excess;
    bucket.at = Math.max(bucket.at, now);
    bucket.perMinute = rate.perMinute;
    bucket.taken++;
    if (old === undefined || now - old.placedAt >= placeMs) this.#place(key, bucket, now);
    const peers = this.#deps.peers();
    if (peers === 0) return true;
    bucket.untold++;
    this.#untold.mark(key);
    // the first of a client at once, so that the others need not guess how much of a total has drained
    if (bucket.taken === 1 || isUrgent(bucket.untold, rate.burst - excess, peers)) this.#deps.onUrgent();
    return true;
  }

  fresh(): readonly TakenEntry[] {
    return this.#tell(this.#untold.fresh());
  }

  all(): readonly TakenEntry[] {
    return this.#tell(this.#untold.all());
  }

  /** What another process said. Of one that is new here, or began anew, what it has not drained itself counts. */
  merge(origin: string, entries: readonly TakenEntry[], now: number): void {
    for (const [key, total, ownExcess, perMinute] of entries) {
      const old = this.#buckets.get(key);
      const known = old?.others?.get(origin);
      const more = known === undefined || total < known ? Math.min(total, Math.ceil(ownExcess) + 1) : total - known;
      const bucket = old ?? emptyBucket(now);
      bucket.others ??= new Map();
      bucket.others.set(origin, total);
      if (more > 0) {
        bucket.excess = old === undefined ? more - 1 : drained(old, old.excess, perMinute, now) + more;
        bucket.ownExcess = drained(bucket, bucket.ownExcess, perMinute, now);
        bucket.at = now;
        bucket.perMinute = perMinute;
      }
      if (old === undefined) this.#place(key, bucket, now);
    }
  }

  #tell(keys: readonly string[]): readonly TakenEntry[] {
    return keys.flatMap((key) => {
      const bucket = this.#buckets.get(key);
      if (bucket === undefined) return [];
      bucket.untold = 0;
      return [[key, bucket.taken, bucket.ownExcess, bucket.perMinute] as const];
    });
  }

  /** Put last again: a Map keeps the order of insertion, so the first is the longest unseen. */
  #place(key: string, bucket: Bucket, now: number): void {
    if (!this.#buckets.delete(key) && this.#buckets.size >= maxBuckets)
      for (const oldest of this.#buckets.keys()) {
        this.#buckets.delete(oldest);
        break;
      }
    bucket.placedAt = now;
    this.#buckets.set(key, bucket);
  }
}

function emptyBucket(now: number): Bucket {
  return { excess: 0, ownExcess: 0, at: now, placedAt: now, perMinute: 0, taken: 0, untold: 0, others: undefined };
}

function drained(bucket: Bucket, excess: number, perMinute: number, now: number): number {
  // a request may have begun before the word that came last
  return Math.max(0, excess - (Math.max(0, now - bucket.at) * perMinute) / 60_000);
}

interface Flights {
  own: number;
  untold: number;
  /** By process. */
  others: Map<string, number> | undefined;
}

/** Requests in flight of each client. */
export class NodeFlights {
  readonly #deps: NodeLimitsDeps;
  readonly #flights = new Map<string, Flights>();
  readonly #untold = new Untold();

  constructor(deps: NodeLimitsDeps) {
    this.#deps = deps;
  }

  enter(key: string, limit: number): (() => void) | undefined {
    const flights = this.#flights.get(key) ?? { own: 0, untold: 0, others: undefined };
    const total = inFlight(flights);
    if (total >= limit) return undefined;
    this.#flights.set(key, flights);
    this.#change(key, flights, 1, limit);
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#change(key, flights, -1, limit);
    };
  }

  fresh(): readonly InFlightEntry[] {
    return this.#tell(this.#untold.fresh());
  }

  all(): readonly InFlightEntry[] {
    return this.#tell(this.#untold.all());
  }

  merge(origin: string, entries: readonly InFlightEntry[]): void {
    for (const [key, count] of entries) {
      const flights = this.#flights.get(key) ?? { own: 0, untold: 0, others: undefined };
      flights.others ??= new Map();
      if (count === 0) flights.others.delete(origin);
      else flights.others.set(origin, count);
      this.#keep(key, flights);
    }
  }

  /** A process is gone, and its requests with it. */
  forget(origin: string): void {
    for (const [key, flights] of this.#flights) if (flights.others?.delete(origin) === true) this.#keep(key, flights);
  }

  #change(key: string, flights: Flights, by: 1 | -1, limit: number): void {
    flights.own += by;
    this.#keep(key, flights);
    const peers = this.#deps.peers();
    if (peers === 0) return;
    flights.untold++;
    this.#untold.mark(key);
    if (isUrgent(flights.untold, limit - inFlight(flights), peers)) this.#deps.onUrgent();
  }

  #keep(key: string, flights: Flights): void {
    if (inFlight(flights) > 0) this.#flights.set(key, flights);
    else this.#flights.delete(key);
  }

  #tell(keys: readonly string[]): readonly InFlightEntry[] {
    return keys.map((key) => {
      const flights = this.#flights.get(key);
      if (flights !== undefined) flights.untold = 0;
      return [key, flights?.own ?? 0] as const;
    });
  }
}

function inFlight({ own, others }: Flights): number {
  if (others === undefined) return own;
  let total = own;
  for (const count of others.values()) total += count;
  return total;
}
