// What CI runs. Prints progress and ends with one plain line: `N passed, N failed, N skipped`.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

interface Count {
  passed: number;
  failed: number;
  skipped: number;
}

const root = join(import.meta.dirname, "..");
const bin = (name: string): string => join(root, "node_modules", ".bin", name);
const scratch = mkdtempSync(join(tmpdir(), "fairway-test-"));
const leftOut = join(scratch, "left-out");
const total: Count = { passed: 0, failed: 0, skipped: 0 };
const only = process.argv.includes("--only") ? process.argv[process.argv.indexOf("--only") + 1] : undefined;

function run(command: string, args: readonly string[]): Promise<number> {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      stdio: ["ignore", "inherit", "inherit"],
      env: { ...process.env, FAIRWAY_LEFT_OUT: leftOut },
    });
    child.on("exit", (code) => resolve(code ?? 1));
    child.on("error", () => resolve(1));
  });
}

async function check(name: string, command: string, args: readonly string[]): Promise<void> {
  const started = Date.now();
  const code = await run(command, args);
  if (code === 0) total.passed++;
  else total.failed++;
  console.log(`${code === 0 ? "ok" : "FAILED"}  ${name} (${((Date.now() - started) / 1000).toFixed(1)} s)`);
}

async function suite(project: string): Promise<void> {
  console.log(`-- ${project}`);
  const report = join(scratch, `${project}.json`);
  const code = await run(bin("vitest"), [
    "run",
    "--project",
    project,
    "--passWithNoTests",
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${report}`,
  ]);
  let counted: Count = { passed: 0, failed: 1, skipped: 0 };
  try {
    const json = JSON.parse(readFileSync(report, "utf8")) as {
      numPassedTests: number;
      numFailedTests: number;
      numPendingTests: number;
      numTodoTests: number;
    };
    counted = { passed: json.numPassedTests, failed: json.numFailedTests, skipped: json.numPendingTests + json.numTodoTests };
  } catch {
    console.log(`FAILED  ${project}: the runner left no report`);
  }
  // A file that does not load, or an error outside any test, has no failed test of its own.
  if (code !== 0 && counted.failed === 0) counted.failed = 1;
  total.passed += counted.passed;
  total.failed += counted.failed;
  total.skipped += counted.skipped;
}

/** What tests wrote of why they could not run here (test/support/requires.ts). */
function reasons(): readonly string[] {
  return existsSync(leftOut)
    ? readFileSync(leftOut, "utf8")
        .split("\n")
        .filter((line) => line !== "")
    : [];
}

const steps: Record<string, () => Promise<void>> = {
  check: async () => {
    await check("types", bin("tsc"), ["--noEmit"]);
    await check("format and lint", bin("biome"), ["check", "--error-on-warnings", "."]);
    await check("promises and unsafe code", bin("oxlint"), ["--type-aware", "--deny-warnings", "."]);
    await check("dead code", bin("knip"), []);
  },
  fast: () => suite("fast"),
  kernel: () => suite("kernel"),
  guest: () => suite("guest"),
  e2e: () => suite("e2e"),
};

for (const [name, step] of Object.entries(steps)) if (only === undefined || only === name) await step();
if (total.skipped > 0) {
  console.log(`left out: ${total.skipped} tests`);
  for (const reason of [...new Set(reasons())].sort()) console.log(`  ${reason}`);
}
rmSync(scratch, { recursive: true, force: true });
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed === 0 ? 0 : 1;
