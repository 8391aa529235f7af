import { parseCidr } from "../../src/base/cidr.ts";
import { type Ip, ipFamily } from "../../src/base/ip.ts";
import { type ExecutedRule, isLoopback, RuleMachine, type SetMembers } from "../iptables/execute.ts";
import type { SetSide } from "../iptables/rule.ts";
import type { Packet } from "../model/packet.ts";
import { type IpvsProgram, virtualServer } from "./program.ts";
import { type SetRole, setName, setRoles } from "./sets.ts";
import { isOwnFwmark, itemId, matchKey, type SetField, type VirtualService } from "./values.ts";

/** All that can become of a packet. */
export interface ServerExecution {
  readonly outcome: "translated" | "reject" | "drop" | "accept" | "untracked";
  readonly endpoints: readonly { readonly ip: Ip; readonly port: number; readonly masquerade: boolean }[];
  /** In the order they had an effect; `service` stands behind those before it. */
  readonly rules: readonly ExecutedRule[];
  readonly service: VirtualService | undefined;
}

/**
 * Runs a packet through the side rules and the virtual servers as the kernel would. Virtual servers take packets for this
 * machine behind filter INPUT, and its own behind nat OUTPUT, before filter OUTPUT. `localIps`: addresses of this machine.
 */
export function executeServers(program: IpvsProgram, packet: Packet, localIps: readonly Ip[]): ServerExecution {
  const rules = program.rules.find((r) => r.family === ipFamily(packet.to));
  if (rules === undefined) return { outcome: "accept", endpoints: [], rules: [], service: undefined };
  const isLocal = (ip: Ip): boolean => isLoopback(ip) || localIps.includes(ip) || program.held.has(itemId({ kind: "address", ip }));
  const machine = new RuleMachine({ rules, packet, isLocal, sets: membersOf(program) });
  const end = (outcome: ServerExecution["outcome"], service?: VirtualService): ServerExecution => ({
    outcome,
    endpoints: [],
    rules: machine.rules,
    service,
  });
  const fromHere = isLocal(packet.from);
  const [first, second] = fromHere ? (["OUTPUT", "OUTPUT"] as const) : (["PREROUTING", isLocal(packet.to) ? "INPUT" : "FORWARD"] as const);
  machine.runTable("raw", first);
  if (machine.untracked) return end("untracked");
  machine.runTable("mangle", first);
  if (machine.refused !== undefined) return end(machine.refused);
  machine.runTable("nat", first);
  if (!fromHere) machine.runTable("filter", second);
  if (machine.refused !== undefined) return end(machine.refused);
  const server = fromHere || isLocal(packet.to) ? serverOf(program, packet, machine.mark) : undefined;
  if (server === undefined) {
    if (fromHere) machine.runTable("filter", second);
    return end(machine.refused ?? "accept");
  }
  const { service } = server;
  const reals = server.reals.filter((real) => real.weight > 0);
  // the kernel answers that nobody is there
  if (reals.length === 0) return end("reject", service);
  const { mark } = machine;
  const endpoints = reals.map(({ ip, port }) => {
    machine.translated = { ip, port, by: "ipvs" };
    machine.mark = mark;
    machine.masqueraded = false;
    machine.runTable("filter", "OUTPUT");
    machine.runTable("nat", "POSTROUTING");
    return { ip, port, masquerade: machine.masqueraded };
  });
  if (machine.refused !== undefined) return end(machine.refused, service);
  return { outcome: "translated", endpoints, rules: machine.rules, service };
}

/** By its mark, if that is one of ours; else by where it goes. */
function serverOf(program: IpvsProgram, packet: Packet, mark: number) {
  const family = ipFamily(packet.to);
  const marked = isOwnFwmark(mark) ? virtualServer(program, matchKey({ kind: "fwmark", family, mark })) : undefined;
  return marked ?? virtualServer(program, matchKey({ kind: "address", protocol: packet.protocol, ip: packet.to, port: packet.port }));
}

function membersOf(program: IpvsProgram): SetMembers {
  const entryOf = (set: string, packet: Packet, sides: readonly SetSide[]) => {
    for (const fields of candidates(roleOf(set, packet), packet, sides)) {
      const held = program.held.get(itemId({ kind: "entry", entry: { set, fields } }))?.wanted;
      if (held?.kind === "entry") return held.entry;
    }
    return undefined;
  };
  return {
    has: (set, packet, sides) => entryOf(set, packet, sides) !== undefined,
    markOf: (set, packet, sides) => entryOf(set, packet, sides)?.mark,
  };
}

function roleOf(set: string, packet: Packet): SetRole | undefined {
  const family = ipFamily(packet.to);
  return setRoles.find((role) => setName(family, role) === set);
}

/** The entries that would hold for a packet: one, or of networks one for each length. */
function candidates(role: SetRole | undefined, packet: Packet, sides: readonly SetSide[]): readonly (readonly SetField[])[] {
  const ip = (side: SetSide | undefined): Ip => (side === "src" ? packet.from : packet.to);
  const [a, , c] = sides;
  if (role === undefined || a === undefined) return [];
  if (role === "service-ips" || role === "cluster-ips") return [[ip(a)]];
  if (role === "health-ports") return [[{ port: packet.port }]];
  const pair: readonly SetField[] = [ip(a), { protocol: packet.protocol, port: packet.port }];
  if (role === "loop-back") return [[...pair, ip(c)]];
  if (role !== "allowed") return [pair];
  const width = ipFamily(packet.to) === 4 ? 32 : 128;
  return Array.from({ length: width }, (_, i) => {
    const cidr = parseCidr(`${ip(c)}/${width - i}`);
    return cidr === undefined ? pair : [...pair, cidr];
  });
}
