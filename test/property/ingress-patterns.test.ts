import fc from "fast-check";
import { expect, test } from "vitest";
import { pathPattern, pathPatternFault } from "../../ingress/route/pattern.ts";

const letters = fc.stringMatching(/^[ab/.-]{0,4}$/).map((t) => t.replaceAll(".", "\\."));
const atom = fc.constantFrom("a", "b", "/", ".", "[ab]", "[^/]", "\\d", "\\w");
const quantifier = fc.constantFrom("", "", "*", "+", "?", "{1,2}");
const item: fc.Arbitrary<string> = fc.oneof(
  { maxDepth: 3, depthSize: "small" },
  fc.tuple(atom, quantifier).map((p) => p.join("")),
  fc.constant("(/|$)"),
  fc.tuple(letters, letters).map(([x, y]) => `(${x}|${y})`),
  fc.constantFrom("(.*)", "([^/]+)", "([^/]+)/", "([a-b]*)/", "[a.-]+/", "(\\d+)/"),
);
const look = fc.tuple(fc.constantFrom("!", "="), letters, fc.constantFrom("", "(b)", "|a")).map(([kind, x, y]) => `(?${kind}${x}${y})`);
const source = fc
  .tuple(fc.constantFrom("", "^"), letters, fc.option(look, { nil: "" }), fc.array(item, { maxLength: 5 }), fc.constantFrom("", "$"))
  .map(([anchor, first, ahead, items, end]) => `${anchor}/${first}${ahead}${items.join("")}${end}`);
const text = fc.stringMatching(/^\/[abAB1/.-]{0,10}$/);

test("whichever engine runs it, a pattern finds what the language's own finds, and nothing else", () => {
  fc.assert(
    fc.property(source, text, (pattern, path) => {
      if (pathPatternFault(pattern) !== undefined) return;
      const oracle = new RegExp(`^(?:${pattern})`, "i").exec(path);
      const found = pathPattern(pattern, true).groups(path);
      expect(pathPattern(pattern, true).test(path)).toBe(oracle !== null);
      // a group that was never reached is the empty text to whoever fills it in
      expect(found?.map((g) => g ?? "")).toEqual(oracle === null ? undefined : [...oracle].map((g) => g ?? ""));
    }),
    { numRuns: 3000 },
  );
});
