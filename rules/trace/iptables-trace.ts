import { type Ip, ipFamily } from "../../src/base/ip.ts";
import { type ExecutedRule, executeRules } from "../iptables/execute.ts";
import { chains } from "../iptables/names.ts";
import { type IptablesProgram, ruleSetOf } from "../iptables/program.ts";
import type { Packet, TraceStep, Verdict } from "../model/packet.ts";
import { printServicePort } from "../model/service-port.ts";
import { type Frontend, frontendKey, nodePortKey } from "../plan/frontend.ts";
import { passes, verdictOf } from "./outcome.ts";

/** What the iptables rules of a node do with a packet, and why. `localIps`: addresses of that node. */
export function traceIptables(programs: readonly IptablesProgram[], packet: Packet, localIps: readonly Ip[]): Verdict {
  const program = programs.find((p) => p.family === ipFamily(packet.to));
  if (program === undefined) return verdictOf({ outcome: "accept", endpoints: [] }, undefined, []);
  const execution = executeRules(ruleSetOf(program), packet, localIps);
  const owner = passes(execution) ? undefined : ownerOf(program, packet, execution.rules);
  const steps = execution.rules.map((r) => explain(r, owner));
  return verdictOf(execution, owner, steps);
}

/** Whose rule chose: the only ones that name a single port. */
function ownerOf(program: IptablesProgram, packet: Packet, rules: readonly ExecutedRule[]): Frontend | undefined {
  const choice = rules.find(({ rule }) => rule.ports !== undefined && rule.ports.from === rule.ports.to)?.rule;
  if (choice === undefined) return undefined;
  const { frontends, family } = program;
  return choice.destination === undefined
    ? frontends.get(nodePortKey(family, packet.port, packet.protocol))
    : frontends.get(frontendKey(packet.to, packet.port, packet.protocol));
}

function explain(executed: ExecutedRule, owner: Frontend | undefined): TraceStep {
  const rule = `${executed.table} ${executed.chain}: ${executed.text}`;
  const why = reason(executed, owner);
  if (owner === undefined) return { rule, why };
  return { rule, why, object: `Service ${owner.owner.namespace}/${owner.owner.name}` };
}

const scopeWords: Readonly<Record<Frontend["scope"], string>> = {
  clusterIP: "a cluster IP",
  externalIP: "an external IP",
  loadBalancerIP: "a load balancer IP",
  nodePort: "a node port",
};

function reason({ table, chain, rule }: ExecutedRule, owner: Frontend | undefined): string {
  switch (rule.target.kind) {
    case "jump":
      if (table === "filter") return "the Service has no endpoint";
      return owner === undefined
        ? "a Service's address"
        : `it is addressed to ${owner.key}, ${scopeWords[owner.scope]} of ${printServicePort(owner.owner)}`;
    case "mark":
      return chain === chains.offCluster
        ? "the sender is no pod of this node (or masqueradeAll is set): the endpoint is to see the node's address"
        : "external traffic with policy Cluster, or from this node: the endpoint is to see the node's address";
    case "dnat":
      return "one of the endpoints is chosen";
    case "masquerade":
      return rule.source !== undefined ? "the endpoint would reach itself: its own address becomes the node's" : "marked for masquerading";
    case "accept":
      return "a load balancer may ask here whether the Service has endpoints on this node";
    case "untrack":
      return "this node serves the address itself (cluster DNS)";
    case "reject":
      return owner === undefined ? "the address is a Service's, the port is not" : "the Service has no endpoint";
    case "drop":
      if (owner === undefined)
        return rule.states === undefined
          ? "no Service has this address of the Service range"
          : "no sender outside may use this machine's own loopback addresses";
      return owner.sources === undefined
        ? "traffic policy Local, and no endpoint on this node"
        : "the sender is outside the Service's source ranges";
    default:
      return "";
  }
}
