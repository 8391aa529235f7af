import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Pod, Volume } from "../../../src/api/types/core-v1.generated.ts";
import { layVolume, subPathOf, writeVolumeFiles } from "../../../src/node/volume-files.ts";
import { compileVolume, tokenWishes } from "../../../src/node/volume-plan.ts";

const sources = {
  configMap: (name: string) => (name === "c" ? { data: { "a.txt": "A", b: "B" }, binaryData: { bin: "AAEC" } } : undefined),
  secret: (name: string) => (name === "s" ? { data: { key: Buffer.from("shh").toString("base64") } } : undefined),
};
const context = { nodeName: "n", hostIps: [], podIps: [], allocatable: {} };
const filesOf = (volume: Omit<Volume, "name">): Record<string, string> => {
  const pod: Pod = { metadata: { name: "p", labels: { b: "2", a: '1"' } }, spec: { volumes: [{ name: "v", ...volume }] } };
  const plan = compileVolume(pod, { name: "v", ...volume }, { sources, context, token: (wish) => `token for ${wish.audience}` });
  if (plan.kind !== "files") return { kind: plan.kind };
  return Object.fromEntries([...plan.files].map(([path, f]) => [path, `${Buffer.from(f.bytes).toString("latin1")} ${f.mode.toString(8)}`]));
};

test.each<{ name: string; volume: Omit<Volume, "name">; want: Record<string, string> }>([
  {
    name: "a ConfigMap, text and bytes",
    volume: { configMap: { name: "c" } },
    want: { "a.txt": "A 644", b: "B 644", bin: "\0\x01\x02 644" },
  },
  {
    name: "chosen keys with paths and modes",
    volume: {
      configMap: {
        name: "c",
        defaultMode: 0o600,
        items: [
          { key: "b", path: "x/y" },
          { key: "a.txt", path: "z", mode: 0o400 },
        ],
      },
    },
    want: { "x/y": "B 600", z: "A 400" },
  },
  { name: "a Secret", volume: { secret: { secretName: "s", defaultMode: 0o440 } }, want: { key: "shh 440" } },
  { name: "an optional one that is not there", volume: { secret: { secretName: "no", optional: true } }, want: {} },
  {
    name: "the downward API",
    volume: { downwardAPI: { items: [{ path: "labels", fieldRef: { fieldPath: "metadata.labels" } }] } },
    want: { labels: 'a="1\\""\nb="2" 644' },
  },
  {
    name: "projected: all in one folder",
    volume: {
      projected: {
        sources: [
          { configMap: { name: "c", items: [{ key: "b", path: "b" }] } },
          { secret: { name: "s" } },
          { serviceAccountToken: { path: "token", audience: "me" } },
          { downwardAPI: { items: [{ path: "name", fieldRef: { fieldPath: "metadata.name" } }] } },
        ],
      },
    },
    want: { b: "B 644", key: "shh 644", token: "token for me 644", name: "p 644" },
  },
  { name: "emptyDir", volume: { emptyDir: {} }, want: { kind: "empty" } },
  { name: "emptyDir in memory", volume: { emptyDir: { medium: "Memory", sizeLimit: "1Mi" } }, want: { kind: "memory" } },
  { name: "hostPath", volume: { hostPath: { path: "/x" } }, want: { kind: "host" } },
])("contents: $name", ({ volume, want }) => {
  expect(filesOf(volume)).toEqual(want);
});

test.each<[Omit<Volume, "name">, string]>([
  [{ configMap: { name: "no" } }, 'configmap "no" not found'],
  [{ configMap: { name: "c", items: [{ key: "no", path: "x" }] } }, "references non-existent key: no"],
  [{ nfs: { server: "s", path: "/" } }, "this node has no nfs volumes"],
])("refused: %j", (volume, message) => {
  expect(() => filesOf(volume)).toThrow(message);
});

test("a projected token is asked for with its audience and life", () => {
  const volumes = [
    { name: "v", projected: { sources: [{ configMap: { name: "c" } }, { serviceAccountToken: { path: "t", expirationSeconds: 600 } }] } },
  ];
  expect(tokenWishes({ spec: { volumes } })).toEqual([{ volume: "v", source: 1, audience: "", expirationSeconds: 600 }]);
});

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "fw-volumes-"));
});
afterEach(() => rmSync(folder, { recursive: true }));
const file = (text: string, mode = 0o640) => ({ bytes: Buffer.from(text), mode });
const read = (path: string): string => readFileSync(join(folder, path), "utf8");

test("files are swapped all at once, and what is gone goes", () => {
  expect(
    writeVolumeFiles(
      folder,
      new Map([
        ["a", file("1")],
        ["d/e", file("2")],
      ]),
      "1",
    ),
  ).toBe(true);
  expect([read("a"), read("d/e"), statSync(join(folder, "a")).mode & 0o777]).toEqual(["1", "2", 0o640]);
  expect(readlinkSync(join(folder, "a"))).toBe("..data/a");
  expect(
    writeVolumeFiles(
      folder,
      new Map([
        ["a", file("1")],
        ["d/e", file("2")],
      ]),
      "2",
    ),
  ).toBe(false);
  const before = readlinkSync(join(folder, "..data"));
  expect(
    writeVolumeFiles(
      folder,
      new Map([
        ["a", file("changed")],
        ["new", file("3")],
      ]),
      "3",
    ),
  ).toBe(true);
  expect([read("a"), read("new"), existsSync(join(folder, "d"))]).toEqual(["changed", "3", false]);
  expect(readlinkSync(join(folder, "..data"))).not.toBe(before);
  expect(readdirSync(folder).sort()).toEqual(["..3", "..data", "a", "new"]);
});

test("emptyDir is writable by all and kept", () => {
  const plan = { kind: "empty", name: "scratch" } as const;
  const path = layVolume(plan, folder, "1");
  expect(lstatSync(path).mode & 0o777).toBe(0o777);
  writeFileSync(join(path, "kept"), "x");
  layVolume(plan, folder, "2");
  expect(readdirSync(path)).toEqual(["kept"]);
});

test.each([
  ["Directory", false],
  ["DirectoryOrCreate", true],
  ["File", false],
  ["FileOrCreate", true],
  ["Socket", false],
  ["", true],
  ["Nonsense", false],
])("a hostPath of type %s that is not there: %s", (type, ok) => {
  const lay = () => layVolume({ kind: "host", name: "h", path: join(folder, "x"), type }, folder, "1");
  if (ok) expect(lay()).toBe(join(folder, "x"));
  else expect(lay).toThrow("hostPath type check failed");
});

test("a subPath is made where it is missing, and may not lead out by a link", () => {
  expect(subPathOf(folder, "a/b")).toBe(join(folder, "a/b"));
  mkdirSync(join(folder, "inside"));
  symlinkSync("inside", join(folder, "link"));
  expect(subPathOf(folder, "link")).toBe(join(folder, "inside"));
  const elsewhere = mkdtempSync(join(tmpdir(), "fw-elsewhere-"));
  symlinkSync(elsewhere, join(folder, "out"));
  expect(() => subPathOf(folder, "out/made")).toThrow("leads out of its volume");
  expect(readdirSync(elsewhere)).toEqual([]);
  rmSync(elsewhere, { recursive: true });
});
