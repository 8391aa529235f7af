import { expect, test } from "vitest";
import { turnOf } from "../../../src/apiserver/turn.ts";

test.each([
  { header: undefined, turn: "in-turn" },
  { header: "", turn: "in-turn" },
  { header: "u=0", turn: "first" },
  { header: "i, u=0", turn: "first" },
  { header: "u=0;x, i", turn: "first" },
  { header: "u=01", turn: "in-turn" },
  { header: "u=3, i", turn: "in-turn" },
  { header: "xu=0", turn: "in-turn" },
])("a watcher whose Priority is $header is told $turn", ({ header, turn }) => {
  expect(turnOf(header)).toBe(turn);
});
