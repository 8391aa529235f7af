import type { StoreErrorCode } from "./errors.ts";
import type { Key, Rev, Stored } from "./store.ts";

/** One row of the log: `value` undefined = deleted. */
export interface LogRow {
  readonly key: Key;
  readonly rev: Rev;
  readonly value: Uint8Array | undefined;
}

/** Keys and their revisions, in two pieces: thousands of small objects would cost more to send than to read. */
export interface Heads {
  /** Separated by line feeds; empty when there are none. */
  readonly keys: string;
  readonly revs: Float64Array;
}

/** Rows with their values in a few blocks, which change owner instead of being copied. */
export interface PackedRows extends Heads {
  readonly blocks: readonly Uint8Array[];
  /** How long each value is; a block holds as many whole values as `perBlock` says. */
  readonly sizes: Uint32Array;
  readonly perBlock: Uint32Array;
}

/** Small, since a block is kept as long as any value in it: what is replaced later shall free memory. */
export const blockSize = 32 << 10;

export function packRows(keys: readonly string[], revs: readonly Rev[], values: readonly Uint8Array[]): PackedRows {
  const blocks: Uint8Array[] = [];
  const perBlock: number[] = [];
  for (let from = 0; from < values.length; ) {
    const start = from;
    let size = 0;
    let to = from;
    while (to < values.length && (to === from || size + (values[to]?.length ?? 0) <= blockSize)) size += values[to++]?.length ?? 0;
    const block = new Uint8Array(size);
    for (let at = 0; from < to; from++) {
      const value = values[from] ?? new Uint8Array();
      block.set(value, at);
      at += value.length;
    }
    perBlock.push(to - start);
    blocks.push(block);
  }
  return {
    keys: keys.join("\n"),
    revs: Float64Array.from(revs),
    blocks,
    sizes: Uint32Array.from(values, (v) => v.length),
    perBlock: Uint32Array.from(perBlock),
  };
}

export function* unpackRows(rows: PackedRows): Generator<Stored> {
  const keys = rows.keys.split("\n");
  let row = 0;
  for (const [i, block] of rows.blocks.entries()) {
    let at = 0;
    for (const end = row + (rows.perBlock[i] ?? 0); row < end; row++) {
      const size = rows.sizes[row] ?? 0;
      yield { key: keys[row] ?? "", rev: rows.revs[row] ?? 0, value: block.subarray(at, at + size) };
      at += size;
    }
  }
}

/** What the store asks its writer, and what each question answers. */
export interface WriterCalls {
  open: {
    readonly ask: { readonly file: string; readonly maxBytes?: number };
    readonly answer: { readonly rev: Rev; readonly compacted: Rev; readonly heads: Heads };
  };
  write: { readonly ask: { readonly rows: readonly LogRow[] }; readonly answer: null };
  get: { readonly ask: { readonly key: Key }; readonly answer: Stored | null };
  list: {
    readonly ask: { readonly prefix: Key; readonly at: Rev; readonly limit: number; readonly after: Key };
    readonly answer: PackedRows;
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
