import { networkInterfaces } from "node:os";
import { type Ip, parseIp } from "../../src/base/ip.ts";
import type { Running } from "../../src/base/running.ts";
import { servedZones } from "../config/served-zones.ts";
import type { PluginConfig } from "../corefile/plugin-order.ts";
import type { Expression } from "../corefile/plugins/view-expression.ts";
import type { BlockKey, DnsBlock, ListenerScheme } from "../corefile/server-blocks.ts";
import { isUpstreamError } from "../forward/errors.ts";
import { canonicalName, type DomainName, isInZone } from "../wire/name.ts";
import { classIn, rcodes, typeNumbers } from "../wire/record-type.ts";
import { offerRecursion, refuseUnusual } from "./access.ts";
import type { BlockParts } from "./block-parts.ts";
import { answerCachedNow, type CachedNow, isCacheDirect } from "./cached-now.ts";
import { type Directness, directnessOf, leastDirect } from "./directness.ts";
import { answerErrors } from "./failure.ts";
import { composeChain, createContext, type DnsContext, type DnsHandler, emptyAnswer, type Query, questionMessage } from "./handler.ts";
import { type InstalledBlock, installPlugins } from "./installed-plugins.ts";
import { isInView } from "./view.ts";
import { refuseRest } from "./zone-names.ts";
import { answerNotices } from "./zone-notify.ts";

/** The server blocks behind one port and scheme. */
export interface ListenerChains {
  /** Answers a query by the block whose zone fits best. */
  readonly handler: DnsHandler;
  /** How much the answerer may say without asking `handler`. */
  readonly directness: () => Directness;
  /** Answers at once what a cache has, where a query's block would say just that. */
  readonly cachedNow: CachedNow;
}

/** Where a listener listens. */
export interface ListenerPlace {
  readonly scheme: ListenerScheme;
  readonly ip: Ip;
  readonly port: number;
  /** One of the server's own listeners, whatever their port: for keys without a port, or with the scheme's. */
  readonly isMain: boolean;
}

/** Whether a block's key is served there. */
export function isServedAt(key: BlockKey, block: DnsBlock, at: ListenerPlace): boolean {
  if (key.scheme !== at.scheme) return false;
  const port = key.port ?? defaultPorts[key.scheme];
  if (port !== at.port && !(at.isMain && port === defaultPorts[key.scheme])) return false;
  const hosts = boundHosts(block);
  return hosts === undefined || hosts.includes(at.ip) || hosts.includes("0.0.0.0") || hosts.includes("::");
}

/** Addresses that a block is bound to; undefined: wherever the server listens. */
export function boundHosts(block: DnsBlock): readonly Ip[] | undefined {
  const binds = block.plugins.filter((p) => p.plugin === "bind");
  if (binds.length === 0) return undefined;
  const addresses = (names: readonly string[]): readonly Ip[] =>
    names.flatMap((name) => parseIp(name) ?? (networkInterfaces()[name] ?? []).map((i) => i.address));
  const except = addresses(binds.flatMap((p) => p.except));
  return addresses(binds.flatMap((p) => p.hosts)).filter((ip) => !except.includes(ip));
}

export interface ServerChains extends Running {
  /** Those of one listening address; all names are refused where no block listens. */
  listener(at: ListenerPlace): ListenerChains;
  /** Somebody is asked for names that nobody here knows. */
  readonly recursion: () => boolean;
  /** Looks whether an upstream leads back here, and says so in the log. To be called when the listeners are open. */
  probeLoops(): Promise<void>;
}

/** One zone of one block. */
interface ZoneChain {
  readonly key: BlockKey;
  readonly block: DnsBlock;
  readonly view?: { readonly conditions: readonly Expression[]; readonly name: string };
  readonly installed: InstalledBlock;
  /** For queries from outside. */
  readonly outer: DnsHandler;
  /** For questions of the server itself. */
  readonly inner: DnsHandler;
}

/** Questions that the server asks itself on behalf of one query. */
const maxLookups = 16;
export const defaultPorts: Readonly<Record<ListenerScheme, number>> = { dns: 53, tls: 853, https: 443 };

/** Makes the chains of all server blocks. `ready` when their files have been read and upstreams are known. */
export function startServerChains(blocks: readonly DnsBlock[], parts: BlockParts): ServerChains {
  const chains = blocks.flatMap((block): readonly ZoneChain[] => {
    const installed = installPlugins(block, parts);
    const view = block.plugins.find((p) => p.plugin === "view");
    const { outer, inner } = composeBlock(block, installed, parts);
    return block.keys.map((key) => ({ key, block, installed, outer, inner, ...(view === undefined ? {} : { view }) }));
  });
  const installed = [...new Set(chains.map((c) => c.installed))];
  const running = installed.flatMap((i) => i.running);

  const listenerOf = (at: ListenerPlace): ListenerChains => {
    const own = chains.filter((c) => isServedAt(c.key, c.block, at));
    // a name is in the cache of its own block only
    const cached = own.flatMap(({ block, installed: i }) => {
      if (i.cache === undefined || !isCacheDirect(block.plugins)) return [];
      return answerCachedNow(i.cache, {
        clock: parts.clock,
        random: parts.random,
        observe: parts.cache,
        isServed: parts.isAllowed,
        offersRecursion: (client) => i.recursion() && parts.isAllowed(client),
        isBalanced: block.plugins.some((p) => p.plugin === "loadbalance"),
      });
    });
    let known: { readonly revision: number; readonly directness: Directness } | undefined;
    return {
      handler: dispatch(own),
      cachedNow: (query, out) => {
        for (const answer of cached) {
          const length = answer(query, out);
          if (length !== undefined) return length;
        }
        return undefined;
      },
      directness: () => {
        const revision = installed.reduce((sum, i) => sum + i.revision(), 0);
        if (known?.revision !== revision) known = { revision, directness: directness(own, parts) };
        return known.directness;
      },
    };
  };
  const ready = Promise.all(running.map((r) => r.ready)).then(() => {});
  ready.catch(() => {});
  return {
    ready,
    listener: listenerOf,
    recursion: () => installed.some((i) => i.recursion()),
    probeLoops: async () => {
      await Promise.all(
        installed.flatMap(({ loop }) => {
          const chain = chains.find((c) => c.installed.loop === loop);
          return loop === undefined || chain === undefined ? [] : [probe(chain, loop.probe, () => loop.isLoop, parts)];
        }),
      );
    },
    close: async () => {
      await Promise.all(running.map((r) => r.close()));
    },
  };
}

function composeBlock(
  block: DnsBlock,
  installed: InstalledBlock,
  parts: BlockParts,
): { readonly outer: DnsHandler; readonly inner: DnsHandler } {
  const has = (name: PluginConfig["plugin"]): boolean => block.plugins.some((p) => p.plugin === name);
  const inner = composeChain(installed.wraps, refuseRest);
  const outer = composeChain(
    [
      offerRecursion((client) => installed.recursion() && parts.isAllowed(client)),
      answerErrors((error, name) => {
        if (!isUpstreamError(error)) parts.count("coredns_panics_total");
        parts.log(isUpstreamError(error) ? "debug" : "error", "query failed", { name, error });
        installed.report(`${name}: ${error instanceof Error ? error.message : String(error)}`);
      }),
      answerNotices(installed.notified),
      refuseUnusual({ transfers: has("transfer"), otherClasses: has("chaos") || has("template") }),
    ],
    inner,
  );
  return { outer, inner };
}

/** The block of the longest zone; of several with one zone, the first whose view the query is in. */
function select(chains: readonly ZoneChain[], q: Query, metadata: ReadonlyMap<string, string>): ZoneChain | undefined {
  const name = canonicalName(q.question.name);
  // the DS record of a cut belongs to the zone above it (RFC 4035 section 3.1.4.1)
  const isBelow = (zone: DomainName): boolean =>
    isInZone(name, zone) && (q.question.type !== typeNumbers.DS || name !== zone || zone === ".");
  let best: ZoneChain | undefined;
  for (const chain of chains) {
    const { zone } = chain.key;
    if (!isBelow(zone) || (best !== undefined && zone.length <= best.key.zone.length)) continue;
    if (chain.view === undefined || isInView(chain.view.conditions, q, metadata)) best = chain;
  }
  return best;
}

function dispatch(chains: readonly ZoneChain[]): DnsHandler {
  return (q, c) => {
    let lookups = 0;
    const lookup = async (asked: Query): Promise<ReturnType<typeof emptyAnswer>> => {
      if (++lookups > maxLookups) return emptyAnswer(asked.message, rcodes.SERVFAIL);
      const chain = select(chains, asked, c.metadata);
      if (chain === undefined) return emptyAnswer(asked.message, rcodes.REFUSED);
      try {
        return await chain.inner(asked, context);
      } catch {
        return emptyAnswer(asked.message, rcodes.SERVFAIL);
      }
    };
    const context: DnsContext = { ...c, lookup };
    const chain = select(chains, q, c.metadata);
    if (chain === undefined) return emptyAnswer(q.message, rcodes.REFUSED);
    if (chain.view !== undefined) c.metadata.set("view/name", chain.view.name);
    return chain.outer(q, context);
  };
}

/** Over all zones of the answerer: what every plugin of every block that has names of theirs lets through. */
function directness(chains: readonly ZoneChain[], parts: BlockParts): Directness {
  const zones = [...servedZones(parts.zones).map((z) => z.name), ...parts.passing];
  return leastDirect(
    zones.flatMap((zone) => {
      const above = chains.filter((c) => isInZone(zone, c.key.zone));
      const longest = Math.max(...above.map((c) => c.key.zone.length));
      const serving = above.filter((c) => c.key.zone.length === longest);
      if (serving.length === 0) return ["none" as const];
      return [...serving, ...chains.filter((c) => c.key.zone !== zone && isInZone(c.key.zone, zone))].map((c) => blockDirectness(c, zone));
    }),
  );
}

function blockDirectness({ block, installed }: ZoneChain, zone: DomainName): Directness {
  if (!block.plugins.some((p) => p.plugin === "kubernetes" || p.plugin === "k8s_external")) return "none";
  return leastDirect(block.plugins.map((p) => directnessOf(p, zone, installed.hasHost)));
}

async function probe(chain: ZoneChain, name: DomainName, isLoop: () => boolean, parts: BlockParts): Promise<void> {
  const question = { name, type: typeNumbers.HINFO, class: classIn };
  const query: Query = { message: questionMessage(question, { id: 0 }), question, client: "127.0.0.1", transport: "udp" };
  // its own way is no loop; each time it comes back another goes out
  await Promise.resolve(chain.inner(query, createContext({ signal: AbortSignal.timeout(probeTimeout) }))).catch(() => {});
  if (isLoop()) {
    parts.log("error", "loop: an upstream leads back to this server; nothing is forwarded until the configuration changes", {
      zone: chain.key.zone,
      block: `${chain.block.file}:${chain.block.line}`,
    });
  }
}

/** Milliseconds. */
const probeTimeout = 2000;
