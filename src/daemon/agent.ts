import { join } from "node:path";
import { loadCorefile, zoneKinds } from "../../dns/index.ts";
import { type ConnectionUse, type Proxier, startProxier } from "../../rules/index.ts";
import { systemClock } from "../base/clock.ts";
import type { Ip } from "../base/ip.ts";
import type { Running } from "../base/running.ts";
import { inClusterAccess, loadKubeconfig } from "../client/kubeconfig.ts";
import { createHttpTransport } from "../client/transport.ts";
import { runCommand } from "../kernel/command.ts";
import { createHealth } from "../observe/health.ts";
import type { ObserveHandler, ObserveServerOptions } from "../observe/http-endpoint.ts";
import type { Log } from "../observe/log.ts";
import { createMetrics, mergeMetricsText } from "../observe/metrics.ts";
import { cpuProfile } from "../observe/profile.ts";
import type { Kind } from "../snapshot/cluster-snapshot.ts";
import { type Problem, problemKey } from "../snapshot/problem.ts";
import { SnapshotStore } from "../snapshot/snapshot-store.ts";
import { type AgentPlane, batchSize, feedPlanes, namesPlane, routesPlane } from "./agent-planes.ts";
import { agentSocket } from "./agent-socket.ts";
import { startSnapshotFeed } from "./api-access.ts";
import { ApiAge } from "./api-age.ts";
import { figuresOf, printFigures } from "./backend-figures.ts";
import { startCheckpointFallback } from "./checkpoint-fallback.ts";
import { claimAddresses, clusterDnsOf } from "./cluster-dns.ts";
import { configz } from "./configz.ts";
import { type CorefileChange, lookEvery, startCorefileWatch } from "./corefile.ts";
import { type CorefileConfigMap, corefileOf, startCorefileConfigMap } from "./corefile-configmap.ts";
import type { DaemonConfig } from "./daemon-config.ts";
import { answerHistory } from "./history-answer.ts";
import { type IngressPortsMessage, isRefusedPorts, refusalProblems } from "./ingress-ports.ts";
import { leave, mayLeave, startLeaveTurn } from "./leave-turn.ts";
import { type NodeEvents, startNodeEvents } from "./node-events.ts";
import { figuresPath, nodeFigures } from "./node-figures.ts";
import { withoutNode } from "./own-node.ts";
import { type PlaneFeed, startPlaneFeed } from "./plane-feed.ts";
import { type ProxyHealth, startProxyHealth } from "./proxy-health.ts";
import { createMemoryRelease } from "./release-memory.ts";
import { startReporter } from "./reporter.ts";
import { tellParent } from "./role.ts";
import { type StatePublisher, startStatePublisher } from "./state-publisher.ts";
import { startSteadyServer } from "./steady-server.ts";

type Part = DaemonConfig["enable"][number];

const kindsOf: Readonly<Record<Part, readonly Kind[]>> = {
  proxy: ["Service", "EndpointSlice", "Node", "ServiceCIDR"],
  dns: zoneKinds(),
  ingress: ["Service", "EndpointSlice", "Ingress", "IngressClass", "Secret", "ConfigMap", "Node"],
};

/**
 * The process of a node that knows the cluster: it keeps the snapshot, programs the rules, and streams names and routes to
 * the processes that serve them. It carries no traffic itself and may block for a moment.
 */
export async function startAgent(config: DaemonConfig, log: Log): Promise<Running> {
  const has = (part: Part): boolean => config.enable.includes(part);
  const transport = createHttpTransport(config.kubeconfig === undefined ? inClusterAccess() : loadKubeconfig({ path: config.kubeconfig }));
  const store = new SnapshotStore();
  const stop = new AbortController();
  const closing: (() => Promise<void> | void)[] = [() => transport.close(), () => stop.abort(new Error("stopped"))];
  const file = has("dns") ? corefileOf(config) : undefined;
  const configMap =
    file === undefined || config.corefileConfigMap === undefined
      ? undefined
      : startCorefileConfigMap({ transport, at: config.corefileConfigMap, file }, { clock: systemClock, log });
  if (configMap !== undefined) closing.push(() => configMap.close());
  await configMap?.ready;
  const corefile = file === undefined ? undefined : loadCorefile(file);
  const kinds = [...new Set([...config.enable.flatMap((part) => kindsOf[part]), ...(has("dns") ? zoneKinds(corefile?.blocks.zones) : [])])];

  // The lists are asked for first: they are what everything else waits for, and the rest is made while they come.
  const apiAge = new ApiAge(systemClock);
  startRememberedFeed();
  const nodeLocalDns = has("dns") ? (config.nodeLocalDns ?? []) : [];
  await claimAddresses(nodeLocalDns, runCommand, log);
  const clusterDns = await clusterDnsOf(config, transport, log, stop.signal);
  const refusals = followRefusedPorts(config.nodeName, () => nodeEvents.look());
  closing.push(refusals.close);
  const ownProblems = (): readonly Problem[] => [...(proxier?.ownProblems() ?? []), ...refusals.problems()];
  const nodeEvents = startNodeEvents({ transport, store, nodeName: config.nodeName, problems: ownProblems }, log);
  closing.push(() => nodeEvents.close());
  const proxier = has("proxy")
    ? startRules(config, store, { localDnsIps: has("dns") ? [...clusterDns, ...nodeLocalDns] : [], nodeEvents }, log)
    : undefined;
  if (proxier !== undefined) closing.push(() => proxier.close());

  const planes = [
    ...(has("dns") ? [namesPlane(config, clusterDns, corefile?.blocks)] : []),
    ...(has("ingress") ? [routesPlane(config, (ports) => tellParent({ type: "ingress-ports", ports } satisfies IngressPortsMessage))] : []),
  ];
  if (file !== undefined && corefile !== undefined) {
    // Names hang on the zones; the supervisor starts an agent that reads them again.
    const restart = async ({ blocks, before }: CorefileChange): Promise<void> => {
      if (JSON.stringify(blocks.zones) !== JSON.stringify(before.zones)) process.kill(process.pid, "SIGTERM");
    };
    const watch = startCorefileWatch(file, corefile, restart, { log, ...lookEvery(config) });
    closing.push(() => watch.close());
  }
  // The children may connect before the first list: they get what there is, and later what is new.
  const publisher = startStatePublisher(
    agentSocket(config),
    planes.map((p) => p.source),
    { log, clock: systemClock },
  );
  closing.push(() => publisher.close());
  await publisher.ready;
  const planeFeed = startPlanes(planes, publisher, proxier?.ready ?? Promise.resolve());

  const problems = (): readonly Problem[] => [
    ...planes.flatMap((p) => [...p.problems()]),
    ...(proxier?.problems() ?? []),
    ...(configMap?.problems() ?? []),
    ...refusals.problems(),
  ];
  const servedIngresses = () => planes.flatMap((p) => [...p.served()]);
  const sharedProblems = (): readonly Problem[] => {
    const own = new Set(ownProblems().map(problemKey));
    return problems().filter((p) => !own.has(problemKey(p)));
  };
  const figures = (service: string, signal: AbortSignal) =>
    nodeFigures({ store, nodeName: config.nodeName, port: config.observe.port, own: () => publisher.childMetrics() }, service, signal);
  const reporter = startReporter({ transport, store, config, problems: sharedProblems, servedIngresses, figures }, log);
  closing.push(() => reporter.close());

  const proxyHealth =
    proxier === undefined || config.healthz === undefined
      ? undefined
      : startProxyHealth(
          { at: config.healthz, hardFail: config.hardFail, health: () => proxier.health(), now: () => systemClock.now() },
          log,
        );
  if (proxyHealth !== undefined) closing.push(() => proxyHealth.close());

  const observed = observation({
    config,
    synced: () => store.synced(kinds),
    clusterDns,
    publisher,
    planeFeed,
    proxier,
    proxyHealth,
    problems,
    configMap,
    apiAge,
  });
  const servers = [config.observe, ...(config.metrics === undefined ? [] : [config.metrics])].map(({ ip, port }) =>
    startSteadyServer({ ...observed, what: "metrics", bind: ip, port, hardFail: config.hardFail }, log),
  );
  closing.push(...servers.map((server) => () => server.close()));
  await Promise.all([...servers.map((s) => s.ready), proxyHealth?.ready]);

  // its supervisor ends, and asks whether DNS may go now
  const onLeave = (m: unknown): void => {
    if (typeof m !== "object" || m === null || !("type" in m) || m.type !== leave) return;
    const isLame = corefile?.blocks.blocks.some((b) => b.plugins.some((p) => p.plugin === "health" && p.lameduck > 0)) === true;
    const turn = isLame ? startLeaveTurn({ transport, identity: config.nodeName }, { clock: systemClock, log }) : undefined;
    if (turn !== undefined) closing.push(() => turn.close());
    void (turn?.ready ?? Promise.resolve()).then(() => tellParent({ type: mayLeave }));
  };
  process.on("message", onLeave);
  closing.push(() => void process.off("message", onLeave));

  const fed = planeFeed.fed.then(() => publisher.markSynced());
  // a backend that this machine cannot have ends the agent at once, whether or not the API answers
  const ready = Promise.all([fed, proxier?.ready]).then(() => undefined);
  ready.catch(() => undefined);
  ready.then(
    () => {
      const missing = withoutNode(store.current, config.nodeName);
      if (missing !== undefined) log("warn", missing);
    },
    () => undefined,
  );
  return {
    ready,
    close: async () => {
      for (const step of closing.splice(0).reverse()) await step();
    },
  };

  /** Objects of the API; where it does not answer, as they were when this node last ran. */
  function startRememberedFeed(): void {
    const remembered = startCheckpointFallback(join(config.runDir, "snapshot.json.gz"), store, kinds, { clock: systemClock, log });
    closing.push(() => remembered.close());
    const onHeard = (): void => {
      remembered.heard();
      apiAge.heard();
    };
    const onFailure = (_: Kind, error: unknown): void => {
      remembered.failed();
      apiAge.failed(error);
    };
    const started = startSnapshotFeed(transport, store, kinds, { clock: systemClock, log, onHeard, onFailure });
    closing.push(() => started.close());
  }

  function startPlanes(all: readonly AgentPlane[], to: StatePublisher, rulesIn: Promise<void>): PlaneFeed {
    const memory = createMemoryRelease();
    const started = startPlaneFeed(
      store,
      () => store.synced(kinds),
      rulesIn,
      async (batch) => {
        await feedPlanes(all, batch, to);
        memory.changed(batchSize(batch));
      },
    );
    closing.push(
      () => memory.close(),
      () => started.close(),
    );
    return started;
  }
}

/** Ports of Services that the supervisor could not bind. */
function followRefusedPorts(
  nodeName: string,
  changed: () => void,
): { readonly problems: () => readonly Problem[]; readonly close: () => void } {
  let all: readonly Problem[] = [];
  const onMessage = (m: unknown): void => {
    if (!isRefusedPorts(m)) return;
    all = refusalProblems(m.refused, nodeName);
    changed();
  };
  process.on("message", onMessage);
  return { problems: () => all, close: () => void process.off("message", onMessage) };
}

interface RulesAround {
  readonly localDnsIps: readonly Ip[];
  readonly nodeEvents: NodeEvents;
}

function startRules(config: DaemonConfig, store: SnapshotStore, { localDnsIps, nodeEvents }: RulesAround, log: Log): Proxier {
  const { nodeName, backend, iptables: iptablesFlavour, plain } = config;
  const { syncIntervalMs, ...rules } = config.rules;
  return startProxier(
    {
      ...rules,
      ...(syncIntervalMs === undefined ? {} : { auditIntervalMs: syncIntervalMs, patienceMs: 2 * syncIntervalMs }),
      store,
      nodeName,
      backend,
      iptablesFlavour,
      allowLoopback: plain,
      localDnsIps,
    },
    // the proxier is still being started when it tells its first
    { clock: systemClock, log, onProblems: () => setImmediate(nodeEvents.look), onEvent: nodeEvents.record },
  );
}

/** How full one node's table of connections is; without the rest where nobody counts (yet). */
export type NodeConnections = { readonly node: string } & Partial<ConnectionUse>;

interface Observed {
  readonly config: DaemonConfig;
  readonly synced: () => boolean;
  readonly clusterDns: readonly Ip[];
  readonly publisher: StatePublisher;
  readonly planeFeed: PlaneFeed;
  readonly proxier: Proxier | undefined;
  readonly proxyHealth: ProxyHealth | undefined;
  readonly problems: () => readonly Problem[];
  readonly configMap: CorefileConfigMap | undefined;
  readonly apiAge: ApiAge;
}

/** Health, metrics, problems, and the question that a node asks before it ends a pod. */
function observation(o: Observed): Omit<ObserveServerOptions, "bind" | "port"> {
  const { config, synced, clusterDns, publisher, planeFeed, proxier, proxyHealth, problems, configMap, apiAge } = o;
  const metrics = createMetrics({ processMetrics: true });
  metrics.collect(() => apiAge.metrics());
  if (configMap !== undefined) metrics.collect(() => configMap.metrics());
  const health = createHealth();
  if (proxier !== undefined) {
    metrics.collect(() => proxier.metrics());
    if (proxyHealth !== undefined) metrics.collect(() => proxyHealth.metrics());
    health.add("rules", () => (proxier.healthy() ? undefined : "a change has been waiting for too long"));
  }
  if (config.enable.includes("dns")) {
    const where = clusterDns.length > 0 ? undefined : "there is no Service kube-system/kube-dns to answer for; give --cluster-dns";
    health.add("dns", () => where, ["readyz"]);
  }
  health.add("synced", () => (synced() ? undefined : "the API has not been read yet"), ["readyz"]);
  return {
    health,
    metrics: { ...metrics, print: async () => mergeMetricsText([await metrics.print(), ...(await publisher.childMetrics())]) },
    routes: {
      ...(proxier === undefined ? {} : proxyRoutes(config, proxier)),
      "/problems": () => ({ status: 200, contentType: "application/json", body: JSON.stringify(problems()) }),
      "/connections": () => ({
        status: 200,
        contentType: "application/json",
        body: JSON.stringify({ node: config.nodeName, ...proxier?.connections() } satisfies NodeConnections),
      }),
      "/history": (url) => answerHistory(config.nodeName, proxier, url),
      // Asked by the agent that takes care of canaries for all.
      [figuresPath]: async (url) => ({
        status: 200,
        contentType: "application/json",
        body: printFigures(figuresOf(await publisher.childMetrics(), url.searchParams.get("service") ?? "")),
      }),
      // Asked by a node that is about to end a pod: does anything here still send it new connections?
      "/endpoint-in-use": (url) => {
        const ip = url.searchParams.get("ip") ?? "";
        // A change that the planes have not seen yet may be the very one that is asked about.
        const inUse = planeFeed.waiting() || !publisher.settled() || (proxier?.endpointInUse(ip) ?? false);
        return { status: 200, contentType: "application/json", body: JSON.stringify({ inUse }) };
      },
    },
  };
}

/** What kube-proxy's metrics server has besides. */
function proxyRoutes(config: DaemonConfig, proxier: Proxier): Readonly<Record<string, ObserveHandler>> {
  const { backend } = config;
  const said = JSON.stringify({ "kubeproxy.config.k8s.io": configz(config) });
  return {
    "/proxyMode": () => ({ status: 200, contentType: "text/plain; charset=utf-8", body: proxier.backend() ?? backend }),
    "/configz": () => ({ status: 200, contentType: "application/json", body: said }),
    ...(config.profiling === true ? { "/debug/pprof/profile": cpuProfile } : {}),
  };
}
