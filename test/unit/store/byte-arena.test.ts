import { expect, test } from "vitest";
import { ByteArena, bytesAt, type Place } from "../../../src/store/byte-arena.ts";

interface Value {
  place: Place;
  move(place: Place): void;
}

function valueIn(arena: ByteArena, text: string): Value {
  const value: Value = {
    place: arena.put(Buffer.from(text)),
    move: (place) => {
      value.place = place;
    },
  };
  return value;
}

const textOf = ({ place }: Value): string => Buffer.from(bytesAt(place)).toString();
const heldBy = (values: Iterable<Value>): number =>
  [...new Set([...values].map((v) => v.place.block))].reduce((sum, block) => sum + block.bytes.length, 0);

test.each([
  { name: "one that is empty", sizes: [0, 5, 0] },
  { name: "many small ones", sizes: Array.from({ length: 500 }, (_, i) => i) },
  { name: "some larger than any block", sizes: [10, 300 << 10, 10, 1 << 20, 10] },
  { name: "one as large as a block", sizes: [8 << 10, 8 << 10, 1] },
])("values stand as they were put: $name", ({ sizes }) => {
  const arena = new ByteArena();
  const texts = sizes.map((size, i) => String.fromCharCode(97 + (i % 26)).repeat(size));
  const values = texts.map((text) => valueIn(arena, text));
  expect(values.map(textOf)).toEqual(texts);
});

test.each([
  { name: "in order", pick: (n: number, count: number) => n % count },
  { name: "here and there", pick: (n: number, count: number) => (n * 7919) % count },
  { name: "always the same few", pick: (n: number) => n % 3 },
])("what is replaced over and over takes no more than twice its room: $name", ({ pick }) => {
  const arena = new ByteArena();
  const make = (i: number, round: number): string => `${i}-${round}-`.padEnd(500 + ((i * 37) % 2000), "x");
  const count = 2000;
  const values = new Map(Array.from({ length: count }, (_, i) => [i, valueIn(arena, make(i, 0))]));
  const rounds = new Map<number, number>();
  for (let n = 1; n <= 10 * count; n++) {
    const i = pick(n, count);
    const old = values.get(i);
    values.set(i, valueIn(arena, make(i, n)));
    rounds.set(i, n);
    if (old !== undefined) arena.free(old.place);
    if (arena.sparse) arena.collect(values.values());
  }
  for (const [i, value] of values) expect(textOf(value)).toBe(make(i, rounds.get(i) ?? 0));
  const wanted = [...values.values()].reduce((sum, v) => sum + v.place.size, 0);
  expect(heldBy(values.values()) / wanted).toBeLessThan(2);
});

test("what was adopted stands where it is, until what is beside it has gone", () => {
  const arena = new ByteArena();
  const texts = Array.from({ length: 1000 }, (_, i) => `value ${i} `.padEnd(1000, "y"));
  const block = new Uint8Array(Buffer.from(texts.join("")));
  const values = texts.map((text, i): Value => {
    const value: Value = {
      place: arena.adopt(block.subarray(i * 1000, i * 1000 + 1000)),
      move: (place) => {
        value.place = place;
      },
    };
    expect(textOf(value)).toBe(text);
    return value;
  });
  expect(heldBy(values)).toBe(1_000_000);
  const rest = values.filter((_, i) => i % 3 === 0);
  for (const [i, { place }] of values.entries()) if (i % 3 !== 0) arena.free(place);
  expect(arena.sparse).toBe(true);
  arena.collect(rest);
  expect(rest.map(textOf)).toEqual(texts.filter((_, i) => i % 3 === 0));
  expect(heldBy(rest)).toBeLessThan(600_000);
});

test("what was freed can still be read by who has it", () => {
  const arena = new ByteArena();
  const value = valueIn(arena, "as it was");
  const seen = bytesAt(value.place);
  arena.free(value.place);
  for (let i = 0; i < 1000; i++) arena.free(arena.put(Buffer.alloc(1000, 120)));
  arena.collect([]);
  expect(Buffer.from(seen).toString()).toBe("as it was");
});
