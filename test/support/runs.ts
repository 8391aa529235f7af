import { appendFileSync } from "node:fs";
import fc from "fast-check";

const seconds = Number(process.env["FAIRWAY_FUZZ_SECONDS"] ?? 0);
const fuzzSeed = process.env["FAIRWAY_FUZZ_SEED"];
const counts = process.env["FAIRWAY_FUZZ_COUNTS"];

/**
 * How often a property is tried: `numRuns` times, or, with FAIRWAY_FUZZ_SECONDS, for that long and from FAIRWAY_FUZZ_SEED
 * on (`npm run soak fuzz`).
 */
export function runs<Ts>(numRuns: number, seed?: number): fc.Parameters<Ts> {
  if (seconds === 0) return { numRuns, ...(seed === undefined ? {} : { seed }) };
  return {
    numRuns: 1_000_000_000,
    interruptAfterTimeLimit: seconds * 1000,
    markInterruptAsFailure: false,
    ...(fuzzSeed === undefined ? {} : { seed: Number(fuzzSeed) }),
    reporter: (details) => {
      if (counts !== undefined) appendFileSync(counts, `${details.numRuns}\n`);
      const message = fc.defaultReportMessage(details);
      if (details.failed) throw new Error(message, { cause: details.errorInstance });
    },
  };
}

/** A test's time limit when its property is tried for longer. */
export function timeLimit(ms: number): number {
  return ms + seconds * 2000;
}
