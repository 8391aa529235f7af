import type { Running } from "../../src/base/running.ts";
import { unreachable } from "../../src/base/unreachable.ts";
import { MessageCache } from "../cache/message-cache.ts";
import { clusterZones } from "../config/served-zones.ts";
import type { PluginConfig } from "../corefile/plugin-order.ts";
import type { DnsBlock } from "../corefile/server-blocks.ts";
import { parseResolvConf } from "../forward/resolv-conf.ts";
import { type DomainName, isInZone } from "../wire/name.ts";
import type { ResourceRecord } from "../wire/record.ts";
import type { ZoneChange } from "../zone/change-journal.ts";
import { reverseName } from "../zone/reverse-zone.ts";
import { refuseOtherClasses } from "./access.ts";
import { checkAccess } from "./acl.ts";
import { answerAny } from "./any.ts";
import { answerSearchPath } from "./autopath.ts";
import type { BlockParts } from "./block-parts.ts";
import { answerCached } from "./cached.ts";
import { cancelLate } from "./cancel.ts";
import { answerChaos } from "./chaos.ts";
import { synthesizeIpv6 } from "./dns64.ts";
import { consolidateErrors } from "./failure.ts";
import type { Wrap } from "./handler.ts";
import { changeHeader } from "./header.ts";
import { answerHosts } from "./hosts.ts";
import { type HostsTable, hostsTable, parseHosts } from "./hosts-table.ts";
import { type InstalledZones, installFile, installForward, installSecondary } from "./installed-sources.ts";
import { type AddressWeights, balanceAnswers, parseWeights } from "./loadbalance.ts";
import { answerLocal } from "./local.ts";
import { LoopWatch } from "./loop.ts";
import { tellMetadata } from "./metadata.ts";
import { minimizeAnswers } from "./minimal.ts";
import { logQueries } from "./query-log.ts";
import { rewriteQueries } from "./rewrite.ts";
import { searchPathOf } from "./search-path.ts";
import { answerTemplates } from "./template.ts";
import { watchFile } from "./watched-file.ts";
import { tellWhoami } from "./whoami.ts";
import { answerEmptyZones } from "./zonal-names.ts";
import type { ZoneData } from "./zone-data.ts";
import { answerZones } from "./zone-names.ts";
import type { TakeNotice } from "./zone-notify.ts";
import { answerTransfers } from "./zone-transfer.ts";

/** What the plugins of one block become. */
export interface InstalledBlock {
  /** In the order in which a query meets them. */
  readonly wraps: readonly Wrap[];
  /** What they own. */
  readonly running: readonly Running[];
  /** Somebody is asked for names that nobody here knows. */
  readonly recursion: () => boolean;
  readonly hasHost: (zone: DomainName) => boolean;
  /** Grows when `hasHost` may say something else. */
  readonly revision: () => number;
  /** For zones of other servers. */
  readonly notified: TakeNotice;
  /** Writes errors, where they are asked for. */
  readonly report: (message: string) => void;
  /** Finds out whether an upstream asks this server. */
  readonly loop?: LoopWatch;
  readonly cache?: MessageCache;
}

/** Makes the plugins of a block, in their order. */
export function installPlugins(block: DnsBlock, parts: BlockParts): InstalledBlock {
  const wraps: Wrap[] = [];
  const running: Running[] = [];
  const recursion: (() => boolean)[] = [];
  const hosts: (() => HostsTable)[] = [];
  const stored: InstalledZones[] = [];
  const dataOf = (of: DomainName): ZoneData | undefined => stored.map((s) => s.data(of)).find((found) => found !== undefined);
  const changesOf = (of: DomainName, serial: number): ZoneChange<ResourceRecord> | undefined =>
    stored.find((s) => s.data(of) !== undefined)?.history.since(of, serial);
  const notices: TakeNotice[] = [];
  let report: (message: string) => void = () => {};
  let loop: LoopWatch | undefined;
  let kept: MessageCache | undefined;
  let revision = 0;
  const all = <P extends PluginConfig["plugin"]>(name: P): readonly Extract<PluginConfig, { plugin: P }>[] =>
    block.plugins.filter((p): p is Extract<PluginConfig, { plugin: P }> => p.plugin === name);
  const isFirst = (p: PluginConfig): boolean => block.plugins.find((x) => x.plugin === p.plugin) === p;
  const zone = block.keys[0]?.zone ?? ".";
  const { clock, count } = parts;

  let isGuarded = false;
  for (const p of block.plugins) {
    // chaos and template, which stand before these, may answer in other classes
    if (!isGuarded && sources.has(p.plugin)) {
      wraps.push(refuseOtherClasses);
      isGuarded = true;
    }
    switch (p.plugin) {
      // they are the server's, or the outermost wraps'
      case "root":
      case "tls":
      case "reload":
      case "nsid":
      case "proxyproto":
      case "rrl":
      case "tsig":
      case "bind":
      case "bufsize":
      case "ready":
      case "health":
      case "prometheus":
      case "debug":
      case "view":
        break;
      case "transfer":
        if (isFirst(p)) wraps.push(answerTransfers(all("transfer"), dataOf, changesOf));
        break;
      case "errors":
        report = consolidateErrors(p, clock, (level, message) => parts.log(level, message));
        break;
      case "metadata":
        wraps.push(tellMetadata(p, clusterZones(parts.zones.kubernetes), parts.podOf ?? (() => undefined)));
        break;
      case "cancel":
        wraps.push(cancelLate(p));
        break;
      case "log":
        if (isFirst(p))
          wraps.push(
            logQueries(
              all("log"),
              () => clock.monotonic(),
              (line) => parts.log("info", line),
            ),
          );
        break;
      case "local":
        wraps.push(answerLocal(p));
        break;
      case "dns64":
        wraps.push(synthesizeIpv6(p, () => count("coredns_dns64_requests_translated_total")));
        break;
      case "acl":
        wraps.push(checkAccess(p, (action, aclZone) => count(aclMetrics[action], { zone: aclZone })));
        break;
      case "any":
        wraps.push(answerAny);
        break;
      case "chaos":
        wraps.push(answerChaos(p, parts.hostname));
        break;
      case "loadbalance": {
        let weights: AddressWeights = new Map();
        if (p.policy.kind === "weighted") {
          const { file, reload } = p.policy;
          running.push(
            watchFile({
              file,
              every: reload,
              clock,
              readText: parts.readText,
              parse: (text) => parseWeights(text, (line, why) => parts.log("warn", `${file}:${line}: ${why}`)),
              changed: (read) => void (weights = read),
              failed: (error) => parts.log("warn", "loadbalance: the weights stay as they were", { file, error: String(error) }),
            }),
          );
        }
        wraps.push(balanceAnswers(p, parts.random, () => weights));
        break;
      }
      case "cache": {
        const cache = new MessageCache({
          success: p.success,
          denial: p.denial,
          failureSeconds: p.servfailSeconds,
          staleSeconds: p.serveStale?.seconds ?? 0,
          staleTtl: p.serveStale?.ttl ?? 0,
          recheckSeconds: p.serveStale?.recheckSeconds ?? 0,
          prefersPositive: p.serveStale?.prefersPositive ?? false,
          keepTtl: p.keepTtl,
          ...(p.prefetch === undefined ? {} : { prefetch: p.prefetch }),
        });
        kept = cache;
        parts.caches.add(cache);
        running.push({ ready: Promise.resolve(), close: async () => void parts.caches.delete(cache) });
        wraps.push(
          answerCached(cache, {
            clock,
            observe: parts.cache,
            background: parts.background,
            zones: p.zones,
            // what is known here costs no more than the cache, and is never old
            isKept: (took) => took.has("forward"),
            isServed: (q) => parts.isAllowed(q.client),
            disabled: p.disabled,
            ...(p.serveStale === undefined ? {} : { stale: p.serveStale }),
          }),
        );
        break;
      }
      case "rewrite":
        if (isFirst(p)) wraps.push(rewriteQueries(all("rewrite").map((r) => r.rule)));
        break;
      case "header":
        wraps.push(changeHeader(p));
        break;
      case "autopath": {
        let search: readonly DomainName[] | undefined;
        const config = p.search;
        if (config.kind === "file") {
          running.push(
            watchFile({
              file: config.file,
              every: 0,
              clock,
              readText: parts.readText,
              parse: (text) => parseResolvConf(text).search.map((s) => (s.endsWith(".") ? s : `${s}.`)),
              changed: (read) => void (search = read),
              failed: (error) => parts.log("warn", "autopath: no search path", { file: config.file, error: String(error) }),
            }),
          );
        }
        wraps.push(answerSearchPath(p, (q) => (config.kind === "file" ? search : searchPathOf(q.question.name, parts.zones))));
        break;
      }
      case "minimal":
        wraps.push(minimizeAnswers);
        break;
      case "template":
        if (isFirst(p)) wraps.push(answerTemplates(all("template"), (z) => count("coredns_template_rr_failures_total", { zone: z })));
        break;
      case "hosts": {
        let table = hostsTable(p.inline);
        if (p.file !== undefined) {
          const { file } = p;
          running.push(
            watchFile({
              file,
              every: p.reload,
              clock,
              readText: parts.readText,
              parse: (text) => hostsTable([...parseHosts(text), ...p.inline]),
              changed: (read) => {
                table = read;
                revision++;
              },
              failed: (error) => parts.log("warn", "hosts: the table stays as it was", { file, error: String(error) }),
            }),
          );
        }
        hosts.push(() => table);
        wraps.push(answerHosts(p, () => table));
        break;
      }
      case "k8s_external":
        // one answerer has both
        if (all("kubernetes").length === 0) wraps.push(answerZones(parts.answerer, parts.zones));
        break;
      case "kubernetes":
        if (p.names.zonalNames === true) wraps.push(answerEmptyZones);
        wraps.push(answerZones(parts.answerer, parts.zones, parts.passing));
        break;
      case "file": {
        const installed = installFile(p, parts, all("transfer"));
        wraps.push(installed.wrap);
        running.push(installed.running);
        stored.push(installed);
        break;
      }
      case "secondary": {
        const installed = installSecondary(p, parts, all("transfer"));
        notices.push(installed.notified);
        wraps.push(installed.wrap);
        running.push(installed.running);
        stored.push(installed);
        break;
      }
      case "loop":
        loop = new LoopWatch(zone, parts.random);
        wraps.push(loop.wrap);
        break;
      case "forward": {
        const installed = installForward(p, parts, () => loop?.isLoop === true);
        wraps.push(installed.wrap);
        running.push(installed.running);
        recursion.push(installed.recursion);
        break;
      }
      case "whoami":
        wraps.push(() => tellWhoami);
        break;
      default:
        unreachable(p);
    }
  }
  return {
    wraps,
    running,
    recursion: () => recursion.some((is) => is()),
    revision: () => revision,
    hasHost: (of) => hosts.some((table) => hasName(table(), of)),
    notified: (of, from) => notices.map((take) => take(of, from)).find((taken) => taken !== undefined),
    report,
    ...(loop === undefined ? {} : { loop }),
    ...(kept === undefined ? {} : { cache: kept }),
  };
}

/** Plugins that know names of class IN. */
const sources: ReadonlySet<PluginConfig["plugin"]> = new Set([
  "hosts",
  "k8s_external",
  "kubernetes",
  "file",
  "secondary",
  "forward",
  "whoami",
]);

const aclMetrics = {
  allow: "coredns_acl_allowed_requests_total",
  block: "coredns_acl_blocked_requests_total",
  filter: "coredns_acl_filtered_requests_total",
  drop: "coredns_acl_dropped_requests_total",
} as const;

function hasName(table: HostsTable, zone: DomainName): boolean {
  for (const name of table.addresses.keys()) if (isInZone(name, zone)) return true;
  for (const ip of table.names.keys()) if (isInZone(reverseName(ip), zone)) return true;
  return false;
}
