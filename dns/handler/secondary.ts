import { connect } from "node:net";
import { printHostPort } from "../../src/base/ip.ts";
import type { Running } from "../../src/base/running.ts";
import type { DnsAddress } from "../config/dns-config.ts";
import { exchangeUdp } from "../forward/exchange-udp.ts";
import { fetchZone } from "../forward/zone-fetch.ts";
import type { DomainName } from "../wire/name.ts";
import { classIn, typeNumbers } from "../wire/record-type.ts";
import type { BlockParts } from "./block-parts.ts";
import { questionMessage } from "./handler.ts";
import { ZoneData } from "./zone-data.ts";

/** Milliseconds one transfer may take. */
const transferTimeout = 60_000;
const askTimeout = 5000;
/** Before the zone was had once its own times are not known. Milliseconds. */
const firstRetry = 5000;

export interface Secondary extends Running {
  /** Undefined until the first transfer, and when the zone has expired. */
  readonly data: () => ZoneData | undefined;
  /** Its primary says that it has changed. */
  readonly notified: () => void;
}

/** Keeps a zone as its primaries have it, by the times of its SOA (RFC 1034 section 4.3.5). */
export function startSecondary(
  config: { readonly zone: DomainName; readonly from: readonly DnsAddress[] },
  parts: Pick<BlockParts, "clock" | "random" | "log">,
): Secondary {
  const { clock, random, log } = parts;
  const closing = new AbortController();
  const { signal } = closing;
  let data: ZoneData | undefined;
  let had = Number.NEGATIVE_INFINITY;
  let wake = new AbortController();

  const refresh = async (from: DnsAddress): Promise<void> => {
    if (data !== undefined) {
      const question = { name: config.zone, type: typeNumbers.SOA, class: classIn };
      const query = questionMessage(question, { id: Math.floor(random() * 0x10000) });
      const answer = await exchangeUdp(from, query, AbortSignal.any([signal, AbortSignal.timeout(askTimeout)]));
      const soa = answer.answers.find((r) => r.data.kind === "SOA")?.data;
      // serial numbers compare in a circle (RFC 1982)
      if (soa?.kind === "SOA" && ((soa.serial - data.serial) | 0) <= 0) return;
    }
    const limit = AbortSignal.any([signal, AbortSignal.timeout(transferTimeout)]);
    const records = await fetchZone(() => connect({ host: from.ip, port: from.port }), config.zone, limit);
    data = new ZoneData(config.zone, records);
    log("info", "secondary: the zone was transferred", { zone: config.zone, from: printHostPort(from.ip, from.port), serial: data.serial });
  };
  const loop = async (): Promise<void> => {
    while (!signal.aborted) {
      let ok = false;
      for (const from of config.from) {
        try {
          await refresh(from);
          ok = true;
          had = clock.monotonic();
          break;
        } catch (error) {
          if (!signal.aborted)
            log("warn", "secondary: no transfer", { zone: config.zone, from: printHostPort(from.ip, from.port), error: String(error) });
        }
      }
      const soa = data?.soa.data;
      const seconds = soa?.kind === "SOA" ? (ok ? soa.refresh : soa.retry) : firstRetry / 1000;
      wake = new AbortController();
      await clock.sleep(Math.max(1, seconds) * 1000, AbortSignal.any([signal, wake.signal])).catch(() => undefined);
    }
  };
  const running = loop();
  return {
    ready: Promise.resolve(),
    data: () => {
      const soa = data?.soa.data;
      return soa?.kind === "SOA" && clock.monotonic() - had <= soa.expire * 1000 ? data : undefined;
    },
    notified: () => wake.abort(),
    close: async () => {
      closing.abort();
      await running;
    },
  };
}
