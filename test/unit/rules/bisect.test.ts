import { expect, test } from "vitest";
import { ApplyError } from "../../../rules/apply/errors.ts";
import { applyByHalves } from "../../../rules/sync/bisect.ts";

/** A kernel that takes numbers, all of a call or none. */
function kernel(refuses: readonly number[], fails: readonly number[] = []) {
  const standing: number[] = [];
  const refused: number[] = [];
  let tries = 0;
  const run = (all: readonly number[]): Promise<void> =>
    applyByHalves(all, {
      apply: (some) => {
        tries++;
        if (some.some((n) => fails.includes(n))) return Promise.reject(new ApplyError("UNAVAILABLE", "busy"));
        if (some.some((n) => refuses.includes(n))) return Promise.reject(new ApplyError("REFUSED", "no"));
        standing.push(...some);
        return Promise.resolve();
      },
      refuse: (one, cause) => {
        expect(cause.code).toBe("REFUSED");
        refused.push(one);
      },
    });
  return { run, standing, refused, tries: () => tries };
}
const upTo = (n: number): readonly number[] => Array.from({ length: n }, (_, i) => i);

test.each([
  ["nothing", 0, [], 0],
  ["none refused: one try", 1000, [], 1],
  ["one alone", 1, [0], 1],
  ["one of a thousand", 1000, [617], 21],
  ["the first and the last", 8, [0, 7], 11],
  ["all", 4, [0, 1, 2, 3], 7],
])("%s", async (_, count, refuses, tries) => {
  const k = kernel(refuses);
  await k.run(upTo(count));
  expect(k.standing).toEqual(upTo(count).filter((n) => !refuses.includes(n)));
  expect(k.refused).toEqual(refuses);
  expect(k.tries()).toBeLessThanOrEqual(tries);
});

test("what is no refusal ends it", async () => {
  const k = kernel([1], [6]);
  await expect(k.run(upTo(8))).rejects.toMatchObject({ code: "UNAVAILABLE" });
  expect(k.standing).toEqual([]);
  const later = kernel([], []);
  await later.run(upTo(8));
  expect(later.standing).toEqual(upTo(8));
});
