import { hostPortsOf, portsClash } from "../api/host-port.ts";
import { add, amountsOf, podRequests } from "../api/pod-requests.ts";
import type { Pod } from "../api/types/core-v1.generated.ts";

/** Why a node will not have a pod that was given to it, in the kubelet's words. */
export interface Refusal {
  readonly reason: string;
  readonly message: string;
}

/**
 * Whether a node takes a pod beside those it has: somebody who names the node himself goes past the scheduler. Of `others` those count
 * that have not ended.
 */
export function refusalOf(pod: Pod, others: readonly Pod[], allocatable: Readonly<Record<string, string>>): Refusal | undefined {
  return lackOf(pod, others, allocatable) ?? clashOf(pod, others);
}

function lackOf(pod: Pod, others: readonly Pod[], allocatable: Readonly<Record<string, string>>): Refusal | undefined {
  const given = amountsOf(allocatable);
  const most = given.get("pods");
  if (most !== undefined && others.length + 1 > most) return outOf("pods", 1, others.length, most);
  const used = new Map<string, number>();
  for (const other of others) add(used, podRequests(other.spec));
  for (const [name, wanted] of podRequests(pod.spec)) {
    const [has, taken] = [given.get(name) ?? 0, used.get(name) ?? 0];
    if (wanted > 0 && wanted > has - taken) return outOf(name, wanted, taken, has);
  }
  return undefined;
}

function outOf(resource: string, requested: number, used: number, capacity: number): Refusal {
  const message = `Node didn't have enough resource: ${resource}, requested: ${requested}, used: ${used}, capacity: ${capacity}`;
  return { reason: `OutOf${resource}`, message };
}

function clashOf(pod: Pod, others: readonly Pod[]): Refusal | undefined {
  const wanted = hostPortsOf(pod);
  if (wanted.length === 0) return undefined;
  const taken = others.flatMap(hostPortsOf);
  return wanted.some((p) => taken.some((q) => portsClash(p, q))) ? predicate("NodePorts") : undefined;
}

/** What a node that does not match the pod's selector or required affinity says. */
export const wrongNode: Refusal = predicate("NodeAffinity");

function predicate(name: string): Refusal {
  return { reason: name, message: `Predicate ${name} failed` };
}
