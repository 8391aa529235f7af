import { removeContainers } from "../node/cleanup.ts";
import { findLeftovers, removeMachines } from "../node/machines.ts";

/** Removes what a cluster that no longer runs has left on this machine; its stored objects stay. Answers what it removed, in words. */
export async function removeCluster(name: string, dataDir: string): Promise<readonly string[]> {
  const pods = await removeContainers(dataDir);
  const left = await findLeftovers(name);
  await removeMachines(name);
  return [
    ...(pods > 0 ? [`${pods} pods`] : []),
    ...(left.netns.length > 0 ? [`${left.netns.length} network namespaces`] : []),
    ...(left.links.length > 0 ? [`${left.links.length} links`] : []),
  ];
}
