import { createClient } from "../client/client.ts";
import { isForbidden, isNotFound } from "../client/errors.ts";
import { loadKubeconfig } from "../client/kubeconfig.ts";
import { resourceOfKind } from "../client/snapshot-resources.ts";
import { createHttpTransport } from "../client/transport.ts";
import { withTable } from "../snapshot/apply-event.ts";
import { emptySnapshot, type Kind, type Snapshot } from "../snapshot/cluster-snapshot.ts";
import type { FoundCluster } from "./cluster.ts";

export interface LiveSnapshot {
  readonly snapshot: Snapshot;
  /** Kinds that this user may not list, or that the cluster does not have: the answer stands without them. */
  readonly remarks: readonly string[];
}

/** Lists each kind once. What is compiled from it is what a daemon that had just started would have. */
export async function liveSnapshot(cluster: FoundCluster, kinds: readonly Kind[]): Promise<LiveSnapshot> {
  const transport = createHttpTransport(loadKubeconfig({ path: cluster.kubeconfig }));
  const client = createClient(transport);
  const remarks: string[] = [];
  const list = async <K extends Kind>(kind: K): Promise<(s: Snapshot) => Snapshot> => {
    try {
      const { items } = await client.list(resourceOfKind[kind]);
      return (s) => withTable(s, kind, items);
    } catch (e) {
      if (!isForbidden(e) && !isNotFound(e)) throw e;
      remarks.push(`answered without objects of kind ${kind}: ${e instanceof Error ? e.message : String(e)}`);
      return (s) => s;
    }
  };
  try {
    const tables = await Promise.all(kinds.map((kind) => list(kind)));
    return { snapshot: tables.reduce((s, add) => add(s), emptySnapshot), remarks };
  } finally {
    transport.close();
  }
}
