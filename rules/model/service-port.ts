import type { IpFamily } from "../../src/base/ip.ts";

/** Lower case, as the rules print it. */
export type Protocol = "tcp" | "udp" | "sctp";

export const protocols: readonly Protocol[] = ["tcp", "udp", "sctp"];

/** `undefined` for a protocol no rule can name; an absent one is TCP. */
export function parseProtocol(text: string | undefined): Protocol | undefined {
  if (text === undefined || text === "TCP") return "tcp";
  if (text === "UDP") return "udp";
  return protocols.find((p) => p === text.toLowerCase());
}

/** One port of one Service: the unit that endpoints, affinity and metrics belong to. */
export interface ServicePortName {
  readonly namespace: string;
  readonly name: string;
  /** The port's name; empty for the only port of a Service. */
  readonly port: string;
  readonly protocol: Protocol;
}

/** `shop/web:http`; `shop/web` for an unnamed port. */
export function printServicePort(s: ServicePortName): string {
  return `${s.namespace}/${s.name}${s.port === "" ? "" : `:${s.port}`}`;
}

/** Whether new traffic may go to every endpoint or to those of this node only. */
export type TrafficPolicy = "Cluster" | "Local";

export function familyLabel(family: IpFamily): "IPv4" | "IPv6" {
  return family === 4 ? "IPv4" : "IPv6";
}
