import { globSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { expect, test } from "vitest";
import { rankOf } from "./layers.ts";

const root = join(import.meta.dirname, "..", "..");
const files = globSync("{src,rules,dns,ingress}/**/*.ts", { cwd: root }).sort();

function importsOf(file: string): string[] {
  const text = readFileSync(join(root, file), "utf8");
  const found = text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*"(\.{1,2}\/[^"]+)"/g);
  return Array.from(found, (m) => normalize(join(dirname(file), m[1] ?? "")));
}

test("every file belongs to a room", () => {
  expect(files.filter((f) => rankOf(f) === undefined)).toEqual([]);
});

test("imports go down the ranks only", () => {
  const wrong: string[] = [];
  let seen = 0;
  for (const file of files) {
    const own = rankOf(file);
    for (const target of importsOf(file)) {
      const other = rankOf(target);
      seen++;
      if (own === undefined || other === undefined) continue;
      if (own[0] !== other[0] && other[1] >= own[1])
        wrong.push(`${file} (${own[0]}, ${own[1]}) imports ${target} (${other[0]}, ${other[1]})`);
    }
  }
  expect(wrong).toEqual([]);
  expect(seen).toBeGreaterThan(10);
});
