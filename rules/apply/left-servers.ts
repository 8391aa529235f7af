import { type Ip, ipFamily } from "../../src/base/ip.ts";
import type { IpvsStep } from "../../src/kernel/ipvs.ts";
import { isOwnFwmark, printField, type ServiceMatch, type SetEntry, setPrefix } from "../ipvs/values.ts";
import type { Protocol } from "../model/service-port.ts";
import type { Sets } from "./address-sets.ts";
import { ApplyError } from "./errors.ts";
import type { ServiceLink } from "./service-link.ts";
import type { VirtualServers } from "./virtual-servers.ts";

/** kube-proxy's sets, of both families. */
const kubeSetPrefix = "KUBE-";
/** Of those, the ones that say which node ports have virtual servers. */
const kubeNodePorts: ReadonlyMap<string, Protocol | undefined> = new Map([
  ...(["KUBE", "KUBE-6"] as const).flatMap((prefix): readonly (readonly [string, Protocol | undefined])[] => [
    [`${prefix}-NODE-PORT-TCP`, "tcp"],
    [`${prefix}-NODE-PORT-UDP`, "udp"],
    [`${prefix}-NODE-PORT-SCTP-HASH`, undefined],
  ]),
]);

export interface LeftServers {
  readonly servers: VirtualServers;
  readonly sets: Sets;
  readonly link: ServiceLink;
}

/**
 * Takes away what an ipvs backend left, fairway's or kube-proxy's, now that other rules take new connections: first virtual
 * servers that have no connections any more, then their addresses, the link and, once nothing else is left, the sets. No rule may
 * name these.
 */
export async function removeLeftServers(
  { servers, sets, link }: LeftServers,
  signal: AbortSignal,
): Promise<"none" | "removed" | "draining"> {
  const addresses = await link.read(signal);
  const own = await sets.read(signal, setPrefix);
  const kube = await sets.read(signal, kubeSetPrefix);
  const isLeft = leftBy(addresses ?? [], own.entries, kube.entries);
  const left = (await servers.services(signal)).map(({ service }) => service).filter(({ match }) => isLeft(match));
  const found = [...own.sets, ...kube.sets];
  if (addresses === undefined && left.length + found.length === 0) return "none";
  const steps: IpvsStep[] = [];
  const busy = new Set<Ip>();
  let serving = 0;
  for (const service of left) {
    const uses = await servers.use(service.match, signal);
    if (uses.every((use) => use.active === 0)) steps.push({ verb: "delete", kind: "service", service });
    else {
      serving++;
      // behind a mark the address is not known: all of them stay
      for (const ip of service.match.kind === "fwmark" ? (addresses ?? []) : [service.match.ip]) busy.add(ip);
    }
  }
  const [failure] = await servers.commit(steps, signal);
  if (failure !== undefined) throw new ApplyError("UNAVAILABLE", `a virtual server that was left cannot be removed: ${failure.code}`);
  const idle = (addresses ?? []).filter((ip) => !busy.has(ip));
  if (serving > 0) {
    await link.delete(idle, signal);
    return "draining";
  }
  if (addresses !== undefined) await link.remove(signal);
  const { refusal } = await sets.commit(
    found.map((set) => ({ verb: "destroy", set })),
    signal,
  );
  if (refusal !== undefined) throw new ApplyError(refusal.code, `sets that were left cannot be removed: ${refusal.text}`);
  return "removed";
}

/** At the service link's addresses, by our marks, or at a node port that one of the sets names. */
function leftBy(addresses: readonly Ip[], own: readonly SetEntry[], kube: readonly SetEntry[]): (match: ServiceMatch) => boolean {
  const ours = new Set(addresses);
  const entered = new Set(own.map(({ fields }) => fields.map(printField).join(",")));
  const ports = new Set(kube.flatMap((entry) => nodePortOf(entry)));
  return (match) => {
    if (match.kind === "fwmark") return isOwnFwmark(match.mark);
    const port = `${match.protocol}:${match.port}`;
    return ours.has(match.ip) || entered.has(`${match.ip},${port}`) || ports.has(`${ipFamily(match.ip)} ${port}`);
  };
}

function nodePortOf({ set, fields }: SetEntry): readonly string[] {
  if (!kubeNodePorts.has(set)) return [];
  const protocol = kubeNodePorts.get(set);
  const family = set.startsWith("KUBE-6-") ? 6 : 4;
  return fields.flatMap((field) => {
    if (typeof field === "string" || !("port" in field)) return [];
    const said = field.protocol ?? protocol;
    return said === undefined ? [] : [`${family} ${said}:${field.port}`];
  });
}
