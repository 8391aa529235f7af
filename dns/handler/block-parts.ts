import type { Clock } from "../../src/base/clock.ts";
import type { Ip } from "../../src/base/ip.ts";
import type { Log } from "../../src/observe/log.ts";
import type { Answerer } from "../answer/answerer.ts";
import type { MessageCache } from "../cache/message-cache.ts";
import type { DnsAddress } from "../config/dns-config.ts";
import type { NotifyAddress } from "../config/transfer-config.ts";
import type { ZonesConfig } from "../config/zone-config.ts";
import type { ForwardObserver } from "../forward/forwarder.ts";
import type { DomainName } from "../wire/name.ts";
import type { CacheObserver } from "./cached.ts";
import type { Query } from "./handler.ts";
import type { ClientPod } from "./metadata.ts";

/** Counters of plugins, by CoreDNS's metric names. */
export type CountMetric = (name: string, labels?: Readonly<Record<string, string>>) => void;

/** What server blocks are made with. */
export interface BlockParts {
  readonly answerer: Answerer;
  readonly zones: ZonesConfig;
  /** Zones of others, canonical, of which the answerer knows some names. */
  readonly passing: readonly DomainName[];
  /** Clients that get recursion. */
  readonly isAllowed: (client: Ip) => boolean;
  readonly clock: Clock;
  /** In [0, 1), not to be guessed. */
  readonly random: () => number;
  readonly log: Log;
  readonly hostname: string;
  readonly count: CountMetric;
  readonly cache: CacheObserver;
  /** Those that are in use, for metrics. */
  readonly caches: Set<MessageCache>;
  readonly forward: ForwardObserver;
  /** The text of a file. Rejects as `readFile` does. */
  readonly readText: (file: string) => Promise<string>;
  /** Waits for what goes on after its answer was given. */
  readonly background: (task: Promise<unknown>) => void;
  /** Where this server answers: no upstream is itself. */
  readonly ownAddresses: () => readonly DnsAddress[];
  /** A zone's records have changed; who wants to hear of it. */
  readonly zoneChanged: (zone: DomainName, to: readonly NotifyAddress[]) => void;
  /** Who a client is; undefined when it is not known. */
  readonly podOf?: (q: Query) => ClientPod | undefined;
}
