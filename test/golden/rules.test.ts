import { existsSync, globSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { compileOffline } from "../../rules/index.ts";
import { printElements } from "../../rules/nftables/print.ts";
import { tableOf } from "../../rules/nftables/ruleset.ts";
import { skeletonElements } from "../../rules/nftables/skeleton.ts";
import { elementId } from "../../rules/nftables/statement.ts";
import { printObjectRef } from "../../src/snapshot/problem.ts";
import { SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import { fillStore } from "../support/rules-objects.ts";

// UPDATE_GOLDEN=1 rewrites what is expected; read the difference before committing it
const update = process.env["UPDATE_GOLDEN"] === "1";
const folders = globSync("cases/rules-*/objects.yaml", { cwd: import.meta.dirname }).map((f) => join(import.meta.dirname, dirname(f)));

test("there are cases", () => {
  expect(folders.length).toBeGreaterThanOrEqual(2);
});

test.each(folders.map((folder) => [folder.split("/").at(-1) ?? "", folder] as const))("%s", (_, folder) => {
  const store = new SnapshotStore();
  const documents = parseAllDocuments(readFileSync(join(folder, "objects.yaml"), "utf8"));
  fillStore(
    store,
    documents.map((d) => d.toJS() as never),
  );
  const nftables = compileOffline(store.current, { nodeName: "node-1", backend: "nftables", families: [4] });
  const iptables = compileOffline(store.current, { nodeName: "node-1", backend: "iptables", families: [4] });
  const ipvs = compileOffline(store.current, { nodeName: "node-1", backend: "ipvs", families: [4] });
  const userspace = compileOffline(store.current, { nodeName: "node-1", backend: "userspace", families: [4] });
  // the skeleton is the same for every cluster; a case is about the elements
  const lines = nftables.program.flatMap((ruleset) => {
    const table = tableOf(ruleset);
    const fixed = new Set(skeletonElements(ruleset.skeleton).map(elementId));
    return table.elements.filter((e) => !fixed.has(elementId(e))).map((e) => printElements("add", table, [e]).join(""));
  });
  const problems = nftables.problems.map((p) => `${printObjectRef(p.object)} ${p.field} ${p.reason}: ${p.message}`);
  for (const [name, text] of [
    ["nftables.txt", `${lines.join("\n")}\n`],
    ["iptables.txt", iptables.text],
    ["ipvs.json", ipvs.text],
    ["userspace.json", userspace.text],
    ["problems.txt", problems.length === 0 ? "" : `${problems.join("\n")}\n`],
  ] as const) {
    const file = join(folder, name);
    if (update || !existsSync(file)) {
      expect(update, `${file} is missing: run with UPDATE_GOLDEN=1`).toBe(true);
      writeFileSync(file, text);
    }
    expect(text).toBe(readFileSync(file, "utf8"));
  }
});
