import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { waitForFile } from "../../../src/node/container-process.ts";

test("where nothing can be watched, waiting for a file looks now and then, and lets others run meanwhile", async () => {
  const parent = mkdtempSync(join(tmpdir(), "fw-wait-"));
  const folder = join(parent, "later");
  try {
    const waited = waitForFile(folder, ["exit"], AbortSignal.timeout(60_000));
    let turns = 0;
    await new Promise((resolve) => setTimeout(() => resolve(turns++), 1));
    mkdirSync(folder);
    writeFileSync(join(folder, "exit"), "0");
    await waited;
    expect(turns).toBe(1);
    await expect(waitForFile(join(parent, "never"), ["exit"], AbortSignal.timeout(10))).rejects.toThrow("timeout");
  } finally {
    rmSync(parent, { recursive: true, force: true });
  }
});
