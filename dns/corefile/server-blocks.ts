import { isAbsolute, resolve } from "node:path";
import { type Cidr, parseCidr } from "../../src/base/cidr.ts";
import { validateZones, type ZonesConfig } from "../config/zone-config.ts";
import { isParseError } from "../wire/errors.ts";
import { canonicalName, type DomainName, encodeName } from "../wire/name.ts";
import { reverseZones } from "../zone/reverse-zone.ts";
import { type CorefileSurroundings, type Directive, parseCorefile, type ServerBlock } from "./corefile.ts";
import { CorefileError } from "./errors.ts";
import { absentPlugins, type PluginConfig, type PluginName, pluginOrder } from "./plugin-order.ts";
import type { BlockContext } from "./plugins/block-context.ts";
import type { Place, Token } from "./tokens.ts";

export type ListenerScheme = "dns" | "tls" | "https";

/** What a server block listens for. */
export interface BlockKey {
  readonly scheme: ListenerScheme;
  readonly zone: DomainName;
  /** Absent: the scheme's own. */
  readonly port?: number;
}

/** A server block, read: its plugins in the order in which queries meet them. */
export interface DnsBlock extends Place {
  readonly keys: readonly BlockKey[];
  readonly plugins: readonly PluginConfig[];
}

export interface DnsBlocks {
  readonly blocks: readonly DnsBlock[];
  /** The cluster's names, the same for all blocks that serve them. */
  readonly zones: ZonesConfig;
  /** Zones of others, of which known names are answered. */
  readonly passing: readonly DomainName[];
}

export interface ReadCorefileOptions extends CorefileSurroundings {
  /** Where relative paths begin. */
  readonly folder: string;
}

/** The names of a file that serves none of the cluster's. */
const noNames: ZonesConfig = { kubernetes: { zones: [] } };

/** Reads a Corefile to the last option. Throws a CorefileError, which tells file and line. */
export function readCorefile(text: string, file: string, options: ReadCorefileOptions): DnsBlocks {
  const blocks: DnsBlock[] = [];
  const seen = new Map<string, Place>();
  const owners = new Map<PluginName, { readonly config: PluginConfig; readonly at: Place }>();
  let zones: ZonesConfig = noNames;
  let passing: readonly DomainName[] = [];
  for (const block of parseCorefile(text, file, options)) {
    const keys = block.keys.flatMap(readKey);
    const folder = block.directives.find((d) => d.name === "root")?.words[0]?.text;
    const base = folder === undefined ? options.folder : resolve(options.folder, folder);
    const context: BlockContext = {
      zones: [...new Set(keys.map((k) => k.zone))],
      resolvePath: (path) => (isAbsolute(path) ? path : resolve(base, path)),
    };
    const { plugins, places } = readPlugins(block, context);
    const view = plugins.find((p) => p.plugin === "view")?.name ?? "";
    const hosts = plugins.flatMap((p) => (p.plugin === "bind" ? p.hosts : [])).join(" ");
    for (const key of keys) {
      const id = `${key.scheme}://${key.zone}:${key.port ?? ""} ${view} ${hosts}`;
      const before = seen.get(id);
      if (before !== undefined) {
        throw new CorefileError("conflict", block, `${key.zone} is already served by the block of ${before.file}:${before.line}`);
      }
      seen.set(id, block);
    }
    for (const p of plugins) {
      if (p.plugin !== "kubernetes" && p.plugin !== "k8s_external") continue;
      const at = places.get(p) ?? block;
      const before = owners.get(p.plugin);
      if (before !== undefined && JSON.stringify(before.config) !== JSON.stringify(p)) {
        throw new CorefileError("conflict", at, `${p.plugin}: is not as in line ${before.at.line}; all blocks serve the same names`);
      }
      owners.set(p.plugin, { config: p, at });
      if (p.plugin === "kubernetes") passing = p.passing;
      zones = p.plugin === "kubernetes" ? { ...zones, kubernetes: p.names } : { ...zones, external: p.names };
      const [wrong] = validateZones(zones);
      if (wrong !== undefined) throw new CorefileError("bad-value", at, `${p.plugin}: ${wrong}`);
    }
    if (keys.some((k) => k.scheme === "tls") && !plugins.some((p) => p.plugin === "tls")) {
      throw new CorefileError("conflict", block, "a tls:// block needs `tls CERT KEY`");
    }
    blocks.push({ file: block.file, line: block.line, keys, plugins });
  }
  return { blocks, zones, passing };
}

function readPlugins(
  block: ServerBlock,
  context: BlockContext,
): { readonly plugins: readonly PluginConfig[]; readonly places: ReadonlyMap<PluginConfig, Place> } {
  const places = new Map<PluginConfig, Place>();
  for (const d of block.directives) if (!pluginOrder.some((p) => p.name === d.name)) unknownPlugin(d);
  const plugins = pluginOrder.flatMap(({ name, several, read }) => {
    const own = block.directives.filter((d) => d.name === name);
    const [first, second] = own;
    if (several !== true && second !== undefined) {
      throw new CorefileError("conflict", second, `${name} stands in line ${first?.line} already; once a server block`);
    }
    return own.map((d) => {
      const config = read(d, context);
      places.set(config, d);
      return config;
    });
  });
  return { plugins, places };
}

function unknownPlugin(d: Directive): never {
  const hint = Object.hasOwn(absentPlugins, d.name) ? absentPlugins[d.name] : undefined;
  const choices = pluginOrder.map((p): PluginName => p.name).sort();
  throw new CorefileError(
    "unknown-plugin",
    d,
    `no plugin ${d.name}${hint === undefined ? "" : ` (${hint})`}; there are ${choices.join(", ")}`,
  );
}

function readKey(token: Token): readonly BlockKey[] {
  const bad = (message: string): never => {
    throw new CorefileError("bad-value", token, `${token.text}: ${message}`);
  };
  const [, given = "dns", rest = token.text] = /^([a-z0-9]+):\/\/(.*)$/.exec(token.text) ?? [];
  if (given !== "dns" && given !== "tls" && given !== "https")
    return bad(`${given}:// is not served; there are dns://, tls:// and https://`);
  const [, zoneText = "", portText] = /^(.*?\/[0-9]{1,3}|[^:]*)(?::([0-9]{1,5}))?$/.exec(rest) ?? bad("this is no ZONE:PORT");
  const port = portText === undefined ? undefined : Number(portText);
  if (port !== undefined && port > 65535) bad(`there is no port ${port}`);
  const cidr: Cidr | undefined = zoneText.includes("/") ? parseCidr(zoneText) : undefined;
  const zones = cidr === undefined ? [zoneText === "" ? "." : zoneText] : reverseZones(cidr);
  return zones.map((zone) => {
    try {
      encodeName(zone);
    } catch (error) {
      if (isParseError(error)) return bad(`${zone} is neither a zone nor a range`);
      throw error;
    }
    return { scheme: given, zone: canonicalName(zone), ...(port === undefined ? {} : { port }) };
  });
}
