import type { Clock } from "../../src/base/clock.ts";
import type { ErrorsConfig } from "../corefile/plugins/observation.ts";
import { rcodes } from "../wire/record-type.ts";
import { emptyAnswer, type Wrap } from "./handler.ts";

/** What is thrown behind it becomes SERVFAIL, here and nowhere else; `report` hears of it. */
export function answerErrors(report: (error: unknown, name: string) => void): Wrap {
  return (next) => async (q, c) => {
    try {
      return await next(q, c);
    } catch (error) {
      report(error, q.question.name);
      return emptyAnswer(q.message, rcodes.SERVFAIL);
    }
  };
}

export type ErrorLevel = "debug" | "info" | "warn" | "error";

/**
 * Writes a message, or counts it where a pattern says so: then only how often it came is written, at the first one after each
 * period.
 */
export function consolidateErrors(
  config: ErrorsConfig,
  clock: Pick<Clock, "monotonic">,
  write: (level: ErrorLevel, message: string) => void,
): (message: string) => void {
  const periods = config.consolidate.map(() => ({ count: 0, began: Number.NEGATIVE_INFINITY }));
  return (message) => {
    const at = config.consolidate.findIndex((x) => x.pattern.test(message));
    const rule = config.consolidate[at];
    const period = periods[at];
    if (rule === undefined || period === undefined) {
      write("error", message);
      return;
    }
    const now = clock.monotonic();
    if (now - period.began < rule.every) {
      period.count++;
      return;
    }
    if (period.count > 0)
      write(rule.level, `${period.count} errors like ${rule.pattern.source} in the ${Math.round(rule.every / 1000)}s before`);
    if (rule.showFirst) write(rule.level, message);
    period.count = rule.showFirst ? 0 : 1;
    period.began = now;
  };
}
