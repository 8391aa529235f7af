import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cidrsOverlap, parseCidr, printCidr } from "../base/cidr.ts";
import { runCommand } from "../kernel/command.ts";
import { type KernelRoute, readRoutes } from "../kernel/link.ts";
import { BindError, bindSocket, closeSocket } from "../kernel/socket.ts";
import { bridgeName } from "../node/machine-plan.ts";
import { type ClusterConfig, defaultNodeRanges, nodeSlots, slotByName, UsageError } from "./cluster-config.ts";

/** The number in a cluster's default node ranges, which no other cluster of this machine has as long as it is held. */
export interface NodeSlot {
  readonly number: number;
  /** Remembers it in the data dir: addresses of nodes and LoadBalancer Services stay the same from run to run. */
  keep(): void;
  release(): void;
}

/** A UDP socket at 127.127.NUMBER.0 says that the number is taken; nobody speaks there. */
const slotPort = 10247;

/** The cluster's number of last time, else the one that its name hashes to, else the next that is free. */
export async function takeNodeSlot(
  cluster: Pick<ClusterConfig, "name" | "dataDir" | "serviceCidrs" | "clusterCidrs"> & { readonly mode: "full" | "plain" },
): Promise<NodeSlot> {
  const file = join(cluster.dataDir, "node-range");
  const own = [...cluster.serviceCidrs, ...cluster.clusterCidrs].map((range) => ({ to: printCidr(range), link: "" }));
  const routes = [...own, ...(cluster.mode === "full" ? await readRoutes(runCommand) : [])];
  for (const number of slotsInOrder(cluster.name, readNumber(file))) {
    if (isRouted(number, cluster, routes)) continue;
    const release = hold(number);
    if (release === undefined) continue;
    const keep = (): void => {
      mkdirSync(cluster.dataDir, { recursive: true, mode: 0o700 });
      writeFileSync(file, `${number}\n`);
    };
    return { number, keep, release };
  }
  throw new UsageError("--node-cidr: this machine uses every default range of nodes; give one that is free");
}

export function slotsInOrder(name: string, kept: number | undefined): readonly number[] {
  const first = kept ?? slotByName(name);
  return Array.from({ length: nodeSlots }, (_, i) => (first + i) % nodeSlots);
}

/** Whether a route of this machine, other than of the cluster's own bridge, meets one of the number's ranges. */
export function isRouted(
  number: number,
  { name, mode }: { readonly name: string; readonly mode: "full" | "plain" },
  routes: readonly KernelRoute[],
): boolean {
  const own = bridgeName(name);
  const ranges = defaultNodeRanges(number, mode, [4, 6]).flatMap((text) => parseCidr(text) ?? []);
  return routes.some(({ to, link }) => {
    const taken = parseCidr(to.includes("/") ? to : `${to}/${to.includes(":") ? 128 : 32}`);
    return link !== own && taken !== undefined && taken.bits > 0 && ranges.some((r) => r.family === taken.family && cidrsOverlap(r, taken));
  });
}

function hold(number: number): (() => void) | undefined {
  try {
    const socket = bindSocket({ ip: `127.127.${number}.0`, port: slotPort, type: "udp" });
    return () => closeSocket(socket);
  } catch (error) {
    if (error instanceof BindError && error.code === "EADDRINUSE") return undefined;
    throw error;
  }
}

function readNumber(file: string): number | undefined {
  try {
    const number = Number.parseInt(readFileSync(file, "utf8"), 10);
    return number >= 0 && number < nodeSlots ? number : undefined;
  } catch {
    return undefined;
  }
}
