import { homedir } from "node:os";
import type { Command } from "commander";
import type { ClusterConfig, UpOptions } from "../../daemon/cluster-config.ts";
import type { RunningCluster } from "../../daemon/up.ts";
import { isAlive, processStart, readClusterStatus, removeClusterStatus, runningClusters, writeClusterStatus } from "../cluster-status.ts";
import { usageError, workError } from "../errors.ts";
import { commandLog, globalOptions } from "../global-options.ts";
import { clusterStatusOf, printFirstLines, printReachable } from "../printers/reachable.ts";
import { type CliIo, commandIo } from "../program.ts";
import { startProgress } from "../progress.ts";

const collect = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];

export function addUpOptions(command: Command): Command {
  return command
    .option("--nodes <n>", "how many nodes (default 3)")
    .option("--name <name>", "the cluster's name (default fairway)")
    .option("--data-dir <dir>", "where its data is kept (default /var/lib/fairway/NAME as root, else ~/.local/share/fairway/NAME)")
    .option("--kubeconfig <file>", "where the admin kubeconfig is written (default DIR/kubeconfig)")
    .option("--api-address <ip>", "where the API answers (default 127.0.0.1)")
    .option("--api-port <port>", "its port, 0 = any free one (default 6443)")
    .option("--backend <backend>", "who carries Service traffic: auto, nftables, iptables, ipvs, userspace (default auto)")
    .option("--corefile <file>", "a Corefile that every node's DNS follows, as CoreDNS takes it")
    .option(
      "--corefile-configmap <namespace/name>",
      "where that Corefile is in the API, such as kube-system/coredns; made if it is not there",
    )
    .option("--node-local-dns <ips>", "where every node answers DNS for itself too, such as 169.254.20.10")
    .option("--config <file>", "a KubeProxyConfiguration that every node's daemon follows, as kube-proxy takes it")
    .option("--images <file>", "what container images stand for, YAML")
    .option("--apply <path>", "a manifest or folder to apply once it is up; may be repeated", collect)
    .option("--service-cidr <cidrs>", "the Services' range, and after a comma its IPv6 one (default 10.96.0.0/16)")
    .option("--cluster-cidr <cidrs>", "the pods' range (default 10.244.0.0/16; each node gets a /24)")
    .option("--node-cidr <cidrs>", "the nodes' range (default a free one of 172.28.0.0/16)")
    .option("--lb-pool <cidrs>", "addresses for LoadBalancer Services (default the upper half of the nodes' range)")
    .option("--cluster-domain <domain>", "the zone of cluster names (default cluster.local)")
    .option("--ingress-address <ip>", "where this machine reaches the ingress (default 127.0.0.1)")
    .option("--ingress-http-port <port>", "its port for http, 0 = any free one (default 80)")
    .option("--ingress-https-port <port>", "its port for https, 0 = any free one (default 443)")
    .option(
      "--ingress-processes <n|auto>",
      "processes that serve it on each node; auto: one a core (default 1: nodes share this machine's cores)",
    )
    .option("--access-log <json|nginx>", "one line a request to the ingress, on stderr (default none)")
    .option("--plain", "plain output: no colours, no redrawn lines")
    .option("--mode <mode>", "auto, full (machines and containers), plain (one node, processes, no root) (default auto)");
}

export function register(program: Command): void {
  addUpOptions(program.command("up"))
    .summary("make a whole cluster on this machine and run it until Ctrl-C")
    .description("Makes a whole Kubernetes cluster on this machine and runs it in the foreground until Ctrl-C.")
    .action(async (options: UpOptions, command: Command) => {
      const cluster = await runUp(options, command);
      await untilEnd(cluster, commandIo(command));
    });
}

/** Brings a cluster up and prints what is reachable where; `beforeReady` may add to it (the demo's shop). */
export async function runUp(
  options: UpOptions,
  command: Command,
  beforeReady?: (cluster: RunningCluster, io: CliIo) => Promise<void>,
): Promise<RunningCluster> {
  const io = commandIo(command);
  const [{ resolveClusterConfig }, { startCluster }] = await Promise.all([
    import("../../daemon/cluster-config.ts"),
    import("../../daemon/up.ts"),
  ]);
  const mode = await chooseMode(options.mode ?? "auto", io);
  const place = { home: homedir(), root: process.getuid?.() === 0 };
  const asked = resolveClusterConfig(options, mode, place);
  const had = readClusterStatus(asked.dataDir);
  if (had !== undefined && isAlive(had)) {
    throw workError(
      `cluster ${had.name} runs already on ${asked.dataDir} (process ${had.pid}); stop it with Ctrl-C or 'fairway down', or choose another --data-dir`,
    );
  }
  const other = runningClusters().find((c) => c.name === asked.name);
  if (other !== undefined) {
    throw workError(
      `cluster ${other.name} runs already, on ${other.dataDir} (process ${other.pid}); stop it with 'fairway down --name ${other.name}', or choose another --name`,
    );
  }
  (await import("../up-files.ts")).checkUpFiles(asked);
  const slot =
    options.nodeCidr === undefined ? await (await import("../../daemon/node-slot.ts")).takeNodeSlot({ ...asked, mode }) : undefined;
  const config = slot === undefined ? asked : resolveClusterConfig(options, mode, { ...place, nodeSlot: slot.number });
  const progress = startProgress(io, options.plain === true);
  const { logFormat } = globalOptions(command);
  // The steps below say what goes on; what the processes say is for whoever asks, or when something is wrong.
  const logLevel = command.getOptionValueSourceWithGlobals("logLevel") === "default" ? "warn" : globalOptions(command).logLevel;
  const stop = stopSignal();
  const cluster = await startCluster(config, mode, { log: commandLog(command, "up"), progress, logLevel, logFormat, signal: stop });
  try {
    slot?.keep();
    writeClusterStatus(statusOf(cluster, config));
    if (config.apply.length > 0) {
      progress.begin("manifests");
      const { applyPaths } = await import("../apply.ts");
      progress.done("manifests", `${await applyPaths(cluster.client, config.apply)} objects applied`);
    }
    await Promise.race([beforeReady?.(cluster, io), aborted(stop)]);
  } catch (error) {
    removeClusterStatus(config.dataDir, config.name);
    await cluster.close();
    throw error;
  }
  const status = statusOf(cluster, config);
  io.stdout(`${printReachable(status)}${beforeReady === undefined ? printFirstLines(status) : ""}`);
  io.stdout("ready\n");
  return cluster;
}

const plainWords = `  plain mode: one node, pods are processes of this user, Services live in 127.64.0.0/10;
  programs in pods must bind $POD_IP and resolve names at $FAIRWAY_DNS, as the built-in images do
`;

/** `auto`: plain mode where machines and containers cannot be made; a line says so, and what is missing. */
async function chooseMode(asked: string, io: CliIo): Promise<"full" | "plain"> {
  if (asked === "full" || asked === "plain") {
    if (asked === "plain") io.stdout(plainWords);
    return asked;
  }
  if (asked !== "auto") throw usageError(`--mode ${asked}: there are auto, full and plain`);
  const { checkMachine } = await import("../machine-check.ts");
  const report = await checkMachine(undefined, ["required"]);
  if (report.mode === "full") return "full";
  io.stdout(`${plainWords}  missing for a whole cluster ('fairway check' says more):\n`);
  for (const f of report.findings.filter((x) => !x.ok)) {
    io.stdout(`    ${f.name}: ${f.found}${f.fix === undefined ? "" : `\n      ${f.fix}`}\n`);
  }
  return "plain";
}

function statusOf(cluster: RunningCluster, config: ClusterConfig): ReturnType<typeof clusterStatusOf> {
  return clusterStatusOf(cluster, { dataDir: config.dataDir, pid: process.pid, pidStarted: processStart(process.pid) });
}

/** Until SIGINT, SIGTERM or a failure that cannot be mended; then takes everything down. */
export async function untilEnd(cluster: RunningCluster, io: CliIo): Promise<void> {
  const stop = stopSignal();
  const failure = await Promise.race([cluster.failed, aborted(stop).catch(() => undefined)]);
  io.stderr(failure === undefined ? "stopping…\n" : `stopping, since ${failure.message}\n`);
  await cluster.close();
  removeClusterStatus(cluster.config.dataDir, cluster.config.name);
  if (failure !== undefined) throw workError(failure.message);
  process.exit(0);
}

let stopping: AbortController | undefined;

/** Signals within this time are one wish: a terminal sends it to everybody, npm passes it on, and then the terminal closes. */
const oneWishMs = 700;

/** Aborts at the first SIGINT, SIGTERM or SIGHUP; the third wish ends the process where it stands. */
function stopSignal(): AbortSignal {
  if (stopping !== undefined) return stopping.signal;
  const controller = new AbortController();
  stopping = controller;
  let wishes = 0;
  let last = -oneWishMs;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      const now = performance.now();
      if (now - last >= oneWishMs) wishes++;
      last = now;
      if (wishes > 2) process.exit(130);
      controller.abort(workError(`stopped by ${signal}`));
    });
  }
  return controller.signal;
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
