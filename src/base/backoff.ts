/** Exponential delays between tries. Milliseconds; `jitter` 0–1 is the share of each delay that is random. */
export interface BackoffPolicy {
  readonly first: number;
  readonly factor: number;
  readonly max: number;
  readonly jitter: number;
}

/** The delay before try `attempt` (0 = the first retry). `random` is in [0, 1). */
export function backoffDelay(policy: BackoffPolicy, attempt: number, random: number): number {
  const full = Math.min(policy.max, policy.first * policy.factor ** attempt);
  return full * (1 - policy.jitter + policy.jitter * random);
}
