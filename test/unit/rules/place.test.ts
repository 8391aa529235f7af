import { expect, test } from "vitest";
import { placeSlots } from "../../../rules/nftables/place.ts";
import { sizeClasses, sizeClassOf, skeletonSizeFor } from "../../../rules/nftables/size-class.ts";
import { defaultSkeletonOptions, skeletonChains, skeletonElements } from "../../../rules/nftables/skeleton.ts";
import { elementId } from "../../../rules/nftables/statement.ts";

/** Slots as a word: a letter an endpoint, `.` a hole. */
const slots = (word: string) => word.split("").map((c) => (c === "." ? undefined : { ip: c, port: 80, local: false }));
const word = (list: ReturnType<typeof placeSlots>): string => list.map((m) => m?.ip ?? ".").join("");
const pool = (members: string) => ({ id: "p", members: members.split("").map((ip) => ({ ip, port: 80, local: false })) });

test.each([
  ["", "abc", false, "abc", "a new pool"],
  ["abc", "abd", false, "abd", "swapped in place"],
  ["abc", "ac", false, "ac", "the last moves into the hole"],
  ["abcd", "bd", false, "db", "twice"],
  ["abc", "", false, "", "emptied"],
  ["abc", "acde", false, "adce", "new ones take holes first"],
  ["abcd", "abd", true, "ab.d", "affinity: the others keep their slots"],
  ["ab.d", "abde", true, "abed", "affinity: a new one takes the lowest hole"],
  ["abcd", "abc", true, "abc", "affinity: a hole at the end is none"],
  ["abcdef", "af", true, "af", "affinity: less than half full, so it is packed"],
  ["a.c", "", true, "", "affinity: emptied"],
])("%s, then %s (sticky %s): %s: %s", (before, members, sticky, want) => {
  expect(word(placeSlots(slots(before), pool(members), sticky))).toBe(want);
});

test("a size class is the smallest that holds the pool", () => {
  for (const size of [1, 2, 3, 5, 6, 7, 33, 1000, 32768]) {
    const found = sizeClassOf(size);
    expect(sizeClasses[found]).toBeGreaterThanOrEqual(size);
    if (found > 0) expect(sizeClasses[found - 1]).toBeLessThan(size);
  }
  expect(() => sizeClassOf(32769)).toThrow(RangeError);
  expect(skeletonSizeFor(65)).toBe(1024);
});

test("the skeleton has a fixed number of chains and rules", () => {
  const count = (options: Partial<typeof defaultSkeletonOptions>) => {
    const chains = skeletonChains(4, { ...defaultSkeletonOptions, ...options });
    return { chains: chains.length, rules: chains.reduce((n, c) => n + c.rules.length, 0) };
  };
  expect(count({ affinityTimeouts: [] })).toEqual({ chains: 96, rules: 397 });
  expect(count({})).toEqual({ chains: 180, rules: 1045 });
  expect(count({ affinityTimeouts: [10800, 60] })).toEqual({ chains: 264, rules: 1693 });
  expect(count({ affinityTimeouts: [], largestClass: 32768 })).toEqual({ chains: 222, rules: 1081 });
});

test("no two chains share a number, and every chain that is named exists", () => {
  const options = { ...defaultSkeletonOptions, largestClass: 32768, affinityTimeouts: [60, 10800], untracked: true };
  const names = new Set(skeletonChains(6, options).map((c) => c.name));
  const elements = skeletonElements(options);
  expect(new Set(elements.map(elementId)).size).toBe(elements.length);
  expect(elements.filter((e) => !names.has(String(e.value?.[0])))).toEqual([]);
  for (const chain of skeletonChains(6, options)) {
    for (const s of chain.rules.flatMap((r) => r.statements)) if (s.kind === "jump" || s.kind === "goto") expect(names).toContain(s.chain);
  }
});
