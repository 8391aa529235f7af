import type { Node } from "../../api/types/core-v1.generated.ts";
import { type Cidr, cidrAt, cidrsOverlap, parseCidr, printCidr } from "../../base/cidr.ts";
import { resources } from "../../client/resources.ts";
import { nothingToDo, type Outcome } from "../outcome.ts";
import { referenceTo } from "../owner.ts";

/** Prefix lengths of a node's ranges. */
export interface NodeMask {
  readonly ipv4: number;
  readonly ipv6: number;
}

/** Gives a node without pod ranges the lowest free one of each cluster range. Ranges of nodes that have some are never changed. */
export function reconcileNodeRanges(node: Node, others: readonly Node[], clusterCidrs: readonly Cidr[], mask: NodeMask): Outcome {
  if ((node.spec?.podCIDRs ?? []).length > 0 || (node.spec?.podCIDR ?? "") !== "" || clusterCidrs.length === 0) return nothingToDo;
  const taken = others.flatMap(rangesOf);
  const chosen: string[] = [];
  for (const cluster of clusterCidrs) {
    const free = freeRange(cluster, cluster.family === 4 ? mask.ipv4 : mask.ipv6, taken);
    if (free === undefined) {
      const message = `Node ${node.metadata?.name} cannot have a pod range: all of ${printCidr(cluster)} is given to nodes`;
      const note = { regarding: referenceTo(resources.nodes, node), type: "Warning" as const, reason: "CIDRNotAvailable", message };
      return { writes: [{ kind: "event", note }], againAfterMs: 60_000 };
    }
    chosen.push(printCidr(free));
  }
  const body = { spec: { podCIDR: chosen[0], podCIDRs: chosen } };
  return {
    writes: [{ kind: "patch", of: resources.nodes, at: { name: node.metadata?.name ?? "" }, patch: { type: "merge", body } }],
  };
}

function rangesOf(node: Node): readonly Cidr[] {
  const texts = new Set([...(node.spec?.podCIDRs ?? []), ...(node.spec?.podCIDR === undefined ? [] : [node.spec.podCIDR])]);
  return [...texts].map(parseCidr).filter((c) => c !== undefined);
}

function freeRange(cluster: Cidr, bits: number, taken: readonly Cidr[]): Cidr | undefined {
  if (bits < cluster.bits) return undefined;
  const step = 1n << BigInt((cluster.family === 4 ? 32 : 128) - bits);
  const count = 1n << BigInt(bits - cluster.bits);
  for (let i = 0n; i < count; i++) {
    const candidate: Cidr = { ip: cidrAt(cluster, i * step), bits, family: cluster.family };
    if (!taken.some((t) => t.family === cluster.family && cidrsOverlap(t, candidate))) return candidate;
  }
  return undefined;
}
