import { Map as PersistentMap } from "immutable";
import { type Cidr, cidrContains, printCidr } from "../../src/base/cidr.ts";
import { compareIp, type Ip, ipFamily } from "../../src/base/ip.ts";
import type { Delta } from "../../src/snapshot/derivation.ts";
import type { Problem } from "../../src/snapshot/problem.ts";
import { type Protocol, printServicePort } from "../model/service-port.ts";
import { type BalancePolicy, type Frontend, type FrontendKey, frontendKey, type Member, nodePortKey, type Pool } from "../plan/frontend.ts";

/** What this machine's addresses mean for listeners. */
export interface UserspaceSurroundings {
  /** Where node ports listen; `0.0.0.0` and `::`: on every address of the family. */
  readonly nodePortIps: readonly Ip[];
  readonly podCidrs: readonly Cidr[];
  readonly serviceCidrs: readonly Cidr[];
  /** Addresses that another part of this node serves (cluster DNS). */
  readonly localDnsIps: readonly Ip[];
}

/** The plan compiled for sockets: which listeners there are and whom each one serves. Immutable. */
export interface UserspaceProgram {
  readonly frontends: PersistentMap<FrontendKey, Frontend>;
  readonly surroundings: UserspaceSurroundings;
}

export const emptyUserspaceProgram: UserspaceProgram = {
  frontends: PersistentMap(),
  surroundings: { nodePortIps: [], podCidrs: [], serviceCidrs: [], localDnsIps: [] },
};

/** One socket. Its identity is where it listens; everything else may change while it is open. */
export interface Listener {
  /** Without the port it had to move to, if any. */
  readonly id: string;
  readonly ip: Ip;
  readonly port: number;
  readonly protocol: "tcp" | "udp";
  readonly frontend: Frontend;
}

export function compileUserspace(changed: Delta<FrontendKey, Frontend>["changed"], before: UserspaceProgram): UserspaceProgram {
  const frontends = before.frontends.withMutations((map) => {
    for (const [key, { after }] of changed) {
      if (after === undefined) map.delete(key);
      else map.set(key, after);
    }
  });
  return { ...before, frontends };
}

/**
 * The sockets of one frontend: none for SCTP, and none where connections are refused (nobody listening refuses them). A node port
 * has none where a Service names that very address and port.
 */
export function listenersOf(frontend: Frontend, { frontends, surroundings }: UserspaceProgram): readonly Listener[] {
  const { protocol, action, port } = frontend;
  if (protocol === "sctp" || action.kind !== "balance") return [];
  const ips =
    frontend.ip !== undefined
      ? [frontend.ip]
      : surroundings.nodePortIps.filter((ip) => ipFamily(ip) === frontend.family && !frontends.has(frontendKey(ip, port, protocol)));
  return ips.map((ip) => ({ id: `${ip} ${port} ${protocol}`, ip, port, protocol, frontend }));
}

/** `changed`: all frontends that may differ. A socket that stays is among `open`: it serves as its frontend says now. */
export function diffListeners(
  before: UserspaceProgram,
  after: UserspaceProgram,
  changed: Iterable<FrontendKey>,
): { readonly close: ReadonlySet<string>; readonly open: readonly Listener[] } {
  const keys = new Set<FrontendKey>();
  const moved = JSON.stringify(before.surroundings) !== JSON.stringify(after.surroundings);
  for (const key of moved ? [...before.frontends.keys(), ...after.frontends.keys()] : changed) {
    keys.add(key);
    const { ip, family, port, protocol } = after.frontends.get(key) ?? before.frontends.get(key) ?? {};
    // the node port of this number gives the address up, or gets it back
    if (ip !== undefined && family !== undefined && port !== undefined && protocol !== undefined)
      keys.add(nodePortKey(family, port, protocol));
  }
  const close = new Set<string>();
  const open = new Map<string, Listener>();
  for (const key of keys) {
    const [was, is] = [before.frontends.get(key), after.frontends.get(key)];
    if (was !== undefined) for (const { id } of listenersOf(was, before)) close.add(id);
    if (is !== undefined) for (const listener of listenersOf(is, after)) open.set(listener.id, listener);
  }
  for (const id of open.keys()) close.delete(id);
  return { close, open: [...open.values()] };
}

/** What a frontend asks for that sockets cannot do: what is not served is refused, as nobody listens. */
export function limitOf({ protocol, port, owner }: Frontend): Problem | undefined {
  if (protocol !== "sctp") return undefined;
  return {
    object: { kind: "Service", namespace: owner.namespace, name: owner.name },
    field: "spec.ports",
    reason: "ProtocolUnsupported",
    message: `the userspace backend serves TCP and UDP: port ${port}/sctp is refused; any other backend serves it`,
  };
}

/** Whether a sender is in the Service's source ranges. */
export function admits({ sources }: Frontend, source: Ip): boolean {
  return sources === undefined || sources.some((range) => cidrContains(range, source));
}

/** Who may be given a connection from `source`; undefined: nobody, it is closed. `isOwn`: an address of this machine. */
export function poolFor(frontend: Frontend, source: Ip, surroundings: UserspaceSurroundings, isOwn: (ip: Ip) => boolean): Pool | undefined {
  const { action } = frontend;
  if (action.kind !== "balance" || !admits(frontend, source)) return undefined;
  if (action.localPool === undefined) return action.pool;
  const inside = isOwn(source) || surroundings.podCidrs.some((range) => cidrContains(range, source));
  const pool = inside ? action.pool : action.localPool;
  return pool.members.length === 0 ? undefined : pool;
}

/** The listeners as one JSON document, sorted by address, port and protocol. */
export function printUserspace(program: UserspaceProgram): string {
  const rows = [...program.frontends.values()].flatMap((frontend) => {
    const listeners = listenersOf(frontend, program);
    const { action, sources, owner, affinity, balance } = described(frontend);
    const at = listeners.length > 0 ? listeners : frontend.ip === undefined ? [] : [{ ip: frontend.ip }];
    return at.map(({ ip }) => ({
      ip,
      port: frontend.port,
      protocol: frontend.protocol,
      service: owner,
      action,
      ...endpointsOf(frontend),
      ...balance,
      ...affinity,
      ...sources,
    }));
  });
  rows.sort((a, b) => compareIp(a.ip, b.ip) || a.port - b.port || (a.protocol < b.protocol ? -1 : 1));
  return `${JSON.stringify({ listeners: rows }, null, 2)}\n`;
}

type Described = {
  readonly action: "balance" | "refuse";
  readonly owner: string;
  readonly sources: { readonly sources?: readonly string[] };
  readonly affinity: { readonly affinitySeconds?: number };
  readonly balance: { readonly balance?: BalancePolicy };
};

function described(frontend: Frontend): Described {
  const { action } = frontend;
  const served = action.kind === "balance" && (frontend.protocol as Protocol) !== "sctp";
  return {
    action: served ? "balance" : "refuse",
    owner: printServicePort(frontend.owner),
    sources: frontend.sources === undefined ? {} : { sources: frontend.sources.map(printCidr) },
    balance: action.kind === "balance" && action.pool.balance !== undefined ? { balance: action.pool.balance } : {},
    affinity: action.kind === "balance" && action.affinitySeconds !== undefined ? { affinitySeconds: action.affinitySeconds } : {},
  };
}

function endpointsOf({ action }: Frontend): { readonly endpoints: readonly Member[]; readonly localEndpoints?: readonly Member[] } {
  if (action.kind !== "balance") return { endpoints: [] };
  const endpoints = action.pool.members;
  return action.localPool === undefined ? { endpoints } : { endpoints, localEndpoints: action.localPool.members };
}
