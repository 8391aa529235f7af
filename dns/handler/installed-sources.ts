import type { SecureContextOptions } from "node:tls";
import type { Ip } from "../../src/base/ip.ts";
import type { Running } from "../../src/base/running.ts";
import type { DnsAddress } from "../config/dns-config.ts";
import type { ForwardConfig } from "../corefile/plugins/forward.ts";
import type { FileConfig, SecondaryConfig, TransferConfig } from "../corefile/plugins/records.ts";
import { Forwarder } from "../forward/forwarder.ts";
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
import type { TakeNotice } from "./zone-notify.ts";
import { parseZoneText } from "./zone-text.ts";

/** A plugin that gets its answers from elsewhere. */
export interface InstalledSource {
  readonly wrap: Wrap;
  readonly running: Running;
}

export interface InstalledZones extends InstalledSource {
  readonly data: (zone: DomainName) => ZoneData | undefined;
}

export interface InstalledSecondary extends InstalledZones {
  readonly notified: TakeNotice;
}

/** Zones of a master file. A file that cannot be read leaves what was read before; at the start, SERVFAIL. */
export function installFile(p: FileConfig, parts: BlockParts, transfers: readonly TransferConfig[]): InstalledZones {
  const zones = new Map<DomainName, ZoneData>();
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
        if (before !== undefined && before.serial !== data.serial) parts.zoneChanged(data.origin, notifyAddresses(transfers, data.origin));
      }
    },
    failed: (error) => parts.log("error", "file: the zone stays as it was", { file: p.file, error: String(error) }),
  });
  const data = (zone: DomainName): ZoneData | undefined => zones.get(zone);
  const fallthrough = p.fallthrough === undefined ? {} : { fallthrough: p.fallthrough };
  return { wrap: answerFromZones({ plugin: "file", zones: p.zones, data, ...fallthrough }), running, data };
}

function notifyAddresses(transfers: readonly TransferConfig[], zone: DomainName): readonly DnsAddress[] {
  return transfers.filter((t) => t.zones.includes(zone)).flatMap((t) => t.to.flatMap((to) => (to === "*" ? [] : [to])));
}

/** Zones of another server, fetched whole and kept current. */
export function installSecondary(p: SecondaryConfig, parts: BlockParts, transfers: readonly TransferConfig[]): InstalledSecondary {
  const secondaries = new Map(
    p.zones.map((zone) => {
      const changed = (): void => parts.zoneChanged(zone, notifyAddresses(transfers, zone));
      return [zone, startSecondary({ zone, from: p.from, changed }, parts)] as const;
    }),
  );
  const data = (zone: DomainName): ZoneData | undefined => secondaries.get(zone)?.data();
  const fallthrough = p.fallthrough === undefined ? {} : { fallthrough: p.fallthrough };
  return {
    wrap: answerFromZones({ plugin: "secondary", zones: p.zones, data, ...fallthrough }),
    data,
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
  const start = async (): Promise<void> => {
    const upstreams = (await upstreamsOf(p, parts)).filter((u) => {
      const own = parts.ownAddresses().some((a) => a.port === u.port && (a.ip === u.ip || (isAnyAddress(a.ip) && isLoopback(u.ip))));
      if (own) parts.log("warn", "an upstream is this server itself and is left out", { upstream: u.ip });
      return !own;
    });
    if (upstreams.length === 0) {
      parts.log("warn", `no upstream: names in ${p.from} that are not known here are refused`);
      return;
    }
    const tls = await tlsOf(p, parts);
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
        failover: p.failover,
        failFast: p.failFast,
        randomCase: p.randomCase,
        ...(tls === undefined ? {} : { tls }),
        ...(p.forceTcp ? { forceTcp: true } : {}),
      },
      { clock: parts.clock, random: parts.random, observe: parts.forward },
    );
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
        await ready.catch(() => {});
        await forwarder?.close();
      },
    },
  };
}

async function upstreamsOf(p: ForwardConfig, parts: BlockParts): Promise<readonly UpstreamAddress[]> {
  const found: UpstreamAddress[] = [];
  for (const to of p.to) {
    if (to.kind === "server") {
      const serverName = to.serverName ?? p.tlsServerName;
      found.push({ ...to, ...(serverName === undefined ? {} : { serverName }) });
      continue;
    }
    try {
      found.push(...parseResolvConf(await parts.readText(to.file)).nameservers.map((ip) => ({ ip, port: dnsPort })));
    } catch (error) {
      parts.log("warn", "forward: the file cannot be read", { file: to.file, error: String(error) });
    }
  }
  return found;
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

function isAnyAddress(ip: Ip): boolean {
  return ip === "0.0.0.0" || ip === "::";
}

function isLoopback(ip: Ip): boolean {
  return ip.startsWith("127.") || ip === "::1";
}
