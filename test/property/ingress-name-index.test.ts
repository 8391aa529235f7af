import fc from "fast-check";
import { expect, test } from "vitest";
import { NameIndex } from "../../ingress/route/name-index.ts";
import { runs } from "../support/runs.ts";

const name = fc.integer({ min: 0, max: 40 }).map((n) => `n${n}`);
const change = fc.tuple(name, fc.option(fc.integer({ min: 0, max: 9 }), { nil: undefined }));
// bulks make an index whose recent part stays apart for a while; names of changes meet both parts
const changes = fc.oneof(fc.array(change, { maxLength: 12 }), fc.constant(Array.from({ length: 400 }, (_, i) => [`m${i}`, i] as const)));
const upwards = (a: number, b: number): number => a - b;

test("a NameIndex after any changes is the map that has them, and those before it are what they were", () => {
  fc.assert(
    fc.property(fc.array(changes, { maxLength: 25 }), (steps) => {
      const made: { readonly index: NameIndex<number>; readonly map: ReadonlyMap<string, number> }[] = [
        { index: NameIndex.of<number>(), map: new Map() },
      ];
      for (const step of steps) {
        const before = made.at(-1);
        if (before === undefined) throw new Error("nothing made");
        const map = new Map(before.map);
        for (const [key, value] of step) {
          if (value === undefined) map.delete(key);
          else map.set(key, value);
        }
        made.push({ index: before.index.with(step), map });
      }
      for (const { index, map } of made) {
        expect(new Map(index.entries())).toEqual(map);
        expect([...index.entries()].length, "each name once").toBe(map.size);
        expect(index.size).toBe(map.size);
        expect(new Set(index.keys())).toEqual(new Set(map.keys()));
        expect([...index.values()].sort(upwards)).toEqual([...map.values()].sort(upwards));
        for (let i = 0; i <= 41; i++) {
          expect(index.get(`n${i}`)).toBe(map.get(`n${i}`));
          expect(index.has(`n${i}`)).toBe(map.has(`n${i}`));
        }
      }
    }),
    runs(150, 7),
  );
});

test("many changes one after the other, over many names", () => {
  const many = NameIndex.of<number>().with(Array.from({ length: 10_000 }, (_, i) => [`n${i}`, i] as const));
  let index = many;
  for (let i = 0; i < 1000; i++) index = index.with([[`n${i}`, i % 2 === 0 ? -i : undefined]]);
  expect([many.get("n7"), many.get("n8"), many.size]).toEqual([7, 8, 10_000]);
  expect([index.get("n7"), index.get("n8"), index.get("n9999"), index.size]).toEqual([undefined, -8, 9999, 9500]);
});
