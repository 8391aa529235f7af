import type { ProblemDelta } from "../../src/snapshot/derivation.ts";
import { type Problem, problemKey } from "../../src/snapshot/problem.ts";

/** Tells of problems that come and go, each once. */
export class ProblemReports {
  readonly #tell: ((delta: ProblemDelta) => void) | undefined;
  #reported: ReadonlyMap<string, Problem> = new Map();

  constructor(tell: ((delta: ProblemDelta) => void) | undefined) {
    this.#tell = tell;
  }

  /** These are all there are now. */
  report(problems: readonly Problem[]): void {
    const before = this.#reported;
    const now = new Map(problems.map((p) => [problemKey(p), p]));
    const gained = [...now].flatMap(([key, p]) => (before.has(key) ? [] : [p]));
    const lost = [...before].flatMap(([key, p]) => (now.has(key) ? [] : [p]));
    this.#reported = now;
    if (gained.length > 0 || lost.length > 0) this.#tell?.({ gained, lost });
  }

  /** Those that were not told of yet. */
  fresh(problems: readonly Problem[]): readonly Problem[] {
    return problems.filter((p) => !this.#reported.has(problemKey(p)));
  }
}
