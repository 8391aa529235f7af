import type { Forwarding, RetryOn, RetryPolicy } from "../route/route.ts";
import type { UpstreamFailure } from "../upstream/upstream-channel.ts";
import { isIdempotent } from "./upstream-request.ts";

/** As ingress-nginx: proxy-next-upstream "error timeout". */
const defaultRetry: RetryPolicy = { on: ["error", "timeout"], nonIdempotent: false, withinSeconds: 0 };

/** What is known when a try has come to nothing. */
export interface SpentTry {
  readonly method: string;
  /** All of the body that has come can be sent again. */
  readonly replayable: boolean;
  /** Tries made so far. */
  readonly tries: number;
  /** Since the request came. */
  readonly elapsedMs: number;
}

/** `budget`: only if the pool's retry budget allows one. */
export type RetryVerdict = "no" | "budget" | "yes";

/** Whether a try that failed is followed by another. `stale`: a connection that had rested was closed under it. */
export function afterFailure(
  forward: Forwarding,
  spent: SpentTry,
  how: { readonly failure: UpstreamFailure | "timeout"; readonly stale: boolean },
): RetryVerdict {
  if (!spent.replayable) return "no";
  const policy = forward.retry ?? defaultRetry;
  // the endpoint has done nothing with it
  const untouched = untouchedBy.has(how.failure);
  if (!untouched && !(policy.on.includes(wordOf(how.failure)) && mayRepeat(policy, spent.method))) return "no";
  if (how.stale) return "yes";
  if (spent.tries >= forward.tries || !hasTime(policy, spent.elapsedMs)) return "no";
  return untouched ? "yes" : "budget";
}

/** Whether an answer with this status is thrown away for another try. */
export function afterStatus(forward: Forwarding, spent: SpentTry, status: number): RetryVerdict {
  const policy = forward.retry;
  if (policy === undefined || !spent.replayable || spent.tries >= forward.tries) return "no";
  const asked = policy.on.some((on) => on === `http_${status}`) && mayRepeat(policy, spent.method);
  return asked && hasTime(policy, spent.elapsedMs) ? "budget" : "no";
}

const untouchedBy: ReadonlySet<UpstreamFailure | "timeout"> = new Set(["connect", "refused", "goaway", "unasked"]);

function wordOf(failure: UpstreamFailure | "timeout"): RetryOn {
  return failure === "timeout" ? "timeout" : failure === "malformed" ? "invalid_header" : "error";
}

function mayRepeat(policy: RetryPolicy, method: string): boolean {
  return policy.nonIdempotent || isIdempotent(method);
}

function hasTime(policy: RetryPolicy, elapsedMs: number): boolean {
  return policy.withinSeconds === 0 || elapsedMs < policy.withinSeconds * 1000;
}
