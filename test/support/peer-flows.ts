import { existsSync, readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import type { Backend, OfflineOptions } from "../../rules/index.ts";
import type { Service } from "../../src/api/types/core-v1.generated.ts";
import type { EndpointSlice } from "../../src/api/types/discovery-v1.generated.ts";
import { parseCidr } from "../../src/base/cidr.ts";
import { SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import { fillStore, makeNode } from "./rules-objects.ts";

/** What kube-proxy's own tables say of a packet. */
export interface PeerFlow {
  readonly from: string;
  readonly to: string;
  readonly port: number;
  readonly protocol: string;
  readonly want: string;
  readonly endpoints: readonly string[];
  readonly masquerade: boolean;
}
export interface PeerGroup {
  readonly id: string;
  readonly config: {
    readonly localDetectorImplemented: boolean;
    readonly localhostNodePorts: boolean;
    readonly masqueradeAll: boolean;
    readonly nodeName: string;
    readonly nodePortAddresses: string;
    readonly topologyLabels: Readonly<Record<string, string>> | null;
  };
  readonly nodeIPs: readonly string[];
  readonly objects: readonly (Service | EndpointSlice)[];
  readonly flows: readonly PeerFlow[];
}

/** In a guest kernel this module is not beside the project; there it is told. */
const told = process.env["FAIRWAY_PEER_FLOWS"] ?? "";
const beside = join(import.meta.dirname, "..", "..", "..", "shared", "cases", "rules-flows.json");
const file = told === "" ? beside : told;

/** Where the flows are, also for those who run elsewhere; empty where they are not beside the project. */
export const peerFlowsPath = existsSync(file) ? realpathSync(file) : "";

/** None where the file is not beside the project. */
export function readPeerGroups(): readonly PeerGroup[] {
  return peerFlowsPath === "" ? [] : (JSON.parse(readFileSync(peerFlowsPath, "utf8")) as { groups: readonly PeerGroup[] }).groups;
}

/** Flows whose answer belongs to kube-proxy's iptables mode alone. */
export function peculiarity(backend: Backend, group: PeerGroup, flow: PeerFlow): string | undefined {
  if (backend !== "iptables" && flow.to === "127.0.0.1" && group.config.localhostNodePorts)
    return "node ports on localhost are iptables' alone";
  if (!["iptables", "ipvs"].includes(backend) && flow.endpoints.includes("ACCEPT"))
    return "opening health check ports in a filter chain is iptables' alone";
  return undefined;
}

export function peerStore({ config, nodeIPs, objects }: PeerGroup): SnapshotStore {
  const store = new SnapshotStore();
  const pods = config.localDetectorImplemented ? ["10.0.0.0/8", "fd00:10::/64"] : [];
  fillStore(store, [makeNode(config.nodeName, nodeIPs, pods, config.topologyLabels ?? {}), ...objects]);
  return store;
}

export function peerOptions({ config }: PeerGroup): Omit<OfflineOptions, "backend"> {
  return {
    nodeName: config.nodeName,
    masqueradeAll: config.masqueradeAll,
    localhostNodePorts: config.localhostNodePorts,
    nodePortAddresses: config.nodePortAddresses
      .replace(/[[\]]/g, "")
      .split(" ")
      .flatMap((c) => parseCidr(c) ?? []),
  };
}
