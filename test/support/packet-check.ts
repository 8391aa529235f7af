import type { IpFamily } from "../../src/base/ip.ts";
import { type PacketCase, type Source, targetAddress, type Want } from "../contract/packets.ts";
import { labAddresses, type RulesLab } from "./rules-lab.ts";

const nodeAddresses: readonly string[] = [...Object.values(labAddresses.a), ...Object.values(labAddresses.aSecond)];

/** How hard it is tried. */
export interface Effort {
  /** New connections to a Service with one, two, and more endpoints. */
  readonly tries: readonly [one: number, two: number, more: number];
  /** How long nothing must come until it is taken for dropped. */
  readonly silenceMs: number;
}
/** For endpoints drawn at random: the chance that one of four is never drawn in 48 tries is 4 in a million. */
const usualEffort: Effort = { tries: [4, 24, 48], silenceMs: 400 };

export function isSticky(c: PacketCase): boolean {
  return JSON.stringify(c.to).includes("sticky");
}

/** Goes to a Service that balances by a hash. */
export function isHashed(c: PacketCase): boolean {
  return /hashed|maglev/.test(JSON.stringify(c.to));
}

/** What is wrong with what the kernel did, or nothing. */
export function disagreement(
  lab: RulesLab,
  c: PacketCase,
  family: IpFamily,
  protocol: "tcp" | "udp",
  effort: Effort = usualEffort,
): Promise<string | undefined> {
  const clientsStay = isSticky(c) ? "always" : isHashed(c) ? "where hashed" : "never";
  return sentAndSeen(lab, { from: c.from, family, protocol, ...targetAddress(c.to, family), want: c.want, clientsStay }, effort);
}

export interface SentPacket {
  readonly from: Source | "b1";
  readonly family: IpFamily;
  readonly protocol: "tcp" | "udp";
  readonly ip: string;
  readonly port: number;
  readonly want: Want;
  /** Whether one client's connections go one way: always, or where a backend hashes its address. */
  readonly clientsStay: "never" | "where hashed" | "always";
}

/** Sends it from there, often enough to see every endpoint; what is wrong with what became of it, or nothing. */
export async function sentAndSeen(lab: RulesLab, sent: SentPacket, effort: Effort = usualEffort): Promise<string | undefined> {
  const { from, family, protocol, want } = sent;
  const agent = lab.agents[from === "client2" ? "client" : from];
  const said = await agent.probe({
    protocol,
    host: sent.ip,
    port: sent.port,
    count: want.verdict === "deliver" ? effort.tries[want.endpoints.length > 2 ? 2 : want.endpoints.length === 2 ? 1 : 0] : 1,
    ...(from === "client2" || from === "client" || from === "a" ? { localAddress: labAddresses[from][family] } : {}),
    // only where nothing is to come is it short
    timeoutMs: want.verdict === "deliver" || (want.verdict === "reject" && from !== "a") ? 15_000 : effort.silenceMs,
  });
  if (want.verdict === "pass") return said.some((s) => /^[ab][12] /.test(s)) ? `was served: ${said.join(", ")}` : undefined;
  if (want.verdict !== "deliver") {
    // a packet refused in the node's own output hook fails at once, whichever the verdict
    const wanted = from === "a" ? ["reject", "drop", "eperm"] : [want.verdict];
    return said.every((s) => wanted.includes(s)) ? undefined : `got ${said.join(", ")}`;
  }
  const served = new Set<string>();
  for (const line of said) {
    const [pod = "", source = ""] = line.split(" ");
    if (!(want.endpoints as readonly string[]).includes(pod)) return `got ${line}`;
    served.add(pod);
    const masqueraded = nodeAddresses.includes(source);
    const hairpin = pod === from;
    const selfAmong = (want.endpoints as readonly string[]).includes(from);
    if (hairpin ? !masqueraded : !selfAmong && masqueraded !== (want.masquerade || from === "a")) return `${pod} saw ${source}`;
    if (!masqueraded && source !== labAddresses[from][family]) return `${pod} saw ${source}`;
  }
  if (sent.clientsStay === "where hashed" && served.size === 1) return undefined;
  if (sent.clientsStay === "always") return served.size === 1 ? undefined : `one client, several endpoints: ${[...served].join(", ")}`;
  return served.size === want.endpoints.length ? undefined : `only ${[...served].join(", ")} of ${want.endpoints.join(", ")}`;
}
