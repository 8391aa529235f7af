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
  readonly blocks: readonly Uint8Array<ArrayBuffer>[];
  /** How long each value is, or `deleted`; a block holds as many whole values as `perBlock` says. */
  readonly sizes: Uint32Array;
  readonly perBlock: Uint32Array;
}

/** Large enough to be given back to the system by itself; the watch cache keeps those of its first list. */
export const blockSize = 256 << 10;

const deleted = 0xffff_ffff;

export function packRows(rows: readonly LogRow[]): PackedRows {
  const blocks: Uint8Array<ArrayBuffer>[] = [];
  const perBlock: number[] = [];
  for (let from = 0; from < rows.length; ) {
    const start = from;
    let size = 0;
    let to = from;
    while (to < rows.length && (to === from || size + sizeOf(rows[to]) <= blockSize)) size += sizeOf(rows[to++]);
    const block = new Uint8Array(size);
    for (let at = 0; from < to; from++) {
      const value = rows[from]?.value;
      if (value === undefined) continue;
      block.set(value, at);
      at += value.length;
    }
    perBlock.push(to - start);
    blocks.push(block);
  }
  return {
    keys: rows.map((r) => r.key).join("\n"),
    revs: Float64Array.from(rows, (r) => r.rev),
    blocks,
    sizes: Uint32Array.from(rows, (r) => r.value?.length ?? deleted),
    perBlock: Uint32Array.from(perBlock),
  };
}

export function* unpackRows(rows: PackedRows): Generator<LogRow> {
  const keys = rows.keys.split("\n");
  let row = 0;
  for (const [i, block] of rows.blocks.entries()) {
    let at = 0;
    for (const end = row + (rows.perBlock[i] ?? 0); row < end; row++) {
      const size = rows.sizes[row] ?? deleted;
      const value = size === deleted ? undefined : block.subarray(at, at + size);
      yield { key: keys[row] ?? "", rev: rows.revs[row] ?? 0, value };
      at += value?.length ?? 0;
    }
  }
}

/** What moves to the other thread with them. */
export function blocksOf(rows: PackedRows): ArrayBuffer[] {
  return rows.blocks.map((block) => block.buffer);
}

function sizeOf(row: LogRow | undefined): number {
  return row?.value?.length ?? 0;
}

/** What the store asks its writer, and what each question answers. */
export interface WriterCalls {
  open: {
    readonly ask: { readonly file: string; readonly maxBytes?: number };
    readonly answer: { readonly rev: Rev; readonly compacted: Rev; readonly heads: Heads };
  };
  write: { readonly ask: PackedRows; readonly answer: null };
  get: { readonly ask: { readonly key: Key }; readonly answer: Stored | null };
  list: {
    readonly ask: { readonly prefix: Key; readonly at: Rev; readonly limit: number; readonly after: Key };
    readonly answer: PackedRows;
  };
  history: { readonly ask: { readonly prefix: Key; readonly after: Rev; readonly upTo: Rev }; readonly answer: readonly LogRow[] };
  compact: { readonly ask: { readonly before: Rev }; readonly answer: null };
  checkpoint: { readonly ask: null; readonly answer: null };
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
