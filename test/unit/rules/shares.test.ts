import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hashOf, hashSlots, weighted } from "../../../rules/nftables/shares.ts";
import { hashSizeFor } from "../../../rules/nftables/size-class.ts";
import type { Member, Pool } from "../../../rules/plan/frontend.ts";
import { runs } from "../../support/runs.ts";

const member = (n: number, weight?: number): Member => ({
  ip: `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`,
  port: 8080,
  local: false,
  ...(weight === undefined ? {} : { weight }),
});
const pool = (weights: readonly (number | undefined)[], balance: Pool["balance"] = "random"): Pool => ({
  id: "p",
  members: weights.map((w, i) => member(i, w)),
  balance,
});
const count = (slots: readonly (Member | undefined)[]): ReadonlyMap<string, number> => {
  const counts = new Map<string, number>();
  for (const m of slots) if (m !== undefined) counts.set(m.ip, (counts.get(m.ip) ?? 0) + 1);
  return counts;
};

describe("weights", () => {
  test.each([
    ["no weights", [undefined, undefined, undefined], [1, 1, 1]],
    ["one to three", [3, undefined], [3, 1]],
    ["reduced", [30, 10, 20], [3, 1, 2]],
    ["all the same", [7, 7], [1, 1]],
    ["within what slots there are", [1000, 1], [1000, 1]],
  ] as const)("%s", (_, weights, want) => {
    const slots = weighted(pool(weights));
    expect(weights.map((_, i) => count(slots).get(member(i).ip))).toEqual(want);
  });

  test("however odd, slots stay few, nobody is left out, and shares are nearly right", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 1, maxLength: 400 }), (weights) => {
        const slots = weighted(pool(weights));
        expect(slots.length).toBeLessThanOrEqual(Math.max(1024, 4 * weights.length));
        const counts = count(slots);
        expect(counts.size).toBe(weights.length);
        const total = weights.reduce((a, b) => a + b, 0);
        for (const [i, w] of weights.entries()) {
          const share = (counts.get(member(i).ip) ?? 0) / slots.length;
          expect(Math.abs(share - w / total)).toBeLessThan(2 / Math.min(slots.length, 1024) + 0.6 * (w / total));
        }
      }),
      runs(60, 20270),
    );
  });
});

describe("Maglev's table", () => {
  test("is full, even to a slot, and the same whatever order the members come in", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(60_000), { minLength: 1, maxLength: 60 }), (numbers) => {
        const size = hashSizeFor(numbers.length);
        const slots = hashSlots(
          numbers.map((n) => member(n)),
          size,
        );
        expect(slots.length).toBe(size);
        for (const n of count(slots).values()) expect(Math.abs(n - size / numbers.length)).toBeLessThanOrEqual(1);
      }),
      runs(60, 20271),
    );
  });

  test("weights are kept to", () => {
    const slots = hashSlots([member(1, 3), member(2), member(3, 2)], 251);
    expect([1, 2, 3].map((n) => count(slots).get(member(n).ip))).toEqual([126, 42, 83]);
  });

  test("the lightest member of a lopsided pool still has slots", () => {
    const lopsided = pool([1000, 1, 1], "maglev");
    const by = hashOf(lopsided);
    expect(by).toEqual({ of: "flow", size: 4093 });
    const counts = count(hashSlots(lopsided.members, by?.size ?? 0));
    expect(counts.get(member(1).ip)).toBeGreaterThanOrEqual(4);
  });

  /** The share of slots that have another owner, beyond those that had to move. */
  const moved = (before: readonly Member[], after: readonly Member[], size: number): number => {
    const a = hashSlots(before, size);
    const b = hashSlots(after, size);
    const stayed = new Set(after.map((m) => m.ip));
    const had = new Set(before.map((m) => m.ip));
    let beyond = 0;
    for (const [i, m] of a.entries()) {
      const now = b[i];
      if (m.ip !== now?.ip && stayed.has(m.ip) && had.has(now?.ip ?? "")) beyond++;
    }
    return beyond / size;
  };

  test("few slots change between members that stay when one comes or goes", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(60_000), { minLength: 3, maxLength: 40 }), fc.nat(), (numbers, pick) => {
        const all = numbers.map((n) => member(n));
        const fewer = all.filter((_, i) => i !== pick % all.length);
        // tables of one size, as they are unless the pool crosses a size
        const size = hashSizeFor(all.length);
        expect(moved(all, fewer, size)).toBeLessThan(0.2);
        expect(moved(fewer, all, size)).toBeLessThan(0.2);
      }),
      runs(60, 20272),
    );
  });

  test("on the whole it is a few in a hundred", () => {
    const figures: number[] = [];
    for (let n = 3; n <= 40; n++) {
      const all = Array.from({ length: n }, (_, i) => member(i * 7));
      for (const gone of [0, n >> 1, n - 1]) {
        figures.push(
          moved(
            all,
            all.filter((_, i) => i !== gone),
            hashSizeFor(n),
          ),
        );
      }
    }
    expect(figures.reduce((a, b) => a + b, 0) / figures.length).toBeLessThan(0.06);
  });
});
