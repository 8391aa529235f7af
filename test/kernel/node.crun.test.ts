import { mkdtempSync, rmSync } from "node:fs";
import { afterAll, describe } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { runCommand } from "../../src/kernel/command.ts";
import { removeNodePods } from "../../src/node/cleanup.ts";
import { CrunRuntime } from "../../src/node/crun-runtime.ts";
import { podRuntimeContract } from "../contract/pod-runtime.ts";
import { lacking } from "../support/requires.ts";

describe.skipIf(lacking("crun", "ip", "unshare", "script") !== undefined)("crun", () => {
  // Not below /tmp: an overlay's upper layer cannot lie on every file system that /tmp may be.
  const folder = process.getuid?.() === 0 ? mkdtempSync("/var/lib/fw-crun-") : "";
  afterAll(async () => {
    await removeNodePods(folder);
    rmSync(folder, { recursive: true, force: true });
  });
  podRuntimeContract("crun", {
    open: () => CrunRuntime.open({ dataDir: folder, nodeIps: ["127.0.0.1"], hiddenPaths: [] }, { run: runCommand, clock: systemClock }),
  });
});
