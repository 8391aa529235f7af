import { randomBytes, randomInt } from "node:crypto";
import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import type { Cidr } from "../../src/base/cidr.ts";
import { type Clock, systemClock } from "../../src/base/clock.ts";
import { ipFamily, printHostPort } from "../../src/base/ip.ts";
import type { Running } from "../../src/base/running.ts";
import { type Log, silentLog } from "../../src/observe/log.ts";
import { Answerer } from "../answer/answerer.ts";
import { EdnsAnswers } from "../answer/edns-answers.ts";
import type { MessageCache } from "../cache/message-cache.ts";
import { type DnsAddress, type DnsConfig, validateDnsConfig } from "../config/dns-config.ts";
import { clusterZones, servedZones } from "../config/served-zones.ts";
import type { TransferConfig } from "../config/transfer-config.ts";
import { defaultBlocks } from "../corefile/default-blocks.ts";
import { notifiedBy } from "../corefile/plugins/records.ts";
import type { DnsBlocks, ListenerScheme } from "../corefile/server-blocks.ts";
import type { BlockParts } from "../handler/block-parts.ts";
import { type ListenerChains, startServerChains } from "../handler/server-chains.ts";
import { refuseRest } from "../handler/zone-names.ts";
import { transfersOf } from "../handler/zone-transfer.ts";
import type { Message } from "../wire/message.ts";
import { canonicalName, type DomainName, encodeName } from "../wire/name.ts";
import { ServerCookies } from "../wire/server-cookie.ts";
import type { TsigKeys } from "../wire/tsig.ts";
import type { RecordDelta } from "../zone/record-delta.ts";
import { type BlockEndpoints, openBlockEndpoints } from "./block-endpoints.ts";
import { blockListeners } from "./block-listeners.ts";
import { ChainGeneration } from "./chain-generation.ts";
import { ClientNamespaces } from "./client-namespaces.ts";
import { DnsMetrics } from "./dns-metrics.ts";
import { createEngine, type QueryEngine } from "./engine.ts";
import { type BoundSockets, type Listeners, type ListenersConfig, rangePolicy, startListeners } from "./listeners.ts";
import { type Notifier, type NotifierDeps, type NotifyTarget, startNotifier } from "./notifier.ts";
import { QueryAccounts } from "./query-accounts.ts";
import type { QueryCounts } from "./query-counts.ts";
import { answerSigned, readKeys } from "./signed-queries.ts";
import { defaultTcpLimits } from "./tcp-listener.ts";
import { ZoneTransfers } from "./zone-transfers.ts";

export interface DnsServerConfig extends DnsConfig, ListenersConfig {
  /** Server blocks of a Corefile; their zones, upstreams and caches go before those of this configuration. */
  readonly blocks?: DnsBlocks;
}

export interface DnsServerDeps {
  readonly clock?: Clock;
  readonly log?: Log;
  /** In [0, 1), not to be guessed; default from the system's generator. */
  readonly random?: () => number;
  /** Sockets that a supervisor bound, in place of `listen`; nothing is read before they are given. */
  readonly sockets?: BoundSockets | Promise<BoundSockets>;
}

export interface DnsServer extends Running {
  /**
   * Serves by other blocks from now on, for the same zones and listeners; queries on their way end in the old ones. Rejects, and
   * changes nothing, when files of theirs cannot be had.
   */
  configure(blocks: DnsBlocks): Promise<void>;
  apply(delta: RecordDelta): void;
  /** All names will come anew, in any number of changes; then `unstated` has those that none of them named. */
  restate(): void;
  unstated(): readonly DomainName[];
  /** All kinds have had their first list: unknown names are NXDOMAIN from now on. */
  setSynced(): void;
  /** Hands its sockets' work to another process that has them too: ends when all it took is answered, or after so many milliseconds. */
  drain(withinMs: number): Promise<void>;
  /** Where it answers, by default plain DNS on UDP and TCP; empty before it is ready. */
  readonly addresses: (scheme?: ListenerScheme) => readonly DnsAddress[];
  /** Where `health`, `ready` and `prometheus` of a Corefile are served. */
  readonly endpoints: BlockEndpoints["addresses"];
  /** Prometheus text, with CoreDNS's names. */
  metrics(): string;
}

const dnsPort = 53;
/** A supervisor waits four seconds for its children. */
const maxLameduck = 3000;
/** For answers on their way when the server is told to close. */
const closingDrain = 700;

/** Starts the server of the cluster's zones. Rejects `ready` for a configuration that makes no sense and sockets it cannot have. */
export function startDnsServer(config: DnsServerConfig, deps: DnsServerDeps = {}): DnsServer {
  const clock = deps.clock ?? systemClock;
  const random = deps.random ?? (() => randomInt(0x1_0000_0000) / 0x1_0000_0000);
  const isAllowed = config.allowedClients === undefined ? () => true : rangePolicy(config.allowedClients);
  const blocks = config.blocks ?? defaultBlocks(config);
  const udpBytes = bufsizeOf(blocks) ?? config.udpBytes ?? 1232;
  const limits = { ...defaultTcpLimits, ...config.tcp };
  const cookieSecret = Buffer.from(config.cookies === false ? "" : (config.cookies?.secret ?? ""), "hex");
  const nsid = nsidOf(blocks);
  const edns = new EdnsAnswers({
    udpBytes,
    tcpIdle: limits.idle,
    now: () => clock.now(),
    ...(config.cookies === false ? {} : { cookies: new ServerCookies(cookieSecret.length === 16 ? cookieSecret : randomBytes(16)) }),
    ...(nsid === undefined ? {} : { nsid }),
  });
  const tsigs = blocks.blocks.flatMap((b) => b.plugins).filter((p) => p.plugin === "tsig");
  /** Of signed queries; absent: signatures are nothing to this server. */
  let keys: TsigKeys | undefined;
  let generation: ChainGeneration | undefined;
  let addedAt: readonly DnsAddress[] = [];
  /** The chains have read their files, and know whom to ask. */
  const known = Promise.withResolvers<void>();
  const answerer = new Answerer({
    ...blocks.zones,
    passing: blocks.passing,
    isAllowed: (client) => generation?.chains.recursion() === true && isAllowed(client),
    udpBytes,
    edns,
  });
  const transferRules = [...(config.transfer ?? []), ...clusterTransfers(blocks)];
  const transfers = new ZoneTransfers(answerer, transferRules);
  const metrics = new DnsMetrics();
  const accounts = new QueryAccounts(clusterZones(blocks.zones.kubernetes).map(encodeName));
  const isVerified = blocks.zones.kubernetes?.pods === "verified";
  const namespaces = new ClientNamespaces(isVerified ? clusterZones(blocks.zones.kubernetes)[0] : undefined);
  const caches = new Set<MessageCache>();
  /** Of zones of files and other servers. */
  const zoneNotifiers = new Map<string, Notifier>();
  const closing = new AbortController();
  const background = new Set<Promise<unknown>>();
  const running: Running[] = [];
  let listeners: Listeners | undefined;
  const addressesOf = (scheme: ListenerScheme): readonly DnsAddress[] => listeners?.addresses(scheme) ?? [];
  const notifierDeps: NotifierDeps = {
    clock,
    id: () => Math.floor(random() * 0x10000),
    report: (zone, server, outcome) =>
      deps.log?.(outcome === "told" ? "debug" : "warn", outcome === "told" ? "NOTIFY" : "no reply to NOTIFY", { zone, server }),
  };
  const parts: BlockParts = {
    answerer,
    zones: blocks.zones,
    passing: blocks.passing,
    isAllowed,
    clock,
    random,
    log: deps.log ?? silentLog,
    hostname: hostname(),
    count: (name, labels) => (name === "coredns_panics_total" ? metrics.countSingle("panics") : metrics.countNamed(name, labels)),
    cache: {
      hit: (kind) => metrics.countCache(`hits ${kind}`),
      miss: () => metrics.countCache("misses"),
      stale: (seconds) => metrics.countStale(seconds),
      prefetch: () => metrics.countCache("prefetch"),
    },
    caches,
    forward: {
      answered: (upstream, rcode, ms) => metrics.countAnswer(upstream, rcode, ms),
      failed: (upstream) => metrics.countFailure(upstream, "failed"),
      checkFailed: (upstream) => metrics.countFailure(upstream, "checkFailed"),
      allDown: () => metrics.countSingle("allDown"),
      rejected: () => metrics.countSingle("rejected"),
    },
    podOf: ({ client }) => {
      const namespace = namespaces.of(client);
      return namespace === undefined ? undefined : { namespace };
    },
    readText: (file) => readFile(file, "utf8"),
    background: (task) => {
      background.add(task);
      void task.finally(() => background.delete(task));
    },
    ownAddresses: () => addressesOf("dns"),
    zoneChanged: (zone, to) => {
      if (to.length === 0 || closing.signal.aborted) return;
      const key = JSON.stringify([zone, to]);
      let own = zoneNotifiers.get(key);
      if (own === undefined) {
        own = startNotifier([{ zone, to }], notifierDeps);
        zoneNotifiers.set(key, own);
        running.push(own);
      }
      own.changed();
    },
  };

  /** What is in use. */
  let inUse: DnsBlocks = blocks;
  let isSynced = false;
  let isLeaving = false;
  let isDrained = false;
  /** Milliseconds of serving on after being told to close. */
  let lameduck = 0;
  const print = (): string =>
    metrics.print({
      port: addressesOf("dns")[0]?.port ?? dnsPort,
      cacheEntries: sumOf(Array.from(caches, (c) => c.sizes)),
      cacheEvictions: Array.from(caches, (c) => c.evictions).reduce((sum, n) => sum + n, 0),
      names: answerer.size,
      plugins: inUse.blocks.flatMap((b) =>
        [...new Set(b.plugins.map((p) => p.plugin))].map((name) => ({ zone: b.keys[0]?.zone ?? ".", name })),
      ),
    });
  const endpoints = openBlockEndpoints(
    { isReady: () => isSynced && generation !== undefined, isLeaving: () => isLeaving, metrics: print },
    deps.sockets !== undefined,
  );
  running.push(endpoints);
  const notifier = startNotifier(notifyTargets(transferRules, blocks), notifierDeps);
  running.push(notifier);

  const isMainAt = (at: DnsAddress): boolean => !addedAt.some((a) => a.ip === at.ip && a.port === at.port);
  /** Answers for what comes in at one address, by the server blocks that are in use when it comes. */
  const engineAt = (asked: ListenerScheme, address: () => DnsAddress): QueryEngine => {
    // where no block speaks of TLS or HTTPS, they serve what plain DNS does
    const scheme = blocks.blocks.some((b) => b.keys.some((k) => k.scheme === asked)) ? asked : "dns";
    // the address is known when the first query comes
    let counts: QueryCounts | undefined;
    let own: { readonly of: ChainGeneration; readonly chains: ListenerChains } | undefined;
    const current = (): typeof own => {
      if (generation !== undefined && own?.of !== generation) {
        const at = address();
        const isMain = isMainAt(at);
        own = { of: generation, chains: generation.chains.listener({ scheme, ...at, isMain }) };
      }
      return own;
    };
    const engine = createEngine({
      answerer,
      chain: (q, c) => {
        const serve = (): Message | Promise<Message> => {
          const now = current();
          return now === undefined ? refuseRest(q, c) : now.of.run(() => now.chains.handler(q, c));
        };
        return generation === undefined ? known.promise.then(serve) : serve();
      },
      cachedNow: (query, out) => current()?.chains.cachedNow(query, out),
      directness: () => current()?.chains.directness() ?? "none",
      server: address,
      transfers,
      edns,
      udpBytes,
      metrics,
      counts: () => (counts ??= metrics.listener(serverLabel(asked, address(), isMainAt(address())))),
      accounts,
      clock,
      signal: closing.signal,
    });
    return keys === undefined ? engine : answerSigned(engine, { keys, configs: tsigs, now: () => clock.now(), udpBytes });
  };

  const start = async (): Promise<void> => {
    const wrong = validateDnsConfig(config);
    if (wrong.length > 0) throw new RangeError(`DNS configuration: ${wrong.join("; ")}`);
    if (tsigs.length > 0) keys = await readKeys(tsigs);
    const sockets = await deps.sockets;
    const own = sockets === undefined ? config.listen : sockets.udp.map(addressOf);
    const wanted = config.blocks === undefined ? undefined : await blockListeners(config.blocks, own);
    addedAt = wanted?.dns ?? [];
    const limited = { ...config, ...clientRules(blocks) };
    const all =
      wanted === undefined
        ? limited
        : { ...limited, extra: wanted.dns, tls: [...(config.tls ?? []), ...wanted.tls], https: [...(config.https ?? []), ...wanted.https] };
    listeners = startListeners(all, {
      engineAt,
      limits,
      udpBytes,
      monotonic: () => clock.monotonic(),
      count: (event) => metrics.countSingle(event),
      sockets,
    });
    running.push(listeners);
    await listeners.ready;
    await install(blocks);
    known.resolve();
  };
  /** Puts other server blocks in the place of those there are, once their files have been read. */
  const install = async (next: DnsBlocks): Promise<void> => {
    const chains = startServerChains(next.blocks, parts);
    try {
      await chains.ready;
      await endpoints.configure(next);
    } catch (error) {
      await chains.close();
      throw error;
    }
    const before = generation;
    lameduck = Math.max(0, ...next.blocks.flatMap((b) => b.plugins).map((p) => (p.plugin === "health" ? p.lameduck : 0)));
    generation = new ChainGeneration(chains);
    inUse = next;
    parts.background(chains.probeLoops());
    if (before !== undefined) parts.background(before.retire());
  };
  const close = async (): Promise<void> => {
    closing.abort(new Error("the DNS server is closing"));
    known.resolve();
    await Promise.all(running.splice(0).map((r) => r.close()));
    await generation?.chains.close();
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
      // clients are sent elsewhere before this ends: it is not ready any more, and still answers
      isLeaving = true;
      if (lameduck > 0 && !isDrained) await clock.sleep(Math.min(lameduck, maxLameduck), closing.signal).catch(() => undefined);
      if (!isDrained) await listeners?.drain(closingDrain);
      await close();
    },
    drain: async (withinMs) => {
      await ready;
      isLeaving = true;
      isDrained = true;
      // a successor says from now on whether this node is healthy and ready: it is, all the time
      await endpoints.close();
      await listeners?.drain(withinMs);
    },
    configure: async (next) => {
      if (JSON.stringify([next.zones, next.passing]) !== JSON.stringify([blocks.zones, blocks.passing])) {
        throw new RangeError("DNS configuration: other zones need a server of their own");
      }
      await install(next);
    },
    apply: (delta) => {
      const { revision } = answerer;
      if (isVerified) namespaces.apply(delta);
      transfers.apply(delta);
      if (answerer.revision !== revision) notifier.changed();
    },
    restate: () => answerer.restate(),
    unstated: () => answerer.unstated(),
    setSynced: () => {
      isSynced = true;
      answerer.setSynced();
    },
    addresses: (scheme = "dns") => addressesOf(scheme),
    endpoints: () => endpoints.addresses(),
    metrics: () => print() + accounts.print(),
  };
}

/** As CoreDNS calls a server: by its port alone where it is not bound to one address. */
function serverLabel(scheme: ListenerScheme, { ip, port }: DnsAddress, isMain: boolean): string {
  return isMain ? `${scheme}://:${port}` : `${scheme}://${printHostPort(ip, port)}`;
}

function addressOf(socket: BoundSockets["udp"][number]): DnsAddress {
  const { address, port } = ("socket" in socket ? socket.socket : socket).address();
  return { ip: address, port };
}

/** One OPT record is the whole server's: the first block that says anything of it decides. */
function bufsizeOf({ blocks }: DnsBlocks): number | undefined {
  return blocks.flatMap((b) => b.plugins).find((p) => p.plugin === "bufsize")?.size;
}

function nsidOf({ blocks }: DnsBlocks): string | undefined {
  const plugin = blocks.flatMap((b) => b.plugins).find((p) => p.plugin === "nsid");
  return plugin === undefined ? undefined : (plugin.data ?? hostname());
}

/** Who speaks for others, and how much each gets: as `bufsize`, of the first block that says it. */
function clientRules({ blocks }: DnsBlocks): Pick<ListenersConfig, "proxyProtocol" | "rateLimit"> {
  const plugins = blocks.flatMap((b) => b.plugins);
  const proxies = plugins.find((p) => p.plugin === "proxyproto");
  const rate = plugins.find((p) => p.plugin === "rrl");
  return {
    ...(proxies === undefined ? {} : { proxyProtocol: proxies.allow }),
    ...(rate === undefined ? {} : { rateLimit: rate.limit }),
  };
}

function sumOf(sizes: readonly MessageCache["sizes"][]): MessageCache["sizes"] {
  return sizes.reduce((a, b) => ({ success: a.success + b.success, denial: a.denial + b.denial }), { success: 0, denial: 0 });
}

/** `transfer` of blocks that serve the cluster's zones, each with those that it is for. */
function clusterTransfers(blocks: DnsBlocks): readonly TransferConfig[] {
  const served = servedZones(blocks.zones).map((zone) => zone.name);
  return blocks.blocks
    .filter((b) => b.plugins.some((p) => p.plugin === "kubernetes" || p.plugin === "k8s_external"))
    .flatMap((b) => {
      const all = b.plugins.filter((p) => p.plugin === "transfer");
      return all.map((transfer) => {
        const zones = served.filter((zone) => transfersOf(all, zone).includes(transfer));
        const servers = notifiedBy(transfer);
        const clients = servers.map(({ ip }): Cidr => ({ ip, bits: ipFamily(ip) === 4 ? 32 : 128, family: ipFamily(ip) }));
        return { zones, to: transfer.to.includes("*") ? ("*" as const) : clients, notify: servers };
      });
    });
}

function notifyTargets(rules: readonly TransferConfig[], blocks: DnsBlocks): readonly NotifyTarget[] {
  const served = servedZones(blocks.zones).map((zone) => zone.name);
  return rules.flatMap(({ zones, notify = [] }) => {
    const own = zones?.map(canonicalName).filter((zone) => served.includes(zone)) ?? served;
    return notify.length === 0 ? [] : own.map((zone) => ({ zone, to: notify }));
  });
}
