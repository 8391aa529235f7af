import { type Ip, type IpFamily, ipFamily } from "../../src/base/ip.ts";
import { type Frontend, type FrontendKey, frontendKey, isServedBy, nodePortKey } from "./frontend.ts";

/** Where a UDP flow's first packet was sent, and who answers. */
export interface FlowEnds {
  readonly to: Ip;
  readonly toPort: number;
  readonly answers: Ip;
  readonly answersPort: number;
}

/**
 * UDP has no connections: a client that goes on sending keeps its old endpoint for as long as the kernel keeps the flow. Stale
 * are flows to a frontend that has endpoints, answered by something that serves it no longer. Frontends without endpoints are left alone.
 */
export function staleFlows<F extends FlowEnds>(
  flows: readonly F[],
  frontend: (key: FrontendKey) => Frontend | undefined,
  isNodePortIp: (ip: Ip) => boolean,
): readonly F[] {
  return flows.filter((flow) => {
    const family: IpFamily = ipFamily(flow.to);
    const found =
      frontend(frontendKey(flow.to, flow.toPort, "udp")) ??
      (isNodePortIp(flow.to) ? frontend(nodePortKey(family, flow.toPort, "udp")) : undefined);
    if (found?.action.kind !== "balance") return false;
    return !isServedBy(found.action, { ip: flow.answers, port: flow.answersPort });
  });
}
