import type { Service, ServicePort } from "../api/types/core-v1.generated.ts";
import { type Cidr, cidrContains, parseCidr } from "../base/cidr.ts";
import { type Ip, type IpFamily, ipFamily, parseIp } from "../base/ip.ts";
import { unreachable } from "../base/unreachable.ts";
import type { Snapshot } from "../snapshot/cluster-snapshot.ts";
import { inputError, usageError } from "./errors.ts";

/** Who sends, as `--from` says it. */
export type SenderSpec =
  | { readonly kind: "ip"; readonly ip: Ip }
  | { readonly kind: "pod"; readonly namespace: string; readonly name: string }
  | { readonly kind: "node" }
  | { readonly kind: "external"; readonly ip?: Ip };

/** Where to, as `--to` says it. */
export type TargetSpec =
  | { readonly kind: "ip"; readonly ip: Ip; readonly port: number; readonly protocol: PacketProtocol }
  | {
      readonly kind: "service";
      readonly namespace: string;
      readonly name: string;
      readonly port?: string;
      readonly protocol?: PacketProtocol;
    };

export const packetProtocols = ["tcp", "udp", "sctp"] as const;
export type PacketProtocol = (typeof packetProtocols)[number];

/** The two ends of one packet, in addresses. */
export interface PacketEnds {
  readonly source: Ip;
  /** True when the node itself sends: such a packet comes through the output hook. */
  readonly fromNode: boolean;
  /** True when a Pod of this node sends: its packet comes by the links of Pods. */
  readonly fromPodHere: boolean;
  readonly destination: Ip;
  readonly port: number;
  readonly protocol: PacketProtocol;
  /** What a person should know about the question itself. */
  readonly remarks: readonly string[];
}

/** Documentation addresses (RFC 5737, RFC 3849): nobody in a cluster has them. */
const externalSource: Readonly<Record<IpFamily, Ip>> = { 4: "203.0.113.1", 6: "2001:db8::1" };

/** `IP`, `NS/POD`, `node`, `external` or `external:IP`. Throws a usage error. */
export function parseSender(text: string): SenderSpec {
  if (text === "node") return { kind: "node" };
  if (text === "external") return { kind: "external" };
  const outside = /^external:(.*)$/.exec(text)?.[1];
  const ip = parseIp(stripBrackets(outside ?? text));
  if (ip !== undefined) return outside === undefined ? { kind: "ip", ip } : { kind: "external", ip };
  const pod = /^([a-z0-9](?:[-a-z0-9]*[a-z0-9])?)\/([a-z0-9](?:[-a-z0-9.]*[a-z0-9])?)$/.exec(text);
  if (pod !== null) return { kind: "pod", namespace: pod[1] ?? "", name: pod[2] ?? "" };
  throw usageError(`--from ${text}: give an IP address, NAMESPACE/POD, node, external or external:IP`);
}

/** `IP:PORT[/PROTO]`, `[IP6]:PORT[/PROTO]` or `SVC.NS[.svc…][:PORT[/PROTO]]`, PORT a number or a port's name. Throws a usage error. */
export function parseTarget(text: string): TargetSpec {
  const usage = (why: string): Error => usageError(`--to ${text}: ${why}; give IP:PORT[/PROTO] or SERVICE.NAMESPACE[:PORT[/PROTO]]`);
  const match = /^(\[[^\]]*\]|[^:/[\]]+)(?::([^:/]+))?(?:\/([A-Za-z]+))?$/.exec(text);
  if (match === null) throw usage(parseIp(text) === undefined ? "cannot be read" : "an IPv6 address needs brackets and a port");
  const [, host = "", port, protocolText] = match;
  const protocol = protocolText === undefined ? undefined : packetProtocols.find((p) => p === protocolText.toLowerCase());
  if (protocolText !== undefined && protocol === undefined)
    throw usage(`protocol ${protocolText}: there are ${packetProtocols.join(", ")}`);
  if (port !== undefined && /^\d+$/.test(port) && !(Number(port) >= 1 && Number(port) <= 65535))
    throw usage(`port ${port}: must be 1 to 65535`);
  const ip = parseIp(stripBrackets(host));
  if (ip !== undefined) {
    if (port === undefined) throw usage("the port is missing");
    if (!/^\d+$/.test(port)) throw usage(`port ${port}: must be a number`);
    return { kind: "ip", ip, port: Number(port), protocol: protocol ?? "tcp" };
  }
  const [name = "", namespace = "", ...rest] = host.replace(/\.$/, "").split(".");
  const label = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
  if (!label.test(name) || !label.test(namespace)) throw usage("not an address and not a Service's name with its namespace");
  if (rest.length > 0 && rest[0] !== "svc") throw usage(`.${rest.join(".")}: a Service's name goes on with .svc`);
  return { kind: "service", namespace, name, ...(port === undefined ? {} : { port }), ...(protocol === undefined ? {} : { protocol }) };
}

/** Finds the addresses that the two specs stand for. Throws an input error that names what is not there. */
export function resolvePacketEnds(snapshot: Snapshot, node: string, from: SenderSpec, to: TargetSpec): PacketEnds {
  const wanted = to.kind === "ip" ? ipFamily(to.ip) : senderFamily(snapshot, from);
  const target = to.kind === "ip" ? { ip: to.ip, port: to.port, protocol: to.protocol } : serviceTarget(snapshot, to, wanted);
  const sender = senderAddress(snapshot, node, from, ipFamily(target.ip));
  if (ipFamily(sender.ip) !== ipFamily(target.ip)) {
    throw inputError(`--from ${sender.ip} and --to ${target.ip}: one is IPv4 and the other IPv6; ask with two addresses of one family`);
  }
  return {
    source: sender.ip,
    fromNode: sender.fromNode,
    fromPodHere: !sender.fromNode && isPodHere(snapshot, node, from, sender.ip),
    destination: target.ip,
    port: target.port,
    protocol: target.protocol,
    remarks: sender.remarks,
  };
}

function senderFamily(snapshot: Snapshot, from: SenderSpec): IpFamily | undefined {
  if (from.kind === "node") return undefined;
  if (from.kind === "pod") {
    const status = snapshot.tables.Pod.get(`${from.namespace}/${from.name}`)?.status;
    const ip = parseIp(status?.podIP ?? "");
    return ip === undefined || (status?.podIPs?.length ?? 0) > 1 ? undefined : ipFamily(ip);
  }
  return from.ip === undefined ? undefined : ipFamily(from.ip);
}

/** A Pod that runs on the node, or an address of its Pods' range. */
function isPodHere(snapshot: Snapshot, node: string, from: SenderSpec, ip: Ip): boolean {
  if (from.kind === "pod") return snapshot.tables.Pod.get(`${from.namespace}/${from.name}`)?.spec?.nodeName === node;
  const spec = snapshot.tables.Node.get(node)?.spec;
  const ranges = spec?.podCIDRs ?? (spec?.podCIDR === undefined ? [] : [spec.podCIDR]);
  return from.kind === "ip" && ranges.some((text) => contains(parseCidr(text), ip));
}

function contains(range: Cidr | undefined, ip: Ip): boolean {
  return range !== undefined && cidrContains(range, ip);
}

interface Sender {
  readonly ip: Ip;
  readonly fromNode: boolean;
  readonly remarks: readonly string[];
}

function senderAddress(snapshot: Snapshot, node: string, from: SenderSpec, family: IpFamily): Sender {
  switch (from.kind) {
    case "external":
      return { ip: from.ip ?? externalSource[family], fromNode: false, remarks: [] };
    case "ip": {
      const own = nodeAddresses(snapshot, node).includes(from.ip);
      return { ip: from.ip, fromNode: own, remarks: own ? [`${from.ip} is an address of Node ${node}: the node itself sends`] : [] };
    }
    case "node":
      return { ip: nodeAddress(snapshot, node, family), fromNode: true, remarks: [] };
    case "pod":
      return podSender(snapshot, node, from, family);
    default:
      return unreachable(from);
  }
}

function podSender(snapshot: Snapshot, node: string, from: SenderSpec & { readonly kind: "pod" }, family: IpFamily): Sender {
  const key = `${from.namespace}/${from.name}`;
  const pod = snapshot.tables.Pod.get(key);
  if (pod === undefined) throw inputError(`--from ${key}: no such Pod${namesLike(snapshot.tables.Pod.keySeq(), from.namespace)}`);
  const where = pod.spec?.nodeName;
  const remarks =
    where !== undefined && where !== node ? [`Pod ${key} is on Node ${where}; this is what Node ${node} would do with its packet`] : [];
  if (pod.spec?.hostNetwork === true && where === node) {
    return {
      ip: nodeAddress(snapshot, node, family),
      fromNode: true,
      remarks: [`Pod ${key} uses its node's network: the node itself sends`],
    };
  }
  const all = [...(pod.status?.podIPs ?? []).map((p) => p.ip), pod.status?.podIP ?? ""].flatMap((t) => parseIp(t) ?? []);
  const ip = all.find((a) => ipFamily(a) === family);
  if (ip !== undefined) return { ip, fromNode: false, remarks };
  if (all.length === 0)
    throw inputError(`--from ${key}: status.podIP: this Pod has no address yet (phase ${pod.status?.phase ?? "unknown"})`);
  throw inputError(`--from ${key}: status.podIPs: this Pod has no IPv${family} address, and the target has no other`);
}

/** The InternalIPs of a Node, in its order. */
export function nodeAddresses(snapshot: Snapshot, node: string): readonly Ip[] {
  const addresses = snapshot.tables.Node.get(node)?.status?.addresses ?? [];
  return addresses.flatMap((a) => (a.type === "InternalIP" ? (parseIp(a.address) ?? []) : []));
}

function nodeAddress(snapshot: Snapshot, node: string, family: IpFamily): Ip {
  const ip = nodeAddresses(snapshot, node).find((a) => ipFamily(a) === family);
  if (ip === undefined) throw inputError(`--from node: Node ${node}: status.addresses: no InternalIP of IPv${family} among the objects`);
  return ip;
}

function serviceTarget(
  snapshot: Snapshot,
  to: TargetSpec & { readonly kind: "service" },
  family: IpFamily | undefined,
): { readonly ip: Ip; readonly port: number; readonly protocol: PacketProtocol } {
  const key = `${to.namespace}/${to.name}`;
  const service = snapshot.tables.Service.get(key);
  if (service === undefined)
    throw inputError(`--to ${to.name}.${to.namespace}: no Service ${key}${namesLike(snapshot.tables.Service.keySeq(), to.namespace)}`);
  const port = servicePort(service, key, to);
  const protocol = protocolOf(port);
  return { ip: clusterIp(service, key, family), port: port.port, protocol };
}

function clusterIp(service: Service, key: string, family: IpFamily | undefined): Ip {
  if (service.spec?.type === "ExternalName") {
    throw inputError(
      `Service ${key} is an ExternalName (${service.spec.externalName ?? ""}): it has no address; ask 'fairway resolve' for its name`,
    );
  }
  const texts = service.spec?.clusterIPs?.length ? service.spec.clusterIPs : [service.spec?.clusterIP ?? ""];
  if (texts.includes("None")) {
    throw inputError(`Service ${key} is headless: its name stands for its Pods' addresses; ask 'fairway resolve' for them, and trace one`);
  }
  const all = texts.flatMap((t) => parseIp(t) ?? []);
  const ip = all.find((a) => family === undefined || ipFamily(a) === family) ?? all[0];
  if (ip === undefined) throw inputError(`Service ${key}: spec.clusterIP: missing; give it an address in the objects`);
  if (family !== undefined && ipFamily(ip) !== family)
    throw inputError(`Service ${key}: spec.clusterIPs: no IPv${family} address, and the sender has no other`);
  return ip;
}

function servicePort(service: Service, key: string, to: TargetSpec & { readonly kind: "service" }): ServicePort {
  const ports = (service.spec?.ports ?? []).filter((p) => to.protocol === undefined || protocolOf(p) === to.protocol);
  const has = `it has ${(service.spec?.ports ?? []).map((p) => `${p.name ? `${p.name} ` : ""}${p.port}/${protocolOf(p)}`).join(", ") || "none"}`;
  const found = to.port === undefined ? ports : ports.filter((p) => p.name === to.port || String(p.port) === to.port);
  const [first] = found;
  if (first === undefined) throw inputError(`--to ${to.name}.${to.namespace}: Service ${key}: no such port; ${has}`);
  if (to.port === undefined && new Set(found.map((p) => p.port)).size > 1) {
    throw usageError(`--to ${to.name}.${to.namespace}: Service ${key} has several ports; say which: ${has}`);
  }
  return found.find((p) => protocolOf(p) === "tcp") ?? first;
}

function protocolOf(port: ServicePort): PacketProtocol {
  return packetProtocols.find((p) => p === port.protocol?.toLowerCase()) ?? "tcp";
}

/** A hint: what there is in the namespace. */
function namesLike(keys: Iterable<string>, namespace: string): string {
  const names = Array.from(keys).filter((k) => k.startsWith(`${namespace}/`));
  if (names.length === 0) return `; nothing of this kind in namespace ${namespace}`;
  return `; there ${names.length === 1 ? "is" : "are"} ${names.slice(0, 5).join(", ")}${names.length > 5 ? ", …" : ""}`;
}

function stripBrackets(text: string): string {
  return /^\[(.*)\]$/.exec(text)?.[1] ?? text;
}
