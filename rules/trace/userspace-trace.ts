import { cidrContains } from "../../src/base/cidr.ts";
import { type Ip, ipFamily, printHostPort } from "../../src/base/ip.ts";
import type { Packet, TraceStep, Verdict } from "../model/packet.ts";
import { printServicePort } from "../model/service-port.ts";
import { type Frontend, frontendKey, nodePortKey } from "../plan/frontend.ts";
import { admits, poolFor, type UserspaceProgram } from "../userspace/program.ts";

/**
 * What the listeners of a node do with a connection. The endpoint always sees this machine's address. A listener cannot be
 * silent: where the rules say drop, the connection is closed or refused.
 */
export function traceUserspace(program: UserspaceProgram, packet: Packet, localIps: readonly Ip[]): Verdict {
  const none = { endpoints: [], masquerade: false, service: null, affinitySeconds: null } as const;
  const isOwn = (ip: Ip): boolean => ip === "::1" || ip.startsWith("127.") || localIps.includes(ip);
  if (program.surroundings.localDnsIps.includes(packet.to))
    return { verdict: "pass", ...none, steps: [{ rule: "no listener", why: "this node serves the address itself (cluster DNS)" }] };
  const frontend = frontendOf(program, packet, isOwn);
  if (frontend === undefined) {
    for (const other of program.frontends.values()) {
      if (other.scope === "clusterIP" && other.ip === packet.to)
        return { verdict: "reject", ...none, steps: [{ rule: "no listener", why: "the address is a Service's, the port is not" }] };
    }
    if (program.surroundings.serviceCidrs.some((range) => cidrContains(range, packet.to)))
      return { verdict: "drop", ...none, steps: [{ rule: "no listener", why: "no Service has this address of the Service range" }] };
    return { verdict: "pass", ...none, steps: [] };
  }
  const { owner, action } = frontend;
  const object = `Service ${owner.namespace}/${owner.name}`;
  const service = printServicePort(owner);
  const affinitySeconds = action.kind === "balance" ? (action.affinitySeconds ?? null) : null;
  const step = (why: string): readonly TraceStep[] => [{ rule: `listener ${frontend.key}`, why, object }];
  const refuse = (verdict: "reject" | "drop", why: string): Verdict => ({ ...none, verdict, service, affinitySeconds, steps: step(why) });
  if (frontend.protocol === "sctp") return refuse("reject", "SCTP has no sockets here: the userspace backend serves TCP and UDP");
  // ranges come first, whatever the endpoints
  if (!admits(frontend, packet.from)) return refuse("drop", "the sender is outside the Service's source ranges: closed at once");
  if (action.kind === "reject") return refuse("reject", "the Service has no endpoint: nobody listens");
  if (action.kind === "drop") return refuse("drop", "traffic policy Local, and no endpoint on this node: nobody listens");
  const pool = poolFor(frontend, packet.from, program.surroundings, isOwn);
  if (pool === undefined) return refuse("drop", "traffic policy Local, and no endpoint on this node: closed at once");
  return {
    verdict: "deliver",
    endpoints: pool.members.map((m) => printHostPort(m.ip, m.port)),
    masquerade: true,
    service,
    affinitySeconds,
    steps: step(
      `${pool === action.localPool ? "traffic policy Local: only endpoints on this node" : "one of the endpoints is chosen"}${pool.balance === undefined ? "" : `, by ${pool.balance}`}`,
    ),
  };
}

/** A node port is a listener where this node has it, and nothing elsewhere. */
function frontendOf(program: UserspaceProgram, packet: Packet, isOwn: (ip: Ip) => boolean): Frontend | undefined {
  const direct = program.frontends.get(frontendKey(packet.to, packet.port, packet.protocol));
  if (direct !== undefined) return direct;
  const atNodePort = program.frontends.get(nodePortKey(ipFamily(packet.to), packet.port, packet.protocol));
  if (atNodePort === undefined) return undefined;
  const everywhere = ipFamily(packet.to) === 4 ? "0.0.0.0" : "::";
  return program.surroundings.nodePortIps.some((ip) => ip === packet.to || (ip === everywhere && isOwn(packet.to)))
    ? atNodePort
    : undefined;
}
