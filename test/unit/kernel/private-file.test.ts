import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { writePrivateFile } from "../../../src/kernel/private-file.ts";

let dir = "";
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "private-file-"));
});
afterAll(() => rmSync(dir, { recursive: true }));

test("a new file, and one that others could read, are this user's alone; nothing else is left", () => {
  const file = join(dir, "key");
  writeFileSync(file, "old", { mode: 0o644 });
  for (const text of ["new", "newer"]) {
    writePrivateFile(file, text);
    expect([readFileSync(file, "utf8"), statSync(file).mode & 0o777]).toEqual([text, 0o600]);
  }
  expect(readdirSync(dir)).toEqual(["key"]);
});

test("a link is followed, not replaced", () => {
  const target = join(dir, "key");
  const link = join(dir, "link");
  symlinkSync(target, link);
  writePrivateFile(link, "through");
  expect(readFileSync(target, "utf8")).toBe("through");
  expect(readdirSync(dir).sort()).toEqual(["key", "link"]);
});
