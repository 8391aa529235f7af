import { spawn } from "node:child_process";
import { globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import type { SoakOptions, SoakResult } from "./part.ts";

const root = join(import.meta.dirname, "..", "..");

/** Every property of test/property, each for its share of the time, from one seed. */
export async function run(o: SoakOptions): Promise<SoakResult> {
  const files = globSync("test/property/*.test.ts", { cwd: root }).map((file) => readFileSync(join(root, file), "utf8"));
  const perFile = files.map((text) => text.match(/\bfc\.assert\(/g)?.length ?? 0);
  const all = perFile.reduce((a, b) => a + b, 0);
  // a file is one thread's; some of the time goes to shrinking, starting and what each property does after its runs
  const rounds = Math.max(all / availableParallelism(), ...perFile);
  const seconds = Math.max(1, Math.floor((o.minutes * 60 * 0.7) / rounds));
  const scratch = mkdtempSync(join(tmpdir(), "fairway-fuzz-"));
  const counts = join(scratch, "counts");
  const started = performance.now();
  const ticking = setInterval(() => {
    o.progress(`${((performance.now() - started) / 1000).toFixed(0)} s of about ${(seconds * rounds).toFixed(0)} s, ${sum(counts)} cases`);
  }, 1000);
  try {
    const vitest = join(root, "node_modules", ".bin", "vitest");
    const child = spawn(vitest, ["run", "--project", "fast", "--testTimeout", String((seconds + 60) * 2000), "test/property"], {
      cwd: root,
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        ...process.env,
        NO_COLOR: "1",
        FAIRWAY_FUZZ_SECONDS: String(seconds),
        FAIRWAY_FUZZ_SEED: String(o.seed),
        FAIRWAY_FUZZ_COUNTS: counts,
      },
    });
    let output = "";
    child.stdout.on("data", (text: Buffer) => (output += text.toString()));
    child.stderr.on("data", (text: Buffer) => (output += text.toString()));
    const stop = (): void => void child.kill("SIGTERM");
    o.signal.addEventListener("abort", stop, { once: true });
    const code = await new Promise<number>((resolve) => child.once("exit", (status) => resolve(status ?? 1)));
    o.signal.removeEventListener("abort", stop);
    const summary = `${all} properties, ${seconds} s each, ${sum(counts)} cases`;
    return { summary, faults: code === 0 ? [] : [`${o.signal.aborted ? "ended before its time was up:" : "failed:"}\n${output}`] };
  } finally {
    clearInterval(ticking);
    rmSync(scratch, { recursive: true, force: true });
  }
}

function sum(file: string): number {
  try {
    return readFileSync(file, "utf8")
      .split("\n")
      .reduce((total, line) => total + Number(line), 0);
  } catch {
    return 0; // nothing is done yet
  }
}
