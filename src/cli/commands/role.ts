import { hostname } from "node:os";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import { backendChoices, iptablesFlavours, isBackendChoice } from "../../../rules/model/backend.ts";
import { printCidr } from "../../base/cidr.ts";
import { parseIp } from "../../base/ip.ts";
import type { ClusterAccess } from "../../client/cluster-access.ts";
import { address, cidrList, integer } from "../../daemon/cluster-config.ts";
import { type DaemonConfig, type Part, type ProxyConfigSource, parts } from "../../daemon/daemon-config.ts";
import { runRole } from "../../daemon/role.ts";
import { usageError, workError } from "../errors.ts";
import { checkDataFolder, checkWritable, readOption } from "../file-options.ts";
import { commandLog, globalOptions } from "../global-options.ts";
import { readProxyConfig } from "../proxy-config.ts";
import { registerDnsTop } from "./dns-top.ts";

interface DaemonOptions {
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
  readonly port?: string;
  readonly httpPort?: string;
  readonly httpsPort?: string;
  readonly publish?: string;
  readonly metricsAddress?: string;
  readonly metricsPort?: string;
  readonly runDir?: string;
  readonly resolvConf?: string;
  readonly corefile?: string;
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
  readonly cleanup?: boolean;
}

/** Each role as a process of its own, against this or any Kubernetes API server. */
export function register(program: Command): void {
  registerApiServer(program);
  kubeconfigOption(program.command("controllers"))
    .summary("workload, endpoint, address and namespace controllers")
    .description(
      "Runs the controllers: Deployments to EndpointSlices, addresses from the pool, namespaces, garbage collection, node ranges.",
    )
    .option("--cluster-cidr <cidrs>", "the range that nodes get their pod ranges from", "10.244.0.0/16")
    .option("--lb-pool <cidrs>", "addresses for LoadBalancer Services; none when absent")
    .option("--root-ca-file <file>", "what kube-root-ca.crt holds (default: the kubeconfig's certificate authority)")
    .action(async (o: { kubeconfig: string; clusterCidr: string; lbPool?: string; rootCaFile?: string }, command: Command) => {
      const { startControllersRole } = await import("../../daemon/control-plane.ts");
      const log = commandLog(command, "controllers");
      const access = await checkedAccess(o.kubeconfig);
      const caFile = o.rootCaFile === undefined ? access.caFile : undefined;
      const rootCaPem =
        o.rootCaFile !== undefined
          ? readOption("--root-ca-file", o.rootCaFile)
          : (access.caPem ?? (caFile === undefined ? "" : readOption("certificate-authority", caFile)));
      const config = {
        kubeconfig: o.kubeconfig,
        clusterCidrs: cidrList("--cluster-cidr", o.clusterCidr).map(printCidr),
        lbPool: o.lbPool === undefined ? [] : cidrList("--lb-pool", o.lbPool).map(printCidr),
        rootCaPem,
      };
      await runRole(log, () => startControllersRole(config, log));
    });
  kubeconfigOption(program.command("scheduler"))
    .summary("assigns pods to nodes")
    .description("Runs the scheduler: requests, node selectors and affinity, taints, host ports.")
    .action(async (o: { kubeconfig: string }, command: Command) => {
      const { startSchedulerRole } = await import("../../daemon/control-plane.ts");
      const log = commandLog(command, "scheduler");
      await checkedAccess(o.kubeconfig);
      await runRole(log, () => startSchedulerRole({ kubeconfig: o.kubeconfig }, log));
    });
  registerNode(program);
  daemonCommand(program, "daemon", "a node's service rules, DNS and ingress in one", parts);
  daemonCommand(program, "proxy", "the daemon with service rules only", ["proxy"]);
  registerDnsTop(daemonCommand(program, "dns", "the daemon with DNS only", ["dns"]));
  daemonCommand(program, "ingress", "the daemon with ingress only", ["ingress"]);
}

function registerApiServer(program: Command): void {
  program
    .command("apiserver")
    .summary("the Kubernetes API on an embedded store")
    .description("Serves the Kubernetes API over TLS on an embedded store; /readyz answers ok only when namespace `default` exists.")
    .requiredOption("--data-dir <dir>", "where objects and certificates are kept")
    .option("--bind-address <ips>", "where it listens, comma-separated", "127.0.0.1")
    .option("--secure-port <port>", "its port, 0 = any free one", "6443")
    .option("--advertise-address <ips>", "what Service default/kubernetes leads to (default: the first bind address)")
    .option("--kubeconfig-out <file>", "where an admin kubeconfig is written (default DIR/kubeconfig)")
    .option("--service-cluster-ip-range <cidrs>", "the Services' range", "10.96.0.0/16")
    .option("--cluster-domain <domain>", "the zone of cluster names", "cluster.local")
    .option("--client-ca-file <file>", "certificate authorities whose clients are known too")
    .option("--token-auth-file <file>", 'static tokens: token,user,uid,"group1,group2"')
    .option("--tls-cert-file <file>", "the serving certificate, PEM (default: signed by its own CA)")
    .option("--tls-private-key-file <file>", "its key")
    .action(async (o: Record<string, string>, command: Command) => {
      const { startStandaloneApiServer } = await import("../../daemon/control-plane.ts");
      const log = commandLog(command, "apiserver");
      const bind = (o["bindAddress"] ?? "").split(",").map((ip) => address("--bind-address", ip));
      if ((o["tlsCertFile"] === undefined) !== (o["tlsPrivateKeyFile"] === undefined)) {
        throw usageError("--tls-cert-file and --tls-private-key-file go together");
      }
      checkDataFolder("--data-dir", o["dataDir"] ?? "");
      if (o["kubeconfigOut"] !== undefined) checkWritable("--kubeconfig-out", o["kubeconfigOut"]);
      for (const option of ["--client-ca-file", "--token-auth-file", "--tls-cert-file", "--tls-private-key-file"]) {
        const file = o[option.slice(2).replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())];
        if (file !== undefined) readOption(option, file);
      }
      await runRole(log, () =>
        startStandaloneApiServer(
          {
            dataDir: o["dataDir"] ?? "",
            bind,
            port: integer("--secure-port", o["securePort"] ?? "6443", 0, 65535),
            advertise: o["advertiseAddress"]?.split(",").map((ip) => address("--advertise-address", ip)) ?? bind.slice(0, 1),
            serviceCidrs: cidrList("--service-cluster-ip-range", o["serviceClusterIpRange"] ?? "").map(printCidr),
            clusterDomain: o["clusterDomain"] ?? "cluster.local",
            ...(o["clientCaFile"] === undefined ? {} : { clientCaFile: o["clientCaFile"] }),
            ...(o["tokenAuthFile"] === undefined ? {} : { tokenAuthFile: o["tokenAuthFile"] }),
            ...(o["tlsCertFile"] === undefined ? {} : { tlsCertFile: o["tlsCertFile"] }),
            ...(o["tlsPrivateKeyFile"] === undefined ? {} : { tlsPrivateKeyFile: o["tlsPrivateKeyFile"] }),
          },
          o["kubeconfigOut"] ?? join(o["dataDir"] ?? "", "kubeconfig"),
          log,
        ),
      );
    });
}

interface NodeOptions {
  readonly kubeconfig: string;
  readonly nodeName: string;
  readonly nodeIp: string;
  readonly dataDir: string;
  readonly nodeApiPort: string;
  readonly tlsCertFile: string;
  readonly tlsPrivateKeyFile: string;
  readonly clientCaFile: string;
  readonly clusterDns: string;
  readonly clusterDomain: string;
  readonly images?: string;
  readonly agentPort: string;
}

function registerNode(program: Command): void {
  kubeconfigOption(program.command("node"))
    .summary("runs the pods of one node")
    .description("Runs the pods that are assigned to a node, in containers by crun, in this network namespace.")
    .requiredOption("--node-name <name>", "the node's name in the API")
    .requiredOption("--node-ip <ips>", "its addresses, comma-separated, IPv4 first")
    .requiredOption("--tls-cert-file <file>", "the certificate that its API (logs, exec) shows to the API server, PEM")
    .requiredOption("--tls-private-key-file <file>", "its key")
    .requiredOption("--client-ca-file <file>", "the authority of the API server's client certificate")
    .option("--data-dir <dir>", "where pods and their logs are kept", "/var/lib/fairway/node")
    .option("--node-api-port <port>", "the port of its API", "10250")
    .option("--cluster-dns <ips>", "where pods ask for names", "10.96.0.10")
    .option("--cluster-domain <domain>", "the zone of cluster names", "cluster.local")
    .option("--images <file>", "what container images stand for, YAML")
    .option("--agent-port <port>", "where the nodes' daemons say which endpoints they still use", "10249")
    .action(async (o: NodeOptions, command: Command) => {
      const { startNodeRole } = await import("../../daemon/node-role.ts");
      const log = commandLog(command, "node");
      await checkedAccess(o.kubeconfig);
      checkDataFolder("--data-dir", o.dataDir);
      if (o.images !== undefined) readOption("--images", o.images);
      const ips = (option: string, text: string): readonly string[] => text.split(",").map((ip) => address(option, ip));
      const node = startNodeRole(
        {
          nodeName: o.nodeName,
          nodeIps: ips("--node-ip", o.nodeIp),
          kubeconfig: o.kubeconfig,
          kubeletPort: integer("--node-api-port", o.nodeApiPort, 0, 65535),
          tls: {
            caPem: readOption("--client-ca-file", o.clientCaFile),
            certPem: readOption("--tls-cert-file", o.tlsCertFile),
            keyPem: readOption("--tls-private-key-file", o.tlsPrivateKeyFile),
          },
          dataDir: o.dataDir,
          clusterName: "fairway",
          clusterDns: ips("--cluster-dns", o.clusterDns),
          clusterDnsPort: 53,
          clusterDomain: o.clusterDomain,
          mode: "containers",
          hiddenPaths: [],
          agentPort: integer("--agent-port", o.agentPort, 1, 65535),
          ...(o.images === undefined ? {} : { images: o.images }),
        },
        log,
      );
      await runRole(log, () => node);
    });
}

function daemonCommand(program: Command, name: string, summary: string, enabled: readonly Part[]): Command {
  const command = program
    .command(name)
    .summary(summary)
    .description(`Runs ${summary}, against any Kubernetes API server, until it is told to end.`);
  if (name === "proxy") command.option("--cleanup", "remove every rule fairway made, nothing else, and end");
  command
    .option("--kubeconfig <file>", "the API server and who this is (default: the pod's service account)")
    .option("--node-name <name>", "this node's name in the API (default: NODE_NAME, else the host's name)")
    .option("--run-dir <dir>", "sockets and checkpoints", "/run/fairway/daemon")
    .option("--metrics-address <ip>", "where /metrics, /healthz, /livez and /readyz answer", "127.0.0.1")
    .option("--metrics-port <port>", "their port", "10249");
  if (name === "daemon") command.option("--enable <parts>", `which parts: ${parts.join(",")}`, parts.join(","));
  if (enabled.includes("proxy")) {
    command
      .option("--backend <backend>", backendChoices.join(", "), "auto")
      .option("--iptables <make>", `the make of iptables: ${iptablesFlavours.join(", ")} (as the kubelet or CNI has it)`, "auto")
      .option("--config <file>", "a KubeProxyConfiguration, as kube-proxy takes it; read again when it changes")
      .option(
        "--healthz-bind-address <ip:port>",
        "where kube-proxy's /healthz and /livez answer (default: as --config says, else 0.0.0.0:10256); empty: nowhere",
      );
  }
  if (enabled.includes("dns")) {
    command
      .option("--cluster-domain <domain>", "the zone of cluster names", "cluster.local")
      .option("--cluster-cidr <cidrs>", "the pods' range: may ask for outside names, has reverse zones", "10.244.0.0/16")
      .option("--service-cidr <cidrs>", "the Services' range", "10.96.0.0/16")
      .option("--resolv-conf <file>", "whose name servers other names are forwarded to", "/etc/resolv.conf")
      .option("--corefile <file>", "a Corefile to follow, as CoreDNS takes it; its zones and upstreams go before the options here")
      .option("--node-local-dns <ips>", "where this node answers DNS for itself too, such as 169.254.20.10");
    if (name === "dns")
      command
        .option("--bind <ips>", "where it answers (default: the addresses of Service kube-system/kube-dns)")
        .option("--port <port>", "its port", "53");
    else command.option("--cluster-dns <ips>", "where DNS answers (default: the addresses of Service kube-system/kube-dns)");
  }
  if (enabled.includes("ingress")) {
    command
      .option(name === "ingress" ? "--bind <ips>" : "--ingress-address <ips>", "where the ingress listens", "0.0.0.0")
      .option("--http-port <port>", "its port for http", "80")
      .option("--https-port <port>", "its port for https", "443")
      .option("--publish <ips>", "addresses written to the status of Ingresses")
      .option("--ingress-processes <n>", "how many processes serve it (default: one a core, 4 at most)")
      .option("--drain-seconds <n>", "how long connections go on in ingress processes that an upgrade (SIGUSR2) replaces", "240")
      .option("--access-log <json|nginx>", "one line a request, in the log (default: none)")
      .option("--ingress-class <name>", "the class that is served also without an IngressClass of that name", "fairway")
      .option("--controller-class <name>", "what spec.controller of IngressClasses that are served says", "fairway/ingress")
      .option(
        "--ingress-configmap <namespace/name>",
        "settings, with ingress-nginx's keys (default: ingress-nginx/ingress-nginx-controller)",
      )
      .option("--tcp-services-configmap <namespace/name>", "TCP ports for Services (default: ingress-nginx/tcp-services)")
      .option("--udp-services-configmap <namespace/name>", "UDP ports for Services (default: ingress-nginx/udp-services)")
      .option("--ingress-transport <auto|portable>", "portable: public interfaces of Node only, at more CPU a request", "auto");
  }
  command.action(async (o: DaemonOptions & { readonly ingressAddress?: string }, own: Command) => {
    if (o.cleanup === true) {
      const { cleanup } = await import("../../../rules/index.ts");
      const left = await cleanup();
      if (left.length > 0) throw workError(`not everything could be removed: ${left.join("; ")}`);
      return;
    }
    const { startSupervisor } = await import("../../daemon/supervisor.ts");
    const log = commandLog(own, name);
    if (o.config !== undefined) readProxyConfig("--config", o.config);
    const config = daemonConfigOf(name, enabled, o, own);
    await checkedAccess(config.kubeconfig ?? (await import("../../daemon/configured.ts")).readConfigured(config).config.kubeconfig);
    checkDataFolder("--run-dir", config.runDir);
    // The machine's own may be absent; one that was named may not.
    if (o.corefile !== undefined) (await import("../corefile-option.ts")).checkedCorefile("--corefile", o.corefile);
    if (o.resolvConf !== undefined && own.getOptionValueSource("resolvConf") === "cli") readOption("--resolv-conf", o.resolvConf);
    const { noticeService, takeNoticeSocket } = await import("../../kernel/service-notice.ts");
    const manager = takeNoticeSocket(process.env);
    await runRole(log, () => {
      const running = startSupervisor(config, log);
      const notice = (): void => {
        if (manager !== undefined && !noticeService(manager, "READY=1")) log("warn", `the service manager at ${manager} cannot be told`);
      };
      running.ready.then(notice, () => undefined);
      return running;
    });
  });
  return command;
}

function daemonConfigOf(
  name: string,
  enabled: readonly Part[],
  o: DaemonOptions & { readonly ingressAddress?: string },
  command: Command,
): DaemonConfig {
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
    enable,
    clusterDomain: o.clusterDomain ?? "cluster.local",
    clusterDns: name === "dns" ? ips("--bind", o.bind) : ips("--cluster-dns", o.clusterDns),
    dnsPort: port("--port", o.port, 53),
    clusterCidrs: o.clusterCidr === undefined ? [] : cidrList("--cluster-cidr", o.clusterCidr).map(printCidr),
    serviceCidrs: o.serviceCidr === undefined ? [] : cidrList("--service-cidr", o.serviceCidr).map(printCidr),
    nodeCidrs: [],
    ingress: ingressIps.map((ip) => ({ ip, http: port("--http-port", o.httpPort, 80), https: port("--https-port", o.httpsPort, 443) })),
    ingressProcesses: o.ingressProcesses === undefined ? 0 : integer("--ingress-processes", o.ingressProcesses, 1, 64),
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
    ...(o.corefile === undefined ? {} : { corefile: resolve(o.corefile) }),
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

function kubeconfigOption(command: Command): Command {
  return command.requiredOption("--kubeconfig <file>", "the API server and who this is");
}

/** A kubeconfig that cannot be used is wrong usage, and told before anything starts. */
async function checkedAccess(kubeconfig: string | undefined): Promise<ClusterAccess> {
  const { inClusterAccess, loadKubeconfig } = await import("../../client/kubeconfig.ts");
  if (kubeconfig === undefined) return inClusterAccess();
  readOption("--kubeconfig", kubeconfig);
  return loadKubeconfig({ path: kubeconfig });
}

function ingressScope(o: DaemonOptions): Pick<DaemonConfig, "ingressScope"> {
  const key = (option: string, text: string): string => {
    if (!/^[a-z0-9.-]+\/[a-z0-9.-]+$/.test(text)) throw usageError(`${option}: ${text} is not NAMESPACE/NAME`);
    return text;
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

function accessLog(format: string | undefined): Pick<DaemonConfig, "ingressAccessLog"> {
  if (format === undefined) return {};
  if (format === "json" || format === "nginx") return { ingressAccessLog: format };
  throw usageError(`--access-log: ${format} is neither json nor nginx`);
}
