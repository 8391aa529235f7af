import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { killApiServer } from "../support/api-kills.ts";
import type { SoakOptions, SoakResult } from "./part.ts";

/** Kills of the API server under 32 writing clients and some watches. */
export async function run(o: SoakOptions): Promise<SoakResult> {
  const dataDir = mkdtempSync(join(tmpdir(), "fairway-soak-"));
  try {
    const done = await killApiServer({
      ...o,
      dataDir,
      progress: (kills, acknowledged, faults) => o.progress(`${kills} kills, ${acknowledged} acknowledged writes, ${faults} faults`),
    });
    const { kills, early, acknowledged, storedUnsaid, events, relists, faults } = done;
    const writes = `${acknowledged} acknowledged writes, ${storedUnsaid} stored without an answer`;
    return {
      summary: `${kills} kills, ${early} of them while it started; ${writes}; ${events} events, ${relists} lists for watches`,
      faults,
    };
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}
