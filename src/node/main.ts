import { mkdirSync, readFileSync } from "node:fs";
import { jsonEqual } from "../api/json-value.ts";
import { matchesNodeAffinity } from "../api/node-affinity.ts";
import type { Pod, Service } from "../api/types/core-v1.generated.ts";
import { parseCidr } from "../base/cidr.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import type { Ip } from "../base/ip.ts";
import type { Running } from "../base/running.ts";
import { createClient } from "../client/client.ts";
import { isNotFound } from "../client/errors.ts";
import { createEventRecorder } from "../client/events.ts";
import { startInformer } from "../client/informer.ts";
import { resources } from "../client/resources.ts";
import type { Transport } from "../client/transport.ts";
import { runCommand } from "../kernel/command.ts";
import { refusalOf, wrongNode } from "./admission.ts";
import { CrunRuntime } from "./crun-runtime.ts";
import { ignoredFields } from "./ignored-fields.ts";
import { builtInImages, type ImageEntry, parseImages } from "./images.ts";
import { readCapacity, readNodeInfo } from "./node-machine.ts";
import { startRegistration } from "./node-registration.ts";
import { type NodeServerConfig, type ServedContainer, startNodeServer } from "./node-server.ts";
import { ObjectWatches } from "./object-watches.ts";
import { parseResolvConf } from "./pod-dns.ts";
import { PodFiles } from "./pod-files.ts";
import type { AdoptedPod } from "./pod-runtime.ts";
import { PodWorker } from "./pod-worker.ts";
import type { PodWorkerDeps } from "./pod-worker-deps.ts";
import { ProcessRuntime } from "./process-runtime.ts";
import { realPathOf } from "./real-path.ts";
import { serveContainer } from "./served-container.ts";
import { readBindRights, servedPortOf } from "./served-port.ts";
import { StatusWriter } from "./status-writer.ts";
import { startVolumeWatch } from "./volume-watch.ts";

export interface NodeConfig {
  readonly nodeName: string;
  /** IPv4 first; the first is what the API server calls for logs and exec. */
  readonly nodeIps: readonly Ip[];
  readonly transport: Transport;
  readonly dataDir: string;
  readonly clusterDns: readonly Ip[];
  readonly clusterDomain: string;
  /** The images file of the command line. */
  readonly imagesFile?: string | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** Plain mode: pods are processes of this user, with no root and no namespaces; they resolve at `dns`. Absent: containers. */
  readonly processes?: { readonly dns: { readonly ip: Ip; readonly port: number } } | undefined;
  /** For built-in images: the runtime's binary, and the folder of bundled programs. */
  readonly runtime: { readonly nodeBinary: string; readonly distFolder: string };
  /** Default: what the machine has, and 110 pods. */
  readonly capacity?: Readonly<Record<string, string>> | undefined;
  /** As `/version` says it: `v1.36.0+fairway`. */
  readonly version: string;
  /** The node's own API (logs, exec, attach), for callers with a certificate of this authority in `system:masters`; absent: none. */
  readonly api?: NodeServerConfig | undefined;
  /** Folders and files of the machine that no container may see (keys, kubeconfigs), beside the usual ones and `dataDir`. */
  readonly hiddenPaths?: readonly string[] | undefined;
}

export interface NodeLog {
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

export interface NodeDeps {
  readonly clock?: Clock;
  readonly log: NodeLog;
  /** Resolves when the pod's addresses have left the rules of this cluster; the node waits for `patienceMs` at most. */
  readonly endpointGone?:
    | ((pod: { readonly uid: string; readonly ips: readonly Ip[]; readonly patienceMs: number }, signal: AbortSignal) => Promise<void>)
    | undefined;
}

export interface RunningNode extends Running {
  /** Ends all pods of this node, each with at most this grace, without deleting their objects: for the end of a whole cluster. */
  stopPods(graceSeconds: number): Promise<void>;
}

/** A pod waits for its addresses to leave the rules for half of its grace, and so long at least. Milliseconds. */
const leastPatienceMs = 1000;
const mirrorAnnotation = "kubernetes.io/config.mirror";

/**
 * The agent of one node, in whose network namespace this process is already. `close` lets go of the pods: they run on, and the next
 * agent adopts them.
 */
export async function startNode(config: NodeConfig, deps: NodeDeps): Promise<RunningNode> {
  const clock = deps.clock ?? systemClock;
  const { log } = deps;
  mkdirSync(config.dataDir, { recursive: true, mode: 0o711 });
  const dataDir = realPathOf(config.dataDir);
  const images = loadImages(config);
  const runtime =
    config.processes === undefined
      ? await CrunRuntime.open({ dataDir, nodeIps: config.nodeIps, hiddenPaths: config.hiddenPaths ?? [] }, { run: runCommand, clock })
      : new ProcessRuntime({ dataDir, nodeIps: config.nodeIps, dns: config.processes.dns }, { clock });
  const stop = new AbortController();
  const client = createClient(config.transport);
  const events = createEventRecorder(config.transport, { component: "kubelet", host: config.nodeName, clock });
  const workers = new Map<string, PodWorker>();
  const capacity = config.capacity ?? readCapacity();

  const watches = new ObjectWatches(config.transport, (uids) => {
    for (const uid of uids) {
      const worker = workers.get(uid);
      if (worker === undefined) continue;
      worker.update(worker.pod);
      renewVolumes(worker);
    }
  });
  const renewVolumes = (worker: PodWorker): void => {
    void files.refresh(worker.pod, worker.ips).catch((error: unknown) => {
      // A pod that is going keeps what it has: what its volumes show may go before it, with its namespace.
      if (worker.pod.metadata?.deletionTimestamp !== undefined) return;
      workerDeps.event(worker.pod, undefined, "Warning", "FailedMount", `MountVolume.SetUp failed for ${messageOf(error)}`);
    });
  };
  const services = startInformer<Service>(config.transport, resources.services, { clock });
  const pods = startInformer<Pod>(config.transport, resources.pods, { fieldSelector: `spec.nodeName=${config.nodeName}`, clock });
  const files = new PodFiles({
    runtime,
    client,
    watches,
    images,
    clock,
    services: () => [...services.list()],
    // Without namespaces, Services are listeners of this user.
    servedPort: config.processes === undefined ? undefined : servedPortOf(readBindRights()),
    warn: (pod, reason, message) => workerDeps.event(pod, undefined, "Warning", reason, message),
    nodeName: config.nodeName,
    nodeIps: config.nodeIps,
    allocatable: capacity,
    imagesFile: config.imagesFile,
    dns: { ips: config.clusterDns, domain: config.clusterDomain, host: parseResolvConf(readTextOf("/etc/resolv.conf")) },
  });
  const statuses = new StatusWriter(client, clock, stop.signal, (pod, error) =>
    log.warn("a pod's status cannot be written", { pod: nameOf(pod), error: messageOf(error) }),
  );
  const server =
    config.api === undefined ? undefined : await startNodeServer({ ...config.api, ip: config.nodeIps[0] ?? "127.0.0.1" }, { clock, find });
  const registration = startRegistration(
    {
      facts: {
        name: config.nodeName,
        ips: config.nodeIps,
        labels: config.labels ?? {},
        capacity,
        info: readNodeInfo(runtime.version, config.version),
        kubeletPort: server?.port ?? 0,
      },
      transport: config.transport,
    },
    { clock, log },
  );

  function find(namespace: string, pod: string, container: string): ServedContainer | undefined {
    const worker = [...workers.values()].find((w) => w.pod.metadata?.name === pod && w.pod.metadata.namespace === namespace);
    return worker === undefined ? undefined : serveContainer(worker, container, runtime);
  }

  const workerDeps: PodWorkerDeps = {
    clock,
    runtime,
    hostIps: config.nodeIps,
    scheme: runtime.version.split(":")[0] ?? "",
    admit: async (pod, signal) => {
      const others = [...workers.values()].filter((w) => w.uid !== pod.metadata?.uid && !w.isFinished).map((w) => w.pod);
      const refusal = refusalOf(pod, others, capacity);
      const ignored = ignoredFields(pod);
      if (refusal === undefined && ignored.length > 0)
        workerDeps.event(pod, undefined, "Warning", "Ignored", `this node has nothing for ${ignored.join(", ")}: the pod runs without`);
      if (refusal !== undefined || !choosesNodes(pod)) return refusal;
      const node = await client.get(resources.nodes, { name: config.nodeName }, signal).catch(() => undefined);
      return node === undefined || matchesNodeAffinity(pod.spec ?? {}, node) ? undefined : wrongNode;
    },
    prepare: (pod, ips, signal) => files.prepare(pod, ips, signal),
    plan: (pod, container, attempt, ips) => files.plan(pod, container, attempt, ips),
    terminationMessage: (pod, container, attempt, failed) => files.terminationMessage(pod, container, attempt, failed),
    publish: (pod, status) => statuses.publish(pod, status),
    finish: async (pod) => {
      const { name = "", namespace, uid = "" } = pod.metadata ?? {};
      await statuses.flush(uid);
      await untilDone(async () => {
        const preconditions = { uid };
        await client.delete(resources.pods, { namespace, name }, { gracePeriodSeconds: 0, preconditions }, stop.signal);
      });
    },
    event: (pod, container, type, reason, message) => {
      const { name, namespace, uid, resourceVersion } = pod.metadata ?? {};
      const fieldPath = container === undefined ? {} : { fieldPath: fieldPathOf(pod, container) };
      const regarding = { apiVersion: "v1", kind: "Pod", ...defined({ name, namespace, uid, resourceVersion }), ...fieldPath };
      events.record({ regarding, type, reason, message });
    },
    endpointGone: async (pod, signal) => {
      const { endpointGone } = deps;
      const worker = workers.get(pod.metadata?.uid ?? "");
      if (endpointGone === undefined || worker === undefined || worker.ips.length === 0 || pod.spec?.hostNetwork === true) return;
      const patienceMs = Math.max(leastPatienceMs, ((pod.metadata?.deletionGracePeriodSeconds ?? 0) * 1000) / 2);
      const limit = AbortSignal.any([signal, AbortSignal.timeout(patienceMs)]);
      await Promise.race([endpointGone({ uid: worker.uid, ips: worker.ips, patienceMs }, limit), clock.sleep(patienceMs, limit)]);
    },
  };

  const volumeWatch = startVolumeWatch({
    clock,
    run: runCommand,
    pods: () => [...workers.values()].map((worker) => ({ uid: worker.uid, pod: worker.pod, evict: (message) => worker.evict(message) })),
    volumesFolder: (uid) => runtime.folders(uid).volumes,
  });

  /** Tries again until it is done, or the object is gone, or the agent ends. */
  async function untilDone(act: () => Promise<void>): Promise<void> {
    for (let delay = 200; !stop.signal.aborted; delay = Math.min(5000, delay * 2)) {
      try {
        await act();
        return;
      } catch (error) {
        if (stop.signal.aborted || isNotFound(error) || isUidConflict(error)) return;
        log.warn("a pod cannot be deleted", { error: messageOf(error) });
        await clock.sleep(delay, stop.signal).catch(() => undefined);
      }
    }
  }

  const startWorker = (pod: Pod, adopted?: AdoptedPod): PodWorker => {
    const worker = new PodWorker(pod, workerDeps, adopted);
    workers.set(worker.uid, worker);
    void worker.done
      .catch((error: unknown) => log.warn("a pod's worker failed", { pod: nameOf(pod), error: messageOf(error) }))
      .finally(() => {
        if (stop.signal.aborted) return;
        workers.delete(worker.uid);
        watches.forget(worker.uid);
        files.forget(worker.uid);
        statuses.forget(worker.uid);
      });
    return worker;
  };
  const heed = (pod: Pod): void => {
    const uid = pod.metadata?.uid ?? "";
    if (uid === "" || pod.metadata?.annotations?.[mirrorAnnotation] !== undefined) return;
    const worker = workers.get(uid) ?? startWorker(pod);
    const { labels, annotations } = worker.pod.metadata ?? {};
    worker.update(pod);
    // What downward API volumes show of the pod may have changed.
    if (!jsonEqual([labels, annotations], [pod.metadata?.labels, pod.metadata?.annotations])) renewVolumes(worker);
    if (pod.metadata?.deletionTimestamp !== undefined)
      worker.terminate(pod.metadata.deletionGracePeriodSeconds ?? pod.spec?.terminationGracePeriodSeconds ?? 30);
  };

  const life = (async (): Promise<void> => {
    const adopted = new Map((await runtime.adopt()).map((pod) => [pod.podUid, pod]));
    const [ranges] = await Promise.all([registration.podCidrs, pods.ready, services.ready]);
    runtime.setPodRanges(ranges.flatMap((text) => parseCidr(text) ?? []));
    const present = new Map([...pods.list()].map((pod) => [pod.metadata?.uid ?? "", pod]));
    for (const [uid, pod] of adopted) {
      const object = present.get(uid);
      if (object !== undefined) startWorker(object, pod);
      // Deleted while no agent looked: nobody waits for it any more.
      else
        void runtime
          .removePod(uid)
          .catch((error: unknown) => log.warn("leftovers cannot be removed", { pod: uid, error: messageOf(error) }));
    }
    // Those that were here before have their ports and shares before newer ones ask for them.
    const isNew = (pod: Pod): number => (pod.status?.startTime === undefined ? 1 : 0);
    for (const pod of [...present.values()].sort((a, b) => isNew(a) - isNew(b))) heed(pod);
    pods.onChange(({ before, after }) => {
      if (after !== undefined) heed(after);
      const gone = before?.metadata?.uid;
      // Removed without us: by force, or replaced by another of the same name.
      if (gone !== undefined && after?.metadata?.uid !== gone) workers.get(gone)?.terminate(0);
    });
  })();
  life.catch(() => undefined);

  const ready = Promise.all([life, registration.ready]).then(() => undefined);
  ready.catch(() => undefined);
  return {
    ready,
    stopPods: async (graceSeconds) => {
      await pods.close();
      const all = [...workers.values()];
      await Promise.all(all.map((worker) => worker.stop(graceSeconds)));
    },
    close: async () => {
      stop.abort(new Error("the agent is ending"));
      for (const worker of workers.values()) worker.leave();
      await server?.close();
      await Promise.all([
        volumeWatch.close(),
        registration.close(),
        pods.close(),
        services.close(),
        watches.close(),
        files.close(),
        events.close(),
      ]);
      await runtime.close();
    },
  };
}

function choosesNodes({ spec }: Pod): boolean {
  return spec?.nodeSelector !== undefined || spec?.affinity?.nodeAffinity !== undefined;
}

function loadImages(config: NodeConfig): readonly ImageEntry[] {
  const own = config.imagesFile === undefined ? [] : parseImages(readFileSync(config.imagesFile, "utf8"), config.imagesFile);
  return [...own, ...builtInImages(config.runtime)];
}

function fieldPathOf(pod: Pod, container: string): string {
  const init = pod.spec?.initContainers?.some((c) => c.name === container) === true;
  return `spec.${init ? "initContainers" : "containers"}{${container}}`;
}

function defined<T extends object>(object: T): { [K in keyof T]: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(object).filter(([, v]) => v !== undefined)) as { [K in keyof T]: NonNullable<T[K]> };
}

function isUidConflict(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === 409;
}

function nameOf(pod: Pod): string {
  return `${pod.metadata?.namespace ?? "default"}/${pod.metadata?.name ?? ""}`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function readTextOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
