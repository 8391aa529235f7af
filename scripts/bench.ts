// `npm run bench [NAME…] [ARGUMENTS…]`: runs the benchmarks one after the other, without names all of them. Arguments begin with
// the first that is a dash or a number; every benchmark named gets them.
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { basename, join } from "node:path";

const root = join(import.meta.dirname, "..");
const all = globSync("bench/*.ts", { cwd: root })
  .map((f) => basename(f, ".ts"))
  .sort();
const given = process.argv.slice(2);
const first = given.findIndex((text) => /^[-0-9]/.test(text));
const asked = first === -1 ? given : given.slice(0, first);
const args = given.slice(asked.length);
const unknown = asked.filter((name) => !all.includes(name));
if (unknown.length > 0 || (args.length > 0 && asked.length === 0)) {
  process.stderr.write(
    `bench: ${unknown.length > 0 ? `no ${unknown.join(", ")}` : "arguments are for benchmarks by name"}; there are ${all.join(", ")}\n`,
  );
  process.exit(2);
}
for (const name of asked.length > 0 ? asked : all) {
  process.stdout.write(`-- ${name}\n`);
  const done = spawnSync(process.execPath, [join("bench", `${name}.ts`), ...args], { cwd: root, stdio: "inherit" });
  if (done.status !== 0) process.exitCode = 1;
}
