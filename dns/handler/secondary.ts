import { connect, type Socket } from "node:net";
import { type Ip, parseIp, printHostPort } from "../../src/base/ip.ts";
import type { Running } from "../../src/base/running.ts";
import type { DnsAddress } from "../config/dns-config.ts";
import { exchangeUdp } from "../forward/exchange-udp.ts";
import { fetchChanges, fetchZone } from "../forward/zone-fetch.ts";
import { canonicalName, type DomainName, isInZone } from "../wire/name.ts";
import type { ResourceRecord } from "../wire/record.ts";
import { classIn, typeNumbers } from "../wire/record-type.ts";
import type { BlockParts } from "./block-parts.ts";
import { questionMessage } from "./handler.ts";
import { ZoneData } from "./zone-data.ts";

/** Milliseconds one transfer may take. */
const transferTimeout = 60_000;
const askTimeout = 5000;
/** Before the zone was had once its own times are not known. Milliseconds. */
const firstRetry = 5000;
/** So long a server that starts waits for its zones: a primary that is away must not keep it from starting. Milliseconds. */
const patience = 2000;
/** However often primaries say that the zone has changed, they are asked no more often. Milliseconds. */
const leastWait = 1000;
/** A part of each wait is drawn by chance, so that not all secondaries come at once. */
const jitter = 0.1;

export interface Secondary extends Running {
  /** Undefined until the first transfer, and when the zone has expired. */
  readonly data: () => ZoneData | undefined;
  /** Somebody says that the zone has changed; false when it is none of its primaries. */
  readonly notified: (from: Ip) => boolean;
}

export interface SecondaryConfig {
  /** Canonical. */
  readonly zone: DomainName;
  /** Its primaries, in the order in which they are asked. */
  readonly from: readonly DnsAddress[];
  /** The zone is another one now. */
  readonly changed: (now: ZoneData, before: ZoneData | undefined) => void;
}

/** Keeps a zone as its primaries have it, by the times of its SOA (RFC 1034 section 4.3.5) and by their NOTIFY (RFC 1996). */
export function startSecondary(config: SecondaryConfig, parts: Pick<BlockParts, "clock" | "random" | "log">): Secondary {
  const { clock, random, log } = parts;
  const closing = new AbortController();
  const { signal } = closing;
  const looked = Promise.withResolvers<void>();
  let data: ZoneData | undefined;
  let had = Number.NEGATIVE_INFINITY;
  let isNotified = false;
  let wake = new AbortController();

  const refresh = async (from: DnsAddress): Promise<void> => {
    if (data !== undefined) {
      const question = { name: config.zone, type: typeNumbers.SOA, class: classIn };
      const query = questionMessage(question, { id: Math.floor(random() * 0x10000) });
      const answer = await exchangeUdp(from, query, AbortSignal.any([signal, AbortSignal.timeout(askTimeout)]));
      const soa = answer.answers.find((r) => r.data.kind === "SOA")?.data;
      if (soa?.kind !== "SOA") throw new Error("the server has no SOA of the zone");
      // serial numbers compare in a circle (RFC 1982)
      if (((soa.serial - data.serial) | 0) <= 0) return;
    }
    const limit = AbortSignal.any([signal, AbortSignal.timeout(transferTimeout)]);
    const open = (): Socket => connect({ host: from.ip, port: from.port });
    const records = (data === undefined ? undefined : await changesOf(data, open, limit)) ?? (await fetchZone(open, config.zone, limit));
    const before = data;
    data = new ZoneData(
      config.zone,
      records.filter((r) => isInZone(canonicalName(r.name), config.zone)),
    );
    log("info", "secondary: the zone was transferred", { zone: config.zone, from: printHostPort(from.ip, from.port), serial: data.serial });
    config.changed(data, before);
  };
  /** Undefined where only the whole zone tells: the server has no changes, or they are not of what is known here. */
  const changesOf = async (known: ZoneData, open: () => Socket, limit: AbortSignal): Promise<readonly ResourceRecord[] | undefined> => {
    try {
      return await fetchChanges(open, { zone: config.zone, soa: known.soa, records: known.records }, limit);
    } catch (error) {
      limit.throwIfAborted();
      log("debug", "secondary: no changes, so the whole zone", { zone: config.zone, error: String(error) });
      return undefined;
    }
  };
  /** Whether one of the primaries told how the zone is now. */
  const look = async (): Promise<boolean> => {
    for (const from of config.from) {
      try {
        await refresh(from);
        had = clock.monotonic();
        return true;
      } catch (error) {
        if (signal.aborted) return false;
        log("warn", "secondary: no transfer", { zone: config.zone, from: printHostPort(from.ip, from.port), error: String(error) });
      }
    }
    return false;
  };
  const sleep = (ms: number, until: AbortSignal): Promise<void> => clock.sleep(ms, until).catch(() => undefined);
  const loop = async (): Promise<void> => {
    while (!signal.aborted) {
      isNotified = false;
      wake = new AbortController();
      const ok = await look();
      looked.resolve();
      const soa = data?.soa.data;
      const wait = soa?.kind === "SOA" ? Math.max(leastWait, 1000 * (ok ? soa.refresh : soa.retry)) : firstRetry;
      await sleep(leastWait, signal);
      if (!isNotified) await sleep((wait - leastWait) * (1 - jitter * random()), AbortSignal.any([signal, wake.signal]));
    }
  };
  const running = loop();
  return {
    ready: Promise.race([looked.promise, sleep(patience, signal)]),
    data: () => {
      const soa = data?.soa.data;
      return soa?.kind === "SOA" && clock.monotonic() - had <= soa.expire * 1000 ? data : undefined;
    },
    notified: (from) => {
      const ip = parseIp(from);
      if (!config.from.some((primary) => parseIp(primary.ip) === ip)) return false;
      isNotified = true;
      wake.abort();
      return true;
    },
    close: async () => {
      closing.abort();
      await running;
    },
  };
}
