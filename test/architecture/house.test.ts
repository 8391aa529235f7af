import { existsSync, globSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "..", "..");

test("file names are kebab-case nouns", () => {
  const files = globSync("{src,rules,dns,ingress,test,bench,scripts}/**/*.{ts,mjs}", { cwd: root });
  const bad = files.filter((f) => !/^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+)*\.(ts|mjs)$/.test(f.split("/").at(-1) ?? ""));
  expect(bad).toEqual([]);
  expect(files.filter((f) => /(^|\/)(util|utils|helper|helpers|common|misc)(\.|\/)/.test(f))).toEqual([]);
});

test("every room has a README", () => {
  const rooms = [
    ...readdirSync(join(root, "src"), { withFileTypes: true })
      .filter((d) => d.isDirectory())
      .map((d) => `src/${d.name}`),
    "rules",
    "dns",
    "ingress",
  ];
  expect(rooms.filter((r) => !existsSync(join(root, r, "README.md")))).toEqual([]);
});

test("the lock file names no registry host", () => {
  expect(readFileSync(join(root, "package-lock.json"), "utf8")).not.toMatch(/"resolved":\s*"http/);
});

test("no index.ts but one per root folder", () => {
  const found = globSync("{src,rules,dns,ingress}/**/index.ts", { cwd: root }).sort();
  expect(found.filter((f) => !["rules/index.ts", "dns/index.ts", "ingress/index.ts"].includes(f))).toEqual([]);
});

test("a CommonJS library is loaded late through a file of ours: in the bundle it would have a default export only", () => {
  const late = globSync("{src,rules,dns,ingress}/**/*.ts", { cwd: root }).flatMap((file) =>
    [...readFileSync(join(root, file), "utf8").matchAll(/\bimport\("([^."][^"]*)"\)/g)].map(([, library]) => ({
      file,
      library: library ?? "",
    })),
  );
  const isModule = (library: string): boolean =>
    library.startsWith("node:") || JSON.parse(readFileSync(join(root, "node_modules", library, "package.json"), "utf8")).type === "module";
  expect(late.filter(({ library }) => !isModule(library))).toEqual([]);
});
