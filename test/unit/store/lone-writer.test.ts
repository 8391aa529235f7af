import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, expect, test } from "vitest";
import { LoneWriter } from "../../../src/store/lone-writer.ts";
import { SqliteLog } from "../../../src/store/sqlite-log.ts";

const folder = mkdtempSync(join(tmpdir(), "fairway-lone-"));
afterAll(() => rmSync(folder, { recursive: true }));
let files = 0;
const row = (rev: number, size = 10) => ({ key: `/a/${rev}`, rev, value: new Uint8Array(size) });

/** `takes` is how long a write takes by the clock, in ms. */
function opened(o: { readonly maxBytes?: number; readonly takes?: number } = {}) {
  const { maxBytes } = o;
  const clock = { now: 0, takes: o.takes ?? 0 };
  const file = join(folder, `${files++}.db`);
  const log = new SqliteLog(file, maxBytes);
  let checkpoints = 0;
  const lone = new LoneWriter(
    file,
    maxBytes,
    () => {
      checkpoints++;
      log.checkpoint();
    },
    () => (clock.now += clock.takes),
  );
  const close = (): void => {
    lone.close();
    log.close();
  };
  return { file, log, lone, clock, close, checkpoints: () => checkpoints };
}

test("what it has written, the worker's connection reads, and goes on behind", () => {
  const { log, lone, close } = opened();
  expect(lone.write([row(1)])).toBe(true);
  log.write([row(2)]);
  expect(lone.write([row(3)])).toBe(true);
  expect(log.history({ prefix: "/a/", after: 0, upTo: 3 }).map((r) => r.rev)).toEqual([1, 2, 3]);
  close();
});

test("what is large, or comes while the worker writes, is left to the worker", () => {
  const { file, log, lone, close } = opened();
  expect(lone.write([row(1, 1 << 20)])).toBe(false);
  const other = new DatabaseSync(file, { timeout: 0 });
  other.exec("BEGIN IMMEDIATE");
  expect(lone.write([row(1)])).toBe(false);
  other.exec("ROLLBACK");
  other.close();
  expect(lone.write([row(1)])).toBe(true);
  lone.close();
  expect(lone.write([row(2)])).toBe(false);
  expect(log.history({ prefix: "/a/", after: 0, upTo: 2 }).map((r) => r.rev)).toEqual([1]);
  close();
});

test("a file that is full refuses it, and what was there stays", () => {
  const { log, lone, close } = opened({ maxBytes: 100_000 });
  const fill = (): void => {
    for (let rev = 1; rev <= 20; rev++) lone.write([row(rev, 8000)]);
  };
  expect(fill).toThrow("full");
  expect(log.history({ prefix: "/a/", after: 0, upTo: 1 })).toHaveLength(1);
  close();
});

test("its log is taken over into the file now and then", () => {
  const { lone, checkpoints, close } = opened();
  for (let rev = 1; rev <= 201; rev++) lone.write([row(rev)]);
  expect(checkpoints()).toBe(1);
  close();
});

test("on a slow disk it leaves most of the time to the worker", () => {
  // one look at the clock before a write, one after: a refusal takes 10 ms here, a write 10
  const { lone, close } = opened({ takes: 10 });
  const written = Array.from({ length: 110 }, (_, i) => lone.write([row(i + 1)]));
  expect(written.flatMap((yes, i) => (yes ? [i] : []))).toEqual([0, 50, 100]);
  close();
});

test("a slow write now and then is made up for before; many in a row are not", () => {
  const { lone, clock, close } = opened();
  expect(lone.write([row(1)])).toBe(true);
  clock.now = 60_000;
  clock.takes = 5;
  // a second without any makes up for 20 ms: the fifth of 5 ms is the last
  const written = Array.from({ length: 8 }, (_, i) => lone.write([row(i + 2)]));
  expect(written).toEqual([true, true, true, true, true, false, false, false]);
  clock.now += 1000;
  expect(lone.write([row(20)])).toBe(true);
  close();
});
