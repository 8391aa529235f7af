import type { Node, NodeCondition, NodeSystemInfo } from "../api/types/core-v1.generated.ts";
import type { Ip } from "../base/ip.ts";
import { printTime } from "./pod-status.ts";

export interface NodeFacts {
  readonly name: string;
  readonly ips: readonly Ip[];
  readonly labels: Readonly<Record<string, string>>;
  readonly capacity: Readonly<Record<string, string>>;
  readonly info: NodeSystemInfo;
  readonly kubeletPort: number;
}

/**
 * The object to register: labels and status as they are now. Its pod ranges are the control plane's to give, and conditions of others
 * (`before` may have some) theirs.
 */
export function compileNode(facts: NodeFacts, now: number, before?: Node): Node {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      name: facts.name,
      labels: {
        "kubernetes.io/hostname": facts.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": facts.info.architecture,
        ...facts.labels,
      },
    },
    status: {
      capacity: facts.capacity,
      allocatable: facts.capacity,
      addresses: [...facts.ips.map((address) => ({ type: "InternalIP", address })), { type: "Hostname", address: facts.name }],
      daemonEndpoints: { kubeletEndpoint: { Port: facts.kubeletPort } },
      nodeInfo: facts.info,
      conditions: conditions(now, before?.status?.conditions ?? []),
    },
  };
}

const reports: readonly (readonly [type: string, status: string, reason: string, message: string])[] = [
  ["MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"],
  ["DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"],
  ["PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"],
  ["Ready", "True", "KubeletReady", "kubelet is posting ready status"],
];

function conditions(now: number, before: readonly NodeCondition[]): readonly NodeCondition[] {
  const stamp = printTime(now);
  return reports.map(([type, status, reason, message]): NodeCondition => {
    const last = before.find((c) => c.type === type);
    const since = last?.status === status ? last.lastTransitionTime : undefined;
    return { type, status, reason, message, lastHeartbeatTime: stamp, lastTransitionTime: since ?? stamp };
  });
}
