import type { Ip, IpFamily } from "../../src/base/ip.ts";
import type { UdpFlow } from "../../src/kernel/conntrack.ts";
import { NetlinkFault } from "../../src/kernel/netlink.ts";
import type { Frontend, FrontendKey } from "../plan/frontend.ts";
import type { PlanDelta } from "../plan/proxy-plan.ts";
import { staleFlows } from "../plan/stale-flows.ts";

/** Connection tracking, as far as the rules need it. */
export interface FlowTable {
  udpFlows(family: IpFamily): readonly UdpFlow[];
  delete(flows: readonly UdpFlow[]): number;
  close(): void;
}

/** The frontends in force in one family. */
export interface ServedFamily {
  readonly family: IpFamily;
  frontend(key: FrontendKey): Frontend | undefined;
  isNodePortIp(ip: Ip): boolean;
}

/** Ends UDP flows whose endpoint is gone, once the rules that would make them anew are too. */
export class StaleUdp {
  readonly #flows: FlowTable | undefined;
  /** Endpoints of a UDP frontend changed: flows to those that are gone must end. */
  #due = false;

  constructor(flows: FlowTable | undefined) {
    this.#flows = flows;
  }

  notice(delta: PlanDelta): void {
    for (const { before, after } of delta.frontends.changed.values()) if ((after ?? before)?.protocol === "udp") this.#due = true;
  }

  /** How many flows were ended; none where no UDP frontend changed since. */
  end(served: readonly ServedFamily[]): number {
    const flows = this.#flows;
    if (!this.#due || flows === undefined) return 0;
    this.#due = false;
    let ended = 0;
    try {
      for (const of of served) ended += flows.delete(staleFlows(flows.udpFlows(of.family), of.frontend, of.isNodePortIp));
    } catch (error) {
      // the rules are in force; the flows are looked at again with the next change
      if (!(error instanceof NetlinkFault)) throw error;
      this.#due = true;
    }
    return ended;
  }

  close(): void {
    this.#flows?.close();
  }
}
