import type { Container, ContainerStatus, Pod } from "../types/core-v1.generated.ts";
import type { TableRowCondition } from "../types/meta-v1.generated.ts";
import { age } from "./age.ts";
import { type Cell, layout } from "./column.ts";

/** What is told of a pod's containers, as it is gathered. */
interface Summary {
  reason: string;
  ready: number;
  restarts: number;
  lastRestart: string;
}

export const podLayout = layout<Pod>(
  ["Name", "Ready", "Status", "Restarts", "Age", "+IP", "+Node", "+Nominated Node", "+Readiness Gates"],
  podCells,
  podConditions,
);

function podCells(pod: Pod, now: number): readonly Cell[] {
  const summary = summaryOf(pod);
  const sidecars = (pod.spec?.initContainers ?? []).filter(isSidecar).length;
  const total = (pod.spec?.containers ?? []).length + sidecars;
  const ago = summary.lastRestart === "" ? "" : ` (${age(summary.lastRestart, now)} ago)`;
  return [
    pod.metadata?.name ?? "",
    `${summary.ready}/${total}`,
    summary.reason,
    summary.restarts === 0 ? "0" : `${summary.restarts}${ago}`,
    age(pod.metadata?.creationTimestamp, now),
    pod.status?.podIPs?.[0]?.ip || "<none>",
    pod.spec?.nodeName || "<none>",
    pod.status?.nominatedNodeName || "<none>",
    readinessGates(pod),
  ];
}

/** The one word for a pod's state: the phase, unless its containers, its gates or its deletion say more. */
function summaryOf(pod: Pod): Summary {
  const { status, metadata } = pod;
  const gated = status?.conditions?.some((c) => c.type === "PodScheduled" && c.reason === "SchedulingGated") === true;
  const summary: Summary = {
    reason: gated ? "SchedulingGated" : status?.reason || status?.phase || "",
    ready: 0,
    restarts: 0,
    lastRestart: "",
  };
  const sidecars: Summary = { reason: "", ready: 0, restarts: 0, lastRestart: "" };
  const initializing = readInit(pod, summary, sidecars);
  if (!initializing || hasCondition(pod, "Initialized")) {
    summary.restarts = sidecars.restarts;
    summary.lastRestart = sidecars.lastRestart;
    readContainers(pod, summary);
  }
  if (metadata?.deletionTimestamp === undefined) return summary;
  if (status?.reason === "NodeLost") summary.reason = "Unknown";
  else if (status?.phase !== "Failed" && status?.phase !== "Succeeded") summary.reason = "Terminating";
  return summary;
}

/** Reads the init containers; true while one of them is still at work or has failed. */
function readInit(pod: Pod, summary: Summary, sidecars: Summary): boolean {
  const specs = pod.spec?.initContainers ?? [];
  for (const [i, container] of (pod.status?.initContainerStatuses ?? []).entries()) {
    const sidecar = specs.some((spec) => spec.name === container.name && isSidecar(spec));
    countRestarts(summary, container);
    if (sidecar) countRestarts(sidecars, container);
    const { terminated, waiting } = container.state ?? {};
    if (terminated !== undefined && terminated.exitCode === 0) continue;
    if (sidecar && container.started === true) {
      if (container.ready) summary.ready++;
      continue;
    }
    if (terminated !== undefined) summary.reason = `Init:${endOf(terminated)}`;
    else if (waiting?.reason && waiting.reason !== "PodInitializing") summary.reason = `Init:${waiting.reason}`;
    else summary.reason = `Init:${i}/${specs.length}`;
    return true;
  }
  return false;
}

function readContainers(pod: Pod, summary: Summary): void {
  let running = false;
  let failure = "";
  for (const container of [...(pod.status?.containerStatuses ?? [])].reverse()) {
    countRestarts(summary, container);
    const { waiting, terminated } = container.state ?? {};
    if (waiting?.reason) summary.reason = waiting.reason;
    else if (terminated !== undefined) {
      summary.reason = endOf(terminated);
      if (terminated.exitCode !== 0) failure = summary.reason;
    } else if (container.ready && container.state?.running !== undefined) {
      running = true;
      summary.ready++;
    }
  }
  if (summary.reason !== "Completed") return;
  if (running && hasCondition(pod, "Ready")) summary.reason = "Running";
  else if (failure !== "") summary.reason = failure;
  else if (running) summary.reason = "NotReady";
}

function endOf(end: { readonly reason?: string; readonly signal?: number; readonly exitCode: number }): string {
  if (end.reason) return end.reason;
  return end.signal ? `Signal:${end.signal}` : `ExitCode:${end.exitCode}`;
}

function countRestarts(summary: Summary, container: ContainerStatus): void {
  summary.restarts += container.restartCount;
  const ended = container.lastState?.terminated?.finishedAt ?? "";
  if (ended > summary.lastRestart) summary.lastRestart = ended;
}

function isSidecar(container: Container): boolean {
  return container.restartPolicy === "Always";
}

function hasCondition(pod: Pod, type: string): boolean {
  return pod.status?.conditions?.some((c) => c.type === type && c.status === "True") === true;
}

function readinessGates(pod: Pod): string {
  const gates = pod.spec?.readinessGates ?? [];
  if (gates.length === 0) return "<none>";
  return `${gates.filter((gate) => hasCondition(pod, gate.conditionType)).length}/${gates.length}`;
}

function podConditions(pod: Pod): readonly TableRowCondition[] {
  const phase = pod.status?.phase;
  if (phase === "Succeeded") return [{ type: "Completed", status: "True", reason: phase, message: "The pod has completed successfully." }];
  return phase === "Failed" ? [{ type: "Completed", status: "True", reason: phase, message: "The pod failed." }] : [];
}
