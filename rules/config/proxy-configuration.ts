import { type Cidr, parseCidr } from "../../src/base/cidr.ts";
import { type Ip, parseIp } from "../../src/base/ip.ts";
import {
  anything,
  bool,
  choice,
  duration,
  type Fault,
  type Field,
  field,
  int32,
  integer,
  list,
  mapOf,
  optional,
  record,
  text,
  type Values,
} from "./field.ts";

export const configApiVersion = "kubeproxy.config.k8s.io/v1alpha1";
export const configKind = "KubeProxyConfiguration";

export interface HostPort {
  readonly ip: Ip;
  readonly port: number;
}

export const modes = ["", "auto", "nftables", "iptables", "ipvs", "userspace"] as const;
export const detectLocalModes = ["", "ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix"] as const;
export const schedulers = ["", "rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "dh", "sed", "nq", "fo", "ovf", "mh", "twos"] as const;

const cidr: Field<Cidr | undefined> = field<Cidr | undefined>(undefined, "a range such as 10.0.0.0/16 or fd00::/64", (v) =>
  typeof v === "string" ? parseCidr(v) : undefined,
);
const masqueradeBit = optional(integer(0, 31, "a bit from 0 to 31"));
const atLeast0 = optional(integer(0, int32.max, "a whole number, not below 0"));
const syncTimes = { syncPeriod: duration, minSyncPeriod: duration };

/** An IP address, and a port where the default is not meant: `0.0.0.0:10256`, `[::]:10256`, `::`. */
function hostPort(defaultPort: number): Field<HostPort | undefined> {
  return field<HostPort | undefined>(undefined, `an address and port such as 0.0.0.0:${defaultPort} or [::]:${defaultPort}`, (v) =>
    typeof v === "string" ? parseHostPort(v, defaultPort) : undefined,
  );
}

function parseHostPort(given: string, defaultPort: number): HostPort | undefined {
  const alone = parseIp(given.replace(/^\[(.*)\]$/, "$1"));
  if (alone !== undefined) return { ip: alone, port: defaultPort };
  const [, host = "", portText = ""] = /^(.+):(\d+)$/.exec(given) ?? [];
  const ip = host.includes(":") && !host.startsWith("[") ? undefined : parseIp(host.replace(/^\[(.*)\]$/, "$1"));
  const port = Number(portText);
  return ip === undefined || port < 1 || port > 65535 ? undefined : { ip, port };
}

/** A text that is left empty or is of this kind. */
function emptyOr<T>(inner: Field<T>): Field<T> {
  return { absent: inner.absent, read: (value, name, faults) => (value === "" ? inner.absent : inner.read(value, name, faults)) };
}

const clusterCidrs: Field<readonly Cidr[]> = {
  absent: [],
  read: (value, name, faults) => {
    const parts = typeof value === "string" ? value.split(",") : [];
    const ranges = parts.flatMap((part) => parseCidr(part.trim()) ?? []);
    const twice = ranges.length === 2 && ranges[0]?.family === ranges[1]?.family;
    if (parts.length > 0 && ranges.length === parts.length && ranges.length <= 2 && !twice) return ranges;
    const wanted = "a range such as 10.244.0.0/16, or one of each family such as 10.244.0.0/16,fd00:244::/56";
    faults.push({ field: name, message: `${JSON.stringify(value)}: must be ${wanted}` });
    return [];
  },
};

const nodePortAddresses: Field<"primary" | readonly Cidr[] | undefined> = {
  absent: undefined,
  read: (value, name, faults) => {
    const words = list(text).read(value, name, faults);
    if (words.length === 0) return undefined;
    if (words.length === 1 && words[0] === "primary") return "primary";
    return words.flatMap((word, i) => {
      const range = parseCidr(word);
      if (range !== undefined) return range;
      const message =
        word === "primary" ? "stands alone, without ranges beside it" : "must be a range such as 192.0.2.0/24, or primary alone";
      faults.push({ field: `${name}[${i}]`, message: `${JSON.stringify(word)}: ${message}` });
      return [];
    });
  },
};

const quantityOrNumber: Field<unknown> = field<unknown>(undefined, "a number or a quantity such as 64Ki", (v) =>
  typeof v === "number" || (typeof v === "string" && /^\d+([KMGT]i?|k)?$/.test(v)) ? v : undefined,
);

/** Logging of Kubernetes' components: read by nobody here but for its format and verbosity. */
const logging = record({
  format: choice(["", "text", "json"], ""),
  flushFrequency: anything,
  verbosity: integer(0, int32.max),
  vmodule: list(record({ filePattern: text, verbosity: integer(0, int32.max) })),
  options: record({
    text: record({ splitStream: bool, infoBufferSize: quantityOrNumber }),
    json: record({ splitStream: bool, infoBufferSize: quantityOrNumber }),
  }),
});

const fields = {
  apiVersion: text,
  kind: text,
  featureGates: mapOf(bool),
  clientConnection: record({
    kubeconfig: text,
    acceptContentTypes: text,
    contentType: text,
    qps: field(0, "a number", (v) => (typeof v === "number" ? v : undefined)),
    burst: integer(0, int32.max, "a whole number, not below 0"),
  }),
  logging,
  hostnameOverride: text,
  bindAddress: emptyOr(field<Ip | undefined>(undefined, "an IP address", (v) => (typeof v === "string" ? parseIp(v) : undefined))),
  healthzBindAddress: emptyOr(hostPort(10256)),
  metricsBindAddress: emptyOr(hostPort(10249)),
  bindAddressHardFail: bool,
  enableProfiling: bool,
  showHiddenMetricsForVersion: emptyOr(
    field("", "a version such as 1.35", (v) => (typeof v === "string" && /^\d+\.\d+$/.test(v) ? v : undefined)),
  ),
  mode: choice(modes, ""),
  iptables: record({
    masqueradeBit,
    masqueradeAll: bool,
    localhostNodePorts: optional(bool),
    snatNodeInternalIP: optional(bool),
    ...syncTimes,
  }),
  ipvs: record({
    ...syncTimes,
    scheduler: choice(schedulers, ""),
    excludeCIDRs: list(cidr),
    strictARP: bool,
    tcpTimeout: duration,
    tcpFinTimeout: duration,
    udpTimeout: duration,
  }),
  nftables: record({ masqueradeBit, masqueradeAll: bool, ...syncTimes }),
  winkernel: record({ networkName: text, sourceVip: text, enableDSR: bool, rootHnsEndpointName: text, forwardHealthCheckVip: bool }),
  detectLocalMode: choice(detectLocalModes, ""),
  detectLocal: record({ bridgeInterface: text, interfaceNamePrefix: text }),
  clusterCIDR: emptyOr(clusterCidrs),
  nodePortAddresses,
  oomScoreAdj: optional(integer(-1000, 1000)),
  conntrack: record({
    maxPerCore: atLeast0,
    min: atLeast0,
    tcpEstablishedTimeout: optional(duration),
    tcpCloseWaitTimeout: optional(duration),
    tcpBeLiberal: bool,
    udpTimeout: duration,
    udpStreamTimeout: duration,
  }),
  configSyncPeriod: duration,
  portRange: emptyOr(field("", "a range of ports such as 30000-32767", (v) => (typeof v === "string" && isPortRange(v) ? v : undefined))),
  windowsRunAsService: bool,
};

/** kube-proxy's configuration as it is written, each field read to its type; times are milliseconds, 0 where nothing was said. */
export type ProxyConfiguration = Values<typeof fields>;

/** What an empty document says. */
export const emptyConfiguration: ProxyConfiguration = record(fields).absent;

/** Reads a document that YAML or JSON has been made of. Every fault is told; with one, the value is of no use. */
export function parseProxyConfiguration(document: unknown): {
  readonly configuration: ProxyConfiguration;
  readonly faults: readonly Fault[];
} {
  const faults: Fault[] = [];
  const configuration = record(fields).read(document, "", faults);
  if (faults.length === 1 && faults[0]?.field === "") return { configuration, faults };
  const { apiVersion, kind } = configuration;
  if (apiVersion !== configApiVersion)
    faults.unshift({ field: "apiVersion", message: `${JSON.stringify(apiVersion)}: must be ${configApiVersion}` });
  if (kind !== configKind) faults.unshift({ field: "kind", message: `${JSON.stringify(kind)}: must be ${configKind}` });
  faults.push(...together(configuration));
  return { configuration, faults };
}

/** `iptables.masqueradeBit: 32: must be a bit from 0 to 31` */
export function printFault({ field: name, message }: Fault): string {
  return name === "" ? message : `${name}: ${message}`;
}

/** kube-proxy's own, where a period is not said. */
const defaultSyncPeriod = 30_000;

/** What is wrong with fields only when they are seen together. */
function together(c: ProxyConfiguration): readonly Fault[] {
  const faults: Fault[] = [];
  for (const section of ["iptables", "ipvs", "nftables"] as const) {
    const { minSyncPeriod, syncPeriod } = c[section];
    if (minSyncPeriod > (syncPeriod || defaultSyncPeriod))
      faults.push({
        field: `${section}.minSyncPeriod`,
        message: `must not be above ${section}.syncPeriod${syncPeriod === 0 ? " (30s, since it is not given)" : ""}`,
      });
  }
  const { bridgeInterface, interfaceNamePrefix } = c.detectLocal;
  if (c.detectLocalMode === "BridgeInterface") faults.push(...linkName("detectLocal.bridgeInterface", bridgeInterface, c.detectLocalMode));
  if (c.detectLocalMode === "InterfaceNamePrefix")
    faults.push(...linkName("detectLocal.interfaceNamePrefix", interfaceNamePrefix, c.detectLocalMode));
  return faults;
}

/** IFNAMSIZ, less the end. */
const longestLinkName = 15;

function linkName(name: string, given: string, mode: string): readonly Fault[] {
  if (given === "") return [{ field: name, message: `must be given with detectLocalMode ${mode}` }];
  if (given.length <= longestLinkName && !/[\s/"+*]/.test(given)) return [];
  return [{ field: name, message: `${JSON.stringify(given)}: must be a link's name, of ${longestLinkName} characters at most` }];
}

function isPortRange(given: string): boolean {
  const match = /^(\d+)(?:([-+])(\d+))?$/.exec(given);
  if (match === null) return false;
  const first = Number(match[1]);
  const second = match[3] === undefined ? first : match[2] === "+" ? first + Number(match[3]) : Number(match[3]);
  return first <= second && second <= 65535;
}
