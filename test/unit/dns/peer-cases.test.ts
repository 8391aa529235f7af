import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { ZonesConfig } from "../../../dns/config/zone-config.ts";
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

function optionOf(corefile: string, name: string): readonly string[] | undefined {
  const match = new RegExp(`^${name}( .*)?$`, "m").exec(corefile);
  return match === null ? undefined : (match[1] ?? "").trim().split(/ +/);
}

function configOf(corefile: string): ZonesConfig {
  const namespaces = optionOf(corefile, "namespaces");
  const external = /^k8s_external ([^{]*)\{/m.exec(corefile)?.[1];
  return {
    kubernetes: {
      zones: /^kubernetes ([^{]*)\{/m.exec(corefile)?.[1]?.trim().split(/\s+/) ?? [],
      pods: optionOf(corefile, "pods")?.[0] === "insecure" ? "insecure" : "disabled",
      ...(namespaces === undefined ? {} : { namespaces }),
    },
    ...(external === undefined
      ? {}
      : { external: { zones: external.trim().split(/\s+/), ...(optionOf(corefile, "headless") === undefined ? {} : { headless: true }) } }),
  };
}

for (const group of groups) {
  describe(`peer's group ${group.id}`, () => {
    const resolve = pureResolver(group.objects, configOf(group.corefile));
    test.each(group.cases.map((c) => [printCaseName(c), c] as const))("%s", async (_, c) => {
      expect(outcomeOf(await resolve(c))).toEqual(wantedOutcome(c));
    });
  });
}

test.skipIf(groups.length === 0)("all of the peer's cases are run", () => {
  expect(groups.map((g) => `${g.id} ${g.cases.length}`)).toEqual(["d01 23", "d02 3", "d03 4", "d04 6", "d05 15"]);
});
