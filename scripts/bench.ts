// `npm run bench [NAME…]`: runs the benchmarks one after the other and prints each one's JSON; without names, all of them.
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { basename, join } from "node:path";

const root = join(import.meta.dirname, "..");
const all = globSync("bench/*.ts", { cwd: root })
  .map((f) => basename(f, ".ts"))
  .sort();
const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !all.includes(name));
if (unknown.length > 0) {
  process.stderr.write(`bench: no ${unknown.join(", ")}; there are ${all.join(", ")}\n`);
  process.exit(2);
}
for (const name of asked.length > 0 ? asked : all) {
  process.stdout.write(`-- ${name}\n`);
  const done = spawnSync(process.execPath, [join("bench", `${name}.ts`)], { cwd: root, stdio: "inherit" });
  if (done.status !== 0) process.exitCode = 1;
}
