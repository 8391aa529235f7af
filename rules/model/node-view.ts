import { type Cidr, parseCidr, printCidr } from "../../src/base/cidr.ts";
import { type Ip, type IpFamily, ipFamily, parseIp } from "../../src/base/ip.ts";
import type { Snapshot } from "../../src/snapshot/cluster-snapshot.ts";

/** What the rules need to know of the node they are for. */
export interface NodeView {
  readonly name: string;
  readonly zone: string;
  /** InternalIPs in the Node's order (ExternalIPs where there are none); the first of a family is its primary address. */
  readonly addresses: readonly Ip[];
  readonly podCidrs: readonly Cidr[];
  /** Not there, being deleted, or about to be by the autoscaler: load balancers should stop sending. */
  readonly leaving: boolean;
}

const zoneLabel = "topology.kubernetes.io/zone";
const autoscalerTaint = "ToBeDeletedByClusterAutoscaler";

/** A view without addresses and pod ranges when the snapshot has no such Node (yet). */
export function nodeViewOf(snapshot: Snapshot, name: string): NodeView {
  const node = snapshot.tables.Node.get(name);
  if (node === undefined) return { name, zone: "", addresses: [], podCidrs: [], leaving: true };
  const of = (type: string): Ip[] => (node.status?.addresses ?? []).filter((a) => a.type === type).flatMap((a) => parseIp(a.address) ?? []);
  const internal = of("InternalIP");
  const ranges = node.spec?.podCIDRs ?? (node.spec?.podCIDR === undefined ? [] : [node.spec.podCIDR]);
  return {
    name,
    zone: node.metadata?.labels?.[zoneLabel] ?? "",
    addresses: internal.length > 0 ? internal : of("ExternalIP"),
    podCidrs: ranges.flatMap((text) => parseCidr(text) ?? []),
    leaving: node.metadata?.deletionTimestamp !== undefined || (node.spec?.taints ?? []).some((t) => t.key === autoscalerTaint),
  };
}

export function primaryAddress(node: NodeView, family: IpFamily): Ip | undefined {
  return node.addresses.find((ip) => ipFamily(ip) === family);
}

/** Equal views make equal rules. */
export function sameNodeView(a: NodeView, b: NodeView): boolean {
  const text = (v: NodeView): string => JSON.stringify([v.name, v.zone, v.addresses, v.podCidrs.map(printCidr), v.leaving]);
  return text(a) === text(b);
}
