import { type Cidr, printCidr } from "../../src/base/cidr.ts";
import { type Ip, type IpFamily, ipFamily } from "../../src/base/ip.ts";
import type { Protocol } from "../model/service-port.ts";
import { frontendKey } from "../plan/frontend.ts";

/** The link that holds the addresses of Services, so that the kernel takes their packets for its own. CNIs leave it alone. */
export const serviceLink = "kube-ipvs0";
/** Ours are the sets whose name starts so. A name has at most 31 characters. */
export const setPrefix = "FAIRWAY-";
/** Ours are the firewall marks with these upper bits; the bit 0x4000 (masquerade) stays free below. */
export const fwmarkBase = 0x5f00_0000;
export const fwmarkMask = 0xff00_0000;
/** Set in marks of ours whose packets belong to no connection (UDP): an endpoint behind them is removed at once. */
export const fwmarkDatagrams = 0x0080_0000;

export function isOwnFwmark(mark: number): boolean {
  return (mark & fwmarkMask) >>> 0 === fwmarkBase;
}

/** Which packets a virtual service takes. */
export type ServiceMatch =
  | { readonly kind: "address"; readonly protocol: Protocol; readonly ip: Ip; readonly port: number }
  /** Packets with this mark, to any local address, port and protocol. */
  | { readonly kind: "fwmark"; readonly family: IpFamily; readonly mark: number };

/** The kernel's names of ways to choose: `rr`, `lc`, `wrr`, `sh`, `mh`, …; modules are loaded when first used. */
export type Scheduler = string;

/** Bits that a scheduler understands as it likes (sh and mh: 1 fall back when the chosen one is away, 2 hash the source port too). */
export type SchedulerFlags = number;

export interface VirtualService {
  readonly match: ServiceMatch;
  readonly scheduler: Scheduler;
  readonly schedulerFlags?: SchedulerFlags;
  /** A client keeps its real server for so long after its last connection. Absent: every connection is chosen anew. */
  readonly persistenceSeconds?: number;
}

/** An endpoint behind a virtual service; its packets are translated ("masquerading" in ipvs' words). */
export interface RealServer {
  readonly ip: Ip;
  readonly port: number;
  /** 0 takes no new connections. */
  readonly weight: number;
}

export type SetType = "hash:ip" | "hash:net" | "hash:ip,port" | "hash:ip,port,ip" | "hash:ip,port,net" | "bitmap:port";

export interface SetDefinition {
  readonly name: string;
  readonly type: SetType;
  /** Absent for a bitmap of ports, which has no addresses. */
  readonly family?: IpFamily;
  /** Its entries have marks, which a rule may give to packets. */
  readonly marks?: true;
}

/** One part of an entry. `protocol` is absent in bitmaps. A network is never all addresses: the kernel knows no such entry. */
export type SetField = Ip | Cidr | { readonly protocol?: Protocol; readonly port: number };

export interface SetEntry {
  readonly set: string;
  /** In the order of the type's name. */
  readonly fields: readonly SetField[];
  /** Of a set with marks. */
  readonly mark?: number;
}

/** One thing the kernel has or should have. */
export type IpvsItem =
  /** Of the service link. */
  | { readonly kind: "address"; readonly ip: Ip }
  | { readonly kind: "service"; readonly service: VirtualService }
  | { readonly kind: "real"; readonly match: ServiceMatch; readonly real: RealServer }
  | { readonly kind: "entry"; readonly entry: SetEntry };

export function matchFamily(match: ServiceMatch): IpFamily {
  return match.kind === "fwmark" ? match.family : ipFamily(match.ip);
}

/** `10.96.0.1:80/tcp` (as the frontend is called), `fwmark4:0x5f000001`. */
export function matchKey(match: ServiceMatch): string {
  if (match.kind === "fwmark") return `fwmark${match.family}:0x${match.mark.toString(16)}`;
  return frontendKey(match.ip, match.port, match.protocol);
}

/** Whether an endpoint that is removed may still have connections that should end in peace. */
export function hasConnections(match: ServiceMatch): boolean {
  return match.kind === "fwmark" ? (match.mark & fwmarkDatagrams) === 0 : match.protocol !== "udp";
}

export function printField(field: SetField): string {
  if (typeof field === "string") return field;
  if ("port" in field) return field.protocol === undefined ? `${field.port}` : `${field.protocol}:${field.port}`;
  return printCidr(field);
}

/** What makes an item the same one: an item with the same id but other settings replaces it. */
export function itemId(item: IpvsItem): string {
  switch (item.kind) {
    case "address":
      return `address ${item.ip}`;
    case "service":
      return `service ${matchKey(item.service.match)}`;
    case "real":
      return `real ${matchKey(item.match)} ${item.real.ip} ${item.real.port}`;
    case "entry":
      return `entry ${item.entry.set} ${item.entry.fields.map(printField).join(",")}`;
  }
}

/** Whether two items with the same id also have the same settings. */
export function sameSettings(a: IpvsItem, b: IpvsItem): boolean {
  if (a.kind === "service" && b.kind === "service") {
    return (
      a.service.scheduler === b.service.scheduler &&
      (a.service.schedulerFlags ?? 0) === (b.service.schedulerFlags ?? 0) &&
      a.service.persistenceSeconds === b.service.persistenceSeconds
    );
  }
  if (a.kind === "real" && b.kind === "real") return a.real.weight === b.real.weight;
  if (a.kind === "entry" && b.kind === "entry") return a.entry.mark === b.entry.mark;
  return a.kind === b.kind;
}
