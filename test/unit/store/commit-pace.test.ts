import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, test } from "vitest";
import { CommitPace } from "../../../src/store/commit-pace.ts";

test.each([
  { name: "one by one", turns: [1, 1, 1], alone: [1, 1, 1] },
  { name: "many at once", turns: [3, 3, 3], alone: [1, 0, 0] },
  { name: "one by one after many", turns: [3, 1, 1], alone: [1, 0, 1] },
])("which commits need not wait for others of their turn: $name", async ({ turns, alone }) => {
  const pace = new CommitPace();
  const told: number[] = [];
  for (const commits of turns) {
    told.push(Array.from({ length: commits }, () => pace.comesAlone()).filter(Boolean).length);
    await nextTurn();
  }
  expect(told).toEqual(alone);
});
