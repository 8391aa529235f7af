import type { GossipSettings } from "../../ingress/index.ts";
import { parseIp } from "../base/ip.ts";
import type { Batch, ObjectKey, Snapshot } from "../snapshot/cluster-snapshot.ts";
import type { Problem } from "../snapshot/problem.ts";

/** Holds what the ingress processes of a cluster know each other by. */
export const gossipSecretAt = { namespace: "kube-system", name: "fairway-ingress" };
export const gossipSecretKey = "gossip";

const secretKey = `${gossipSecretAt.namespace}/${gossipSecretAt.name}`;

const sharedRate = "nginx.ingress.kubernetes.io/global-rate-limit";

/** Ingresses whose global-rate-limit is not shared: each node lets in the whole of it. */
export function unsharedLimits({ tables }: Snapshot, served: Iterable<ObjectKey>): readonly Problem[] {
  if (tables.Node.size < 2 || (tables.Secret.get(secretKey)?.data?.[gossipSecretKey] ?? "") !== "") return [];
  return Array.from(served).flatMap((key) => {
    const { metadata } = tables.Ingress.get(key) ?? {};
    if ((metadata?.annotations?.[sharedRate] ?? "") === "") return [];
    return {
      object: { kind: "Ingress", namespace: metadata?.namespace ?? "", name: metadata?.name ?? "" },
      field: `metadata.annotations[${sharedRate}]`,
      reason: "LimitNotShared",
      message: `the ingress processes of each node keep the limit for themselves, since there is no Secret ${secretKey} with a key ${gossipSecretKey} by which they know each other`,
    };
  });
}

export function touchesGossip({ dirty }: Batch): boolean {
  return dirty.has("Node") || dirty.get("Secret")?.has(secretKey) === true;
}

/**
 * With whom the ingress processes of a node count together; `none` before the Node has an address. Without the Secret those of one
 * node know each other by `ownSecret`, which nobody else has.
 */
export function gossipSettings(snapshot: Snapshot, nodeName: string, ownSecret: string): GossipSettings | "none" {
  const secret = snapshot.tables.Secret.get(secretKey)?.data?.[gossipSecretKey];
  const addresses = new Map<string, string>();
  for (const node of snapshot.tables.Node.values()) {
    const own = (node.status?.addresses ?? []).flatMap((a) => (a.type === "InternalIP" ? (parseIp(a.address) ?? []) : []));
    if (own[0] !== undefined) addresses.set(node.metadata?.name ?? "", own[0]);
  }
  const self = addresses.get(nodeName);
  if (self === undefined) return "none";
  if (secret === undefined || secret === "") return { self, nodes: [self], secret: ownSecret };
  return { self, nodes: [...addresses.values()].toSorted(), secret };
}
