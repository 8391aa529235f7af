import { type Ip, ipFamily } from "../../src/base/ip.ts";
import type { ExecutedRule } from "../iptables/execute.ts";
import { chains } from "../iptables/names.ts";
import { executeServers, type ServerExecution } from "../ipvs/execute.ts";
import type { IpvsProgram } from "../ipvs/program.ts";
import { type SetRole, setName } from "../ipvs/sets.ts";
import { matchKey, type VirtualService } from "../ipvs/values.ts";
import type { Packet, TraceStep, Verdict } from "../model/packet.ts";
import { printServicePort } from "../model/service-port.ts";
import { type Frontend, frontendKey, nodePortKey } from "../plan/frontend.ts";
import { passes, verdictOf } from "./outcome.ts";

/** What the virtual servers of a node, and the rules beside them, do with a packet, and why. `localIps`: addresses of that node. */
export function traceIpvs(program: IpvsProgram, packet: Packet, localIps: readonly Ip[]): Verdict {
  const execution = executeServers(program, packet, localIps);
  const owner = passes(execution) ? undefined : ownerOf(program, packet);
  return verdictOf(execution, owner, stepsOf(program, execution, owner));
}

/** Whose address it is; at an address of this node, whose node port. */
function ownerOf(program: IpvsProgram, packet: Packet): Frontend | undefined {
  const direct = program.frontends.get(frontendKey(packet.to, packet.port, packet.protocol))?.frontend;
  if (direct !== undefined || !program.surroundings.nodePortIps.includes(packet.to)) return direct;
  return program.frontends.get(nodePortKey(ipFamily(packet.to), packet.port, packet.protocol))?.frontend;
}

function stepsOf(program: IpvsProgram, execution: ServerExecution, owner: Frontend | undefined): readonly TraceStep[] {
  const steps: TraceStep[] = [];
  const object = owner === undefined ? {} : { object: `Service ${owner.owner.namespace}/${owner.owner.name}` };
  const { service } = execution;
  let told = service === undefined;
  const tellService = (): void => {
    if (service !== undefined)
      steps.push({ rule: `ipvs ${printService(service)}`, why: serviceReason(service, execution, owner), ...object });
    told = true;
  };
  for (const executed of execution.rules) {
    if (!told && executed.table === "nat" && isBehind(executed)) tellService();
    const rule = `${executed.table} ${executed.chain}: ${executed.text}`;
    steps.push({ rule, why: reason(program, executed, owner), ...object });
  }
  if (!told) tellService();
  return steps;
}

function isBehind({ chain }: ExecutedRule): boolean {
  return chain !== chains.services && chain !== chains.offCluster;
}

/** `10.96.0.1:80/tcp rr`, `fwmark4:0x5f000001 mh`, `10.96.0.1:80/tcp rr persistent 10800` */
function printService({ match, scheduler, persistenceSeconds }: VirtualService): string {
  return `${matchKey(match)} ${scheduler}${persistenceSeconds === undefined ? "" : ` persistent ${persistenceSeconds}`}`;
}

const scopeWords: Readonly<Record<Frontend["scope"], string>> = {
  clusterIP: "a cluster IP",
  externalIP: "an external IP",
  loadBalancerIP: "a load balancer IP",
  nodePort: "a node port",
};

function serviceReason(service: VirtualService, execution: ServerExecution, owner: Frontend | undefined): string {
  if (execution.outcome === "reject") return "no endpoint takes new connections";
  const what = owner === undefined ? "a frontend" : `${owner.key}, ${scopeWords[owner.scope]} of ${printServicePort(owner.owner)}`;
  if (service.match.kind === "fwmark") return `it is addressed to ${what}; the sender may use all of its endpoints`;
  const local = owner?.action.kind === "balance" && owner.action.localPool !== undefined;
  return `it is addressed to ${what}; ${local ? "traffic policy Local: only endpoints on this node, and the sender's address is kept" : "one of its endpoints is chosen"}`;
}

function reason(program: IpvsProgram, { table, chain, rule }: ExecutedRule, owner: Frontend | undefined): string {
  const asks = (role: SetRole): boolean =>
    rule.sets?.some((s) => program.options.families.some((family) => setName(family, role) === s.name)) ?? false;
  switch (rule.target.kind) {
    case "mark-of-entry":
      return "traffic policy Local, but the sender is a pod of this node or the node itself: all endpoints may serve it";
    case "mark":
      return chain === chains.offCluster
        ? "the sender is no pod of this node (or masqueradeAll is set): the endpoint is to see the node's address"
        : "external traffic with policy Cluster: the endpoint is to see the node's address";
    case "masquerade":
      return asks("loop-back")
        ? "the endpoint would reach itself: its own address becomes the node's"
        : "marked for masquerading, or from this node";
    case "untrack":
      return "this node serves the address itself (cluster DNS)";
    case "reject":
    case "jump":
      return owner === undefined ? "the address is a Service's, the port is not" : "the Service has no endpoint";
    case "accept":
      return "load balancers ask here for a Service's health";
    case "drop":
      if (table === "mangle") return "the sender is outside the Service's source ranges";
      return asks("drop") ? "traffic policy Local, and no endpoint on this node" : "no Service has this address of the Service range";
    default:
      return "";
  }
}
