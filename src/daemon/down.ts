import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../base/clock.ts";
import { runCommand } from "../kernel/command.ts";
import { CrunRuntime } from "../node/crun-runtime.ts";
import { findLeftovers, removeMachines } from "../node/machines.ts";

/** Removes what a cluster that no longer runs has left on this machine; its stored objects stay. Answers what it removed, in words. */
export async function removeCluster(name: string, dataDir: string): Promise<readonly string[]> {
  const pods = await removePods(dataDir);
  const left = await findLeftovers(name);
  await removeMachines(name);
  return [
    ...(pods > 0 ? [`${pods} pods`] : []),
    ...(left.netns.length > 0 ? [`${left.netns.length} network namespaces`] : []),
    ...(left.links.length > 0 ? [`${left.links.length} links`] : []),
  ];
}

/** Ends the containers that nodes of a killed cluster left, with their namespaces and mounts. Answers how many pods there were. */
export async function removePods(dataDir: string): Promise<number> {
  const nodes = join(dataDir, "nodes");
  if (!existsSync(nodes)) return 0;
  const counts = await Promise.all(readdirSync(nodes).map((node) => removePodsOf(join(nodes, node))));
  return counts.reduce((a, b) => a + b, 0);
}

async function removePodsOf(dataDir: string): Promise<number> {
  if (!existsSync(join(dataDir, "pods"))) return 0;
  const runtime = await CrunRuntime.open({ dataDir, nodeIps: [], hiddenPaths: [] }, { run: runCommand, clock: systemClock });
  try {
    const pods = await runtime.adopt();
    await Promise.all(pods.map((pod) => runtime.removePod(pod.podUid)));
    return pods.length;
  } finally {
    await runtime.close();
  }
}
