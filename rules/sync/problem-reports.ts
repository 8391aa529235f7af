import { type ProblemDelta, problemDelta } from "../../src/snapshot/derivation.ts";
import { distinctProblems, type Problem } from "../../src/snapshot/problem.ts";

/** Tells of problems that come and go, each once. */
export class ProblemReports {
  readonly #tell: ((delta: ProblemDelta) => void) | undefined;
  #reported: readonly Problem[] = [];

  constructor(tell: ((delta: ProblemDelta) => void) | undefined) {
    this.#tell = tell;
  }

  /** These are all there are now. */
  report(problems: readonly Problem[]): void {
    // asked after each transaction, and there is hardly ever one
    if (problems.length === 0 && this.#reported.length === 0) return;
    const now = distinctProblems(problems);
    const { gained, lost } = problemDelta(this.#reported, now);
    this.#reported = now;
    if (gained.length > 0 || lost.length > 0) this.#tell?.({ gained, lost });
  }

  /** Those that were not told of yet. */
  fresh(problems: readonly Problem[]): readonly Problem[] {
    return problemDelta(this.#reported, problems).gained;
  }
}
