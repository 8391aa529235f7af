import { fnv1a } from "../../src/base/hash.ts";
import type { Parsed } from "./annotation-values.ts";

/** How a canary's share grows by itself, as its annotations say. Shares in per cent, times in seconds. */
export interface CanaryProgress {
  /** Shares one after the other, each above the one before; after the last it is promoted, and stays there. */
  readonly steps: readonly number[];
  /** The least time of a step. */
  readonly intervalSeconds: number;
  /** The least share of requests that must not fail (5xx), from 0 to 1. */
  readonly successRate: number;
  /** The most that 95 of 100 requests may take; absent: any. */
  readonly latencySeconds?: number;
  /** A step is judged by so many requests at least. */
  readonly requests: number;
  readonly pause: boolean;
  readonly rollback: boolean;
}

export const canaryPhases = ["Progressing", "Paused", "Promoted", "RolledBack"] as const;

/** Where a canary is: kept as an annotation of its Ingress, so that it outlives who writes it. */
export interface CanaryStatus {
  readonly phase: (typeof canaryPhases)[number];
  /** Per cent of the requests. */
  readonly weight: number;
  /** When the step began, RFC 3339. */
  readonly since: string;
  /** Of which plan; another plan begins anew. */
  readonly plan: string;
  readonly message: string;
}

export const canaryStatusAnnotation = "fairway.dev/canary-status";

/** What a backend has answered since its step began. */
export interface BackendFigures {
  readonly requests: number;
  readonly failures: number;
  /** Requests that took at most so many seconds, upwards; the last is infinite. */
  readonly within: readonly { readonly seconds: number; readonly requests: number }[];
}

/** Says which plan a status is of: the steps and gates, and the Service they are for. */
export function planHash(progress: CanaryProgress, backend: string): string {
  const { steps, intervalSeconds, successRate, latencySeconds, requests } = progress;
  return fnv1a(JSON.stringify([steps, intervalSeconds, successRate, latencySeconds ?? null, requests, backend]))
    .toString(16)
    .padStart(8, "0");
}

/** `5, 20, 50, 100`. */
export function parseSteps(text: string): Parsed<readonly number[]> {
  const steps = text.split(",").map((t) => Number(t.trim() === "" ? Number.NaN : t.trim()));
  const grow = steps.every((s, i) => Number.isInteger(s) && s > (steps[i - 1] ?? 0) && s <= 100);
  return grow ? steps : { expected: "shares in per cent, each above the one before, such as 5, 20, 50, 100" };
}

/** A per cent, fractions too; a share of 1. */
export function parsePercent(text: string): Parsed<number> {
  const n = /^[0-9]{1,3}(\.[0-9]{1,4})?%?$/.test(text) ? Number(text.replace("%", "")) : Number.NaN;
  return n >= 0 && n <= 100 ? n / 100 : { expected: "a per cent, such as 99.5" };
}

/** What was written by printCanaryStatus; other text is nobody's status. */
export function parseCanaryStatus(text: string): Parsed<CanaryStatus> {
  const bad = { expected: "a status as the canary controller writes it" };
  let value: Partial<Record<keyof CanaryStatus, unknown>>;
  try {
    value = JSON.parse(text) as Partial<Record<keyof CanaryStatus, unknown>>;
  } catch {
    return bad;
  }
  if (typeof value !== "object" || value === null) return bad;
  const { weight, since, plan, message } = value;
  const phase = canaryPhases.find((p) => p === value.phase);
  if (phase === undefined || typeof weight !== "number" || !(weight >= 0 && weight <= 100)) return bad;
  if (typeof since !== "string" || Number.isNaN(Date.parse(since)) || typeof plan !== "string" || typeof message !== "string") return bad;
  return { phase, weight, since, plan, message };
}

export function printCanaryStatus({ phase, weight, since, plan, message }: CanaryStatus): string {
  return JSON.stringify({ phase, weight, since, plan, message });
}

export interface CanaryMoment {
  readonly plan: string;
  /** Since the step began. */
  readonly canary: BackendFigures;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** The status that follows; the same object when nothing changes. */
export function nextCanaryStatus(progress: CanaryProgress, before: CanaryStatus | undefined, m: CanaryMoment): CanaryStatus {
  const at = (phase: CanaryStatus["phase"], weight: number, message: string): CanaryStatus => ({
    phase,
    weight,
    since: new Date(m.now).toISOString(),
    plan: m.plan,
    message,
  });
  const current = before?.plan === m.plan ? before : undefined;
  if (progress.rollback) {
    if (current?.phase === "RolledBack") return current;
    return at("RolledBack", 0, "rolled back by its annotation");
  }
  if (current === undefined) {
    const first = progress.steps[0] ?? 0;
    return progress.pause ? at("Paused", 0, "paused before its first step") : at("Progressing", first, `begins with ${first} %`);
  }
  switch (current.phase) {
    case "RolledBack":
    case "Promoted":
      return current;
    case "Paused": {
      if (progress.pause) return current;
      const weight = current.weight > 0 ? current.weight : (progress.steps[0] ?? 0);
      return at("Progressing", weight, `goes on with ${weight} %`);
    }
    case "Progressing":
      return progress.pause ? at("Paused", current.weight, `paused at ${current.weight} %`) : judge(progress, current, { ...m, at });
  }
}

type Make = (phase: CanaryStatus["phase"], weight: number, message: string) => CanaryStatus;

function judge(progress: CanaryProgress, current: CanaryStatus, m: CanaryMoment & { readonly at: Make }): CanaryStatus {
  const { canary, at } = m;
  if (canary.requests < progress.requests) return current;
  const rate = 1 - canary.failures / canary.requests;
  if (rate < progress.successRate) {
    const least = percent(progress.successRate);
    return at(
      "RolledBack",
      0,
      `at ${current.weight} %, ${canary.failures} of ${canary.requests} requests failed: ${percent(rate)} % good, not ${least} %`,
    );
  }
  const slow = latencyAt(canary, 0.95);
  if (progress.latencySeconds !== undefined && slow > progress.latencySeconds) {
    const told = Number.isFinite(slow) ? `up to ${slow} s` : "longer than all that is measured";
    return at(
      "RolledBack",
      0,
      `at ${current.weight} %, 95 of 100 of ${canary.requests} requests took ${told}, not ${progress.latencySeconds} s`,
    );
  }
  if (m.now - Date.parse(current.since) < progress.intervalSeconds * 1000) return current;
  const next = progress.steps.find((s) => s > current.weight);
  const good = `${percent(rate)} % of ${canary.requests} requests were good`;
  return next === undefined
    ? at("Promoted", current.weight, `${good}: it stays at ${current.weight} %`)
    : at("Progressing", next, `${good}: on to ${next} %`);
}

/** The bound below which that share of the requests stayed, as far as the buckets tell. */
function latencyAt({ within, requests }: BackendFigures, share: number): number {
  return within.find((w) => w.requests >= share * requests)?.seconds ?? Number.POSITIVE_INFINITY;
}

function percent(share: number): number {
  return Math.round(share * 10_000) / 100;
}
