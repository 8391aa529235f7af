import type { Rev } from "./store.ts";

/** The faults of a store, by code: what an operator reads. */
export const storeErrors = {
  compacted: "the revision has been compacted",
  full: "the disk that holds the store is full; free some space, nothing acknowledged was lost",
  locked: "the data directory is in use by another fairway API server; stop that one, or choose another --data-dir",
  io: "the store could not be read or written",
  unreadable: "the file is no fairway store, or is damaged",
  closed: "the store is closed",
} as const;

export type StoreErrorCode = keyof typeof storeErrors;

export class StoreError extends Error {
  override readonly name = "StoreError";
  readonly code: StoreErrorCode;
  /** With `compacted`: the oldest revision that there still is. */
  readonly oldest: Rev | undefined;

  constructor(code: StoreErrorCode, subject: string, cause?: unknown, oldest?: Rev) {
    super(`${subject}: ${storeErrors[code]}${cause instanceof Error ? ` (${cause.message})` : ""}`, { cause });
    this.code = code;
    this.oldest = oldest;
  }
}

export function compactedError(asked: Rev, oldest: Rev): StoreError {
  return new StoreError("compacted", `revision ${asked}, the oldest is ${oldest}`, undefined, oldest);
}

export function hasStoreCode(error: unknown, code: StoreErrorCode): boolean {
  return error instanceof StoreError && error.code === code;
}
