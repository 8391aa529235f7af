import { quantityNanos } from "./quantity.ts";
import type { Container, PodSpec } from "./types/core-v1.generated.ts";

const counted = ["cpu", "memory"] as const;

/** Guaranteed when every container has limits for cpu and memory equal to its requests; BestEffort without any; else Burstable. */
export function podQosClass(spec: Pick<PodSpec, "containers" | "initContainers">): "Guaranteed" | "Burstable" | "BestEffort" {
  const containers = [...(spec.containers ?? []), ...(spec.initContainers ?? [])];
  const requests = new Map<string, bigint>();
  const limits = new Map<string, bigint>();
  let guaranteed = true;
  for (const container of containers) {
    addAll(requests, container.resources?.requests);
    addAll(limits, container.resources?.limits);
    if (!counted.every((name) => positive(container, name))) guaranteed = false;
  }
  if (requests.size === 0 && limits.size === 0) return "BestEffort";
  const equal = requests.size === limits.size && [...requests].every(([name, amount]) => limits.get(name) === amount);
  return guaranteed && equal ? "Guaranteed" : "Burstable";
}

function positive(container: Container, name: string): boolean {
  return (quantityNanos(container.resources?.limits?.[name] ?? "0") ?? 0n) > 0n;
}

function addAll(sum: Map<string, bigint>, list: Readonly<Record<string, string>> | undefined): void {
  for (const name of counted) {
    const amount = quantityNanos(list?.[name] ?? "0") ?? 0n;
    if (amount > 0n) sum.set(name, (sum.get(name) ?? 0n) + amount);
  }
}
