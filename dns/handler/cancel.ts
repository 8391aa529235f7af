import type { CancelConfig } from "../corefile/plugins/serving.ts";
import type { Wrap } from "./handler.ts";

/** A query is given up after a while: what waits for an upstream hears of it by the signal. */
export function cancelLate(config: CancelConfig): Wrap {
  return (next) => (q, c) => next(q, { ...c, signal: AbortSignal.any([c.signal, AbortSignal.timeout(config.timeout)]) });
}
