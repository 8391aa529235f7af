import { FlowLab } from "./flow-lab.ts";
import type { PeerFlow, PeerGroup } from "./peer-flows.ts";

/** How hard it is tried. */
export interface FlowEffort {
  /** New connections to one of so many endpoints. */
  readonly tries: (endpoints: number) => number;
  /** How long nothing must come until it is taken for dropped. */
  readonly silenceMs: number;
  /** How long something that must come may take. */
  readonly patienceMs: number;
  /** One flow after the other, so that endpoints which take turns are all seen. */
  readonly inTurns: boolean;
}
/** For endpoints drawn at random. */
const usualEffort: FlowEffort = { tries: (n) => 8 * n ** 2, silenceMs: 400, patienceMs: 15_000, inTurns: false };

/** A node, endpoints and senders for all flows of the groups. */
export function startFlowLab(name: string, groups: readonly PeerGroup[]): Promise<FlowLab> {
  const flows = groups.flatMap((g) => g.flows);
  return FlowLab.start(name, {
    nodeIps: [...new Set(groups.flatMap((g) => g.nodeIPs))],
    endpoints: ["10.180.0.0/16", "10.0.1.0/24", "fd00:10:180::/48"],
    port: 80,
    senders: [...new Set(flows.map((f) => f.from))].filter((from) => !flows.some((f) => f.to === from)),
  });
}

/** Sends them through the node's rules; how many could be sent, and those that fare otherwise than they should. */
export async function sendFlows(
  lab: FlowLab,
  flows: readonly PeerFlow[],
  effort: FlowEffort = usualEffort,
): Promise<{ readonly sent: number; readonly wrong: readonly string[] }> {
  const wrong: string[] = [];
  let checked = 0;
  const check = async (flow: PeerFlow): Promise<void> => {
    const problem = await disagreement(lab, flow, effort);
    checked++;
    if (problem !== undefined) wrong.push(`${JSON.stringify(flow)}: ${problem}`);
  };
  const sent = flows.filter((f) => lab.sends(f.from));
  // silence is waited for all at once
  const atOnce = sent.filter((f) => !effort.inTurns || f.want === "drop" || f.want === "pass");
  const inTurns = async (): Promise<void> => {
    for (const flow of sent) if (!atOnce.includes(flow)) await check(flow);
  };
  await Promise.all([...atOnce.map(check), inTurns()]);
  // a node that has the load balancer's address itself
  for (const flow of flows) if (flow.from === flow.to && !lab.sends(flow.from)) await lab.withAddress(flow.from, () => check(flow));
  return { sent: checked, wrong };
}

async function disagreement(lab: FlowLab, flow: PeerFlow, effort: FlowEffort): Promise<string | undefined> {
  const delivered = flow.want === "deliver" && !flow.endpoints.includes("ACCEPT");
  const count = delivered ? effort.tries(flow.endpoints.length) : 1;
  const said = await lab.probe(flow, count, delivered || flow.want === "reject" ? effort.patienceMs : effort.silenceMs);
  if (!delivered) {
    if (flow.want === "reject" || flow.want === "drop")
      return said.every((s) => s === flow.want || lab.isNode(flow.from)) ? undefined : `got ${said.join(", ")}`;
    // nothing of the rules: the node's own business
    return said.some((s) => s.includes(" ")) ? `was served: ${said.join(", ")}` : undefined;
  }
  const served = new Set<string>();
  for (const line of said) {
    const [endpoint = "", source = ""] = line.split(" ");
    served.add(endpoint);
    const masqueraded = lab.nodeAddresses.includes(source);
    if (masqueraded !== (flow.masquerade || lab.isNode(flow.from))) return `${endpoint} saw ${source}`;
  }
  const wanted = flow.endpoints.map((text) => text.replace(/^\[|\]?:80$/g, ""));
  return [...served].sort().join() === [...wanted].sort().join() ? undefined : `got ${[...served].join(", ")}`;
}
