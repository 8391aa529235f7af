import { spawn } from "node:child_process";
import { join } from "node:path";
import type { SoakOptions, SoakResult } from "./part.ts";

const root = join(import.meta.dirname, "..", "..");
const rolls = 10;

/** A Deployment that rolls ten times under load (test/e2e/rolling-load.test.ts). */
export async function run(o: SoakOptions): Promise<SoakResult> {
  const started = performance.now();
  const ticking = setInterval(() => o.progress(`${((performance.now() - started) / 1000).toFixed(0)} s`), 1000);
  const vitest = join(root, "node_modules", ".bin", "vitest");
  const child = spawn(vitest, ["run", "--project", "e2e", "test/e2e/rolling-load.test.ts"], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, NO_COLOR: "1", ROLLS: String(rolls) },
  });
  let output = "";
  child.stdout.on("data", (text: Buffer) => (output += text.toString()));
  child.stderr.on("data", (text: Buffer) => (output += text.toString()));
  // the test takes down its cluster, and what it could not, its next run does
  const stop = (): void => void child.kill("SIGINT");
  o.signal.addEventListener("abort", stop, { once: true });
  const code = await new Promise<number>((resolve) => child.once("exit", (status) => resolve(status ?? 1)));
  o.signal.removeEventListener("abort", stop);
  clearInterval(ticking);
  const skipped = output.includes("left out:");
  const why = o.signal.aborted ? "ended before its time was up" : skipped ? "nothing was rolled" : "failed";
  return { summary: `${rolls} rolls`, faults: code === 0 && !skipped ? [] : [`${why}:\n${output}`] };
}
