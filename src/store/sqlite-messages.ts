import type { StoreErrorCode } from "./errors.ts";
import type { Key, Rev, Stored } from "./store.ts";

/** One row of the log: `value` undefined = deleted. */
export interface LogRow {
  readonly key: Key;
  readonly rev: Rev;
  readonly value: Uint8Array | undefined;
}

/** What the store asks its writer, and what each question answers. */
export interface WriterCalls {
  open: {
    readonly ask: { readonly file: string };
    readonly answer: { readonly rev: Rev; readonly compacted: Rev; readonly heads: readonly (readonly [Key, Rev])[] };
  };
  write: { readonly ask: { readonly rows: readonly LogRow[] }; readonly answer: null };
  get: { readonly ask: { readonly key: Key }; readonly answer: Stored | null };
  list: {
    readonly ask: { readonly prefix: Key; readonly at: Rev; readonly limit: number; readonly after: Key };
    readonly answer: readonly Stored[];
  };
  history: { readonly ask: { readonly prefix: Key; readonly after: Rev; readonly upTo: Rev }; readonly answer: readonly LogRow[] };
  compact: { readonly ask: { readonly before: Rev }; readonly answer: null };
  close: { readonly ask: null; readonly answer: null };
}

export type WriterOp = keyof WriterCalls;

export interface WriterRequest {
  readonly id: number;
  readonly op: WriterOp;
  readonly ask: unknown;
}

export type WriterReply =
  | { readonly id: number; readonly ok: true; readonly answer: unknown }
  | { readonly id: number; readonly ok: false; readonly code: StoreErrorCode; readonly message: string };
