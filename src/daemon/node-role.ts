import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { kubernetesVersion } from "../apiserver/version.ts";
import { systemClock } from "../base/clock.ts";
import type { Ip } from "../base/ip.ts";
import type { Running } from "../base/running.ts";
import { startInformer } from "../client/informer.ts";
import { loadKubeconfig } from "../client/kubeconfig.ts";
import { resources } from "../client/resources.ts";
import { createHttpTransport, type Transport } from "../client/transport.ts";
import { type RunningNode, startNode } from "../node/main.ts";
import type { Log } from "../observe/log.ts";
import { waitEndpointGone } from "./endpoint-gone.ts";
import type { NodeRoleConfig } from "./role-config.ts";

/** Seconds a pod gets when the whole cluster ends. */
const stopGraceSeconds = 4;

/** A node's agent for pods; `stopPods` is for the end of the whole cluster, when no object is deleted. */
export function startNodeRole(config: NodeRoleConfig, log: Log): Running & { readonly stopPods: () => Promise<void> } {
  const transport = createHttpTransport(loadKubeconfig({ path: config.kubeconfig }));
  const nodes = startInformer(transport, resources.nodes, {});
  const agents = (): readonly { ip: Ip; port: number }[] =>
    [...nodes.list()].flatMap((n) => {
      const ip = n.status?.addresses?.find((a) => a.type === "InternalIP")?.address;
      return ip === undefined ? [] : [{ ip, port: config.agentPort }];
    });
  const started: Promise<RunningNode> = startNode(
    {
      nodeName: config.nodeName,
      nodeIps: config.nodeIps,
      transport,
      dataDir: config.dataDir,
      clusterDns: config.clusterDns,
      clusterDomain: config.clusterDomain,
      imagesFile: config.images,
      runtime: { nodeBinary: process.execPath, distFolder: distFolder() },
      version: kubernetesVersion.gitVersion,
      api: { port: config.kubeletPort, ...config.tls },
      hiddenPaths: config.hiddenPaths,
      ...(config.mode === "containers"
        ? {}
        : { processes: { dns: { ip: config.clusterDns[0] ?? "127.0.0.1", port: config.clusterDnsPort } } }),
    },
    {
      clock: systemClock,
      log: { info: (message, fields) => log("info", message, fields), warn: (message, fields) => log("warn", message, fields) },
      endpointGone: ({ ips, patienceMs }, signal) =>
        waitEndpointGone({ ips, agents: agents(), apiAnswers: (s) => answers(transport, s), patienceMs }, systemClock, signal),
    },
  );
  const ready = started.then((node) => node.ready);
  ready.catch(() => undefined);
  return {
    ready,
    stopPods: async () => (await started).stopPods(stopGraceSeconds),
    close: async () => {
      await started.then((node) => node.close()).catch(() => undefined);
      await nodes.close();
      transport.close();
    },
  };
}

/** How long the API server has to answer. Milliseconds. */
const apiAnswersMs = 500;

async function answers(transport: Transport, signal: AbortSignal): Promise<boolean> {
  const within = AbortSignal.any([signal, AbortSignal.timeout(apiAnswersMs)]);
  try {
    const { status, body } = await transport.request({ method: "GET", path: "/readyz" }, within);
    for await (const _ of body);
    return status === 200;
  } catch {
    return false;
  }
}

/** Where the programs of the built-in images are: beside the bundle this runs from. */
function distFolder(): string {
  return dirname(fileURLToPath(import.meta.url));
}
