import { type HostPort, hostPortsOf } from "../api/host-port.ts";
import { type Amounts, add, amountsOf, podRequests } from "../api/pod-requests.ts";
import type { Node, Pod } from "../api/types/core-v1.generated.ts";

/** A node and what its pods take of it. */
export interface NodeInfo {
  readonly node: Node;
  readonly name: string;
  readonly pods: readonly Pod[];
  readonly allocatable: Amounts;
  readonly requested: Amounts;
  /** With an assumed 100m and 200Mi for pods that ask for nothing: only scores look at these. */
  readonly requestedOrAssumed: { readonly cpu: number; readonly memory: number };
  readonly hostPorts: readonly HostPort[];
}

const assumedCpu = 100;
const assumedMemory = 200 * 1024 * 1024;

/** `pods` are those on the node; ended ones take nothing. */
export function nodeInfo(node: Node, pods: readonly Pod[]): NodeInfo {
  const living = pods.filter((p) => p.status?.phase !== "Succeeded" && p.status?.phase !== "Failed");
  const requested = new Map<string, number>();
  let cpu = 0;
  let memory = 0;
  for (const pod of living) {
    const requests = podRequests(pod.spec);
    add(requested, requests);
    const assumed = assumedRequests(requests);
    cpu += assumed.cpu;
    memory += assumed.memory;
  }
  return {
    node,
    name: node.metadata?.name ?? "",
    pods: living,
    allocatable: amountsOf(node.status?.allocatable ?? node.status?.capacity),
    requested,
    requestedOrAssumed: { cpu, memory },
    hostPorts: living.flatMap(hostPortsOf),
  };
}

export function assumedRequests(requests: Amounts): { readonly cpu: number; readonly memory: number } {
  return { cpu: requests.get("cpu") || assumedCpu, memory: requests.get("memory") || assumedMemory };
}
