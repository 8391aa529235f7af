import fc from "fast-check";
import { expect, test } from "vitest";
import { headEnd } from "../../../ingress/upstream/wire/head-end.ts";

test.each([
  ["", -1],
  ["\r\n\r\n", 0],
  ["\r\n\r", -1],
  ["a\r\n\r\n", 1],
  ["ab\r\n\r\n", 2],
  ["abc\r\n\r\nbody\r\n\r\n", 3],
  ["a\n\n\r\n\r\n", 3],
  ["a\r\n\n\r\n\r\n", 4],
  ["a\r\r\n\r\n", 2],
  ["a\n\r\n\r", -1],
])("the end of %j is at %i", (text, at) => {
  expect(headEnd(Buffer.from(text, "latin1"), 0)).toBe(at);
});

test("finds what a plain search finds, from wherever it begins", () => {
  const text = fc.array(fc.constantFrom("\r", "\n", "\r\n", "\r\n\r\n", "a", "bc"), { maxLength: 24 }).map((parts) => parts.join(""));
  fc.assert(
    fc.property(text, fc.nat(24), (text, from) => {
      expect(headEnd(Buffer.from(text, "latin1"), from)).toBe(from > text.length ? -1 : text.indexOf("\r\n\r\n", from));
    }),
    { numRuns: 2_000 },
  );
});
