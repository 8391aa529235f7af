import type { Node, Pod, PodCondition } from "../api/types/core-v1.generated.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import type { Running } from "../base/running.ts";
import { createClient } from "../client/client.ts";
import { isConflict, isNotFound } from "../client/errors.ts";
import { createEventRecorder } from "../client/events.ts";
import { startInformer } from "../client/informer.ts";
import { startLeaderElection } from "../client/leader-election.ts";
import { resources } from "../client/resources.ts";
import type { Transport } from "../client/transport.ts";
import { type Again, WorkQueue } from "../client/work-queue.ts";
import { type Log, silentLog } from "../observe/log.ts";
import { objectKey } from "../snapshot/cluster-snapshot.ts";
import { type NodeInfo, nodeInfo } from "./node-info.ts";
import { schedule } from "./schedule.ts";

export interface SchedulerConfig {
  readonly transport: Transport;
  /** Pods that name another one are left to it. */
  readonly schedulerName?: string;
  /** Set where several processes run schedulers: the identity of this one. */
  readonly leaderElect?: { readonly identity: string; readonly namespace?: string } | undefined;
}

export interface SchedulerDeps {
  readonly clock?: Clock;
  readonly log?: Log;
}

interface Waiting {
  /** False once something has happened that may make a place. */
  parked: boolean;
  readonly message: string;
  readonly toldAt: number;
}

const defaultName = "default-scheduler";
/** The same refusal is told again after this long, however often it was met. */
const tellAgainMs = 10_000;
const parallelBindings = 16;
/** A pod that found no place looks again after this long, though nothing seems to have changed. */
const retryMs = 60_000;

/** Gives pods to nodes. `ready` settles when it has seen all nodes and pods. */
export function startScheduler(config: SchedulerConfig, deps: SchedulerDeps = {}): Running {
  const { leaderElect } = config;
  if (leaderElect === undefined) return new Scheduler(config, deps);
  const log = deps.log ?? silentLog;
  return startLeaderElection(
    {
      transport: config.transport,
      namespace: leaderElect.namespace ?? "kube-system",
      name: "fairway-scheduler",
      identity: leaderElect.identity,
      lead: () => new Scheduler(config, deps),
      onFailure: (error) => log("warn", "leader election", { error }),
    },
    { clock: deps.clock ?? systemClock },
  );
}

class Scheduler implements Running {
  readonly ready: Promise<void>;
  readonly #name: string;
  readonly #clock: Clock;
  readonly #client;
  readonly #nodes;
  readonly #pods;
  readonly #namespaces;
  readonly #recorder;
  readonly #queue: WorkQueue;
  /** What is known of each node, until something about it changes. */
  readonly #infos = new Map<string, NodeInfo>();
  /** Pods given to a node whose binding the view does not show yet: key → node. */
  readonly #assumed = new Map<string, { readonly node: string; readonly pod: Pod }>();
  /** Pods that found no place: what they were told, and when. */
  readonly #waiting = new Map<string, Waiting>();

  constructor(config: SchedulerConfig, deps: SchedulerDeps) {
    const log = (deps.log ?? silentLog).child("scheduler");
    this.#name = config.schedulerName ?? defaultName;
    this.#clock = deps.clock ?? systemClock;
    const { transport } = config;
    const options = {
      clock: this.#clock,
      onFailure: (error: unknown, ms: number) => log("warn", "watch", { error, retryInMs: Math.round(ms) }),
    };
    this.#client = createClient(transport);
    this.#nodes = startInformer(transport, resources.nodes, options);
    this.#namespaces = startInformer(transport, resources.namespaces, options);
    this.#pods = startInformer<Pod>(transport, resources.pods, {
      ...options,
      indexers: { node: (p) => ((p.spec?.nodeName ?? "") === "" ? [] : [p.spec?.nodeName ?? ""]) },
    });
    this.#recorder = createEventRecorder(transport, { component: this.#name, clock: this.#clock });
    this.#queue = new WorkQueue({
      workers: parallelBindings,
      clock: this.#clock,
      run: (key, s) => this.#place(key, s),
      onFailure: (key, error, ms) => log(isConflict(error) ? "debug" : "warn", "pod not placed", { key, error, retryInMs: Math.round(ms) }),
    });
    this.ready = Promise.all([this.#nodes.ready, this.#pods.ready, this.#namespaces.ready]).then(() => this.#begin());
    this.ready.catch(() => undefined);
  }

  async close(): Promise<void> {
    await Promise.all([this.#queue.close(), this.#nodes.close(), this.#pods.close(), this.#namespaces.close()]);
    await this.#recorder.close();
  }

  #begin(): void {
    this.#nodes.onChange(({ key, before, after }) => {
      this.#infos.delete(key);
      if (after !== undefined && changesPlaces(before, after)) this.#retryWaiting();
    });
    this.#pods.onChange(({ key, before, after }) => {
      const node = (after ?? before)?.spec?.nodeName ?? "";
      if (node !== "") {
        this.#infos.delete(node);
        this.#forget(key);
      }
      if (after === undefined) {
        this.#forget(key);
        this.#waiting.delete(key);
      }
      // A pod that ended may make room; one that is there now may be what another wants to be near.
      if (node !== "" && (after === undefined || isEnded(after))) this.#retryWaiting();
      else if (node !== "" && before?.spec?.nodeName !== node) this.#retryWaiting(dependsOnPods);
      // A status that this scheduler wrote itself is no reason to look again.
      if (after !== undefined && this.#isOurs(after) && JSON.stringify(before?.spec) !== JSON.stringify(after.spec)) this.#queue.add(key);
    });
    for (const pod of this.#pods.list()) if (this.#isOurs(pod)) this.#queue.add(objectKey(pod));
  }

  #isOurs(pod: Pod): boolean {
    return (
      (pod.spec?.nodeName ?? "") === "" &&
      (pod.spec?.schedulerName ?? defaultName) === this.#name &&
      (pod.spec?.schedulingGates ?? []).length === 0 &&
      pod.metadata?.deletionTimestamp === undefined &&
      !isEnded(pod)
    );
  }

  #retryWaiting(which: (pod: Pod) => boolean = () => true): void {
    for (const [key, waiting] of this.#waiting) {
      const pod = this.#pods.get(key);
      if (!waiting.parked || pod === undefined || !which(pod)) continue;
      waiting.parked = false;
      this.#queue.add(key);
    }
  }

  #forget(key: string): void {
    const assumed = this.#assumed.get(key);
    if (assumed === undefined) return;
    this.#assumed.delete(key);
    this.#infos.delete(assumed.node);
  }

  #view(): {
    readonly nodes: readonly NodeInfo[];
    readonly namespaceLabels: (name: string) => Readonly<Record<string, string>> | undefined;
  } {
    const nodes: NodeInfo[] = [];
    for (const node of this.#nodes.list()) {
      const name = node.metadata?.name ?? "";
      let info = this.#infos.get(name);
      if (info === undefined) {
        const assumed = [...this.#assumed.values()].filter((a) => a.node === name).map((a) => a.pod);
        info = nodeInfo(node, [...this.#pods.byIndex("node", name), ...assumed]);
        this.#infos.set(name, info);
      }
      nodes.push(info);
    }
    return { nodes, namespaceLabels: (name) => this.#namespaces.get(name)?.metadata?.labels };
  }

  async #place(key: string, s: AbortSignal): Promise<Again | undefined> {
    const pod = this.#pods.get(key);
    if (pod === undefined || !this.#isOurs(pod) || this.#assumed.has(key)) return undefined;
    // From here to the assumption nothing waits: two pods never count on the same room.
    const decision = schedule(pod, this.#view());
    switch (decision.kind) {
      case "bind":
        await this.#bind(key, pod, decision.node, s);
        this.#waiting.delete(key);
        return undefined;
      case "none": {
        const { message } = decision;
        const known = this.#waiting.get(key);
        const now = this.#clock.monotonic();
        const told = known?.message === message && now - known.toldAt < tellAgainMs;
        this.#waiting.set(key, { parked: true, message, toldAt: told ? known.toldAt : now });
        if (!told) await this.#refuse(pod, message, s);
        return { afterMs: retryMs };
      }
    }
  }

  async #bind(key: string, pod: Pod, node: string, s: AbortSignal): Promise<void> {
    const { namespace, name, uid } = pod.metadata ?? {};
    this.#assumed.set(key, { node, pod });
    this.#infos.delete(node);
    const body = {
      apiVersion: "v1",
      kind: "Binding",
      metadata: { namespace, name, uid },
      target: { apiVersion: "v1", kind: "Node", name: node },
    };
    try {
      await this.#client.subresource(resources.pods, { namespace, name: name ?? "" }, "binding", { method: "POST", body }, s);
    } catch (e) {
      this.#forget(key);
      if (isNotFound(e)) return;
      throw e;
    }
    this.#recorder.record({
      regarding: reference(pod),
      type: "Normal",
      reason: "Scheduled",
      message: `Successfully assigned ${namespace}/${name} to ${node}`,
      action: "Binding",
    });
  }

  async #refuse(pod: Pod, message: string, s: AbortSignal): Promise<void> {
    this.#recorder.record({ regarding: reference(pod), type: "Warning", reason: "FailedScheduling", message, action: "Scheduling" });
    const known = pod.status?.conditions?.find((c) => c.type === "PodScheduled");
    if (known?.status === "False" && known.message === message) return;
    const stamp = new Date(this.#clock.now()).toISOString().replace(/\.\d+Z$/, "Z");
    const condition: PodCondition = {
      type: "PodScheduled",
      status: "False",
      reason: "Unschedulable",
      message,
      lastTransitionTime: known?.status === "False" ? (known.lastTransitionTime ?? stamp) : stamp,
    };
    const conditions = [...(pod.status?.conditions ?? []).filter((c) => c.type !== "PodScheduled"), condition];
    const { namespace, name, uid, resourceVersion } = pod.metadata ?? {};
    const patch = { type: "merge" as const, body: { metadata: { uid, resourceVersion }, status: { conditions } } };
    try {
      await this.#client.patch(resources.pods, { namespace, name: name ?? "" }, patch, { subresource: "status" }, s);
    } catch (e) {
      // Gone, or changed meanwhile, which brings it here again.
      if (!isNotFound(e) && !isConflict(e)) throw e;
    }
  }
}

/** Other pods decide where it may be, not only how much they take. */
function dependsOnPods(pod: Pod): boolean {
  return pod.spec?.affinity?.podAffinity !== undefined || (pod.spec?.topologySpreadConstraints ?? []).length > 0;
}

function isEnded(pod: Pod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

/** Heartbeats change nothing for pods that wait; labels, taints, cordons and sizes do. */
function changesPlaces(before: Node | undefined, after: Node): boolean {
  if (before === undefined) return true;
  const text = (n: Node): string =>
    JSON.stringify([n.metadata?.labels, n.spec?.taints, n.spec?.unschedulable, n.status?.allocatable ?? n.status?.capacity]);
  return text(before) !== text(after);
}

function reference(pod: Pod): { kind: string; apiVersion: string; namespace: string; name: string; uid: string; resourceVersion: string } {
  const { namespace, name, uid, resourceVersion } = pod.metadata ?? {};
  return {
    kind: "Pod",
    apiVersion: "v1",
    namespace: namespace ?? "",
    name: name ?? "",
    uid: uid ?? "",
    resourceVersion: resourceVersion ?? "",
  };
}
