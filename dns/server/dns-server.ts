import type { Socket as UdpSocket } from "node:dgram";
import type { Server as TcpServer } from "node:net";
import { type Cidr, cidrContains } from "../../src/base/cidr.ts";
import { type Ip, parseIp } from "../../src/base/ip.ts";
import type { Running } from "../../src/base/running.ts";
import { Answerer } from "../answer/answerer.ts";
import { canonicalName } from "../wire/name.ts";
import { rcodes } from "../wire/record-type.ts";
import type { RecordDelta } from "../zone/record-delta.ts";
import { reverseZones } from "../zone/reverse-zone.ts";
import type { ListenAddress, QueryEngine } from "./engine.ts";
import { defaultTcpLimits, startTcpListener, type TcpLimits } from "./tcp-listener.ts";
import { startUdpListener } from "./udp-listener.ts";

export interface DnsServerConfig {
  /** Each is bound on UDP and TCP; port 0 = any free port, the same for both. */
  readonly listen: readonly ListenAddress[];
  /** Default `cluster.local`. */
  readonly zone?: string;
  /** Service and pod ranges; their reverse zones are answered here. */
  readonly reverse?: readonly Cidr[];
  /** Seconds; default 5. */
  readonly ttl?: number;
  /** Clients that get recursion; default all. */
  readonly allowedClients?: readonly Cidr[];
  readonly tcp?: Partial<TcpLimits>;
}

export interface DnsServerDeps {
  /** Sockets that a supervisor bound, in place of `listen`. */
  readonly sockets?: { readonly udp: readonly UdpSocket[]; readonly tcp: readonly TcpServer[] };
}

export interface DnsServer extends Running {
  apply(delta: RecordDelta): void;
  /** All kinds have had their first list: unknown names are NXDOMAIN from now on. */
  setSynced(): void;
  /** Where it answers, on UDP and TCP. */
  readonly addresses: () => readonly ListenAddress[];
}

/** Starts the server of the cluster's zones. */
export function startDnsServer(config: DnsServerConfig, deps: DnsServerDeps = {}): DnsServer {
  const zones = [canonicalName(config.zone ?? "cluster.local"), ...(config.reverse ?? []).flatMap(reverseZones)];
  const answerer = new Answerer({
    zones,
    ...(config.ttl === undefined ? {} : { ttl: config.ttl }),
    isAllowed: clientPolicy(config.allowedClients),
  });
  const engine: QueryEngine = {
    now: (query, n, client, out, transport) => answerer.answer(query, n, client, out, transport),
    later: async (query) => refusal(query),
  };
  const limits = { ...defaultTcpLimits, ...config.tcp };
  const running: Running[] = [];
  let addresses: readonly ListenAddress[] = [];

  const start = async (): Promise<void> => {
    if (deps.sockets !== undefined) {
      const udp = deps.sockets.udp.map((socket) => startUdpListener({ ip: "0.0.0.0", port: 0 }, engine, socket));
      const tcp = deps.sockets.tcp.map((server) => startTcpListener({ ip: "0.0.0.0", port: 0 }, engine, limits, server));
      running.push(...udp, ...tcp);
      addresses = udp.map((l) => l.address());
      return;
    }
    const bound: ListenAddress[] = [];
    for (const at of config.listen) {
      // TCP first: its port is the scarcer one when any free port will do
      const tcp = startTcpListener(at, engine, limits);
      running.push(tcp);
      await tcp.ready;
      const udp = startUdpListener({ ip: at.ip, port: tcp.address().port }, engine);
      running.push(udp);
      await udp.ready;
      bound.push(udp.address());
    }
    addresses = bound;
  };
  const close = async (): Promise<void> => {
    await Promise.all(running.splice(0).map((r) => r.close()));
  };
  const ready = start().catch(async (error: unknown) => {
    await close();
    throw error;
  });
  return {
    ready,
    close: async () => {
      await ready.catch(() => {});
      await close();
    },
    apply: (delta) => answerer.apply(delta),
    setSynced: () => answerer.setSynced(),
    addresses: () => addresses,
  };
}

/** Remembers its answers: a node has few clients, and the question is asked with each query. */
export function clientPolicy(allowed: readonly Cidr[] | undefined): (client: Ip) => boolean {
  if (allowed === undefined) return () => true;
  const known = new Map<Ip, boolean>();
  return (client) => {
    const before = known.get(client);
    if (before !== undefined) return before;
    const ip = parseIp(client);
    const verdict = ip !== undefined && allowed.some((cidr) => cidrContains(cidr, ip));
    if (known.size >= 4096) known.clear();
    known.set(client, verdict);
    return verdict;
  };
}

function refusal(query: Uint8Array): Uint8Array {
  const out = Uint8Array.from(query.subarray(0, 12));
  out[2] = 0x80 | ((out[2] ?? 0) & 0x79);
  out[3] = rcodes.REFUSED;
  out.fill(0, 4);
  return out;
}
