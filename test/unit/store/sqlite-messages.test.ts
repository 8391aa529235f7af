import { expect, test } from "vitest";
import { blocksOf, packRows, unpackRows } from "../../../src/store/sqlite-messages.ts";

const bytes = (size: number): Uint8Array => new Uint8Array(size).fill(size % 251);

test.each([
  { name: "none", sizes: [], blocks: 0 },
  { name: "one", sizes: [10], blocks: 1 },
  { name: "deletions among values", sizes: [undefined, 5, undefined, 0, 7, undefined], blocks: 1 },
  { name: "deletions only", sizes: [undefined, undefined], blocks: 1 },
  { name: "more than a block holds", sizes: Array.from({ length: 700 }, (_, i) => 500 + i), blocks: 3 },
  { name: "one larger than a block", sizes: [3, 2 << 20, 3], blocks: 3 },
])("rows come back as they were packed: $name", ({ sizes, blocks }) => {
  const rows = sizes.map((size, i) => ({
    key: `/registry/core/pods/n/p${i}`,
    rev: i + 1,
    value: size === undefined ? undefined : bytes(size),
  }));
  const packed = packRows(rows);
  expect([...unpackRows(packed)]).toEqual(rows);
  expect(blocksOf(packed)).toHaveLength(blocks);
});
