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

test("files that are as they should be", () => {
  const images = file("images.yaml", 'images: [{match: "*/agnhost:*", files: {/agnhost: /opt/agnhost}, entrypoint: [/agnhost], user: 0}]');
  const apply = [file("a.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}")];
  expect(() => checkUpFiles({ images, apply, kubeconfig: join(folder, "kubeconfig") })).not.toThrow();
  expect(() => checkUpFiles({})).not.toThrow();
});

test.each<[Parameters<typeof checkUpFiles>[0], RegExp]>([
  [{ images: "none.yaml" }, /^--images none\.yaml: cannot be read/],
  [{ images: file("no-list.yaml", "image: []") }, /no-list\.yaml: expected a list `images`/],
  [{ images: file("entry.yaml", "images: [{match: a, entrypoint: run}]") }, /entry\.yaml: images\[0\]\.entrypoint: expected a list/],
  [{ images: file("typo.yaml", "images: [{match: a, comand: [run]}]") }, /typo\.yaml: images\[0\]\.comand: unknown field/],
  [{ apply: ["none.yaml"] }, /^none\.yaml: no such file or folder/],
  [{ apply: [file("kind.yaml", "{apiVersion: v2, kind: Boat, metadata: {name: a}}")] }, /kind\.yaml.*v2 Boat: this API has no such kind/],
  [{ kubeconfig: join(folder, "no", "kubeconfig") }, /^--kubeconfig .*: there is no folder /],
])("told before anything starts, exit status 2: %j", (options, message) => {
  let thrown: unknown;
  try {
    checkUpFiles(options);
  } catch (error) {
    thrown = error;
  }
  expect((thrown as Error).message).toMatch(message);
  expect(exitStatusOf(thrown)).toBe(2);
});
