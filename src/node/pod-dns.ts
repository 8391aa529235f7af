import type { Pod } from "../api/types/core-v1.generated.ts";
import type { Ip } from "../base/ip.ts";

export interface DnsSettings {
  readonly nameservers: readonly Ip[];
  readonly search: readonly string[];
  readonly options: readonly string[];
}

export interface ClusterDns {
  readonly ips: readonly Ip[];
  readonly domain: string;
  /** The machine's own resolv.conf, for pods that ask for it. */
  readonly host: DnsSettings;
}

// resolv.conf(5), glibc 2.26 on: 32 domains and 2048 characters, as the kubelet limits them; three servers.
const maxSearch = 32;
const maxSearchCharacters = 2048;
const maxNameservers = 3;

/** What a pod resolves with, by its dnsPolicy and dnsConfig. */
export function podDns(pod: Pod, cluster: ClusterDns): DnsSettings {
  const { spec = {}, metadata = {} } = pod;
  const policy = spec.dnsPolicy ?? "ClusterFirst";
  const clusterFirst = policy === "ClusterFirstWithHostNet" || (policy === "ClusterFirst" && spec.hostNetwork !== true);
  const base: DnsSettings =
    policy === "None"
      ? { nameservers: [], search: [], options: [] }
      : clusterFirst && cluster.ips.length > 0
        ? {
            nameservers: cluster.ips,
            search: [
              ...(cluster.domain === ""
                ? []
                : [`${metadata.namespace ?? "default"}.svc.${cluster.domain}`, `svc.${cluster.domain}`, cluster.domain]),
              ...cluster.host.search,
            ],
            options: ["ndots:5"],
          }
        : cluster.host;
  const config = spec.dnsConfig ?? {};
  const given = (config.options ?? []).map((o) => (o.value === undefined ? (o.name ?? "") : `${o.name ?? ""}:${o.value}`));
  const replaced = new Set(given.map(optionName));
  return {
    nameservers: unique([...base.nameservers, ...(config.nameservers ?? [])]).slice(0, maxNameservers),
    search: limitSearch(unique([...base.search, ...(config.searches ?? [])])),
    options: [...base.options.filter((o) => !replaced.has(optionName(o))), ...given],
  };
}

/** resolv.conf(5). */
export function printResolvConf(dns: DnsSettings): string {
  return [
    ...(dns.search.length === 0 ? [] : [`search ${dns.search.join(" ")}`]),
    ...dns.nameservers.map((ip) => `nameserver ${ip}`),
    ...(dns.options.length === 0 ? [] : [`options ${dns.options.join(" ")}`]),
    "",
  ].join("\n");
}

/** The inverse of `printResolvConf`; `domain` counts as a search list of one. Unknown lines are passed over. */
export function parseResolvConf(text: string): DnsSettings {
  const nameservers: string[] = [];
  let search: readonly string[] = [];
  let options: readonly string[] = [];
  for (const line of text.split("\n")) {
    const [word, ...rest] = line.trim().split(/\s+/);
    if (word === "nameserver" && rest[0] !== undefined) nameservers.push(rest[0]);
    // The last search or domain line wins; options add up.
    if (word === "search" || word === "domain") search = rest.filter((d) => d !== ".");
    if (word === "options") options = [...options, ...rest];
  }
  return { nameservers, search, options };
}

/** A pod's host name, and its name in the cluster domain where it has one. */
export function podHostname(pod: Pod, clusterDomain: string): { readonly hostname: string; readonly fqdn: string | undefined } {
  const { spec = {}, metadata = {} } = pod;
  // HOST_NAME_MAX (linux/limits.h) is 64, of which Kubernetes uses 63; a cut may not end in a dash or a dot.
  const hostname = (spec.hostname ?? metadata.name ?? "").slice(0, 63).replace(/[-.]+$/, "");
  const fqdn =
    spec.subdomain === undefined || spec.subdomain === ""
      ? undefined
      : `${hostname}.${spec.subdomain}.${metadata.namespace ?? "default"}.svc.${clusterDomain}`;
  return { hostname: spec.setHostnameAsFQDN === true && fqdn !== undefined ? fqdn : hostname, fqdn };
}

/** /etc/hosts of a pod with a network of its own. */
export function printHosts(pod: Pod, ips: readonly Ip[], clusterDomain: string): string {
  const { fqdn } = podHostname(pod, clusterDomain);
  const hostname = podHostname({ ...pod, spec: { ...pod.spec, setHostnameAsFQDN: false } }, clusterDomain).hostname;
  const own = ips.map((ip) => (fqdn === undefined ? `${ip}\t${hostname}` : `${ip}\t${fqdn}\t${hostname}`));
  return [
    "# Kubernetes-managed hosts file.",
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::0\tip6-localnet",
    "fe00::0\tip6-mcastprefix",
    "fe00::1\tip6-allnodes",
    "fe00::2\tip6-allrouters",
    ...own,
    "",
    printHostAliases(pod),
  ].join("\n");
}

/** The machine's own file with the pod's aliases after it, for a pod on its node's network. */
export function printHostNetworkHosts(pod: Pod, hostFile: string): string {
  return `# Kubernetes-managed hosts file (host network).\n${hostFile}${hostFile.endsWith("\n") ? "" : "\n"}${printHostAliases(pod)}`;
}

function printHostAliases(pod: Pod): string {
  const aliases = pod.spec?.hostAliases ?? [];
  if (aliases.length === 0) return "";
  const lines = aliases.map((a) => `${a.ip}\t${(a.hostnames ?? []).join("\t")}`);
  return ["", "# Entries added by HostAliases.", ...lines, ""].join("\n");
}

function limitSearch(domains: readonly string[]): readonly string[] {
  const kept: string[] = [];
  for (const domain of domains.slice(0, maxSearch)) {
    if ([...kept, domain].join(" ").length > maxSearchCharacters) break;
    kept.push(domain);
  }
  return kept;
}

function optionName(option: string): string {
  return option.split(":")[0] ?? option;
}

function unique(items: readonly string[]): readonly string[] {
  return [...new Set(items)];
}
