/** One part of `npm run soak`. */
export interface SoakOptions {
  readonly seed: number;
  readonly minutes: number;
  readonly kills: number;
  /** Time is up, or somebody pressed Ctrl-C: end, and clean up. */
  readonly signal: AbortSignal;
  readonly progress: (text: string) => void;
}

export interface SoakResult {
  /** One line with what was done. */
  readonly summary: string;
  /** What went wrong; empty when nothing did. */
  readonly faults: readonly string[];
}
