import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Node } from "../api/types/core-v1.generated.ts";
import { componentsGroup, ensurePki, mastersGroup, type Pki, printKubeconfig } from "../apiserver/pki.ts";
import { type Cidr, cidrAt, parseCidr, printCidr } from "../base/cidr.ts";
import { systemClock } from "../base/clock.ts";
import { type Ip, printHostPort } from "../base/ip.ts";
import type { Running } from "../base/running.ts";
import { type Client, createClient } from "../client/client.ts";
import { startInformer } from "../client/informer.ts";
import { loadKubeconfig } from "../client/kubeconfig.ts";
import { resources } from "../client/resources.ts";
import { createHttpTransport } from "../client/transport.ts";
import { netnsPath } from "../kernel/netns.ts";
import { bindSocket, closeSocket } from "../kernel/socket.ts";
import type { Machine } from "../node/machine-plan.ts";
import { createMachines, type Machines } from "../node/machines.ts";
import type { Log } from "../observe/log.ts";
import { applyBootstrap } from "./bootstrap.ts";
import { type NamedSocket, type SupervisedChild, startChild } from "./child.ts";
import type { ClusterConfig } from "./cluster-config.ts";
import type { DaemonConfig } from "./daemon-config.ts";
import { removePods } from "./down.ts";
import { roleEnvironment } from "./role.ts";
import type { ApiServerRoleConfig, ControllersRoleConfig, NodeRoleConfig } from "./role-config.ts";

/** Progress of a start, for a person: a step begins, and ends with what it came to. */
export interface UpProgress {
  begin(step: string): void;
  done(step: string, detail?: string): void;
}

export interface RunningNode {
  readonly name: string;
  readonly ips: readonly Ip[];
  /** The name below /run/netns; absent in plain mode. */
  readonly netns?: string;
  readonly observe: { readonly ip: Ip; readonly port: number };
}

/** A cluster on this machine, from `startCluster` to `close`. */
export interface RunningCluster extends Running {
  readonly config: ClusterConfig;
  readonly mode: "full" | "plain";
  readonly api: { readonly address: Ip; readonly port: number };
  readonly nodes: readonly RunningNode[];
  readonly dns: { readonly addresses: readonly Ip[]; readonly port: number };
  readonly ingress: readonly { readonly ip: Ip; readonly http: number; readonly https: number }[];
  readonly client: Client;
  readonly pki: Pki;
  /** Settles when a process cannot be kept running. */
  readonly failed: Promise<Error>;
}

export interface UpDeps {
  readonly log: Log;
  readonly progress: UpProgress;
  readonly logLevel: DaemonConfig["logLevel"];
  readonly logFormat: DaemonConfig["logFormat"];
  /** Aborting it while the cluster starts takes down what there is. */
  readonly signal: AbortSignal;
}

const kubeletPort = 10250;
const observePort = 10249;

/** How long nodes have to take their containers down when the cluster ends. Milliseconds. */
const nodeStopTimeout = 7000;

/** Makes the machines, the control plane and the nodes. Rejects with a clear error, after taking down what it had made. */
export async function startCluster(config: ClusterConfig, deps: UpDeps): Promise<RunningCluster> {
  const undo: (() => Promise<void> | void)[] = [];
  const takeDown = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse())
      await Promise.resolve(step()).catch((e: unknown) => deps.log("warn", "while stopping", { error: String(e) }));
  };
  try {
    return await start(config, deps, undo, takeDown);
  } catch (error) {
    await takeDown();
    throw error;
  }
}

async function start(
  config: ClusterConfig,
  deps: UpDeps,
  undo: (() => Promise<void> | void)[],
  takeDown: () => Promise<void>,
): Promise<RunningCluster> {
  const { progress, log } = deps;
  const runDir = join(config.dataDir, "run");
  for (const dir of [config.dataDir, runDir]) {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    chmodSync(dir, 0o700);
  }
  const failed = Promise.withResolvers<Error>();
  const stop = (): void => failed.resolve(asError(deps.signal.reason));
  if (deps.signal.aborted) stop();
  deps.signal.addEventListener("abort", stop, { once: true });

  progress.begin("machines");
  // What a killed run of the same cluster left is in the way of this one.
  await removePods(config.dataDir);
  const machines = await makeMachines(config);
  undo.push(() => machines.close());
  progress.done("machines", `${machines.machines.length} network namespaces on bridge ${machines.bridge}`);

  progress.begin("API server");
  // Bound here, so that a taken port is this command's error, and so that the port is known before the server runs.
  const apiSockets = bindApi(config, machines.gateways);
  undo.push(() => apiSockets.forEach(closeSocket));
  const apiPort = apiSockets[0]?.port ?? config.api.port;
  const kubernetesIp = serviceAddress(config, 1);
  const pki = await ensurePki(config.dataDir, {
    dnsNames: ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", `kubernetes.default.svc.${config.clusterDomain}`],
    ips: [config.api.address, "127.0.0.1", ...machines.gateways, ...kubernetesIp],
  });
  const server = (ip: Ip): string => `https://${printHostPort(ip, apiPort)}`;
  const writeKubeconfig = async (file: string, user: string, groups: readonly string[], ip: Ip): Promise<string> => {
    const { certPem, keyPem } = await pki.issueClientCert(user, groups);
    writeFileSync(file, printKubeconfig({ server: server(ip), caPem: pki.caPem, certPem, keyPem, contextName: config.name }), {
      mode: 0o600,
    });
    chmodSync(file, 0o600);
    return file;
  };
  const gateway = machines.gateways[0] ?? config.api.address;
  const component = (name: string, ip: Ip): Promise<string> =>
    writeKubeconfig(join(runDir, `${name}.kubeconfig`), `fairway:${name}`, [componentsGroup], ip);
  await writeKubeconfig(config.kubeconfig, "admin", [mastersGroup], config.api.address);

  const children: SupervisedChild[] = [];
  const logArgs = ["--log-level", deps.logLevel, "--log-format", deps.logFormat];
  const child = (
    name: string,
    role: string,
    roleConfig: object,
    o: { netns?: string; sockets?: readonly NamedSocket[] } = {},
  ): SupervisedChild => {
    const c = startChild({ name, args: ["process", role, ...logArgs], env: roleEnvironment(roleConfig), ...o }, { log });
    c.ready.catch((error: unknown) => failed.resolve(asError(error)));
    children.push(c);
    return c;
  };

  const apiConfig: ApiServerRoleConfig = {
    dataDir: config.dataDir,
    advertise: machines.gateways,
    port: apiPort,
    serviceCidrs: config.serviceCidrs.map(printCidr),
    clusterDomain: config.clusterDomain,
    bind: [config.api.address, ...machines.gateways],
  };
  const api = child("apiserver", "apiserver", apiConfig, { sockets: apiSockets });
  undo.push(() => api.close());
  await orFailed(api.ready, failed.promise);
  progress.done("API server", server(config.api.address));

  const transport = createHttpTransport(loadKubeconfig({ path: config.kubeconfig }));
  undo.push(() => transport.close());
  const client = createClient(transport);

  progress.begin("control plane");
  const controllersConfig: ControllersRoleConfig = {
    kubeconfig: await component("controllers", config.api.address),
    clusterCidrs: config.clusterCidrs.map(printCidr),
    lbPool: config.lbPool.map(printCidr),
    rootCaPem: pki.caPem,
  };
  const controllers = child("controllers", "controllers", controllersConfig);
  const scheduler = child("scheduler", "scheduler", { kubeconfig: await component("scheduler", config.api.address) });
  undo.push(async () => {
    await Promise.all([controllers.close(), scheduler.close()]);
  });
  await applyBootstrap(client, config);
  await removeOtherNodes(client, config.nodes);

  progress.begin("nodes");
  const hostIngress = bindIngress(config);
  undo.push(() => hostIngress.forEach(closeSocket));
  const running: { node: SupervisedChild; daemon: SupervisedChild; machine: Machine }[] = [];
  undo.push(async () => {
    // First the pods (their node takes them down), then what serves them.
    await Promise.all(running.map((r) => r.node.stop({ type: "stop" }, nodeStopTimeout)));
    await Promise.all(running.map((r) => r.daemon.close()));
  });
  for (const [i, machine] of machines.machines.entries()) {
    const serving = await pki.issueServerCert(machine.name, [machine.name, ...machine.ips]);
    const nodeConfig: NodeRoleConfig = {
      nodeName: machine.name,
      nodeIps: machine.ips,
      kubeconfig: await component(`node-${machine.name}`, gateway),
      kubeletPort,
      tls: { caPem: pki.caPem, ...serving },
      dataDir: join(config.dataDir, "nodes", machine.name),
      clusterName: config.name,
      clusterDns: config.clusterDns,
      clusterDomain: config.clusterDomain,
      mode: "containers",
      hiddenPaths: [config.dataDir],
      agentPort: observePort,
      ...(config.images === undefined ? {} : { images: config.images }),
    };
    const daemonConfig: DaemonConfig = {
      nodeName: machine.name,
      kubeconfig: await component(`daemon-${machine.name}`, gateway),
      runDir: join(runDir, machine.name),
      enable: ["proxy", "dns", "ingress"],
      clusterDomain: config.clusterDomain,
      clusterDns: config.clusterDns,
      dnsPort: 53,
      clusterCidrs: config.clusterCidrs.map(printCidr),
      serviceCidrs: config.serviceCidrs.map(printCidr),
      nodeCidrs: config.nodeCidrs.map(printCidr),
      ingress: machine.ips.map((ip) => ({ ip, http: 80, https: 443 })),
      ingressProcesses: 1,
      ingressStatus: machines.machines.flatMap((m) => m.ips.slice(0, 1)),
      observe: { ip: machine.ips[0] ?? "127.0.0.1", port: observePort },
      backend: config.backend,
      plain: false,
      upstreamResolvConf: "/etc/resolv.conf",
      ...(config.config === undefined ? {} : { proxyConfig: config.config }),
      logLevel: deps.logLevel,
      logFormat: deps.logFormat,
    };
    const netns = netnsPath(machine.netns);
    running.push({
      machine,
      node: child(`node ${machine.name}`, "node", nodeConfig, { netns }),
      daemon: child(`daemon ${machine.name}`, "daemon", daemonConfig, { netns, sockets: i === 0 ? hostIngress : [] }),
    });
  }
  await orFailed(Promise.all([controllers.ready, scheduler.ready]), failed.promise);
  progress.done("control plane", "controllers, scheduler");

  const routes = startRoutes(transport, machines);
  undo.push(() => routes.close());
  await orFailed(
    Promise.all([...running.flatMap((r) => [r.node.ready, r.daemon.ready]), nodesReady(client, config.nodes), defaultsReady(client)]),
    failed.promise,
  );
  progress.done("nodes", `${config.nodes.length} Ready; rules, DNS and ingress serve on each`);

  deps.signal.removeEventListener("abort", stop);
  return {
    config,
    mode: "full",
    api: { address: config.api.address, port: apiPort },
    nodes: machines.machines.map((m) => ({
      name: m.name,
      ips: m.ips,
      netns: m.netns,
      observe: { ip: m.ips[0] ?? "127.0.0.1", port: observePort },
    })),
    dns: { addresses: config.clusterDns, port: 53 },
    ingress: [
      {
        ip: config.ingress.address,
        http: hostIngress.find((s) => s.name === "http")?.port ?? 0,
        https: hostIngress.find((s) => s.name === "https")?.port ?? 0,
      },
      ...machines.machines.flatMap((m) => m.ips.map((ip) => ({ ip, http: 80, https: 443 }))),
    ],
    client,
    pki,
    failed: failed.promise,
    ready: Promise.resolve(),
    close: takeDown,
  };
}

async function makeMachines(config: ClusterConfig): Promise<Machines> {
  return createMachines({
    name: config.name,
    nodeNames: config.nodes,
    nodeRanges: config.nodeCidrs,
    podRanges: config.clusterCidrs,
    serviceRanges: config.serviceCidrs,
    loadBalancerRanges: config.lbPool,
    clusterDns: config.clusterDns,
  });
}

function bindApi(config: ClusterConfig, gateways: readonly Ip[]): readonly NamedSocket[] {
  const first: NamedSocket = { ...bindSocket({ ip: config.api.address, port: config.api.port, type: "tcp" }), name: "api" };
  return [first, ...gateways.map((ip): NamedSocket => ({ ...bindSocket({ ip, port: first.port, type: "tcp" }), name: "api" }))];
}

function bindIngress(config: ClusterConfig): readonly NamedSocket[] {
  const { address, http, https } = config.ingress;
  const first: NamedSocket = { ...bindSocket({ ip: address, port: http, type: "tcp" }), name: "http" };
  try {
    return [first, { ...bindSocket({ ip: address, port: https, type: "tcp" }), name: "https" }];
  } catch (error) {
    closeSocket(first);
    throw error;
  }
}

function serviceAddress(config: ClusterConfig, index: number): readonly Ip[] {
  return config.serviceCidrs.map((c) => cidrAt(c, index));
}

/** Pod routes follow the nodes' ranges, which the controllers hand out. */
function startRoutes(transport: ReturnType<typeof createHttpTransport>, machines: Machines): Running {
  let last = "";
  const informer = startInformer(transport, resources.nodes, {});
  const update = (): void => {
    const cidrs = new Map<string, readonly Cidr[]>();
    for (const node of informer.list()) {
      const ranges = (node.spec?.podCIDRs ?? []).flatMap((text) => parseCidr(text) ?? []);
      if (ranges.length > 0) cidrs.set(node.metadata?.name ?? "", ranges);
    }
    const text = JSON.stringify([...cidrs]);
    if (text === last) return;
    last = text;
    machines.setRoutes(cidrs).catch(() => {
      last = "";
    });
  };
  informer.onChange(update);
  return informer;
}

/** Nodes of an earlier run with more of them: their machines are gone, and so are their pods. */
async function removeOtherNodes(client: Client, names: readonly string[]): Promise<void> {
  const { items } = await client.list(resources.nodes);
  for (const node of items) {
    const name = node.metadata?.name ?? "";
    if (!names.includes(name)) await client.delete(resources.nodes, { name });
  }
}

async function nodesReady(client: Client, names: readonly string[]): Promise<void> {
  await until(async () => {
    const { items } = await client.list(resources.nodes);
    return names.every((n) => items.some((node) => node.metadata?.name === n && isReady(node) && (node.spec?.podCIDRs?.length ?? 0) > 0));
  });
}

/** `default`, its ServiceAccount and the root CA, without which the first pod of a user would be refused. */
async function defaultsReady(client: Client): Promise<void> {
  await until(async () => {
    await client.get(resources.serviceAccounts, { namespace: "default", name: "default" });
    await client.get(resources.configMaps, { namespace: "default", name: "kube-root-ca.crt" });
    return true;
  });
}

function isReady(node: Node): boolean {
  return node.status?.conditions?.some((c) => c.type === "Ready" && c.status === "True") ?? false;
}

const readyTimeout = 60_000;

async function until(ask: () => Promise<boolean>): Promise<void> {
  const end = systemClock.monotonic() + readyTimeout;
  let last: unknown;
  while (systemClock.monotonic() < end) {
    try {
      if (await ask()) return;
    } catch (error) {
      last = error;
    }
    await systemClock.sleep(50);
  }
  throw new Error("the cluster did not become ready in 60 s", { cause: last });
}

async function orFailed<T>(work: Promise<T>, failed: Promise<Error>): Promise<T> {
  const result = await Promise.race([work.then((value) => ({ value })), failed]);
  if (result instanceof Error) throw result;
  return result.value;
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
