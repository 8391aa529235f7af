import { readFile } from "node:fs/promises";
import type { Ip } from "../../src/base/ip.ts";
import type { DnsAddress } from "../config/dns-config.ts";
import type { HttpsConfig, TlsCertificate, TlsConfig } from "../config/tls-config.ts";
import type { TlsConfig as TlsPlugin } from "../corefile/plugins/serving.ts";
import type { DnsBlock, DnsBlocks, ListenerScheme } from "../corefile/server-blocks.ts";
import { boundHosts, defaultPorts } from "../handler/server-chains.ts";

/** Listeners that server blocks want besides the server's own. */
export interface BlockListeners {
  readonly dns: readonly DnsAddress[];
  readonly tls: readonly TlsConfig[];
  readonly https: readonly HttpsConfig[];
}

interface Place extends DnsAddress {
  readonly scheme: ListenerScheme;
  readonly block: DnsBlock;
}

/** All places of the blocks, each once, but for plain DNS at the server's own addresses; `own` is where that answers. */
export async function blockListeners({ blocks }: DnsBlocks, own: readonly DnsAddress[]): Promise<BlockListeners> {
  const ownIps = [...new Set(own.map((a) => a.ip))];
  const places = new Map<string, Place>();
  for (const block of blocks) {
    for (const key of block.keys) {
      const ips: readonly Ip[] = boundHosts(block) ?? ownIps;
      for (const ip of ips) {
        // a key without a port is for the server's own, whatever they are
        const port = key.port === undefined || key.port === defaultPorts[key.scheme] ? portAt(key.scheme, ip, own) : key.port;
        if (key.scheme === "dns" && own.some((a) => a.ip === ip && a.port === port)) continue;
        places.set(`${key.scheme} ${ip} ${port}`, { scheme: key.scheme, ip, port, block });
      }
    }
  }
  const all = Array.from(places.values());
  const at = (scheme: ListenerScheme): readonly Place[] => all.filter((p) => p.scheme === scheme);
  return {
    dns: all.filter((p) => p.scheme === "dns").map(({ ip, port }) => ({ ip, port })),
    tls: await Promise.all(
      at("tls").map(async ({ ip, port, block }) => {
        const certificate = await certificateOf(block);
        if (certificate === undefined)
          throw new RangeError(`${block.file}:${block.line}: the block has no certificate; give \`tls CERT KEY\``);
        return { listen: [{ ip, port }], certificate };
      }),
    ),
    https: await Promise.all(
      at("https").map(async ({ ip, port, block }) => {
        const certificate = await certificateOf(block);
        return { listen: [{ ip, port }], ...(certificate === undefined ? {} : { certificate }) };
      }),
    ),
  };
}

function portAt(scheme: ListenerScheme, ip: Ip, own: readonly DnsAddress[]): number {
  if (scheme !== "dns") return defaultPorts[scheme];
  return own.find((a) => a.ip === ip)?.port ?? own[0]?.port ?? defaultPorts.dns;
}

async function certificateOf(block: DnsBlock): Promise<TlsCertificate | undefined> {
  const plugin = block.plugins.find((p): p is TlsPlugin => p.plugin === "tls");
  if (plugin === undefined) return undefined;
  const [cert, key, ca] = await Promise.all([
    readFile(plugin.certFile, "utf8"),
    readFile(plugin.keyFile, "utf8"),
    plugin.caFile === undefined ? undefined : readFile(plugin.caFile, "utf8"),
  ]);
  const isRequired = plugin.clientAuth === "require" || plugin.clientAuth === "require_and_verify";
  return {
    cert,
    key,
    ...(ca === undefined ? {} : { clientCa: ca }),
    ...(isRequired ? { requireClient: true as const } : {}),
    ...(plugin.keylogFile === undefined ? {} : { keylogFile: plugin.keylogFile }),
  };
}
