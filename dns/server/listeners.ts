import type { Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import type { Server as TcpServer } from "node:net";
import { type Cidr, cidrContains } from "../../src/base/cidr.ts";
import { type Ip, parseIp } from "../../src/base/ip.ts";
import type { Running } from "../../src/base/running.ts";
import { bindSocket } from "../../src/kernel/socket.ts";
import { createUdpSocket } from "../../src/kernel/udp-socket.ts";
import type { DnsAddress, DnsConfig } from "../config/dns-config.ts";
import type { ListenerScheme } from "../corefile/server-blocks.ts";
import type { Accepting } from "./accept.ts";
import { limitClients } from "./client-limit.ts";
import { openDatagramBatch } from "./datagram-batch.ts";
import type { QueryEngine } from "./engine.ts";
import { startHttpsListener } from "./https-listener.ts";
import { InFlight } from "./in-flight.ts";
import { ResponseRate, slipAnswer } from "./response-rate.ts";
import { startTcpListener, type TcpLimits } from "./tcp-listener.ts";
import { startTlsListener } from "./tls-listener.ts";
import { type BoundUdp, startUdpListener, type UdpListener, type UdpListenerOptions } from "./udp-listener.ts";

/** Sockets that a supervisor bound, in place of addresses; they are closed with the server. */
export interface BoundSockets {
  /** With its file descriptor, a socket is read and written in batches where this machine can. */
  readonly udp: readonly (UdpSocket | BoundUdp)[];
  readonly tcp: readonly TcpServer[];
}

export interface ListenersConfig extends Pick<DnsConfig, "tls" | "https" | "proxyProtocol" | "rateLimit" | "queriesPerClient"> {
  /** Each is bound on UDP and TCP; port 0 = any free port, the same for both. Not used when sockets are passed. */
  readonly listen: readonly DnsAddress[];
  /** Bound too, whether sockets are passed or not. */
  readonly extra?: readonly DnsAddress[];
  /** How UDP is read: `auto` in batches where this machine can, `portable` by node alone. Default auto. */
  readonly udpIo?: "auto" | "portable";
}

export interface ListenersDeps {
  /** Who answers what comes in at an address. */
  readonly engineAt: (scheme: ListenerScheme, address: () => DnsAddress) => QueryEngine;
  readonly limits: TcpLimits;
  /** The largest UDP answer. */
  readonly udpBytes: number;
  /** Milliseconds of a clock that never goes back. */
  readonly monotonic: () => number;
  readonly count: (event: "dropped" | "slipped") => void;
  readonly sockets?: BoundSockets | undefined;
}

export interface Listeners extends Running {
  /** Where each scheme is served; empty before it is ready. */
  readonly addresses: (scheme: ListenerScheme) => readonly DnsAddress[];
  /**
   * Takes nothing new where another process has the same sockets, and ends when all that was taken is answered, or after so many
   * milliseconds. Datagrams that nobody has read stay in their socket for the other.
   */
  drain(withinMs: number): Promise<void>;
}

const anywhere: DnsAddress = { ip: "0.0.0.0", port: 0 };
const anyPortTries = 20;
const defaultQueriesPerClient = 1000;
/** A connection that is about to be ended may still bring the query it was made for. Milliseconds. */
const silentMs = 250;

/** All sockets of a server. */
export function startListeners(config: ListenersConfig, deps: ListenersDeps): Listeners {
  const { limits, udpBytes } = deps;
  const running: Running[] = [];
  const accepting: Accepting[] = [];
  const datagrams: UdpListener[] = [];
  const inFlight = new InFlight();
  const bound: Record<ListenerScheme, DnsAddress[]> = { dns: [], tls: [], https: [] };
  const batch = config.udpIo === "portable" ? undefined : openDatagramBatch();
  const isProxy = config.proxyProtocol === undefined ? undefined : rangePolicy(config.proxyProtocol);
  const rate = config.rateLimit === undefined ? undefined : new ResponseRate(config.rateLimit);
  const udp: UdpListenerOptions = {
    batch,
    answerBytes: udpBytes,
    isProxy,
    limit:
      rate === undefined
        ? undefined
        : (answer, length, client) => {
            const verdict = rate.take(client, deps.monotonic());
            if (verdict === "send") return length;
            deps.count(verdict === "drop" ? "dropped" : "slipped");
            return verdict === "drop" ? 0 : slipAnswer(answer, length);
          },
  };
  const engineAt = (scheme: ListenerScheme, address: () => DnsAddress): QueryEngine =>
    limitClients(inFlight.watch(deps.engineAt(scheme, address)), config.queriesPerClient ?? defaultQueriesPerClient);

  /** The address is asked for when the first query comes, by when the socket has one. */
  const started = <T extends Running & { readonly address: () => DnsAddress }>(
    scheme: ListenerScheme,
    start: (engine: QueryEngine) => T,
  ): T => {
    const own: T = start(engineAt(scheme, () => own.address()));
    running.push(own);
    return own;
  };

  /** One port for both; where any will do, one that others have over UDP is left for another. */
  const bindPair = async (at: DnsAddress, isShared: boolean): Promise<{ readonly tcp: Accepting; readonly socket: BoundUdp }> => {
    for (let left = at.port === 0 ? anyPortTries : 1; ; left--) {
      // TCP first: its port is the scarcer one
      const tcp = started("dns", (engine) => startTcpListener(at, engine, { limits, isProxy, isShared }));
      await tcp.ready;
      try {
        return { tcp, socket: await bindUdp({ ip: at.ip, port: tcp.address().port }, { isShared, isBatched: batch !== undefined }) };
      } catch (error) {
        if (left <= 1) throw error;
        running.splice(running.indexOf(tcp), 1);
        await tcp.close();
      }
    }
  };

  const listen = async (): Promise<void> => {
    if (deps.sockets !== undefined) {
      for (const server of deps.sockets.tcp)
        accepting.push(started("dns", (engine) => startTcpListener(anywhere, engine, { limits, isProxy, bound: server })));
      for (const socket of deps.sockets.udp) {
        const own = started("dns", (engine) =>
          startUdpListener(anywhere, engine, { ...udp, bound: "socket" in socket ? socket : { socket } }),
        );
        bound.dns.push(own.address());
        datagrams.push(own);
      }
    }
    // whose sockets are handed over lets its successor open the others while it still answers
    const isShared = deps.sockets !== undefined;
    for (const at of [...(deps.sockets === undefined ? config.listen : []), ...(config.extra ?? [])]) {
      const { tcp, socket } = await bindPair(at, isShared);
      const own: UdpListener = started("dns", (engine) => startUdpListener(at, engine, { ...udp, bound: socket }));
      await own.ready;
      accepting.push(tcp);
      datagrams.push(own);
      bound.dns.push(own.address());
    }
    for (const { listen: addresses, certificate } of config.tls ?? []) {
      for (const at of addresses) {
        const tls = started("tls", (engine) => startTlsListener(at, engine, { limits, isProxy, isShared, certificate }));
        await tls.ready;
        accepting.push(tls);
        bound.tls.push(tls.address());
      }
    }
    for (const { listen: addresses, certificate, path = "/dns-query" } of config.https ?? []) {
      for (const at of addresses) {
        const https = started("https", (engine) => startHttpsListener(at, engine, { limits, isProxy, isShared, certificate, path }));
        await https.ready;
        accepting.push(https);
        bound.https.push(https.address());
      }
    }
  };
  return {
    ready: listen(),
    addresses: (scheme) => bound[scheme],
    drain: async (withinMs) => {
      const deadline = deps.monotonic() + withinMs;
      const connections = Promise.all(accepting.map((a) => a.drain(silentMs)));
      await inFlight.idle(withinMs, () => {
        for (const d of datagrams) d.settle();
      });
      // nothing is read after this, and nothing was read that has no answer
      await Promise.all(datagrams.map((d) => d.close()));
      const late = new AbortController();
      const timer = setTimeout(() => late.abort(), Math.max(1, deadline - deps.monotonic()));
      await Promise.race([connections, once(late.signal, "abort")]);
      clearTimeout(timer);
    },
    close: async () => {
      await Promise.all(running.splice(0).map((r) => r.close()));
    },
  };
}

/** Bound by hand where batches work, so that the file descriptor is known. */
async function bindUdp(at: DnsAddress, how: { readonly isShared: boolean; readonly isBatched: boolean }): Promise<BoundUdp> {
  const { isShared, isBatched } = how;
  const fd = isBatched ? bindSocket({ ...at, type: "udp", sharePort: isShared }).fd : undefined;
  const socket = createUdpSocket(at.ip, "large", isShared && fd === undefined);
  const opened = once(socket, "listening");
  try {
    if (fd === undefined) socket.bind(at.port, at.ip);
    else socket.bind({ fd });
    await opened;
  } catch (error) {
    socket.close();
    throw error;
  }
  return fd === undefined ? { socket } : { socket, fd };
}

/** Whether an address is in one of the ranges. Remembers what it said: there are few clients, and each is asked about with each query. */
export function rangePolicy(ranges: readonly Cidr[]): (client: Ip) => boolean {
  const known = new Map<Ip, boolean>();
  return (client) => {
    const before = known.get(client);
    if (before !== undefined) return before;
    const ip = parseIp(client);
    const verdict = ip !== undefined && ranges.some((cidr) => cidrContains(cidr, ip));
    if (known.size >= 4096) known.clear();
    known.set(client, verdict);
    return verdict;
  };
}
