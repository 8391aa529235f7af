import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type AnyObject, type Case, outcomeOf, printCaseName, pureResolver, wantedOutcome } from "../../support/dns-cases.ts";

interface Group {
  readonly id: string;
  readonly corefile: string;
  readonly objects: readonly AnyObject[];
  readonly cases: readonly Case[];
}

/** The peer's own tables, where they are laid beside the checkout; what our tables want does not depend on them. */
const file = join(import.meta.dirname, "../../../../shared/cases/dns-cases.json");
const groups: readonly Group[] = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as { groups: readonly Group[] }).groups : [];

/** Plugins that are not here yet. */
const later = new Map([["k8s_external", "names of external addresses under a zone of their own come with the plugins of a Corefile"]]);

for (const group of groups) {
  const missing = Array.from(later).find(([plugin]) => new RegExp(`^${plugin} `, "m").test(group.corefile));
  describe.skipIf(missing !== undefined)(`peer's group ${group.id}${missing === undefined ? "" : `: ${missing[1]}`}`, () => {
    const zones = /^kubernetes ([^{]*)\{/m.exec(group.corefile)?.[1]?.trim().split(/\s+/) ?? [];
    const [clusterDomain = "cluster.local", ...reverseZones] = zones;
    const resolve = pureResolver(group.objects, {
      clusterDomain,
      reverseZones: reverseZones.map((z) => `${z}.`),
      pods: /^pods insecure$/m.test(group.corefile) ? "insecure" : "disabled",
    });
    test.each(group.cases.map((c) => [printCaseName(c), c] as const))("%s", async (_, c) => {
      expect(outcomeOf(await resolve(c))).toEqual(wantedOutcome(c));
    });
  });
}

test.skipIf(groups.length === 0)("every group of the kubernetes plugin alone is run", () => {
  const run = groups.filter((g) => !Array.from(later.keys()).some((plugin) => g.corefile.includes(plugin)));
  expect(run.map((g) => g.id)).toEqual(groups.map((g) => g.id).filter((id) => id !== "d05"));
});
