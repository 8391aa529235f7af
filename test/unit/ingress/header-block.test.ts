import { expect, test } from "vitest";
import { HeaderBlock, parseHeaderBlock } from "../../../ingress/upstream/wire/header-block.ts";

const passes = (name: string, named: readonly string[]): boolean => !name.startsWith("drop") && !named.includes(name);

test.for<[name: string, text: string, lines: string]>([
  ["nothing", "", ""],
  ["one that goes on", "A: 1", "A: 1\r\n"],
  ["one that ends here", "Drop: 1", ""],
  ["the first ends here", "Drop: 1\r\nA: 1\r\nB: 2", "A: 1\r\nB: 2\r\n"],
  ["one in the middle ends here", "A: 1\r\nB: 2\r\nDrop: 1\r\nC: 3", "A: 1\r\nB: 2\r\nC: 3\r\n"],
  ["the last ends here", "A: 1\r\nDrop: 1", "A: 1\r\n"],
  ["one that Connection names", "A: 1\r\nNamed: 1\r\nB: 2", "A: 1\r\nB: 2\r\n"],
  ["spaces that are not as printed here", "A:1\r\nB:  2\r\nDrop: 1\r\nC: 3 \r\nD:\t4", "A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n"],
  ["no value", "A: \r\nB: 2", "A: \r\nB: 2\r\n"],
  ["no value and no space", "A:\r\nB: 2", "A: \r\nB: 2\r\n"],
])("lines of %s", ([, text, lines]) => {
  const block = parseHeaderBlock(text, 0, 100);
  if ("fault" in block) throw new Error(block.fault);
  expect(block.linesOf(passes, ["named"])).toBe(lines);
  // the same from the fields alone, as those of HTTP/2 are printed
  expect(new HeaderBlock(block.names, block.fields).linesOf(passes, ["named"])).toBe(lines);
  const passing = block.passingOf(passes, ["named"]);
  expect(passing.map((t, i) => (i % 2 === 0 ? `${t}: ` : `${t}\r\n`)).join("")).toBe(lines);
});

test("another rule is asked for itself", () => {
  const block = new HeaderBlock(["A", "B"], ["a", "1", "b", "2"]);
  const all = () => true;
  for (let i = 0; i < 2; i++) {
    expect(block.linesOf(all, [])).toBe("A: 1\r\nB: 2\r\n");
    expect(block.linesOf((name) => name === "b", [])).toBe("B: 2\r\n");
    expect(block.passingOf(all, [])).toEqual(["A", "1", "B", "2"]);
    expect(block.passingOf((name) => name === "b", [])).toEqual(["B", "2"]);
  }
});
