/** One test that runs in the guest kernel. It fails by throwing. */
export interface GuestCase {
  readonly name: string;
  run(signal: AbortSignal): Promise<void>;
}

/** What the guest says about one case, a line of JSON each. */
export interface GuestOutcome {
  readonly name: string;
  /** Absent: it passed. */
  readonly failure?: string;
  readonly ms: number;
}
