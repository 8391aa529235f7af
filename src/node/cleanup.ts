import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../base/clock.ts";
import { detectCgroups, removeCgroup } from "../kernel/cgroup.ts";
import { runCommand } from "../kernel/command.ts";
import { unmountBelow } from "../kernel/memory-mount.ts";
import { deleteNetns, readNetnsNames } from "../kernel/netns.ts";
import { killOrphan, killShim, shimPid } from "./container-process.ts";
import { containerFolder, nodeCgroup, podFolder, podNetnsName } from "./pod-names.ts";
import { realPathOf } from "./real-path.ts";
import { foldersIn } from "./sandbox-record.ts";

const dieMs = 2000;
const pollMs = 20;

/**
 * Ends and removes all pods that the nodes of a cluster left on this machine, without an agent: processes, namespaces (and with them links
 * and mounts), cgroups and files. Returns how many pods there were. For clusters that do not run.
 */
export async function removeContainers(clusterDataDir: string): Promise<number> {
  const nodes = foldersIn(join(clusterDataDir, "nodes")).map((name) => join(clusterDataDir, "nodes", name));
  const counts = await Promise.all(nodes.map(removeNodePods));
  return counts.reduce((a, b) => a + b, 0);
}

/** The same for one node, by its data dir. */
export async function removeNodePods(nodeDataDir: string): Promise<number> {
  const dataDir = realPathOf(nodeDataDir);
  const pods = foldersIn(join(dataDir, "pods"));
  const containers = pods.flatMap((uid) => {
    const folder = join(podFolder(dataDir, uid), "containers");
    return foldersIn(folder).flatMap((name) =>
      foldersIn(join(folder, name)).map((attempt) => containerFolder(dataDir, uid, name, Number(attempt))),
    );
  });
  const shimmed = containers.filter((folder) => shimPid(folder) !== undefined);
  for (const folder of containers) killOrphan(folder);
  const limit = systemClock.monotonic() + dieMs;
  while (shimmed.some((folder) => shimPid(folder) !== undefined && !existsSync(join(folder, "exit"))) && systemClock.monotonic() < limit) {
    await systemClock.sleep(pollMs);
  }
  for (const folder of shimmed) killShim(folder);
  const names = new Set(pods.map((uid) => podNetnsName(dataDir, uid)));
  await deleteNetns(
    runCommand,
    readNetnsNames().filter((name) => names.has(name)),
  );
  removeCgroup(detectCgroups(), nodeCgroup(dataDir));
  await unmountBelow(runCommand, join(dataDir, "pods"));
  for (const uid of pods) rmSync(podFolder(dataDir, uid), { recursive: true, force: true });
  rmSync(join(dataDir, "layers"), { recursive: true, force: true });
  rmSync(join(dataDir, "crun"), { recursive: true, force: true });
  return pods.length;
}
