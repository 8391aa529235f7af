import type { Node } from "../api/types/core-v1.generated.ts";
import { type Cidr, cidrContains, parseCidr, printCidr } from "../base/cidr.ts";

/**
 * What pods of nodes from an earlier run do without, one line a range: a Node keeps the pod ranges it was given first, so that a
 * cluster range that came later, or is another now, is none of its pods'.
 */
export function missingPodRanges(nodes: readonly Node[], clusterCidrs: readonly Cidr[]): readonly string[] {
  return clusterCidrs.flatMap((cluster) => {
    const without = nodes.filter(({ spec }) => {
      const ranges = (spec?.podCIDRs ?? (spec?.podCIDR === undefined ? [] : [spec.podCIDR])).flatMap((text) => parseCidr(text) ?? []);
      return ranges.length > 0 && !ranges.some((range) => range.family === cluster.family && cidrContains(cluster, range.ip));
    });
    if (without.length === 0) return [];
    const names = without.map((node) => node.metadata?.name ?? "").join(", ");
    return [
      `no pod of ${names} gets an address of --cluster-cidr ${printCidr(cluster)}: Nodes keep the pod ranges of the start that made them. ` +
        `To have it: kubectl delete node ${names.replaceAll(",", "")} and start again (pods of a controller are made anew, others are gone), or begin with another --data-dir`,
    ];
  });
}
