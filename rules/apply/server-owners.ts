import { type Ip, ipFamily } from "../../src/base/ip.ts";
import { type IpvsItem, isOwnFwmark, printField, type ServiceMatch, type SetEntry } from "../ipvs/values.ts";
import type { Protocol } from "../model/service-port.ts";

/** How the names of kube-proxy's sets start, of both families. */
export const kubeSetPrefix = "KUBE-";

/**
 * Which virtual servers are fairway's: at the service link's addresses, by our marks, or where an entry of our sets says. Those of
 * node ports are at addresses of this machine; what is ours there has an entry.
 */
export function ownServers(addresses: readonly Ip[], entries: readonly SetEntry[]): (match: ServiceMatch) => boolean {
  const own = new Set(addresses);
  const entered = new Set(entries.map(({ fields }) => fields.map(printField).join(",")));
  return (match) => (match.kind === "fwmark" ? isOwnFwmark(match.mark) : own.has(match.ip) || entered.has(placeOf(match)));
}

/** Where a virtual service may be, as an entry says it. */
export function entryPlace(item: IpvsItem): readonly string[] {
  return item.kind === "entry" ? [item.entry.fields.slice(0, 2).map(printField).join(",")] : [];
}

export function placeOf(match: ServiceMatch & { readonly kind: "address" }): string {
  return `${match.ip},${match.protocol}:${match.port}`;
}

/** Which virtual servers are at a node port that kube-proxy's sets, of which these are entries, list. */
export function kubeNodePortServers(entries: readonly SetEntry[]): (match: ServiceMatch) => boolean {
  const ports = new Set(entries.flatMap(kubeNodePort));
  return (match) => match.kind === "address" && ports.has(`${ipFamily(match.ip)} ${match.protocol}:${match.port}`);
}

/** What is at addresses that a kube-proxy of ipvs mode has in its sets, of which these are entries, and at its node ports. */
export function kubeProxyServers(entries: readonly SetEntry[]): {
  readonly at: ReadonlySet<Ip>;
  readonly has: (match: ServiceMatch) => boolean;
} {
  const at = new Set(entries.flatMap(({ fields: [first] }) => (typeof first === "string" ? [first] : [])));
  const atNodePorts = kubeNodePortServers(entries);
  return { at, has: (match) => match.kind === "address" && (at.has(match.ip) || atNodePorts(match)) };
}

/** `KUBE-NODE-PORT-LOCAL-TCP` and `KUBE-6-NODE-PORT-UDP` are of ports, `KUBE-NODE-PORT-SCTP-HASH` of addresses and ports. */
function kubeNodePort({ set, fields }: SetEntry): readonly string[] {
  const [, six, name] = /^KUBE-(6-)?NODE-PORT-(?:LOCAL-)?(TCP|UDP|SCTP)(?:-|$)/.exec(set) ?? [];
  if (name === undefined) return [];
  const protocol: Protocol = name === "TCP" ? "tcp" : name === "UDP" ? "udp" : "sctp";
  return fields.flatMap((field) =>
    typeof field === "string" || !("port" in field) ? [] : [`${six === undefined ? 4 : 6} ${protocol}:${field.port}`],
  );
}
