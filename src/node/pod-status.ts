import { podQosClass } from "../api/pod-qos.ts";
import type { Container, ContainerState, ContainerStatus, Pod, PodCondition, PodStatus } from "../api/types/core-v1.generated.ts";
import type { Ip } from "../base/ip.ts";
import { type ContainerView, isSidecar } from "./pod-lifecycle.ts";

export interface PodFacts {
  readonly pod: Pod;
  view(name: string): ContainerView;
  readonly podIps: readonly Ip[];
  readonly hostIps: readonly Ip[];
  /** When this node accepted the pod; milliseconds since 1970. */
  readonly startedAt: number;
  readonly finished: "Succeeded" | "Failed" | undefined;
  /** Why the node ended it: `DeadlineExceeded`, `Evicted`. */
  readonly reason: string | undefined;
  readonly message: string | undefined;
  /** Told by the runtime's name: `crun`. */
  readonly scheme: string;
}

/**
 * A pod's status as the kubelet would write it. Of the conditions only the node's own are in it: those of others (readiness gates, the
 * scheduler's) may have changed since, and are kept by merging.
 */
export function compilePodStatus(facts: PodFacts, now: number): PodStatus {
  const { pod } = facts;
  const mains = pod.spec?.containers ?? [];
  const inits = pod.spec?.initContainers ?? [];
  const initialized = inits.every((c) => initDone(c, facts.view(c.name))) || mains.some((c) => facts.view(c.name).phase.kind !== "none");
  const status = (c: Container): ContainerStatus => containerStatus(c, facts, initialized || inits.length === 0);
  const initStatus = (c: Container): ContainerStatus =>
    containerStatus(c, facts, inits[0]?.name === c.name || facts.view(c.name).phase.kind !== "none");
  const phase = facts.finished ?? phaseOf(pod, facts, initialized);
  return {
    phase,
    conditions: conditionsOf(facts, phase, initialized, now),
    ...(facts.reason === undefined ? {} : { reason: facts.reason }),
    ...(facts.message === undefined ? {} : { message: facts.message }),
    hostIP: facts.hostIps[0] ?? "",
    hostIPs: facts.hostIps.map((ip) => ({ ip })),
    ...(facts.podIps[0] === undefined ? {} : { podIP: facts.podIps[0], podIPs: facts.podIps.map((ip) => ({ ip })) }),
    startTime: printTime(facts.startedAt),
    ...(inits.length === 0 ? {} : { initContainerStatuses: inits.map(initStatus) }),
    containerStatuses: mains.map(status),
    qosClass: pod.status?.qosClass ?? podQosClass(pod.spec ?? {}),
    ...(pod.metadata?.generation === undefined ? {} : { observedGeneration: pod.metadata.generation }),
  };
}

export function printTime(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d{3}Z$/, "Z");
}

function phaseOf(pod: Pod, facts: PodFacts, initialized: boolean): string {
  if (!initialized) return "Pending";
  let running = 0;
  for (const container of pod.spec?.containers ?? []) {
    const { phase, lastEnd } = facts.view(container.name);
    if (phase.kind === "none" || (phase.kind === "waiting" && lastEnd === undefined)) return "Pending";
    running++;
  }
  return running > 0 ? "Running" : "Pending";
}

function containerStatus(container: Container, facts: PodFacts, mayStart: boolean): ContainerStatus {
  const view = facts.view(container.name);
  const waiting = mayStart ? "ContainerCreating" : "PodInitializing";
  const id = view.phase.kind === "running" || view.phase.kind === "ended" ? view.phase.id : view.lastEnd?.id;
  return {
    name: container.name,
    state: stateOf(view, waiting, facts, container),
    lastState: view.lastEnd === undefined ? {} : terminated(view.lastEnd, facts.scheme),
    ready: view.ready || hasDoneIts(container, facts),
    restartCount: view.restarts,
    image: container.image ?? "",
    imageID: id === undefined ? "" : (container.image ?? ""),
    ...(id === undefined ? {} : { containerID: `${facts.scheme}://${id}` }),
    started: view.phase.kind === "running" && view.started,
  };
}

function stateOf(view: ContainerView, waiting: string, facts: PodFacts, container: Container): ContainerState {
  const { phase } = view;
  switch (phase.kind) {
    case "none":
      return { waiting: { reason: waiting } };
    case "waiting":
      return { waiting: { reason: phase.reason, ...(phase.message === "" ? {} : { message: phase.message }) } };
    case "running":
      return { running: { startedAt: printTime(phase.startedAt) } };
    case "ended":
      if (view.retryAt > phase.exit.at && facts.finished === undefined) {
        const { name = "", namespace = "", uid = "" } = facts.pod.metadata ?? {};
        const seconds = printSeconds(Math.round((view.retryAt - phase.exit.at) / 1000));
        const message = `back-off ${seconds} restarting failed container=${container.name} pod=${name}_${namespace}(${uid})`;
        return { waiting: { reason: "CrashLoopBackOff", message } };
      }
      return terminated(phase, facts.scheme);
  }
}

function terminated(end: Extract<ContainerView["phase"], { kind: "ended" }>, scheme: string): ContainerState {
  return {
    terminated: {
      exitCode: end.exit.code,
      reason: end.exit.reason,
      ...(end.exit.message === "" ? {} : { message: end.exit.message }),
      startedAt: printTime(end.startedAt),
      finishedAt: printTime(end.exit.at),
      containerID: `${scheme}://${end.id}`,
    },
  };
}

/** An init container that has succeeded counts as ready from then on, as the kubelet has it. */
function hasDoneIts(container: Container, facts: PodFacts): boolean {
  const isInit = facts.pod.spec?.initContainers?.some((c) => c.name === container.name) === true;
  return isInit && !isSidecar(container) && initDone(container, facts.view(container.name));
}

function initDone(container: Container, view: ContainerView): boolean {
  if (isSidecar(container)) return view.phase.kind === "running" && view.started;
  return view.phase.kind === "ended" && view.phase.exit.code === 0;
}

function conditionsOf(facts: PodFacts, phase: string, initialized: boolean, now: number): readonly PodCondition[] {
  const { pod } = facts;
  const before = pod.status?.conditions ?? [];
  const inits = pod.spec?.initContainers ?? [];
  const needed = [...inits.filter(isSidecar), ...(pod.spec?.containers ?? [])];
  const unready = needed.filter((c) => !facts.view(c.name).ready).map((c) => c.name);
  const incomplete = inits.filter((c) => !initDone(c, facts.view(c.name))).map((c) => c.name);
  const gates = (pod.spec?.readinessGates ?? []).filter((g) => before.find((c) => c.type === g.conditionType)?.status !== "True");
  const over = phase === "Succeeded" || phase === "Failed";
  const notReady: Verdict = over
    ? { ok: false, reason: phase === "Succeeded" ? "PodCompleted" : "PodFailed" }
    : unready.length > 0
      ? { ok: false, reason: "ContainersNotReady", message: `containers with unready status: [${unready.join(" ")}]` }
      : { ok: true };
  const ready: Verdict =
    notReady.ok && gates.length > 0
      ? {
          ok: false,
          reason: "ReadinessGatesNotReady",
          message: gates.map((g) => gateMessage(g.conditionType, before)).join(", "),
        }
      : notReady;
  const init: Verdict =
    initialized || phase === "Succeeded"
      ? { ok: true, ...(phase === "Succeeded" ? { reason: "PodCompleted" } : {}) }
      : { ok: false, reason: "ContainersNotInitialized", message: `containers with incomplete status: [${incomplete.join(" ")}]` };
  const own: readonly (readonly [string, Verdict])[] = [
    ["PodReadyToStartContainers", { ok: facts.podIps.length > 0 && !over }],
    ["Initialized", init],
    ["Ready", ready],
    ["ContainersReady", notReady],
  ];
  return [
    ...own.map(([type, verdict]) => condition(type, verdict, before, now)),
    ...(before.some((c) => c.type === "PodScheduled") ? [] : [condition("PodScheduled", { ok: true }, before, now)]),
  ];
}

function gateMessage(type: string, conditions: readonly PodCondition[]): string {
  const status = conditions.find((c) => c.type === type)?.status;
  return status === undefined
    ? `corresponding condition of pod readiness gate "${type}" does not exist.`
    : `the status of pod readiness gate "${type}" is not "True", but ${status}`;
}

interface Verdict {
  readonly ok: boolean;
  readonly reason?: string;
  readonly message?: string;
}

function condition(type: string, verdict: Verdict, before: readonly PodCondition[], now: number): PodCondition {
  const status = verdict.ok ? "True" : "False";
  const last = before.find((c) => c.type === type);
  const since = last?.status === status ? last.lastTransitionTime : undefined;
  return {
    type,
    status,
    lastTransitionTime: since ?? printTime(now),
    ...(verdict.reason === undefined ? {} : { reason: verdict.reason }),
    ...(verdict.message === undefined ? {} : { message: verdict.message }),
  };
}

// As Go prints durations: 10s, 1m20s, 5m0s.
function printSeconds(seconds: number): string {
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}
