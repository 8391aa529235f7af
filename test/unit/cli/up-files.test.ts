import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { exitStatusOf } from "../../../src/cli/errors.ts";
import { checkUpFiles } from "../../../src/cli/up-files.ts";

const folder = mkdtempSync(join(tmpdir(), "fairway-up-files-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

type Given = Parameters<typeof checkUpFiles>[0];
const fine: Given = { dataDir: join(folder, "data"), kubeconfig: join(folder, "data", "kubeconfig"), apply: [] };

test("files that are as they should be", () => {
  const images = file("images.yaml", 'images: [{match: "*/agnhost:*", files: {/agnhost: /opt/agnhost}, entrypoint: [/agnhost], user: 0}]');
  const apply = [file("a.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}")];
  expect(() => checkUpFiles({ ...fine, images, apply, kubeconfig: join(folder, "kubeconfig") })).not.toThrow();
  expect(() => checkUpFiles(fine)).not.toThrow();
  expect(() => checkUpFiles({ ...fine, dataDir: folder, kubeconfig: join(folder, "kubeconfig") })).not.toThrow();
});

test.each<[Partial<Given>, RegExp]>([
  [{ images: "none.yaml" }, /^--images none\.yaml: no such file or folder$/],
  [{ images: folder }, /^--images .*: is a folder; name a file$/],
  [{ images: file("no-list.yaml", "image: []") }, /^--images .*no-list\.yaml: expected a list `images`/],
  [{ images: file("entry.yaml", "images: [{match: a, entrypoint: run}]") }, /entry\.yaml: images\[0\]\.entrypoint: expected a list/],
  [{ images: file("typo.yaml", "images: [{match: a, comand: [run]}]") }, /typo\.yaml: images\[0\]\.comand: unknown field/],
  [{ apply: ["none.yaml"] }, /^--apply none\.yaml: no such file or folder$/],
  [{ apply: [file("kind.yaml", "{apiVersion: v2, kind: Boat, metadata: {name: a}}")] }, /kind\.yaml.*v2 Boat: this API has no such kind/],
  [{ kubeconfig: join(folder, "no", "kubeconfig") }, /^--kubeconfig .*: there is no folder /],
  [{ kubeconfig: folder }, /^--kubeconfig .*: is a folder; name a file in it$/],
  [{ dataDir: file("plain", "") }, /^--data-dir .*plain: it is a file, not a folder; /],
  [
    { dataDir: join(file("plain", ""), "below") },
    /^--data-dir .*below: (.*plain is a file, not a folder|no such file: a part of its path is a file)/,
  ],
  [{ dataDir: "/proc/fairway/data" }, /^--data-dir \/proc\/fairway\/data: \/proc is on procfs, which keeps no files; /],
  [{ dataDir: "/sys/fairway" }, /^--data-dir \/sys\/fairway: \/sys is on sysfs, /],
])("told before anything starts, exit status 2: %j", (options, message) => {
  let thrown: unknown;
  try {
    checkUpFiles({ ...fine, ...options });
  } catch (error) {
    thrown = error;
  }
  expect((thrown as Error).message).toMatch(message);
  expect(exitStatusOf(thrown)).toBe(2);
});
