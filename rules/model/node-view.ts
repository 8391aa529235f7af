import type { Node } from "../../src/api/types/core-v1.generated.ts";
import { type Cidr, parseCidr, printCidr } from "../../src/base/cidr.ts";
import { type Ip, type IpFamily, ipFamily, parseIp } from "../../src/base/ip.ts";
import type { Snapshot } from "../../src/snapshot/cluster-snapshot.ts";
import type { Problem } from "../../src/snapshot/problem.ts";

/** What the rules need to know of the node they are for. */
export interface NodeView {
  readonly name: string;
  readonly zone: string;
  /** InternalIPs in the Node's order (ExternalIPs where there are none), behind what configuration says; the first of a family is its primary address. */
  readonly addresses: readonly Ip[];
  readonly podCidrs: readonly Cidr[];
  /** Not there, being deleted, or about to be by the autoscaler: load balancers should stop sending. */
  readonly leaving: boolean;
}

const zoneLabel = "topology.kubernetes.io/zone";
const autoscalerTaint = "ToBeDeletedByClusterAutoscaler";

/** A view without pod ranges when the snapshot has no such Node (yet). `primary`: an address that goes before the Node's. */
export function nodeViewOf(snapshot: Snapshot, name: string, primary?: Ip): NodeView {
  const node = snapshot.tables.Node.get(name);
  const said = primary === undefined ? [] : [primary];
  if (node === undefined) return { name, zone: "", addresses: said, podCidrs: [], leaving: true };
  const of = (type: string): Ip[] => (node.status?.addresses ?? []).filter((a) => a.type === type).flatMap((a) => parseIp(a.address) ?? []);
  const internal = of("InternalIP");
  return {
    name,
    zone: node.metadata?.labels?.[zoneLabel] ?? "",
    addresses: [...new Set([...said, ...(internal.length > 0 ? internal : of("ExternalIP"))])],
    podCidrs: podRanges(node).flatMap(({ text }) => parseCidr(text) ?? []),
    leaving: node.metadata?.deletionTimestamp !== undefined || (node.spec?.taints ?? []).some((t) => t.key === autoscalerTaint),
  };
}

/** What of the Node's own addresses and ranges cannot be used. Only the node itself goes by them. */
export function nodeProblems(snapshot: Snapshot, name: string): readonly Problem[] {
  const node = snapshot.tables.Node.get(name);
  if (node === undefined) return [];
  const object = { kind: "Node", name };
  const problems: Problem[] = [];
  for (const { text, field } of podRanges(node)) {
    if (parseCidr(text) !== undefined) continue;
    const message = `"${text}" is no range such as 10.244.1.0/24; what it was to hold does not count as pods of this node`;
    problems.push({ object, field, reason: "RangeInvalid", message });
  }
  for (const [i, { type, address }] of (node.status?.addresses ?? []).entries()) {
    if ((type !== "InternalIP" && type !== "ExternalIP") || parseIp(address) !== undefined) continue;
    const message = `"${address}" is no IP address; node ports do not answer there`;
    problems.push({ object, field: `status.addresses[${i}].address`, reason: "AddressInvalid", message });
  }
  return problems;
}

function podRanges({ spec }: Node): readonly { readonly text: string; readonly field: string }[] {
  if (spec?.podCIDRs !== undefined) return spec.podCIDRs.map((text, i) => ({ text, field: `spec.podCIDRs[${i}]` }));
  return spec?.podCIDR === undefined || spec.podCIDR === "" ? [] : [{ text: spec.podCIDR, field: "spec.podCIDR" }];
}

export function primaryAddress(node: NodeView, family: IpFamily): Ip | undefined {
  return node.addresses.find((ip) => ipFamily(ip) === family);
}

/** Equal views make equal rules. */
export function sameNodeView(a: NodeView, b: NodeView): boolean {
  const text = (v: NodeView): string => JSON.stringify([v.name, v.zone, v.addresses, v.podCidrs.map(printCidr), v.leaving]);
  return text(a) === text(b);
}
