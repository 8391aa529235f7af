import type { Ip } from "../../src/base/ip.ts";
import type { IpvsStep } from "../../src/kernel/ipvs.ts";
import { setPrefix } from "../ipvs/values.ts";
import { ApplyError } from "./errors.ts";
import type { IpvsDoors } from "./ipvs-doors.ts";
import { kubeNodePortServers, kubeSetPrefix, ownServers } from "./server-owners.ts";

/**
 * Takes away what an ipvs backend left, fairway's or kube-proxy's, now that other rules take new connections: first virtual
 * servers that have no connections any more, then their addresses, the link and, once nothing else is left, the sets. No rule may
 * name these.
 */
export async function removeLeftServers({ servers, sets, link }: IpvsDoors, signal: AbortSignal): Promise<"none" | "removed" | "draining"> {
  const addresses = await link.read(signal);
  const own = await sets.read(signal, setPrefix);
  const kube = await sets.read(signal, kubeSetPrefix);
  const isOwn = ownServers(addresses ?? [], own.entries);
  const isTheirs = kubeNodePortServers(kube.entries);
  const left = (await servers.services(signal)).map(({ service }) => service).filter(({ match }) => isOwn(match) || isTheirs(match));
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
