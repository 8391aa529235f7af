import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { expect, test } from "vitest";
import type { DaemonSet } from "../../../src/api/types/apps-v1.generated.ts";
import { register as registerApiServer } from "../../../src/cli/commands/apiserver.ts";
import { register as registerCheck } from "../../../src/cli/commands/check.ts";
import { register as registerControlPlane } from "../../../src/cli/commands/control-plane.ts";
import { register as registerDaemon } from "../../../src/cli/commands/daemon.ts";
import { register as registerHistory } from "../../../src/cli/commands/history.ts";
import { register as registerMigrate } from "../../../src/cli/commands/migrate.ts";
import { register as registerNode } from "../../../src/cli/commands/node.ts";
import { register as registerPlan } from "../../../src/cli/commands/plan.ts";
import { register as registerRender } from "../../../src/cli/commands/render.ts";
import { register as registerResolve } from "../../../src/cli/commands/resolve.ts";
import { register as registerRoute } from "../../../src/cli/commands/route.ts";
import { register as registerTrace } from "../../../src/cli/commands/trace.ts";
import { register as registerUp } from "../../../src/cli/commands/up.ts";
import { addGlobalOptions } from "../../../src/cli/global-options.ts";
import { loadObjects } from "../../../src/cli/objects.ts";

const root = join(import.meta.dirname, "..", "..", "..");
const read = (file: string): string => readFileSync(join(root, file), "utf8");

const program = new Command("fairway").version("0");
addGlobalOptions(program);
for (const register of [
  registerApiServer,
  registerCheck,
  registerControlPlane,
  registerDaemon,
  registerHistory,
  registerMigrate,
  registerNode,
  registerPlan,
  registerRender,
  registerResolve,
  registerRoute,
  registerTrace,
  registerUp,
])
  register(program);
const commandFlags = new Map(
  program.commands.map((c) => [
    c.name(),
    [...c.options, ...c.commands.flatMap((s) => s.options), ...program.options].flatMap((o) => [o.long, o.short]),
  ]),
);

/** Command lines with the flags they use: each must be a flag of that command. */
function unknownFlags(lines: readonly string[]): readonly string[] {
  return lines.flatMap((line) => {
    const [, name = "", rest = ""] = /(?:^|[\s`/])fairway ([a-z][a-z-]*)([^`#]*)/.exec(line) ?? [];
    const flags = commandFlags.get(name);
    if (flags === undefined) return [];
    // What stands in quotes is a value.
    const used = rest.replace(/'[^']*'/g, "").match(/(?<=\s)--?[A-Za-z][A-Za-z-]*/g) ?? [];
    return used.filter((f) => !flags.includes(f)).map((f) => `${line.trim()}: ${f}`);
  });
}

test.each(["examples/shop/README.md", "docs/operations.md", "deploy/README.md", "deploy/fairway.service"])(
  "the command lines of %s have flags that there are",
  (file) => {
    const lines = read(file)
      .split("\n")
      .filter((l) => /\bfairway [a-z]/.test(l));
    expect(lines.length).toBeGreaterThan(0);
    expect(unknownFlags(lines)).toEqual([]);
  },
);

test("a made-up flag would be found", () => {
  expect(unknownFlags(["    fairway trace --node n --nope 1"])).toHaveLength(1);
});

test("the DaemonSet's arguments are the daemon's, and it has the rights that its parts need", () => {
  const objects = loadObjects([join(root, "deploy")]);
  const daemonSet = objects.find((o) => o.kind === "DaemonSet")?.value as unknown as DaemonSet;
  const args = daemonSet.spec?.template?.spec?.containers?.[0]?.args ?? [];
  expect(unknownFlags([`fairway ${args.join(" ").replaceAll("=", " ")}`])).toEqual([]);
  expect(objects.find((o) => o.kind === "ServiceAccount")?.name).toBe(daemonSet.spec?.template?.spec?.serviceAccountName);
});
