/** Everything with a life: what `startX` returns. */
export interface Running {
  /** Settles once it does its work; rejects when it cannot start. */
  readonly ready: Promise<void>;
  /** Ends it and frees what it owns; safe to call twice. */
  close(): Promise<void>;
}
