import type { Clock } from "../../src/base/clock.ts";
import type { Ip } from "../../src/base/ip.ts";
import { ipFamily } from "../../src/base/ip.ts";
import type { Running } from "../../src/base/running.ts";
import type { TrackedConnection } from "../../src/kernel/conntrack.ts";
import { NetlinkFault } from "../../src/kernel/netlink.ts";
import type { Problem } from "../../src/snapshot/problem.ts";
import { type Protocol, printServicePort } from "../model/service-port.ts";
import { type Frontend, type FrontendKey, frontendKey, nodePortKey } from "../plan/frontend.ts";
import type { NodeEvent } from "./config.ts";

/** The kernel's table of connections, of one network namespace. */
export interface ConnectionTable {
  /** How many entries it has, and how many it may have; undefined where the kernel does not say. */
  size(): { readonly entries: number; readonly limit: number } | undefined;
  /** All entries, in parts between which other work may be done. Throws NetlinkFault. */
  connections(): Iterable<readonly TrackedConnection[]>;
  close(): void;
}

/** How full the table is, and by whom. */
export interface ConnectionUse {
  readonly entries: number;
  readonly limit: number;
  /** Most first, so many at most; `shop/web:http`. As of the last count. */
  readonly services: readonly { readonly service: string; readonly connections: number }[];
  /** To Services that are not listed. */
  readonly moreServices: number;
  /** To no Service. */
  readonly elsewhere: number;
}

export interface ConnectionUseConfig {
  readonly clock: Clock;
  readonly table: ConnectionTable;
  readonly nodeName: string;
  readonly frontend: (key: FrontendKey) => Frontend | undefined;
  readonly isNodePortIp: (ip: Ip) => boolean;
  readonly onEvent: (event: NodeEvent) => void;
}

export interface ConnectionWatch extends Running {
  /** Undefined until it was counted once. */
  use(): ConnectionUse | undefined;
  problems(): readonly Problem[];
}

/** The size is two small files: it is looked at often, so that the alarm comes before the table is full. */
const lookInterval = 5_000;
/** Entries are counted this often at most, and so seldom that it takes a two-hundredth of the time. */
const countInterval = 30_000;
const restsPerCount = 200;
/** While the table is nearly full somebody wants to know by whom: then a twentieth. */
const restsWhenFull = 20;
/** Work between two rests in which the rest of the process runs. */
const sliceMs = 2;
const raisedAt = 0.9;
const endedBelow = 0.8;
const listed = 20;

const protocols: Readonly<Record<number, Protocol>> = { 6: "tcp", 17: "udp", 132: "sctp" };

/** Counts connections per Service until closed, and tells before the table is full. */
export function startConnectionWatch(config: ConnectionUseConfig): ConnectionWatch {
  const { clock, table, nodeName } = config;
  const stop = new AbortController();
  let counted: Omit<ConnectionUse, "entries" | "limit"> | undefined;
  let alarm: Problem | undefined;
  let countedAt = Number.NEGATIVE_INFINITY;
  let cost = 0;

  const look = async (): Promise<void> => {
    const size = table.size();
    if (size === undefined || size.limit === 0) return;
    const share = size.entries / size.limit;
    const begins = alarm === undefined && share >= raisedAt;
    const rest = Math.max(countInterval, restsPerCount * cost);
    const soon = begins || alarm !== undefined ? restsWhenFull * cost : rest;
    if (clock.monotonic() - countedAt >= soon) await count();
    if (begins) raise(size);
    else if (alarm !== undefined && share < endedBelow) {
      alarm = undefined;
      config.onEvent({
        type: "Normal",
        reason: "ConntrackRelieved",
        message: `connection tracking has room again: ${size.entries} of ${size.limit} entries`,
      });
    }
  };

  const raise = (size: { readonly entries: number; readonly limit: number }): void => {
    const most = (counted?.services ?? []).slice(0, 3).map((s) => `${s.service} (${s.connections})`);
    const by = most.length === 0 ? "" : `; most are of ${most.join(", ")}`;
    alarm = {
      object: { kind: "Node", name: nodeName },
      field: "",
      reason: "ConntrackNearlyFull",
      message: `connection tracking held ${size.entries} of ${size.limit} entries${by}: once it is full, new connections are dropped. Raise net.netfilter.nf_conntrack_max, or lower its time limits`,
    };
  };

  const count = async (): Promise<void> => {
    const tally = new Map<string, number>();
    let elsewhere = 0;
    let spent = 0;
    let started = clock.monotonic();
    try {
      for (const part of table.connections()) {
        for (const connection of part) {
          const service = serviceOf(connection, config);
          if (service === undefined) elsewhere++;
          else tally.set(service, (tally.get(service) ?? 0) + 1);
        }
        const took = clock.monotonic() - started;
        if (took < sliceMs) continue;
        spent += took;
        await new Promise((resolve) => setImmediate(resolve));
        if (stop.signal.aborted) return;
        started = clock.monotonic();
      }
    } catch (error) {
      // what was counted before stands; the next look tries again
      if (!(error instanceof NetlinkFault)) throw error;
      return;
    }
    countedAt = clock.monotonic();
    cost = spent + countedAt - started;
    const sorted = [...tally].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1));
    counted = {
      services: sorted.slice(0, listed).map(([service, connections]) => ({ service, connections })),
      moreServices: sorted.slice(listed).reduce((sum, [, n]) => sum + n, 0),
      elsewhere,
    };
  };

  const run = async (): Promise<void> => {
    for (;;) {
      await clock.sleep(lookInterval, stop.signal).catch(() => undefined);
      if (stop.signal.aborted) return;
      await look();
    }
  };
  const running = run();
  return {
    ready: Promise.resolve(),
    use: () => {
      const size = counted === undefined ? undefined : table.size();
      return counted === undefined || size === undefined ? undefined : { ...size, ...counted };
    },
    problems: () => (alarm === undefined ? [] : [alarm]),
    async close() {
      stop.abort(new Error("closed"));
      await running;
      table.close();
    },
  };
}

function serviceOf(
  { protocol, to, toPort }: TrackedConnection,
  { frontend, isNodePortIp }: Pick<ConnectionUseConfig, "frontend" | "isNodePortIp">,
): string | undefined {
  const named = protocols[protocol];
  if (named === undefined) return undefined;
  const found =
    frontend(frontendKey(to, toPort, named)) ?? (isNodePortIp(to) ? frontend(nodePortKey(ipFamily(to), toPort, named)) : undefined);
  return found === undefined ? undefined : printServicePort(found.owner);
}

/** Prometheus text: at most one series a listed Service. */
export function printConnectionUse(use: ConnectionUse): string {
  const lines = [
    "# HELP fairway_conntrack_entries Connections that the kernel tracks",
    "# TYPE fairway_conntrack_entries gauge",
    `fairway_conntrack_entries ${use.entries}`,
    "# HELP fairway_conntrack_limit Connections that the kernel may track before it drops new ones",
    "# TYPE fairway_conntrack_limit gauge",
    `fairway_conntrack_limit ${use.limit}`,
    "# HELP fairway_service_connections Connections that the kernel tracks, by the Service port they were made to; the others under other",
    "# TYPE fairway_service_connections gauge",
    ...use.services.map((s) => `fairway_service_connections{service="${s.service}"} ${s.connections}`),
    `fairway_service_connections{service="other"} ${use.moreServices}`,
    "# HELP fairway_connections_elsewhere Connections that the kernel tracks to no Service",
    "# TYPE fairway_connections_elsewhere gauge",
    `fairway_connections_elsewhere ${use.elsewhere}`,
  ];
  return `${lines.join("\n")}\n`;
}
