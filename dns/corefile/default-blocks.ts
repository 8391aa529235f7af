import { printHostPort } from "../../src/base/ip.ts";
import type { DnsConfig } from "../config/dns-config.ts";
import type { PluginConfig } from "./plugin-order.ts";
import { type DnsBlocks, readCorefile } from "./server-blocks.ts";

/** Reverse zones of the whole world: endpoints may have addresses of nodes and of machines outside. */
const foreignReverseZones = ["in-addr.arpa.", "ip6.arpa."];
const defaultResolvConf = "/etc/resolv.conf";

/** What a server does that was given no Corefile, as a Corefile. */
export function printDefaultCorefile(o: {
  readonly zones: readonly string[];
  readonly forward: readonly string[];
  /** Seconds; default 5. */
  readonly ttl?: number;
}): string {
  return [
    ".:53 {",
    "    errors",
    `    kubernetes ${o.zones.join(" ")} {`,
    "        pods insecure",
    `        ttl ${o.ttl ?? 5}`,
    `        passing ${foreignReverseZones.map((zone) => zone.slice(0, -1)).join(" ")}`,
    "    }",
    "    cache {",
    "        prefetch 2 1h 10%",
    "        serve_stale 1h verify",
    "    }",
    `    forward . ${o.forward.join(" ")} {`,
    "        max_concurrent 1000",
    "        health_check 500ms no_rec",
    "        failfast_all_unhealthy_upstreams",
    "    }",
    "    loadbalance",
    "}",
    "",
  ].join("\n");
}

/** The server blocks of a configuration that has none: the default Corefile, with what the configuration says otherwise. */
export function defaultBlocks(config: DnsConfig): DnsBlocks {
  const { upstreams = { resolvConf: defaultResolvConf }, forward = {} } = config;
  const to = "resolvConf" in upstreams ? [upstreams.resolvConf] : upstreams.map((u) => printHostPort(u.ip, u.port));
  const text = printDefaultCorefile({ zones: ["cluster.local"], forward: to.length === 0 ? [defaultResolvConf] : to });
  const read = readCorefile(text, "default", { folder: "/" });
  const change = (p: PluginConfig): PluginConfig | undefined => {
    switch (p.plugin) {
      case "forward":
        if (to.length === 0) return undefined;
        return {
          ...p,
          policy: forward.policy ?? p.policy,
          maxConcurrent: forward.maxConcurrent ?? p.maxConcurrent,
          tryTimeout: forward.tryTimeout ?? p.tryTimeout,
          timeout: forward.timeout ?? p.timeout,
          forceTcp: forward.forceTcp ?? p.forceTcp,
          healthCheck: { ...p.healthCheck, interval: forward.checkInterval ?? p.healthCheck.interval },
        };
      case "cache": {
        if (config.cache === false) return undefined;
        const { entries = p.success.entries, successSeconds, denialSeconds, staleSeconds } = config.cache ?? {};
        return {
          ...p,
          success: { ...p.success, entries, maxTtl: successSeconds ?? p.success.maxTtl },
          denial: { ...p.denial, entries, maxTtl: denialSeconds ?? p.denial.maxTtl },
          ...(p.serveStale === undefined ? {} : { serveStale: { ...p.serveStale, seconds: staleSeconds ?? p.serveStale.seconds } }),
        };
      }
      case "kubernetes":
        return { ...p, names: { zones: p.names.zones, ...config.kubernetes } };
      default:
        return p;
    }
  };
  const nsid: readonly PluginConfig[] = config.nsid === undefined ? [] : [{ plugin: "nsid", data: config.nsid }];
  const blocks = read.blocks.map((b) => ({ ...b, plugins: [...nsid, ...b.plugins.flatMap((p) => change(p) ?? [])] }));
  return {
    blocks,
    zones: {
      ...(config.kubernetes === undefined ? {} : { kubernetes: config.kubernetes }),
      ...(config.external === undefined ? {} : { external: config.external }),
    },
    passing: read.passing,
  };
}
