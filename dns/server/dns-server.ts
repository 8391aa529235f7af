import { randomBytes, randomInt } from "node:crypto";
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import type { Server as TcpServer } from "node:net";
import { type Cidr, cidrContains } from "../../src/base/cidr.ts";
import { type Clock, systemClock } from "../../src/base/clock.ts";
import { type Ip, ipFamily, parseIp } from "../../src/base/ip.ts";
import type { Running } from "../../src/base/running.ts";
import { bindSocket } from "../../src/kernel/socket.ts";
import type { Log } from "../../src/observe/log.ts";
import { Answerer } from "../answer/answerer.ts";
import { EdnsAnswers } from "../answer/edns-answers.ts";
import { defaultCacheLimits, MessageCache } from "../cache/message-cache.ts";
import { type DnsAddress, type DnsConfig, validateDnsConfig } from "../config/dns-config.ts";
import { servedZones } from "../config/served-zones.ts";
import { isUpstreamError } from "../forward/errors.ts";
import { Forwarder } from "../forward/forwarder.ts";
import { parseResolvConf } from "../forward/resolv-conf.ts";
import { answerCached } from "../handler/cached.ts";
import { createChain } from "../handler/chain.ts";
import { forwardQueries } from "../handler/forwarded.ts";
import type { DnsHandler } from "../handler/handler.ts";
import { canonicalName } from "../wire/name.ts";
import { ServerCookies } from "../wire/server-cookie.ts";
import type { RecordDelta } from "../zone/record-delta.ts";
import { type DatagramBatch, openDatagramBatch } from "./datagram-batch.ts";
import { DnsMetrics } from "./dns-metrics.ts";
import { createEngine, type QueryEngine } from "./engine.ts";
import { type NotifyTarget, startNotifier } from "./notifier.ts";
import { defaultTcpLimits, startTcpListener } from "./tcp-listener.ts";
import { type BoundUdp, startUdpListener, type UdpListener } from "./udp-listener.ts";
import { ZoneTransfers } from "./zone-transfers.ts";

export interface DnsServerConfig extends DnsConfig {
  /** Each is bound on UDP and TCP; port 0 = any free port, the same for both. Not used when sockets are passed. */
  readonly listen: readonly DnsAddress[];
  /** How UDP is read: `auto` in batches where this machine can, `portable` by node alone. Default auto. */
  readonly udpIo?: "auto" | "portable";
}

export interface DnsServerDeps {
  readonly clock?: Clock;
  readonly log?: Log;
  /** In [0, 1), not to be guessed; default from the system's generator. */
  readonly random?: () => number;
  /** Sockets that a supervisor bound, in place of `listen`; they are closed with the server. */
  readonly sockets?: {
    /** With its file descriptor, a socket is read and written in batches where this machine can. */
    readonly udp: readonly (UdpSocket | BoundUdp)[];
    readonly tcp: readonly TcpServer[];
  };
}

export interface DnsServer extends Running {
  apply(delta: RecordDelta): void;
  /** All kinds have had their first list: unknown names are NXDOMAIN from now on. */
  setSynced(): void;
  /** Where it answers, on UDP and TCP; empty before it is ready. */
  readonly addresses: () => readonly DnsAddress[];
  /** Prometheus text, with CoreDNS's names. */
  metrics(): string;
}

/** Endpoints may have addresses of nodes and of machines outside: known ones have a name, others are asked for upstream. */
const foreignReverseZones = ["in-addr.arpa.", "ip6.arpa."];
const defaultResolvConf = "/etc/resolv.conf";
const dnsPort = 53;

/** Starts the server of the cluster's zones. Rejects `ready` for a configuration that makes no sense and sockets it cannot have. */
export function startDnsServer(config: DnsServerConfig, deps: DnsServerDeps = {}): DnsServer {
  const clock = deps.clock ?? systemClock;
  const random = deps.random ?? (() => randomInt(0x1_0000_0000) / 0x1_0000_0000);
  const isAllowed = clientPolicy(config.allowedClients);
  /** There are upstreams. */
  let recursion = false;
  const udpBytes = config.udpBytes ?? 1232;
  const limits = { ...defaultTcpLimits, ...config.tcp };
  const cookieSecret = Buffer.from(config.cookies === false ? "" : (config.cookies?.secret ?? ""), "hex");
  const edns = new EdnsAnswers({
    udpBytes,
    tcpIdle: limits.idle,
    now: () => clock.now(),
    ...(config.cookies === false ? {} : { cookies: new ServerCookies(cookieSecret.length === 16 ? cookieSecret : randomBytes(16)) }),
    ...(config.nsid === undefined ? {} : { nsid: config.nsid }),
  });
  const answerer = new Answerer({
    ...config,
    passing: foreignReverseZones,
    isAllowed: (client) => recursion && isAllowed(client),
    udpBytes,
    edns,
  });
  const transfers = new ZoneTransfers(answerer, config.transfer ?? []);
  const metrics = new DnsMetrics();
  const cache = config.cache === false ? undefined : new MessageCache({ ...defaultCacheLimits, ...config.cache });
  const closing = new AbortController();
  const background = new Set<Promise<unknown>>();
  const running: Running[] = [];
  let addresses: readonly DnsAddress[] = [];

  const chainOf = (forward: DnsHandler | undefined): DnsHandler =>
    createChain({
      answerer,
      zones: config,
      passing: foreignReverseZones,
      isAllowed,
      report: (error, name) => {
        if (!isUpstreamError(error)) metrics.countSingle("panics");
        deps.log?.(isUpstreamError(error) ? "debug" : "error", "query failed", { name, error });
      },
      ...(cache === undefined || forward === undefined
        ? {}
        : {
            cache: answerCached(
              cache,
              clock,
              {
                hit: (kind) => metrics.countCache(`hits ${kind}`),
                miss: () => metrics.countCache("misses"),
                stale: () => metrics.countCache("served_stale"),
                prefetch: () => metrics.countCache("prefetch"),
              },
              (task) => {
                background.add(task);
                void task.finally(() => background.delete(task));
              },
            ),
          }),
      ...(forward === undefined ? {} : { forward }),
    });

  const notifier = startNotifier(notifyTargets(config), {
    clock,
    id: () => Math.floor(random() * 0x10000),
    report: (zone, server, outcome) =>
      deps.log?.(outcome === "told" ? "debug" : "warn", outcome === "told" ? "NOTIFY" : "no reply to NOTIFY", { zone, server }),
  });
  running.push(notifier);

  const listen = async (engine: QueryEngine): Promise<void> => {
    const batch = config.udpIo === "portable" ? undefined : openDatagramBatch();
    const anywhere = { ip: "0.0.0.0", port: 0 };
    if (deps.sockets !== undefined) {
      const tcp = deps.sockets.tcp.map((server) => startTcpListener(anywhere, engine, limits, server));
      const udp = deps.sockets.udp.map((u) =>
        startUdpListener(anywhere, engine, { bound: "socket" in u ? u : { socket: u }, batch, answerBytes: udpBytes }),
      );
      running.push(...udp, ...tcp);
      addresses = udp.map((l) => l.address());
      return;
    }
    const bound: DnsAddress[] = [];
    for (const at of config.listen) {
      // TCP first: its port is the scarcer one when any free port will do
      const tcp = startTcpListener(at, engine, limits);
      running.push(tcp);
      await tcp.ready;
      const udp = await listenUdp({ ip: at.ip, port: tcp.address().port }, engine, batch, udpBytes);
      running.push(udp);
      await udp.ready;
      bound.push(udp.address());
    }
    addresses = bound;
  };

  const start = async (): Promise<void> => {
    const wrong = validateDnsConfig(config);
    if (wrong.length > 0) throw new RangeError(`DNS configuration: ${wrong.join("; ")}`);
    let chain = chainOf(undefined);
    await listen(
      createEngine({ answerer, chain: (q, c) => chain(q, c), transfers, edns, udpBytes, metrics, clock, signal: closing.signal }),
    );
    const upstreams = (await upstreamsOf(config, deps.log)).filter((u) => {
      const own = addresses.some((a) => a.port === u.port && (a.ip === u.ip || (isAnyAddress(a.ip) && isLoopback(u.ip))));
      if (own) deps.log?.("warn", "an upstream is this server itself and is left out", { upstream: u.ip });
      return !own;
    });
    if (upstreams.length === 0) return;
    const forwarder = new Forwarder(
      { ...config.forward, upstreams },
      {
        clock,
        random,
        observe: {
          answered: (upstream, rcode, ms) => metrics.countAnswer(upstream, rcode, ms),
          failed: (upstream) => metrics.countFailure(upstream, "failed"),
          checkFailed: (upstream) => metrics.countFailure(upstream, "checkFailed"),
          allDown: () => metrics.countSingle("allDown"),
          rejected: () => metrics.countSingle("rejected"),
        },
      },
    );
    running.push(forwarder);
    chain = chainOf(forwardQueries(forwarder));
    recursion = true;
  };
  const close = async (): Promise<void> => {
    closing.abort(new Error("the DNS server is closing"));
    await Promise.all(running.splice(0).map((r) => r.close()));
    await Promise.all(background);
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
    apply: (delta) => {
      const { revision } = answerer;
      answerer.apply(delta);
      if (answerer.revision !== revision) notifier.changed();
    },
    setSynced: () => answerer.setSynced(),
    addresses: () => addresses,
    metrics: () =>
      metrics.print({
        port: addresses[0]?.port ?? dnsPort,
        cacheEntries: cache?.size ?? 0,
        cacheEvictions: cache?.evictions ?? 0,
        names: answerer.size,
      }),
  };
}

function notifyTargets(config: DnsServerConfig): readonly NotifyTarget[] {
  return (config.transfer ?? []).flatMap(({ zones, notify = [] }) => {
    const own = zones?.map(canonicalName) ?? servedZones(config).map((zone) => zone.name);
    return notify.length === 0 ? [] : own.map((zone) => ({ zone, to: notify }));
  });
}

/** Bound by hand where batches work, so that the file descriptor is known. */
async function listenUdp(at: DnsAddress, engine: QueryEngine, batch: DatagramBatch | undefined, answerBytes: number): Promise<UdpListener> {
  if (batch === undefined) return startUdpListener(at, engine, { answerBytes });
  const { fd } = bindSocket({ ...at, type: "udp" });
  const socket = createSocket(ipFamily(at.ip) === 4 ? "udp4" : "udp6");
  const opened = once(socket, "listening");
  socket.bind({ fd });
  await opened;
  return startUdpListener(at, engine, { bound: { socket, fd }, batch, answerBytes });
}

async function upstreamsOf(config: DnsServerConfig, log: Log | undefined): Promise<readonly DnsAddress[]> {
  const { upstreams = { resolvConf: defaultResolvConf } } = config;
  if (!("resolvConf" in upstreams)) return upstreams;
  try {
    const { nameservers } = parseResolvConf(await readFile(upstreams.resolvConf, "utf8"));
    if (nameservers.length === 0) log?.("warn", "no upstream: names outside the cluster are refused", { file: upstreams.resolvConf });
    return nameservers.map((ip) => ({ ip, port: dnsPort }));
  } catch (error) {
    log?.("warn", "no upstream: names outside the cluster are refused", { file: upstreams.resolvConf, error });
    return [];
  }
}

function isAnyAddress(ip: Ip): boolean {
  return ip === "0.0.0.0" || ip === "::";
}

function isLoopback(ip: Ip): boolean {
  return ip.startsWith("127.") || ip === "::1";
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
