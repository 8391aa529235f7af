import { hostname } from "node:os";
import { resolve } from "node:path";
import type { Command } from "commander";
import { backendChoices, iptablesFlavours, isBackendChoice } from "../../rules/model/backend.ts";
import { printCidr } from "../base/cidr.ts";
import { parseIp } from "../base/ip.ts";
import { accessLog, address, cidrList, configMapName, corefileSource, ingressProcesses, integer } from "../daemon/cluster-config.ts";
import { type DaemonConfig, type Part, type ProxyConfigSource, parts } from "../daemon/daemon-config.ts";
import { usageError } from "./errors.ts";
import { globalOptions } from "./global-options.ts";

/** What the commands of a node's daemon take, as text; each has those of its parts. */
export interface DaemonOptions {
  readonly kubeconfig: string;
  readonly nodeName?: string;
  readonly enable?: string;
  readonly backend?: string;
  readonly iptables?: string;
  readonly config?: string;
  readonly healthzBindAddress?: string;
  readonly clusterDomain?: string;
  readonly clusterDns?: string;
  readonly clusterCidr?: string;
  readonly serviceCidr?: string;
  readonly bind?: string;
  readonly ingressAddress?: string;
  readonly port?: string;
  readonly httpPort?: string;
  readonly httpsPort?: string;
  readonly publish?: string;
  readonly metricsAddress?: string;
  readonly metricsPort?: string;
  readonly runDir?: string;
  readonly resolvConf?: string;
  readonly corefile?: string;
  readonly corefileConfigmap?: string;
  readonly nodeLocalDns?: string;
  readonly ingressProcesses?: string;
  readonly drainSeconds?: string;
  readonly ingressTransport?: string;
  readonly ingressClass?: string;
  readonly controllerClass?: string;
  readonly ingressConfigmap?: string;
  readonly tcpServicesConfigmap?: string;
  readonly udpServicesConfigmap?: string;
  readonly accessLog?: string;
  readonly readyFile?: string;
  readonly cleanup?: boolean;
}

/** Throws a usage error that names the option. `name` is the command's, `enabled` its parts. */
export function daemonConfigOf(name: string, enabled: readonly Part[], o: DaemonOptions, command: Command): DaemonConfig {
  const { logLevel, logFormat } = globalOptions(command);
  const enable = o.enable === undefined ? enabled : o.enable.split(",").map(partOf);
  const ips = (option: string, text: string | undefined): readonly string[] =>
    text === undefined || text === "" ? [] : text.split(",").map((ip) => address(option, ip));
  const port = (option: string, text: string | undefined, or: number): number =>
    text === undefined ? or : integer(option, text, 0, 65535);
  const ingressIps = name === "ingress" ? ips("--bind", o.bind) : ips("--ingress-address", o.ingressAddress);
  const backend = o.backend ?? "auto";
  const iptables = iptablesFlavours.find((f) => f === o.iptables);
  if (o.iptables !== undefined && iptables === undefined)
    throw usageError(`--iptables ${o.iptables}: there are ${iptablesFlavours.join(", ")}`);
  if (!isBackendChoice(backend)) throw usageError(`--backend ${backend}: there are ${backendChoices.join(", ")}`);
  return {
    nodeName: o.nodeName ?? process.env["NODE_NAME"] ?? hostname(),
    ...(o.kubeconfig === undefined ? {} : { kubeconfig: o.kubeconfig }),
    runDir: o.runDir ?? "/run/fairway/daemon",
    leavesInTurn: true,
    enable,
    clusterDomain: o.clusterDomain ?? "cluster.local",
    clusterDns: name === "dns" ? ips("--bind", o.bind) : ips("--cluster-dns", o.clusterDns),
    dnsPort: port("--port", o.port, 53),
    clusterCidrs: o.clusterCidr === undefined ? [] : cidrList("--cluster-cidr", o.clusterCidr).map(printCidr),
    serviceCidrs: o.serviceCidr === undefined ? [] : cidrList("--service-cidr", o.serviceCidr).map(printCidr),
    nodeCidrs: [],
    ingress: ingressIps.map((ip) => ({ ip, http: port("--http-port", o.httpPort, 80), https: port("--https-port", o.httpsPort, 443) })),
    ingressProcesses: ingressProcesses(o.ingressProcesses ?? "auto"),
    ...(o.drainSeconds === undefined ? {} : { ingressDrainSeconds: integer("--drain-seconds", o.drainSeconds, 0, 86_400) }),
    ...ingressTransport(o.ingressTransport ?? "auto"),
    ...accessLog(o.accessLog),
    ...ingressScope(o),
    ingressStatus: ips("--publish", o.publish),
    observe: { ip: address("--metrics-address", o.metricsAddress ?? "127.0.0.1"), port: port("--metrics-port", o.metricsPort, 10249) },
    backend,
    ...(iptables === undefined ? {} : { iptables }),
    rules: {},
    ...(o.healthzBindAddress === "" ? {} : { healthz: hostPort("--healthz-bind-address", o.healthzBindAddress ?? "0.0.0.0:10256") }),
    ...(o.config === undefined ? {} : { proxyConfig: { file: resolve(o.config), told: toldByLine(o, command) } }),
    plain: false,
    upstreams: { resolvConf: o.resolvConf ?? "/etc/resolv.conf" },
    ...corefileSource(o),
    nodeLocalDns: ips("--node-local-dns", o.nodeLocalDns),
    logLevel,
    logFormat,
  };
}

/** Options that were given, and so go before the configuration file. */
function toldByLine(o: DaemonOptions, command: Command): ProxyConfigSource["told"] {
  const onLine = (option: string): boolean => ["cli", "env"].includes(command.getOptionValueSourceWithGlobals(option) ?? "");
  return [
    ...(onLine("backend") ? (["backend"] as const) : []),
    ...(o.nodeName !== undefined || process.env["NODE_NAME"] !== undefined ? (["nodeName"] as const) : []),
    ...(o.healthzBindAddress === undefined ? [] : (["healthz"] as const)),
    ...(onLine("metricsAddress") || onLine("metricsPort") ? (["observe"] as const) : []),
    ...(onLine("logLevel") ? (["logLevel"] as const) : []),
    ...(onLine("logFormat") ? (["logFormat"] as const) : []),
  ];
}

function hostPort(option: string, text: string): { readonly ip: string; readonly port: number } {
  const [, host = "", port = ""] = /^(.+):([0-9]+)$/.exec(text) ?? [];
  const ip = parseIp(host.replace(/^\[(.*)\]$/, "$1"));
  if (ip === undefined) throw usageError(`${option} ${text}: give an address and port such as 0.0.0.0:10256 or [::]:10256`);
  return { ip, port: integer(option, port, 1, 65535) };
}

function partOf(text: string): Part {
  const found = parts.find((p) => p === text);
  if (found === undefined) throw usageError(`--enable ${text}: there are ${parts.join(", ")}`);
  return found;
}

function ingressScope(o: DaemonOptions): Pick<DaemonConfig, "ingressScope"> {
  const key = (option: string, text: string): string => {
    const { namespace, name } = configMapName(option, text);
    return `${namespace}/${name}`;
  };
  const scope: NonNullable<DaemonConfig["ingressScope"]> = {
    ...(o.ingressClass === undefined ? {} : { className: o.ingressClass }),
    ...(o.controllerClass === undefined ? {} : { controller: o.controllerClass }),
    ...(o.ingressConfigmap === undefined ? {} : { configMap: key("--ingress-configmap", o.ingressConfigmap) }),
    ...(o.tcpServicesConfigmap === undefined ? {} : { tcpServices: key("--tcp-services-configmap", o.tcpServicesConfigmap) }),
    ...(o.udpServicesConfigmap === undefined ? {} : { udpServices: key("--udp-services-configmap", o.udpServicesConfigmap) }),
  };
  return { ingressScope: scope };
}

function ingressTransport(choice: string): Pick<DaemonConfig, "ingressTransport"> {
  if (choice === "auto") return {};
  if (choice === "portable") return { ingressTransport: choice };
  throw usageError(`--ingress-transport: ${choice} is neither auto nor portable`);
}
