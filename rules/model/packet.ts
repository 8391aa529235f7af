import type { Ip } from "../../src/base/ip.ts";
import type { Protocol } from "./service-port.ts";

/** The first packet of a connection, as this node sees it. */
export interface Packet {
  readonly from: Ip;
  readonly to: Ip;
  readonly port: number;
  readonly protocol: Protocol;
  readonly sourcePort?: number;
  /** The link it came in by; absent for packets of this machine, and where it is not known. */
  readonly interface?: string;
}

/** Links by which pods of a node send: the bridge `name`, or all that begin with it. */
export interface LocalInterface {
  readonly kind: "bridge" | "prefix";
  readonly name: string;
}

/** Whether a packet came in by one of these links. */
export function cameBy(packet: Packet, local: LocalInterface): boolean {
  if (packet.interface === undefined) return false;
  return local.kind === "bridge" ? packet.interface === local.name : packet.interface.startsWith(local.name);
}

export interface TraceStep {
  /** The rule as the backend prints it. */
  readonly rule: string;
  readonly why: string;
  /** `Service shop/web`; absent for rules that no object made. */
  readonly object?: string;
}

/** What becomes of a packet. `pass`: no Service rule has to do with it. */
export interface Verdict {
  readonly verdict: "deliver" | "reject" | "drop" | "pass";
  /** All that may be chosen, as `ip:port`, sorted by address and port. */
  readonly endpoints: readonly string[];
  /** Whether an endpoint sees the node's address instead of the sender's. */
  readonly masquerade: boolean;
  /** `ns/name:port`, or null when no Service decided. */
  readonly service: string | null;
  readonly affinitySeconds: number | null;
  readonly steps: readonly TraceStep[];
}
