import type { Ip, IpFamily } from "../../src/base/ip.ts";
import type { FlowPart, UdpFlow } from "../../src/kernel/conntrack.ts";
import { NetlinkFault } from "../../src/kernel/netlink.ts";
import { type Frontend, type FrontendKey, isServedBy, servers } from "../plan/frontend.ts";
import type { ChangedFrontends } from "../plan/proxy-plan.ts";
import { staleFlows } from "../plan/stale-flows.ts";

/** Connection tracking, as far as stale flows need it. */
export interface FlowTable {
  /** UDP flows of a family; those with one address at one end only, where it is given. */
  udpFlows(family: IpFamily, part?: FlowPart): readonly UdpFlow[];
  /** How many of them there still were. */
  delete(flows: readonly UdpFlow[]): number;
  close(): void;
}

/** What flows may be stale, of one family: those to or from so many addresses. */
interface Suspects {
  readonly answers: Set<Ip>;
  readonly to: Set<Ip>;
  /** Flows to a node port may have been sent to any address of the node. */
  everywhere: boolean;
}

/**
 * Ends UDP flows whose endpoint is gone, once the rules that would make them anew are too. The kernel looks through its whole
 * table to find them, some 4 ms for the usual quarter of a million buckets, so it is asked only when an endpoint of a
 * UDP frontend left, or a frontend got its first one.
 */
export class StaleUdp {
  readonly #flows: FlowTable | undefined;
  readonly #suspects = new Map<IpFamily, Suspects>();

  constructor(flows: FlowTable | undefined) {
    this.#flows = flows;
  }

  /** Whether there is something to look for. */
  get due(): boolean {
    return this.#suspects.size > 0;
  }

  notice(delta: ChangedFrontends): void {
    if (this.#flows === undefined) return;
    for (const { before, after } of delta.frontends.changed.values()) {
      // flows to what has no endpoints any more are left alone
      if (after?.protocol !== "udp" || after.action.kind !== "balance") continue;
      if (before?.action.kind === "balance") {
        for (const member of servers(before.action)) {
          if (!isServedBy(after.action, member)) this.#suspectsOf(after.family).answers.add(member.ip);
        }
      } else if (after.ip === undefined) this.#suspectsOf(after.family).everywhere = true;
      else this.#suspectsOf(after.family).to.add(after.ip);
    }
  }

  /**
   * How many flows were ended; `onLook` is told of each family by itself, once it was looked through. A table that cannot be read
   * is tried again by the next call.
   */
  end(
    frontend: (key: FrontendKey) => Frontend | undefined,
    isNodePortIp: (ip: Ip) => boolean,
    onLook: (family: IpFamily, ended: number) => void = () => undefined,
  ): number {
    const flows = this.#flows;
    if (flows === undefined) return 0;
    let total = 0;
    for (const [family, suspects] of this.#suspects) {
      try {
        const ended = flows.delete(staleFlows(flows.udpFlows(family, partOf(suspects)), frontend, isNodePortIp));
        onLook(family, ended);
        total += ended;
      } catch (error) {
        if (!(error instanceof NetlinkFault)) throw error;
        continue;
      }
      this.#suspects.delete(family);
    }
    return total;
  }

  close(): void {
    this.#flows?.close();
  }

  #suspectsOf(family: IpFamily): Suspects {
    let found = this.#suspects.get(family);
    if (found === undefined) {
      found = { answers: new Set(), to: new Set(), everywhere: false };
      this.#suspects.set(family, found);
    }
    return found;
  }
}

/** One address is the kernel's to look for; of more, all flows are told once. */
function partOf({ answers, to, everywhere }: Suspects): FlowPart | undefined {
  if (everywhere || answers.size + to.size !== 1) return undefined;
  const [answering] = answers;
  const [addressed] = to;
  if (answering !== undefined) return { end: "answers", ip: answering };
  return addressed === undefined ? undefined : { end: "to", ip: addressed };
}
