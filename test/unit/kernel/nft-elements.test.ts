import { expect, test } from "vitest";
import { areDistinct } from "../../../src/kernel/nft-elements.ts";

const element = (key: readonly (string | number)[], more: { end?: readonly string[]; isEnd?: boolean } = {}) => ({
  key,
  end: more.end,
  isEnd: more.isEnd ?? false,
});

test.each([
  { name: "nothing", raw: [], want: true },
  { name: "other ports", raw: [element(["10.0.0.1", 80]), element(["10.0.0.1", 81])], want: true },
  { name: "told again", raw: [element(["10.0.0.1", 80]), element(["10.0.0.2", 80]), element(["10.0.0.1", 80])], want: false },
  { name: "a range that begins where another ends", raw: [element(["10.0.0.1"]), element(["10.0.0.1"], { isEnd: true })], want: true },
  {
    name: "ranges with one beginning",
    raw: [element(["10.0.0.0"], { end: ["10.0.0.7"] }), element(["10.0.0.0"], { end: ["10.0.0.9"] })],
    want: true,
  },
])("a dump that is whole tells each element once: $name", ({ raw, want }) => {
  expect(areDistinct(raw)).toBe(want);
});
