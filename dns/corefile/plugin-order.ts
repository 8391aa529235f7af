import type { Directive } from "./corefile.ts";
import { type AclConfig, readAcl } from "./plugins/acl.ts";
import type { BlockContext } from "./plugins/block-context.ts";
import { type CacheConfig, readCache } from "./plugins/cache.ts";
import { type ForwardConfig, readForward } from "./plugins/forward.ts";
import { type ExternalPlugin, type KubernetesPlugin, readExternal, readKubernetes } from "./plugins/kubernetes.ts";
import {
  type ErrorsConfig,
  type HealthConfig,
  type LogConfig,
  type MetadataConfig,
  type PrometheusConfig,
  type ReadyConfig,
  readErrors,
  readHealth,
  readLog,
  readMetadata,
  readPrometheus,
  readReady,
} from "./plugins/observation.ts";
import {
  type AutopathConfig,
  type Dns64Config,
  type FileConfig,
  type HeaderConfig,
  type HostsConfig,
  type LoadbalanceConfig,
  readAutopath,
  readDns64,
  readFile,
  readHeader,
  readHosts,
  readLoadbalance,
  readSecondary,
  readTransfer,
  type SecondaryConfig,
  type TransferConfig,
} from "./plugins/records.ts";
import { type RewriteConfig, readRewrite } from "./plugins/rewrite.ts";
import {
  type BareConfig,
  type BindConfig,
  type BufsizeConfig,
  type CancelConfig,
  type ChaosConfig,
  type LocalConfig,
  type NsidConfig,
  type ProxyprotoConfig,
  type ReloadConfig,
  type RootConfig,
  type RrlConfig,
  readBare,
  readBind,
  readBufsize,
  readCancel,
  readChaos,
  readLocal,
  readNsid,
  readProxyproto,
  readReload,
  readRoot,
  readRrl,
  readTls,
  type TlsConfig,
} from "./plugins/serving.ts";
import { readTemplate, type TemplateConfig } from "./plugins/template.ts";
import { readTsig, type TsigConfig } from "./plugins/tsig.ts";
import { readView, type ViewConfig } from "./plugins/view.ts";

/** A plugin's line, read. */
export type PluginConfig =
  | AclConfig
  | AutopathConfig
  | BareConfig
  | BindConfig
  | BufsizeConfig
  | CacheConfig
  | CancelConfig
  | ChaosConfig
  | Dns64Config
  | ErrorsConfig
  | ExternalPlugin
  | FileConfig
  | ForwardConfig
  | HeaderConfig
  | HealthConfig
  | HostsConfig
  | KubernetesPlugin
  | LoadbalanceConfig
  | LocalConfig
  | LogConfig
  | MetadataConfig
  | NsidConfig
  | PrometheusConfig
  | ProxyprotoConfig
  | ReadyConfig
  | ReloadConfig
  | RewriteConfig
  | RootConfig
  | RrlConfig
  | SecondaryConfig
  | TemplateConfig
  | TlsConfig
  | TransferConfig
  | TsigConfig
  | ViewConfig;
export type PluginName = PluginConfig["plugin"];

export interface PluginReader {
  readonly name: PluginName;
  /** May stand more than once in a server block. */
  readonly several?: true;
  readonly read: (d: Directive, block: BlockContext) => PluginConfig;
}

/** The order in which a query meets the plugins of its block, whatever the order of the file: CoreDNS's. */
export const pluginOrder: readonly PluginReader[] = [
  { name: "root", read: readRoot },
  { name: "metadata", read: readMetadata },
  { name: "cancel", read: readCancel },
  { name: "tls", read: readTls },
  { name: "reload", read: readReload },
  { name: "proxyproto", read: readProxyproto },
  { name: "nsid", read: readNsid },
  { name: "bufsize", read: readBufsize },
  { name: "bind", several: true, read: readBind },
  { name: "debug", read: (d) => readBare(d, "debug") },
  { name: "ready", read: readReady },
  { name: "health", read: readHealth },
  { name: "prometheus", read: readPrometheus },
  { name: "errors", read: readErrors },
  { name: "log", several: true, read: readLog },
  { name: "local", read: readLocal },
  { name: "dns64", read: readDns64 },
  { name: "tsig", read: readTsig },
  { name: "rrl", read: readRrl },
  { name: "acl", several: true, read: readAcl },
  { name: "any", read: (d) => readBare(d, "any") },
  { name: "chaos", read: readChaos },
  { name: "loadbalance", read: readLoadbalance },
  { name: "cache", read: readCache },
  { name: "rewrite", several: true, read: readRewrite },
  { name: "header", read: readHeader },
  { name: "autopath", read: readAutopath },
  { name: "minimal", read: (d) => readBare(d, "minimal") },
  { name: "template", several: true, read: readTemplate },
  { name: "transfer", several: true, read: readTransfer },
  { name: "hosts", read: readHosts },
  { name: "k8s_external", read: readExternal },
  { name: "kubernetes", read: readKubernetes },
  { name: "file", several: true, read: readFile },
  { name: "secondary", several: true, read: readSecondary },
  { name: "loop", read: (d) => readBare(d, "loop") },
  { name: "forward", several: true, read: readForward },
  { name: "whoami", read: (d) => readBare(d, "whoami") },
  { name: "view", read: readView },
];

/** Plugins of CoreDNS that are not here, with what to do. */
export const absentPlugins: Readonly<Record<string, string>> = {
  auto: "name each zone file with `file`",
  dnssec: "DNSSEC records are not served here",
  sign: "DNSSEC records are not served here",
  grpc: "forward to dns://, tls:// or https:// upstreams",
  etcd: "it is not served here",
  trace: "it is not served here",
  dnstap: "it is not served here",
  pprof: "it is not served here",
  proxy: "it was replaced by forward",
  federation: "it was removed",
};
