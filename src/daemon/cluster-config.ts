import { resolve } from "node:path";
import { type BackendChoice, backendChoices, isBackendChoice } from "../../rules/model/backend.ts";
import { type Cidr, cidrAt, cidrSize, cidrsOverlap, parseCidr, printCidr } from "../base/cidr.ts";
import { fnv1a } from "../base/hash.ts";
import { type Ip, type IpFamily, parseIp } from "../base/ip.ts";
import type { DaemonConfig, ProxyConfigSource } from "./daemon-config.ts";

/** What `fairway up` was asked for, as text. */
export interface UpOptions {
  readonly nodes?: string;
  readonly name?: string;
  readonly dataDir?: string;
  readonly kubeconfig?: string;
  readonly apiAddress?: string;
  readonly apiPort?: string;
  readonly backend?: string;
  readonly config?: string;
  readonly corefile?: string;
  readonly corefileConfigmap?: string;
  readonly nodeLocalDns?: string;
  readonly images?: string;
  readonly apply?: readonly string[];
  readonly serviceCidr?: string;
  readonly clusterCidr?: string;
  readonly nodeCidr?: string;
  readonly lbPool?: string;
  readonly clusterDomain?: string;
  readonly ingressAddress?: string;
  readonly ingressHttpPort?: string;
  readonly ingressHttpsPort?: string;
  readonly ingressProcesses?: string;
  readonly accessLog?: string;
  readonly plain?: boolean;
  readonly mode?: string;
}

export interface ClusterConfig {
  readonly name: string;
  readonly dataDir: string;
  readonly kubeconfig: string;
  readonly api: { readonly address: Ip; readonly port: number };
  readonly serviceCidrs: readonly Cidr[];
  readonly clusterCidrs: readonly Cidr[];
  readonly nodeCidrs: readonly Cidr[];
  readonly lbPool: readonly Cidr[];
  readonly clusterDomain: string;
  /** The 10th address of each service range. */
  readonly clusterDns: readonly Ip[];
  readonly ingress: { readonly address: Ip; readonly http: number; readonly https: number };
  /** Of each node; see DaemonConfig. */
  readonly ingressProcesses: number;
  readonly ingressAccessLog?: AccessLogChoice;
  readonly nodes: readonly string[];
  readonly backend: BackendChoice;
  /** A KubeProxyConfiguration for every node's daemon. */
  readonly proxyConfig?: ProxyConfigSource;
  /** What every node's DNS follows. */
  readonly corefile?: string;
  readonly corefileConfigMap?: DaemonConfig["corefileConfigMap"];
  /** Where every node answers DNS for itself, besides the cluster's addresses. */
  readonly nodeLocalDns: readonly Ip[];
  readonly images?: string;
  readonly apply: readonly string[];
}

/** What `up` itself says to its nodes' daemons. */
const toldByUp: ProxyConfigSource["told"] = ["cluster", "nodeName", "observe", "logLevel", "logFormat"];

/** Wrong usage: exit status 2, one line. */
export class UsageError extends Error {
  readonly code = "Usage";
}

/** `mode` decides the defaults: in plain mode all ranges lie in 127.64.0.0/10, where any user may bind. */
export function resolveClusterConfig(
  o: UpOptions,
  mode: "full" | "plain",
  place: { readonly home: string; readonly root: boolean /** The number in the default node ranges. */; readonly nodeSlot?: number },
): ClusterConfig {
  const name = o.name ?? "fairway";
  if (!/^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$/.test(name)) {
    throw new UsageError(`--name ${name}: use at most 32 lower-case letters, digits and dashes, with a letter or digit at both ends`);
  }
  const dataDir = o.dataDir ?? (place.root ? `/var/lib/fairway/${name}` : `${place.home}/.local/share/fairway/${name}`);
  const asked = integer("--nodes", o.nodes ?? "3", 1, 100);
  const count = mode === "plain" ? 1 : asked;
  const plain = mode === "plain";
  const serviceCidrs = cidrList("--service-cidr", o.serviceCidr ?? (plain ? "127.96.0.0/16" : "10.96.0.0/16"));
  const clusterCidrs = cidrList("--cluster-cidr", o.clusterCidr ?? (plain ? "127.64.0.0/16" : "10.244.0.0/16"));
  const families = new Set<IpFamily>(serviceCidrs.map((c) => c.family));
  for (const family of families) {
    if (!clusterCidrs.some((c) => c.family === family)) {
      throw new UsageError(`--cluster-cidr: the service range has IPv${family}, so the pod range needs an IPv${family} range too`);
    }
  }
  const nodeCidrs = cidrList(
    "--node-cidr",
    o.nodeCidr ?? defaultNodeRanges(place.nodeSlot ?? slotByName(name), mode, [...families]).join(","),
  );
  const node4 = nodeCidrs.find((c) => c.family === 4);
  if (node4 === undefined || nodeCidrs.some((c) => cidrSize(c) < 16n)) {
    throw new UsageError("--node-cidr: give an IPv4 range, and each range at least 16 addresses");
  }
  const lbPool = o.lbPool === undefined ? nodeCidrs.map(upperHalf) : cidrList("--lb-pool", o.lbPool);
  refuseOverlaps([
    ...serviceCidrs.map((c) => ["--service-cidr", c] as const),
    ...clusterCidrs.map((c) => ["--cluster-cidr", c] as const),
    ...nodeCidrs.map((c) => ["the node range", c] as const),
  ]);
  // Within the nodes' range LoadBalancer addresses are at home.
  for (const pool of lbPool) {
    refuseOverlaps([["--lb-pool", pool], ...serviceCidrs.map((c) => ["--service-cidr", c] as const)]);
    refuseOverlaps([["--lb-pool", pool], ...clusterCidrs.map((c) => ["--cluster-cidr", c] as const)]);
  }
  if (BigInt(count + 2) > cidrSize(node4) / 2n) throw new UsageError(`--nodes ${count}: the node range ${printCidr(node4)} is too small`);
  const nodes = Array.from({ length: count }, (_, i) => `node-${i + 1}`);
  const backend = o.backend ?? "auto";
  if (!isBackendChoice(backend)) throw new UsageError(`--backend ${backend}: there are ${backendChoices.join(", ")}`);
  return {
    name,
    dataDir,
    kubeconfig: o.kubeconfig ?? `${dataDir}/kubeconfig`,
    api: { address: address("--api-address", o.apiAddress ?? "127.0.0.1"), port: integer("--api-port", o.apiPort ?? "6443", 0, 65535) },
    serviceCidrs,
    clusterCidrs,
    nodeCidrs,
    lbPool,
    clusterDomain: domain(o.clusterDomain ?? "cluster.local"),
    clusterDns: serviceCidrs.map((c) => cidrAt(c, 10)),
    ingress: {
      address: address("--ingress-address", o.ingressAddress ?? "127.0.0.1"),
      http: integer("--ingress-http-port", o.ingressHttpPort ?? "80", 0, 65535),
      https: integer("--ingress-https-port", o.ingressHttpsPort ?? "443", 0, 65535),
    },
    ingressProcesses: ingressProcesses(o.ingressProcesses ?? "1"),
    ...accessLog(o.accessLog),
    nodes,
    backend,
    ...(o.config === undefined
      ? {}
      : { proxyConfig: { file: resolve(o.config), told: plain || o.backend !== undefined ? [...toldByUp, "backend"] : toldByUp } }),
    ...corefileSource(o),
    nodeLocalDns: o.nodeLocalDns === undefined ? [] : o.nodeLocalDns.split(",").map((ip) => address("--node-local-dns", ip)),
    ...(o.images === undefined ? {} : { images: o.images }),
    apply: o.apply ?? [],
  };
}

/** What DNS follows: a file, or a ConfigMap. */
export function corefileSource(o: {
  readonly corefile?: string;
  readonly corefileConfigmap?: string;
}): Pick<DaemonConfig, "corefile" | "corefileConfigMap"> {
  if (o.corefileConfigmap === undefined) return o.corefile === undefined ? {} : { corefile: resolve(o.corefile) };
  if (o.corefile !== undefined) throw new UsageError("--corefile, --corefile-configmap: give one of them");
  return { corefileConfigMap: configMapName("--corefile-configmap", o.corefileConfigmap) };
}

export function configMapName(option: string, text: string): { readonly namespace: string; readonly name: string } {
  const [, namespace, name] = /^([a-z0-9.-]+)\/([a-z0-9.-]+)$/.exec(text) ?? [];
  if (namespace === undefined || name === undefined) throw new UsageError(`${option}: ${text} is not NAMESPACE/NAME`);
  return { namespace, name };
}

/** Default ranges of nodes are told apart by a number below this. */
export const nodeSlots = 256;

/** The number that a cluster has unless another cluster has it. */
export function slotByName(name: string): number {
  return fnv1a(name) % nodeSlots;
}

/** Those with that number, from 0 to 255. */
export function defaultNodeRanges(number: number, mode: "full" | "plain", families: readonly IpFamily[]): readonly string[] {
  if (mode === "plain") return [`127.127.${number}.0/24`];
  return [`172.28.${number}.0/24`, ...(families.includes(6) ? [`fd00:fa:${number.toString(16)}::/64`] : [])];
}

// Nodes take the lower addresses of each range; the upper half is for LoadBalancer Services.
function upperHalf(range: Cidr): Cidr {
  return { ip: cidrAt(range, cidrSize(range) / 2n), bits: range.bits + 1, family: range.family };
}

/** Ranges as the option of a role gives them: `CIDR[,CIDR6]`. Throws a UsageError that names the option. */
export function cidrList(option: string, text: string): readonly Cidr[] {
  return text.split(",").map((part) => {
    const cidr = parseCidr(part);
    if (cidr === undefined) throw new UsageError(`${option} ${part}: not a range; write it as 10.0.0.0/16`);
    return cidr;
  });
}

export function integer(option: string, text: string, min: number, max: number): number {
  const n = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(n >= min && n <= max)) throw new UsageError(`${option} ${text}: give a number from ${min} to ${max}`);
  return n;
}

/** As DaemonConfig has it: `auto` is 0. */
export function ingressProcesses(text: string): number {
  return text === "auto" ? 0 : integer("--ingress-processes", text, 1, 64);
}

type AccessLogChoice = NonNullable<DaemonConfig["ingressAccessLog"]>;

export function accessLog(format: string | undefined): Pick<DaemonConfig, "ingressAccessLog"> {
  if (format === undefined) return {};
  if (format === "json" || format === "nginx") return { ingressAccessLog: format };
  throw new UsageError(`--access-log: ${format} is neither json nor nginx`);
}

export function address(option: string, text: string): Ip {
  const ip = parseIp(text);
  if (ip === undefined) throw new UsageError(`${option} ${text}: not an IP address`);
  return ip;
}

function domain(text: string): string {
  const name = text.toLowerCase().replace(/\.$/, "");
  if (!/^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)*[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name)) {
    throw new UsageError(`--cluster-domain ${text}: not a domain name`);
  }
  return name;
}

function refuseOverlaps(ranges: readonly (readonly [string, Cidr])[]): void {
  for (const [i, [whoA, a]] of ranges.entries()) {
    for (const [whoB, b] of ranges.slice(i + 1)) {
      if (cidrsOverlap(a, b)) throw new UsageError(`${whoA} ${printCidr(a)} and ${whoB} ${printCidr(b)} overlap; choose ranges apart`);
    }
  }
}
