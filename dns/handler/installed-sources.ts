import type { SecureContextOptions } from "node:tls";
import type { Ip } from "../../src/base/ip.ts";
import type { Running } from "../../src/base/running.ts";
import { unreachable } from "../../src/base/unreachable.ts";
import type { NotifyAddress } from "../config/transfer-config.ts";
import type { ForwardConfig, ForwardTarget } from "../corefile/plugins/forward.ts";
import { type FileConfig, notifiedBy, type SecondaryConfig, type TransferConfig } from "../corefile/plugins/records.ts";
import { Forwarder } from "../forward/forwarder.ts";
import { queryOnce } from "../forward/query-once.ts";
import { parseResolvConf } from "../forward/resolv-conf.ts";
import type { UpstreamAddress } from "../forward/upstream.ts";
import type { DomainName } from "../wire/name.ts";
import { rcodes } from "../wire/record-type.ts";
import type { BlockParts } from "./block-parts.ts";
import { forwardQueries } from "./forwarded.ts";
import type { Wrap } from "./handler.ts";
import { emptyAnswer } from "./handler.ts";
import { startSecondary } from "./secondary.ts";
import { watchFile } from "./watched-file.ts";
import { answerFromZones } from "./zone-answers.ts";
import { ZoneData } from "./zone-data.ts";
import { ZoneHistory } from "./zone-history.ts";
import type { TakeNotice } from "./zone-notify.ts";
import { parseZoneText } from "./zone-text.ts";
import { transfersOf } from "./zone-transfer.ts";

/** A plugin that gets its answers from elsewhere. */
export interface InstalledSource {
  readonly wrap: Wrap;
  readonly running: Running;
}

export interface InstalledZones extends InstalledSource {
  readonly data: (zone: DomainName) => ZoneData | undefined;
  readonly history: ZoneHistory;
}

export interface InstalledSecondary extends InstalledZones {
  readonly notified: TakeNotice;
}

/** Zones of a master file. A file that cannot be read leaves what was read before; at the start, SERVFAIL. */
export function installFile(p: FileConfig, parts: BlockParts, transfers: readonly TransferConfig[]): InstalledZones {
  const zones = new Map<DomainName, ZoneData>();
  const history = new ZoneHistory();
  const running = watchFile({
    file: p.file,
    every: p.reload,
    clock: parts.clock,
    readText: parts.readText,
    parse: (text) => p.zones.map((zone) => new ZoneData(zone, parseZoneText(text, zone, p.file))),
    changed: (read) => {
      for (const data of read) {
        const before = zones.get(data.origin);
        zones.set(data.origin, data);
        if (mayBeCopied(transfers, data.origin)) history.changed(before, data);
        if (before !== undefined && before.serial !== data.serial) parts.zoneChanged(data.origin, notifyAddresses(transfers, data.origin));
      }
    },
    failed: (error) => parts.log("error", "file: the zone stays as it was", { file: p.file, error: String(error) }),
  });
  const data = (zone: DomainName): ZoneData | undefined => zones.get(zone);
  const fallthrough = p.fallthrough === undefined ? {} : { fallthrough: p.fallthrough };
  return { wrap: answerFromZones({ plugin: "file", zones: p.zones, data, ...fallthrough }), running, data, history };
}

function mayBeCopied(transfers: readonly TransferConfig[], zone: DomainName): boolean {
  return transfersOf(transfers, zone).length > 0;
}

function notifyAddresses(transfers: readonly TransferConfig[], zone: DomainName): readonly NotifyAddress[] {
  return transfersOf(transfers, zone).flatMap(notifiedBy);
}

/** Zones of another server, fetched whole and kept current. */
export function installSecondary(p: SecondaryConfig, parts: BlockParts, transfers: readonly TransferConfig[]): InstalledSecondary {
  const history = new ZoneHistory();
  const secondaries = new Map(
    p.zones.map((zone) => {
      const changed = (now: ZoneData, before: ZoneData | undefined): void => {
        if (mayBeCopied(transfers, zone)) history.changed(before, now);
        parts.zoneChanged(zone, notifyAddresses(transfers, zone));
      };
      return [zone, startSecondary({ zone, from: p.from, changed }, parts)] as const;
    }),
  );
  const data = (zone: DomainName): ZoneData | undefined => secondaries.get(zone)?.data();
  const fallthrough = p.fallthrough === undefined ? {} : { fallthrough: p.fallthrough };
  return {
    wrap: answerFromZones({ plugin: "secondary", zones: p.zones, data, ...fallthrough }),
    data,
    history,
    notified: (zone, from) => secondaries.get(zone)?.notified(from),
    running: {
      ready: Promise.all(Array.from(secondaries.values(), (s) => s.ready)).then(() => undefined),
      close: async () => void (await Promise.all(Array.from(secondaries.values(), (s) => s.close()))),
    },
  };
}

export interface InstalledForward extends InstalledSource {
  readonly recursion: () => boolean;
}

/** Other servers. The forwarder is made when its files have been read and this server's own addresses are known. */
export function installForward(p: ForwardConfig, parts: BlockParts, isLoop: () => boolean): InstalledForward {
  let forwarder: Forwarder | undefined;
  const closing = new AbortController();
  const start = async (): Promise<void> => {
    const named = await upstreamsOf(p.to, p, parts);
    if (named.missing.length > 0) parts.background(retry(named.missing));
    const upstreams = named.found.filter((u) => {
      const own = parts.ownAddresses().some((a) => a.port === u.port && (a.ip === u.ip || (isAnyAddress(a.ip) && isLoopback(u.ip))));
      if (own) parts.log("warn", "an upstream is this server itself and is left out", { upstream: u.ip });
      return !own;
    });
    if (upstreams.length === 0) {
      parts.log("warn", `no upstream: names in ${p.from} that are not known here are refused`);
      return;
    }
    const tls = await tlsOf(p, parts);
    const before = forwarder;
    forwarder = new Forwarder(
      {
        upstreams,
        policy: p.policy,
        tryTimeout: p.tryTimeout,
        timeout: p.timeout,
        maxFails: p.maxFails,
        checkInterval: p.healthCheck.interval,
        check: p.healthCheck,
        maxConcurrent: p.maxConcurrent,
        maxAttempts: p.maxAttempts,
        dohMethod: p.dohMethod,
        expire: p.expire,
        maxAge: p.maxAge,
        ...(p.source === undefined ? {} : { source: p.source }),
        failover: p.failover,
        failFast: p.failFast,
        randomCase: p.randomCase,
        ...(tls === undefined ? {} : { tls }),
        ...(p.forceTcp ? { forceTcp: true } : {}),
      },
      { clock: parts.clock, random: parts.random, observe: parts.forward },
    );
    if (before !== undefined) parts.background(before.close());
  };
  /** Hosts whose addresses nobody told are asked for again until somebody does; who is known serves meanwhile. */
  const retry = async (hosts: readonly DomainName[]): Promise<void> => {
    parts.log("warn", "forward: no address of the upstream yet", { hosts });
    await parts.clock.sleep(hostRetry, closing.signal).catch(() => undefined);
    if (!closing.signal.aborted)
      await start().catch((error: unknown) => parts.log("warn", "forward: no upstream", { error: String(error) }));
  };
  const ready = start();
  ready.catch(() => {});
  const forward = forwardQueries({
    forwarder: () => forwarder,
    from: p.from,
    except: p.except,
    next: p.next,
    nextOnNoData: p.nextOnNoData,
    isAllowed: (q) => parts.isAllowed(q.client),
  });
  return {
    // a question that comes back to this server would never end
    wrap: (next) => {
      const ask = forward(next);
      return (q, c) => (isLoop() ? emptyAnswer(q.message, rcodes.SERVFAIL) : ask(q, c));
    },
    recursion: () => forwarder !== undefined,
    running: {
      ready,
      close: async () => {
        closing.abort();
        await ready.catch(() => {});
        await forwarder?.close();
      },
    },
  };
}

interface NamedUpstreams {
  readonly found: readonly UpstreamAddress[];
  /** Hosts without an address. */
  readonly missing: readonly DomainName[];
}

async function upstreamsOf(targets: readonly ForwardTarget[], p: ForwardConfig, parts: BlockParts): Promise<NamedUpstreams> {
  const found: UpstreamAddress[] = [];
  const missing: DomainName[] = [];
  for (const to of targets) {
    switch (to.kind) {
      case "server": {
        const serverName = to.serverName ?? p.tlsServerName;
        found.push({ ...to, ...(serverName === undefined ? {} : { serverName }) });
        break;
      }
      case "host": {
        const { host, ...how } = to;
        const ips = await addressesOf(host, p, parts);
        if (ips.length === 0) missing.push(host);
        // its certificate is for the name that was given
        const serverName = to.serverName ?? p.tlsServerName ?? host.slice(0, -1);
        found.push(...ips.map((ip) => ({ ...how, ip, serverName })));
        break;
      }
      case "file":
        try {
          found.push(...parseResolvConf(await parts.readText(to.file)).nameservers.map((ip) => ({ ip, port: dnsPort })));
        } catch (error) {
          parts.log("warn", "forward: the file cannot be read", { file: to.file, error: String(error) });
        }
        break;
      default:
        unreachable(to);
    }
  }
  return { found, missing };
}

/** Of the first resolver that knows any. */
async function addressesOf(host: DomainName, p: ForwardConfig, parts: BlockParts): Promise<readonly Ip[]> {
  const resolvers = await upstreamsOf(
    p.resolvers.filter((r) => r.kind !== "host"),
    p,
    parts,
  );
  for (const resolver of resolvers.found) {
    try {
      const answers = await Promise.all(["A", "AAAA"].map((type) => queryOnce(resolver, host, { type })));
      const ips = answers.flatMap((m) => m.answers.flatMap(({ data }) => (data.kind === "A" || data.kind === "AAAA" ? [data.ip] : [])));
      if (ips.length > 0) return ips;
    } catch (error) {
      parts.log("debug", "forward: the resolver says nothing", { host, resolver: resolver.ip, error: String(error) });
    }
  }
  return [];
}

async function tlsOf(p: ForwardConfig, parts: BlockParts): Promise<SecureContextOptions | undefined> {
  if (p.tls === undefined) return undefined;
  const { certFile, keyFile, caFile } = p.tls;
  return {
    ...(certFile === undefined ? {} : { cert: await parts.readText(certFile) }),
    ...(keyFile === undefined ? {} : { key: await parts.readText(keyFile) }),
    ...(caFile === undefined ? {} : { ca: await parts.readText(caFile) }),
  };
}

const dnsPort = 53;
/** Milliseconds between looks for a host's addresses. */
const hostRetry = 5000;

function isAnyAddress(ip: Ip): boolean {
  return ip === "0.0.0.0" || ip === "::";
}

function isLoopback(ip: Ip): boolean {
  return ip.startsWith("127.") || ip === "::1";
}
