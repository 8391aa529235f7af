import type { Container, ObjectFieldSelector, Pod, ResourceFieldSelector } from "../api/types/core-v1.generated.ts";
import type { Ip } from "../base/ip.ts";
import { parseQuantity } from "./quantity.ts";

/** What the downward API tells beside the Pod itself. */
export interface DownwardContext {
  readonly nodeName: string;
  readonly hostIps: readonly Ip[];
  readonly podIps: readonly Ip[];
  /** Of the node, for limits that a container does not set. */
  readonly allocatable: Readonly<Record<string, string>>;
}

/** The value of a field; `undefined` for a path that the downward API does not have. */
export function fieldValue(pod: Pod, selector: Pick<ObjectFieldSelector, "fieldPath">, context: DownwardContext): string | undefined {
  const { metadata = {}, spec = {} } = pod;
  const path = selector.fieldPath;
  const keyed = /^metadata\.(labels|annotations)\['(.*)'\]$/.exec(path);
  if (keyed !== null) return (keyed[1] === "labels" ? metadata.labels : metadata.annotations)?.[keyed[2] ?? ""] ?? "";
  switch (path) {
    case "metadata.name":
      return metadata.name ?? "";
    case "metadata.namespace":
      return metadata.namespace ?? "";
    case "metadata.uid":
      return metadata.uid ?? "";
    case "metadata.labels":
      return printPairs(metadata.labels);
    case "metadata.annotations":
      return printPairs(metadata.annotations);
    case "spec.nodeName":
      return context.nodeName;
    case "spec.serviceAccountName":
      return spec.serviceAccountName ?? "default";
    case "status.hostIP":
      return context.hostIps[0] ?? "";
    case "status.hostIPs":
      return context.hostIps.join(",");
    case "status.podIP":
      return context.podIps[0] ?? "";
    case "status.podIPs":
      return context.podIps.join(",");
    default:
      return undefined;
  }
}

/** The value of a resource of a container of the pod, in units of the divisor, rounded up; `undefined` for an unknown one. */
export function resourceValue(
  pod: Pod,
  container: Pick<Container, "name" | "resources">,
  selector: ResourceFieldSelector,
  context: DownwardContext,
): string | undefined {
  const match = /^(limits|requests)\.(.+)$/.exec(selector.resource);
  const all = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
  const of = selector.containerName === undefined ? container : all.find((c) => c.name === selector.containerName);
  if (match === null || of === undefined) return undefined;
  const [, list, name = ""] = match;
  const limit = of.resources?.limits?.[name];
  const request = of.resources?.requests?.[name];
  // A container without a limit may use all that the node gives.
  const text =
    list === "limits" ? (limit ?? (name === "cpu" || name === "memory" ? context.allocatable[name] : undefined)) : (request ?? limit);
  const value = parseQuantity(text ?? "0");
  const divisor = parseQuantity(selector.divisor === undefined || selector.divisor === "0" ? "1" : selector.divisor);
  if (value === undefined || divisor === undefined || divisor === 0) return undefined;
  return String(Math.ceil(Number((value / divisor).toPrecision(12))));
}

// As in a downward API file: one line a pair, sorted, the value quoted.
function printPairs(pairs: Readonly<Record<string, string>> | undefined): string {
  return Object.entries(pairs ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([k, v]) => `${k}=${JSON.stringify(v)}`)
    .join("\n");
}
