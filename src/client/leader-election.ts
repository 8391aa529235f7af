import type { Lease } from "../api/types/coordination-v1.generated.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import type { Running } from "../base/running.ts";
import { createClient } from "./client.ts";
import { isAlreadyExists, isConflict, isNotFound } from "./errors.ts";
import { resources } from "./resources.ts";
import type { Transport } from "./transport.ts";

export interface LeaderElectionConfig {
  readonly transport: Transport;
  /** The Lease that is fought for. */
  readonly namespace: string;
  readonly name: string;
  /** Unique among the candidates: host name and a random part. */
  readonly identity: string;
  /** Others may take over this long after the last renewal they saw. */
  readonly leaseSeconds?: number;
  /** A leader that could not renew for this long steps down. Shorter than `leaseSeconds`. */
  readonly renewDeadlineSeconds?: number;
  readonly retrySeconds?: number;
  /** Starts the leader's work; it is closed when the lease is lost, and started anew when it is won again. */
  readonly lead: () => Running;
  readonly onFailure?: (error: unknown) => void;
}

/** `ready` settles once this candidate takes part, leader or not. Closing gives the lease back, so that another takes over at once. */
export function startLeaderElection(config: LeaderElectionConfig, deps: { readonly clock: Clock } = { clock: systemClock }): Running {
  const stop = new AbortController();
  const ready = Promise.withResolvers<void>();
  ready.promise.catch(() => undefined);
  const done = campaign(config, deps.clock, stop.signal, ready.resolve).finally(() =>
    ready.reject(new Error("leader election was closed")),
  );
  return {
    ready: ready.promise,
    async close() {
      stop.abort(new Error("closed"));
      await done;
    },
  };
}

async function campaign(config: LeaderElectionConfig, clock: Clock, s: AbortSignal, taking: () => void): Promise<void> {
  const client = createClient(config.transport);
  const leaseSeconds = config.leaseSeconds ?? 15;
  const deadlineMs = Math.ceil((config.renewDeadlineSeconds ?? (leaseSeconds * 2) / 3) * 1000);
  const retryMs = (config.retrySeconds ?? leaseSeconds / 7.5) * 1000;
  const at = { namespace: config.namespace, name: config.name };
  /** What others' renewals looked like and when that was first seen here: clocks of machines are not compared. */
  let seen: { record: string; at: number } | undefined;
  let leading: Running | undefined;
  let renewed = 0;
  /** The Lease as this candidate last wrote it. Hardly anybody else writes it meanwhile, so that a renewal need not read it first. */
  let written: Lease | undefined;

  const read = async (): Promise<Lease | undefined> => {
    try {
      return await client.get(resources.leases, at, AbortSignal.any([s, AbortSignal.timeout(deadlineMs)]));
    } catch (e) {
      if (isNotFound(e)) return undefined;
      throw e;
    }
  };

  const mineAt = (now: string) => ({ holderIdentity: config.identity, leaseDurationSeconds: leaseSeconds, renewTime: now });

  /** False where the Lease is no longer as it was written: then it has to be read. */
  const renew = async (lease: Lease): Promise<boolean> => {
    written = undefined;
    const renewal = { ...lease, spec: { ...lease.spec, ...mineAt(microTime(clock.now())) } };
    try {
      written = await client.update(resources.leases, renewal, {}, AbortSignal.any([s, AbortSignal.timeout(deadlineMs)]));
      return true;
    } catch (e) {
      if (isConflict(e) || isNotFound(e)) return false;
      throw e;
    }
  };

  const tryOnce = async (): Promise<boolean> => {
    if (written !== undefined && (await renew(written))) return true;
    const lease = await read();
    const now = microTime(clock.now());
    const signal = AbortSignal.any([s, AbortSignal.timeout(deadlineMs)]);
    const mine = mineAt(now);
    if (lease === undefined) {
      const spec = { ...mine, acquireTime: now, leaseTransitions: 0 };
      written = await client.create(resources.leases, { metadata: at, spec }, {}, signal);
      return true;
    }
    const spec = lease.spec ?? {};
    const record = JSON.stringify([spec.holderIdentity, spec.renewTime, spec.leaseTransitions]);
    if (seen?.record !== record) seen = { record, at: clock.monotonic() };
    const holder = spec.holderIdentity ?? "";
    const free = holder === "" || holder === config.identity;
    const validMs = (spec.leaseDurationSeconds ?? leaseSeconds) * 1000;
    if (!free && clock.monotonic() - seen.at < validMs) return false;
    const next =
      holder === config.identity
        ? { ...spec, ...mine }
        : { ...spec, ...mine, acquireTime: now, leaseTransitions: (spec.leaseTransitions ?? 0) + 1 };
    written = await client.update(resources.leases, { ...lease, spec: next }, {}, signal);
    return true;
  };

  while (!s.aborted) {
    let held = false;
    try {
      const asked = clock.monotonic();
      held = await tryOnce();
      if (held) renewed = asked;
      taking();
    } catch (e) {
      // Losing a race is how elections go; anything else may pass until the deadline.
      if (!s.aborted && !isConflict(e) && !isAlreadyExists(e)) config.onFailure?.(e);
      held = leading !== undefined && !isConflict(e) && clock.monotonic() - renewed < deadlineMs;
    }
    if (s.aborted) break;
    if (held && leading === undefined) leading = config.lead();
    if (!held && leading !== undefined) {
      await leading.close();
      leading = undefined;
    }
    await clock.sleep(retryMs, s).catch(() => undefined);
  }
  if (leading === undefined) return;
  await leading.close();
  await release(config, clock).catch((e: unknown) => config.onFailure?.(e));
}

/** Of giving the Lease back. */
const releaseTries = 3;

async function release(config: LeaderElectionConfig, clock: Clock): Promise<void> {
  const client = createClient(config.transport);
  const signal = AbortSignal.timeout(2000);
  for (let left = releaseTries; left > 0; left--) {
    const lease = await client.get(resources.leases, { namespace: config.namespace, name: config.name }, signal);
    if (lease.spec?.holderIdentity !== config.identity) return;
    const spec = { ...lease.spec, holderIdentity: "", leaseDurationSeconds: 1, renewTime: microTime(clock.now()) };
    try {
      await client.update(resources.leases, { ...lease, spec }, {}, signal);
      return;
    } catch (e) {
      // a renewal that was given up here may still have come through: unless it is tried again, all others wait for the Lease's end
      if (!isConflict(e) || left === 1) throw e;
    }
  }
}

/** The MicroTime of the API: six digits after the second. */
function microTime(ms: number): string {
  return new Date(ms).toISOString().replace(/\.(\d{3})Z$/, ".$1000Z");
}
