import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { runCommand, runOrThrow } from "../../src/kernel/command.ts";
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

  describe("in a folder that lies on an overlay, as in a container", () => {
    const mounted = join(folder, "mounted");
    beforeAll(async () => {
      for (const name of ["lower", "upper", "work", "mounted"]) mkdirSync(join(folder, name));
      const layers = `lowerdir=${join(folder, "lower")},upperdir=${join(folder, "upper")},workdir=${join(folder, "work")}`;
      await runOrThrow(runCommand, ["mount", "-t", "overlay", "overlay", "-o", layers, mounted]);
    });
    afterAll(async () => {
      await removeNodePods(mounted);
      await runOrThrow(runCommand, ["umount", "--lazy", mounted]);
    });
    podRuntimeContract("crun on an overlay", {
      open: () => CrunRuntime.open({ dataDir: mounted, nodeIps: ["127.0.0.1"], hiddenPaths: [] }, { run: runCommand, clock: systemClock }),
    });
  });
});
