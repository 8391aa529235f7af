import { type Ip, ipFamily, printHostPort } from "../../src/base/ip.ts";
import { compareEndpoints } from "../model/endpoint.ts";
import type { Packet, TraceStep, Verdict } from "../model/packet.ts";
import { printServicePort } from "../model/service-port.ts";
import { type ExecutedRule, type Execution, executeTable, type IndexedTable, indexTable } from "../nftables/execute.ts";
import type { PlacedFrontend } from "../nftables/place.ts";
import { type Ruleset, tableOf } from "../nftables/ruleset.ts";
import { frontendKey, nodePortKey } from "../plan/frontend.ts";

const nothing: Verdict = { verdict: "pass", endpoints: [], masquerade: false, service: null, affinitySeconds: null, steps: [] };

/**
 * What the nftables program of a node does with a packet, and why. The first packet of a family costs as much as the table is
 * large, others do not. `localIps`: addresses of that node.
 */
export function rulesetTracer(rulesets: readonly Ruleset[], localIps: readonly Ip[]): (packet: Packet) => Verdict {
  const indexed = new Map<Ruleset, IndexedTable>();
  return (packet) => {
    const ruleset = rulesets.find((r) => r.family === ipFamily(packet.to));
    if (ruleset === undefined) return nothing;
    const table = indexed.get(ruleset) ?? indexTable(tableOf(ruleset));
    indexed.set(ruleset, table);
    return verdictOf(ruleset, packet, executeTable(table, packet, localIps));
  };
}

function verdictOf(ruleset: Ruleset, packet: Packet, execution: Execution): Verdict {
  const atNodePort = execution.rules.some((r) => /nodeport/.test(r.rule));
  const placed =
    (atNodePort ? undefined : ruleset.frontends.get(frontendKey(packet.to, packet.port, packet.protocol))) ??
    ruleset.frontends.get(nodePortKey(ruleset.family, packet.port, packet.protocol));
  const decided = execution.outcome !== "accept" && execution.outcome !== "untracked";
  const owner = decided && execution.rules.some((r) => r.statement.kind === "dispatch") ? placed : undefined;
  const steps = execution.rules.map((r) => explain(r, owner));
  if (!decided) return { ...nothing, steps };
  const action = owner?.frontend.action;
  return {
    verdict: execution.outcome === "translated" ? "deliver" : execution.outcome === "reject" ? "reject" : "drop",
    endpoints: [...execution.endpoints].sort(compareEndpoints).map((e) => printHostPort(e.ip, e.port)),
    masquerade: execution.endpoints.some((e) => e.masquerade),
    service: owner === undefined ? null : printServicePort(owner.frontend.owner),
    affinitySeconds: action?.kind === "balance" ? (action.affinitySeconds ?? null) : null,
    steps,
  };
}

function explain(executed: ExecutedRule, owner: PlacedFrontend | undefined): TraceStep {
  const rule = `${executed.chain}: ${executed.rule}`;
  const why = reason(executed, owner);
  if (owner === undefined) return { rule, why };
  const { namespace, name } = owner.frontend.owner;
  return { rule, why, object: `Service ${namespace}/${name}` };
}

/** Where an annotation asked for what these rules do. */
function balanceWords(owner: PlacedFrontend | undefined): string {
  const action = owner?.frontend.action;
  const policy = action?.kind === "balance" ? action.pool.balance : undefined;
  return policy === "source-hash" || policy === "maglev" ? `, by ${policy}` : "";
}

function reason({ chain, statement: s, rule }: ExecutedRule, owner: PlacedFrontend | undefined): string {
  switch (s.kind) {
    case "dispatch":
      if (s.map === "firewalled-actions") return "the sender is within the Service's source ranges";
      if (s.map !== "pools") return owner === undefined ? "a frontend" : `it is addressed to ${owner.frontend.key}, ${scopeWords(owner)}`;
      if (rule.includes("@pod-cidrs")) return "traffic policy Local, but the sender is a pod of this node: all endpoints may serve it";
      if (rule.includes("fib saddr type local")) return "traffic policy Local, but the sender is this node: all endpoints may serve it";
      return "traffic policy Local: only endpoints on this node, and the sender's address is kept";
    case "set-mark":
      return chain.startsWith("cluster-ip") || chain.includes("-cluster-ip-")
        ? "the sender is no pod of this node (or masqueradeAll is set): the endpoint is to see the node's address"
        : "external traffic with policy Cluster, or from this node: the endpoint is to see the node's address";
    case "translate":
      return `one of the endpoints is chosen${balanceWords(owner)}`;
    case "masquerade":
      return rule.includes("hairpin") ? "the endpoint would reach itself: its own address becomes the node's" : "marked for masquerading";
    case "untrack":
      return "this node serves the address itself (cluster DNS)";
    case "reject":
    case "reset":
      return owner !== undefined ? "the Service has no endpoint" : "the address is a Service's, the port is not";
    case "drop":
      if (chain === "firewall-check") return "the sender is outside the Service's source ranges";
      if (chain === "services") return "no Service has this address of the Service range";
      return "traffic policy Local, and no endpoint on this node";
    default:
      return "";
  }
}

function scopeWords({ frontend }: PlacedFrontend): string {
  const words = {
    clusterIP: "a cluster IP",
    externalIP: "an external IP",
    loadBalancerIP: "a load balancer IP",
    nodePort: "a node port",
  };
  return `${words[frontend.scope]} of ${printServicePort(frontend.owner)}`;
}
