/** What one process knows of one endpoint. Owned by the caller; `now` is monotonic milliseconds everywhere. */
export interface EndpointLoad {
  inFlight: number;
  /** Peak-sensitive moving average of response times, milliseconds. */
  ewma: number;
  updatedAt: number;
  /** After a failure no new request until then, as long as others are there. */
  avoidUntil: number;
  /** Failures since it last answered. */
  failures: number;
  /** As health checks have it. */
  unhealthy: boolean;
  /** When it joined others; undefined when it was among the first. */
  joinedAt: number | undefined;
}

export function newEndpointLoad(): EndpointLoad {
  return { inFlight: 0, ewma: 0, updatedAt: 0, avoidUntil: 0, failures: 0, unhealthy: false, joinedAt: undefined };
}

/** What part of its share a newcomer gets, from a tenth to the whole in a straight line. */
export function slowStartShare(load: EndpointLoad, now: number, slowStartMs: number): number {
  return load.joinedAt === undefined || slowStartMs <= 0 ? 1 : Math.min(1, Math.max(0.1, (now - load.joinedAt) / slowStartMs));
}

/** One that joins others is taken for as fast as they are on average: for the fastest it would get all requests at once. */
export function joinOthers(load: EndpointLoad, others: readonly EndpointLoad[], now: number): void {
  load.joinedAt = now;
  load.updatedAt = now;
  let sum = 0;
  for (const other of others) sum += other.ewma;
  load.ewma = others.length === 0 ? 0 : sum / others.length;
}

const decayMs = 10_000;

/** A measured response time: up at once, down slowly (the estimate ingress-nginx and Finagle call peak EWMA). */
export function observe(load: EndpointLoad, ms: number, now: number): void {
  const kept = Math.exp(-Math.max(0, now - load.updatedAt) / decayMs);
  load.ewma = ms > load.ewma ? ms : load.ewma * kept + ms * (1 - kept);
  load.updatedAt = now;
}

/** What a next request would wait, in arbitrary units. */
export function cost(load: EndpointLoad, now: number): number {
  const decayed = load.ewma * Math.exp(-Math.max(0, now - load.updatedAt) / decayMs);
  return (decayed + 1) * (load.inFlight + 1);
}

const firstAvoidMs = 1_000;
const longestAvoidMs = 30_000;

/** It failed again: it is left alone, twice as long each time. */
export function eject(load: EndpointLoad, now: number): void {
  load.avoidUntil = now + Math.min(longestAvoidMs, firstAvoidMs * 2 ** Math.min(10, load.failures));
  load.failures++;
}
