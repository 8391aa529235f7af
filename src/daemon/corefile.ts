import { type DnsBlocks, type ForwardTarget, isCorefileError, type LoadedCorefile, loadCorefile } from "../../dns/index.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import type { Running } from "../base/running.ts";
import type { Log } from "../observe/log.ts";
import type { DaemonConfig } from "./daemon-config.ts";

/** What `startCorefileWatch` needs of the world. */
export interface CorefileWatchDeps {
  readonly log: Log;
  readonly clock?: Clock;
  /** In [0, 1); default the system's. */
  readonly random?: () => number;
  readonly load?: (file: string) => LoadedCorefile;
  /** Milliseconds between looks, whatever `reload` says. */
  readonly every?: number;
}

/** A ConfigMap is followed whether or not its Corefile says `reload`: its files are written when it has changed. */
export function lookEvery(config: Pick<DaemonConfig, "corefileConfigMap">): { readonly every?: number } {
  return config.corefileConfigMap === undefined ? {} : { every: 500 };
}

/** What becomes of a changed Corefile. Rejecting leaves what there was. */
export interface CorefileChange {
  readonly blocks: DnsBlocks;
  readonly before: DnsBlocks;
}

export interface CorefileWatch extends Running {
  /** Changes that could not be used so far. */
  readonly failures: () => number;
}

/**
 * Looks at a Corefile as often as its `reload` says, never without one. A file that cannot be read, or used, is told and counted, and
 * what was read before stays.
 */
export function startCorefileWatch(
  file: string,
  first: LoadedCorefile,
  apply: (change: CorefileChange) => Promise<void>,
  deps: CorefileWatchDeps,
): CorefileWatch {
  const { log, clock = systemClock, random = Math.random, load = loadCorefile, every } = deps;
  const closing = new AbortController();
  let current = first;
  let refused: string | undefined;
  let failures = 0;

  const look = async (): Promise<void> => {
    try {
      const now = load(file);
      if (now.digest === current.digest || now.digest === refused) return;
      refused = now.digest;
      await apply({ blocks: now.blocks, before: current.blocks });
      current = now;
      refused = undefined;
      log("info", "the Corefile has changed, and is in use", { file });
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      // one that stays wrong is told once
      if (!isCorefileError(error) || message !== refused) {
        failures++;
        log("error", "the Corefile has changed, and cannot be used; the one before stays", { file, error: message });
      }
      if (isCorefileError(error)) refused = message;
    }
  };
  const loop = async (): Promise<void> => {
    while (!closing.signal.aborted) {
      const reload = reloadOf(current.blocks);
      const wait = every ?? (reload === undefined ? undefined : reload.interval + random() * reload.jitter);
      if (wait === undefined) return;
      await clock.sleep(wait, closing.signal).catch(() => undefined);
      if (!closing.signal.aborted) await look();
    }
  };
  const running = loop();
  return {
    ready: Promise.resolve(),
    failures: () => failures,
    close: async () => {
      closing.abort();
      await running;
    },
  };
}

/** Changes of a Corefile that could not be used, by CoreDNS's name. */
export function reloadMetrics(failures: number, labels = ""): string {
  return [
    "# HELP coredns_reload_failed_total Changes of the Corefile that could not be used.",
    "# TYPE coredns_reload_failed_total counter",
    `coredns_reload_failed_total${labels} ${failures}`,
    "",
  ].join("\n");
}

function reloadOf({ blocks }: DnsBlocks): { readonly interval: number; readonly jitter: number } | undefined {
  return blocks.flatMap((b) => b.plugins).find((p) => p.plugin === "reload");
}

/** Whether the process that served one can serve the other: the names are the same, and where they are asked for. */
export function isServedAlike(a: DnsBlocks, b: DnsBlocks): boolean {
  const outside = ({ blocks, zones, passing }: DnsBlocks): string =>
    JSON.stringify([
      zones,
      passing,
      blocks.map(({ keys, plugins }) => [
        keys.map(({ scheme, port }) => [scheme, port]),
        plugins.filter((p) => ["bind", "tls", "nsid", "bufsize", "transfer", "proxyproto", "rrl", "tsig"].includes(p.plugin)),
      ]),
    ]);
  return outside(a) === outside(b);
}

/** Nodes in namespaces of their own cannot ask this machine's resolvers: what they are given stands for its resolv.conf. */
export function withUpstreams(blocks: DnsBlocks, upstreams: DaemonConfig["upstreams"]): DnsBlocks {
  if ("resolvConf" in upstreams) return blocks;
  const given = upstreams.map(({ ip, port }): ForwardTarget => ({ kind: "server", scheme: "dns", ip, port }));
  // names of upstreams are asked for where everything else is
  const instead = (to: ForwardTarget): readonly ForwardTarget[] => (to.kind === "file" && to.file === "/etc/resolv.conf" ? given : [to]);
  return {
    ...blocks,
    blocks: blocks.blocks.map((b) => ({
      ...b,
      plugins: b.plugins.map((p) =>
        p.plugin === "forward" ? { ...p, to: p.to.flatMap(instead), resolvers: p.resolvers.flatMap(instead) } : p,
      ),
    })),
  };
}
