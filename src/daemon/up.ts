import { join } from "node:path";
import type { Node } from "../api/types/core-v1.generated.ts";
import type { Pki } from "../apiserver/pki.ts";
import { printCidr } from "../base/cidr.ts";
import { type Ip, ipFamily } from "../base/ip.ts";
import type { Running } from "../base/running.ts";
import { type Client, createClient } from "../client/client.ts";
import { loadKubeconfig } from "../client/kubeconfig.ts";
import { resources } from "../client/resources.ts";
import { createHttpTransport } from "../client/transport.ts";
import { closeSocket } from "../kernel/socket.ts";
import type { Log } from "../observe/log.ts";
import { applyBootstrap, type BootstrapConfig } from "./bootstrap.ts";
import { type ChildConfig, type NamedSocket, type SupervisedChild, startChild } from "./child.ts";
import type { ClusterConfig } from "./cluster-config.ts";
import { type ClusterIdentity, makeIdentity } from "./cluster-identity.ts";
import { defaultCorefile } from "./corefile-configmap.ts";
import type { DaemonConfig } from "./daemon-config.ts";
import { startDnsRelay } from "./dns-relay.ts";
import { type Ground, type GroundNode, makeFullGround, makePlainGround } from "./ground.ts";
import { plainRange } from "./plain-range.ts";
import { missingPodRanges } from "./pod-ranges.ts";
import { bindForOption } from "./port-option.ts";
import { promptRuntime } from "./prompt-runtime.ts";
import { roleEnvironment } from "./role.ts";
import type { ApiServerRoleConfig, ControllersRoleConfig, NodeRoleConfig } from "./role-config.ts";
import { defaultsReady, nodesReady } from "./until-ready.ts";

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
/** kube-proxy's, which load balancers ask. */
const healthzPort = 10256;

/** How long nodes have to take their containers down when the cluster ends. Milliseconds. */
const nodeStopTimeout = 7000;

/** Makes the machines, the control plane and the nodes. Rejects with a clear error, after taking down what it had made. */
export async function startCluster(config: ClusterConfig, mode: "full" | "plain", deps: UpDeps): Promise<RunningCluster> {
  const start = new ClusterStart(config, deps);
  const stop = (): void => start.fail(deps.signal.reason);
  if (deps.signal.aborted) stop();
  deps.signal.addEventListener("abort", stop, { once: true });
  try {
    return await start.run(mode);
  } catch (error) {
    await start.takeDown();
    throw error;
  } finally {
    deps.signal.removeEventListener("abort", stop);
  }
}

/** One start: what it made, in order, so that it can be taken down in the reverse of it. */
class ClusterStart {
  readonly #config: ClusterConfig;
  readonly #deps: UpDeps;
  readonly #undo: (() => Promise<void> | void)[] = [];
  readonly #failed = Promise.withResolvers<Error>();

  constructor(config: ClusterConfig, deps: UpDeps) {
    this.#config = config;
    this.#deps = deps;
  }

  fail(reason: unknown): void {
    this.#failed.resolve(reason instanceof Error ? reason : new Error(String(reason)));
  }

  async takeDown(): Promise<void> {
    for (const step of this.#undo.splice(0).reverse()) {
      try {
        await step();
      } catch (error) {
        this.#deps.log("warn", "while stopping", { error: String(error) });
      }
    }
  }

  async run(mode: "full" | "plain"): Promise<RunningCluster> {
    const config = this.#config;
    const { progress, signal } = this.#deps;

    progress.begin("machines");
    const ground = mode === "full" ? await makeFullGround(config) : makePlainGround(config);
    this.#undo.push(() => ground.close());
    progress.done("machines", ground.summary);

    progress.begin("API server");
    // Bound here, so that a taken port is this command's error, and so that connections wait while the server is started again.
    const apiSockets = this.#bindApi(ground);
    const apiPort = apiSockets[0]?.port ?? config.api.port;
    const identity = await makeIdentity(config, apiPort, ground.gateways);
    await this.#orFailed(this.#startApiServer(ground, apiSockets));
    progress.done("API server", identity.server(config.api.address));

    const transport = createHttpTransport(loadKubeconfig({ path: config.kubeconfig }));
    this.#undo.push(() => transport.close());
    const client = createClient(transport);

    progress.begin("control plane");
    const controlPlane = await this.#startControlPlane(identity);
    await applyBootstrap(client, { clusterDns: config.clusterDns, ...bootstrapCorefile(config) });
    const nodesThere = await removeOtherNodes(client, config.nodes);
    for (const line of missingPodRanges(nodesThere, config.clusterCidrs)) this.#deps.log("warn", line);

    progress.begin("nodes");
    const hostIngress = ground.bindIngress();
    this.#undo.push(() => hostIngress.forEach(closeSocket));
    const nodes = await this.#startNodes(ground, identity, hostIngress);
    await this.#orFailed(controlPlane.ready);
    progress.done("control plane", "controllers, scheduler");

    const routes = ground.startRoutes(transport);
    this.#undo.push(() => routes.close());
    await this.#orFailed(Promise.all([nodes.ready, nodesReady(client, config.nodes, signal), defaultsReady(client, signal)]));
    progress.done("nodes", `${config.nodes.length} Ready; rules, DNS and ingress serve on each`);

    const portOf = (name: string): number => hostIngress.find((s) => s.name === name)?.port ?? 0;
    return {
      config,
      mode,
      api: { address: config.api.address, port: apiPort },
      nodes: ground.nodes.map((n) => ({
        name: n.name,
        ips: n.ips,
        ...(n.netns === undefined ? {} : { netns: n.netns.name }),
        observe: observeOf(n),
      })),
      dns: { addresses: config.clusterDns, port: ground.dnsPort },
      ingress: [
        { ip: config.ingress.address, http: portOf("http"), https: portOf("https") },
        ...(mode === "plain" ? [] : ground.nodes.flatMap((n) => n.ips.map((ip) => ({ ip, http: 80, https: 443 })))),
      ],
      client,
      pki: identity.pki,
      failed: this.#failed.promise,
      ready: Promise.resolve(),
      close: () => this.takeDown(),
    };
  }

  #bindApi(ground: Ground): readonly NamedSocket[] {
    const { address, port } = this.#config.api;
    const bind = (ip: Ip, at: number): NamedSocket => {
      const socket: NamedSocket = { ...bindForOption("--api-port", { ip, port: at, type: "tcp" }), name: "api" };
      this.#undo.push(() => closeSocket(socket));
      return socket;
    };
    const first = bind(address, port);
    return [first, ...ground.gateways.map((ip) => bind(ip, first.port))];
  }

  #startApiServer(ground: Ground, sockets: readonly NamedSocket[]): Promise<void> {
    const { dataDir, api, serviceCidrs, clusterDomain } = this.#config;
    const config: ApiServerRoleConfig = {
      dataDir,
      advertise: ground.gateways,
      port: sockets[0]?.port ?? api.port,
      serviceCidrs: serviceCidrs.map(printCidr),
      clusterDomain,
      bind: [api.address, ...ground.gateways],
      ...(ground.mode === "plain" ? { loopback: printCidr(plainRange) } : {}),
    };
    // One heap for all its threads: what one frees, another can use (measured at 30,000 objects: 18 MiB less).
    const env = { MALLOC_ARENA_MAX: "1" };
    const child = this.#child("apiserver", "apiserver", config, { sockets, env, runtimeOptions: promptRuntime });
    this.#undo.push(() => child.close());
    return child.ready;
  }

  async #startControlPlane(identity: ClusterIdentity): Promise<Started> {
    const { api, clusterCidrs, lbPool } = this.#config;
    const controllersConfig: ControllersRoleConfig = {
      kubeconfig: await identity.component("controllers", api.address),
      clusterCidrs: clusterCidrs.map(printCidr),
      lbPool: lbPool.map(printCidr),
      rootCaPem: identity.pki.caPem,
    };
    const children = [
      this.#child("controllers", "controllers", controllersConfig),
      this.#child("scheduler", "scheduler", { kubeconfig: await identity.component("scheduler", api.address) }),
    ];
    this.#undo.push(async () => {
      await Promise.all(children.map((c) => c.close()));
    });
    return settled(children);
  }

  async #startNodes(ground: Ground, identity: ClusterIdentity, hostIngress: readonly NamedSocket[]): Promise<Started> {
    const nodes: SupervisedChild[] = [];
    const daemons: SupervisedChild[] = [];
    this.#undo.push(async () => {
      // First the pods (their node takes them down), then what serves them.
      await Promise.all(nodes.map((n) => n.stop({ type: "stop" }, nodeStopTimeout)));
      await Promise.all(daemons.map((d) => d.close()));
    });
    const upstreams = await this.#upstreams(ground);
    for (const [i, node] of ground.nodes.entries()) {
      const place = node.netns === undefined ? {} : { netns: node.netns.path };
      nodes.push(this.#child(`node ${node.name}`, "node", await this.#nodeConfig(ground, node, identity), place));
      const sockets = i === 0 ? hostIngress : [];
      daemons.push(
        this.#child(`daemon ${node.name}`, "daemon", await this.#daemonConfig(ground, node, identity, upstreams), { ...place, sockets }),
      );
    }
    return settled([...nodes, ...daemons]);
  }

  async #nodeConfig(ground: Ground, node: GroundNode, identity: ClusterIdentity): Promise<NodeRoleConfig> {
    const { dataDir, name, clusterDns, clusterDomain, images } = this.#config;
    return {
      nodeName: node.name,
      nodeIps: node.ips,
      kubeconfig: await identity.component(`node-${node.name}`, this.#apiAddress(ground)),
      kubeletPort,
      tls: { caPem: identity.pki.caPem, ...(await identity.pki.issueServerCert(node.name, [node.name, ...node.ips])) },
      dataDir: join(dataDir, "nodes", node.name),
      clusterName: name,
      clusterDns,
      clusterDnsPort: ground.dnsPort,
      clusterDomain,
      mode: ground.mode === "full" ? "containers" : "processes",
      hiddenPaths: [dataDir],
      agentPort: observePort,
      ...(images === undefined ? {} : { images }),
    };
  }

  /** Whom the nodes ask for names outside the cluster. */
  async #upstreams(ground: Ground): Promise<DaemonConfig["upstreams"]> {
    const [gateway] = ground.gateways;
    if (ground.mode === "plain" || gateway === undefined) return { resolvConf: "/etc/resolv.conf" };
    const relay = await startDnsRelay(gateway, this.#config.nodeCidrs, this.#deps.log);
    this.#undo.push(() => relay.close());
    return [{ ip: gateway, port: relay.port }];
  }

  async #daemonConfig(
    ground: Ground,
    node: GroundNode,
    identity: ClusterIdentity,
    upstreams: DaemonConfig["upstreams"],
  ): Promise<DaemonConfig> {
    const config = this.#config;
    const plain = ground.mode === "plain";
    return {
      nodeName: node.name,
      kubeconfig: await identity.component(`daemon-${node.name}`, this.#apiAddress(ground)),
      runDir: join(config.dataDir, "run", node.name),
      enable: ["proxy", "dns", "ingress"],
      clusterDomain: config.clusterDomain,
      clusterDns: config.clusterDns,
      dnsPort: ground.dnsPort,
      clusterCidrs: config.clusterCidrs.map(printCidr),
      serviceCidrs: config.serviceCidrs.map(printCidr),
      nodeCidrs: config.nodeCidrs.map(printCidr),
      ingress: plain ? [] : node.ips.map((ip) => ({ ip, http: 80, https: 443 })),
      ingressProcesses: config.ingressProcesses,
      ...(config.ingressAccessLog === undefined ? {} : { ingressAccessLog: config.ingressAccessLog }),
      ingressStatus: plain
        ? [config.ingress.address]
        : [4, 6].flatMap((family) => ground.nodes.flatMap((n) => n.ips.filter((ip) => ipFamily(ip) === family))),
      healthz: { ip: plain ? (node.ips[0] ?? "127.0.0.1") : "0.0.0.0", port: healthzPort },
      observe: observeOf(node),
      backend: plain ? "userspace" : config.backend,
      rules: {},
      ...(config.proxyConfig === undefined ? {} : { proxyConfig: config.proxyConfig }),
      plain,
      upstreams,
      ...(config.corefile === undefined ? {} : { corefile: config.corefile }),
      ...(config.corefileConfigMap === undefined ? {} : { corefileConfigMap: config.corefileConfigMap }),
      ...(plain ? {} : { nodeLocalDns: config.nodeLocalDns }),
      logLevel: this.#deps.logLevel,
      logFormat: this.#deps.logFormat,
    };
  }

  #apiAddress(ground: Ground): Ip {
    return ground.gateways[0] ?? this.#config.api.address;
  }

  #child(
    name: string,
    role: string,
    config: object,
    o: Partial<Pick<ChildConfig, "netns" | "sockets" | "env" | "runtimeOptions">> = {},
  ): SupervisedChild {
    const { log, logLevel, logFormat } = this.#deps;
    const args = ["process", role, "--log-level", logLevel, "--log-format", logFormat];
    const child = startChild({ name, args, ...o, env: { ...o.env, ...roleEnvironment(config) } }, { log });
    child.ready.catch((error: unknown) => this.fail(error));
    return child;
  }

  async #orFailed<T>(work: Promise<T>): Promise<T> {
    const result = await Promise.race([work.then((value) => ({ value })), this.#failed.promise]);
    if (result instanceof Error) throw result;
    return result.value;
  }
}

/** Processes that have been started; not a bare promise, which an `await` of the start would wait for. */
interface Started {
  readonly ready: Promise<void>;
}

function observeOf(node: GroundNode): { readonly ip: Ip; readonly port: number } {
  return { ip: node.ips[0] ?? "127.0.0.1", port: observePort };
}

function settled(children: readonly SupervisedChild[]): Started {
  const all = Promise.all(children.map((c) => c.ready)).then(() => undefined);
  // Each child's failure is told by itself; nobody need wait for this one.
  all.catch(() => undefined);
  return { ready: all };
}

/** Nodes of an earlier run with more of them go: their machines are gone, and so are their pods. Those that stay. */
async function removeOtherNodes(client: Client, names: readonly string[]): Promise<readonly Node[]> {
  const { items } = await client.list(resources.nodes);
  const kept = items.filter((node) => names.includes(node.metadata?.name ?? ""));
  for (const node of items) {
    if (!kept.includes(node)) await client.delete(resources.nodes, { name: node.metadata?.name ?? "" });
  }
  return kept;
}

/** Who follows a ConfigMap finds one to begin with. */
function bootstrapCorefile({ corefileConfigMap: at, ...config }: ClusterConfig): Pick<BootstrapConfig, "corefile"> {
  if (at === undefined) return {};
  return { corefile: { at, text: defaultCorefile(config.clusterDomain, [...config.serviceCidrs, ...config.clusterCidrs]) } };
}
