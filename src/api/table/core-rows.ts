import type { Lease } from "../types/coordination-v1.generated.ts";
import type { ConfigMap, Event, Namespace, Node, Secret, ServiceAccount } from "../types/core-v1.generated.ts";
import { age } from "./age.ts";
import { layout } from "./column.ts";

const rolePrefix = "node-role.kubernetes.io/";
const roleLabel = "kubernetes.io/role";

export const namespaceLayout = layout<Namespace>(["Name", "Status", "Age"], (n, now) => [
  n.metadata?.name ?? "",
  n.status?.phase ?? "",
  age(n.metadata?.creationTimestamp, now),
]);

export const configMapLayout = layout<ConfigMap>(["Name", "Data", "Age"], (c, now) => [
  c.metadata?.name ?? "",
  Object.keys(c.data ?? {}).length + Object.keys(c.binaryData ?? {}).length,
  age(c.metadata?.creationTimestamp, now),
]);

export const secretLayout = layout<Secret>(["Name", "Type", "Data", "Age"], (s, now) => [
  s.metadata?.name ?? "",
  s.type ?? "",
  Object.keys(s.data ?? {}).length,
  age(s.metadata?.creationTimestamp, now),
]);

export const serviceAccountLayout = layout<ServiceAccount>(["Name", "Age"], (s, now) => [
  s.metadata?.name ?? "",
  age(s.metadata?.creationTimestamp, now),
]);

export const leaseLayout = layout<Lease>(["Name", "Holder", "Age"], (l, now) => [
  l.metadata?.name ?? "",
  l.spec?.holderIdentity ?? "",
  age(l.metadata?.creationTimestamp, now),
]);

export const nodeLayout = layout<Node>(
  ["Name", "Status", "Roles", "Age", "Version", "+Internal-IP", "+External-IP", "+OS-Image", "+Kernel-Version", "+Container-Runtime"],
  (n, now) => {
    const info = n.status?.nodeInfo;
    const address = (type: string): string => n.status?.addresses?.find((a) => a.type === type)?.address ?? "<none>";
    return [
      n.metadata?.name ?? "",
      nodeStatus(n),
      nodeRoles(n) || "<none>",
      age(n.metadata?.creationTimestamp, now),
      info?.kubeletVersion ?? "",
      address("InternalIP"),
      address("ExternalIP"),
      info?.osImage || "<unknown>",
      `${info?.kernelVersion || "<unknown>"}${info?.architecture ? ` (${info.architecture})` : ""}`,
      info?.containerRuntimeVersion || "<unknown>",
    ];
  },
);

export const eventLayout = layout<Event>(
  ["Last Seen", "Type", "Reason", "Object", "+Subobject", "+Source", "Message", "+First Seen", "+Count", "+Name"],
  (e, now) => {
    const first = age(e.firstTimestamp ?? e.eventTime, now);
    const last = e.lastTimestamp === undefined || e.lastTimestamp === null ? first : age(e.lastTimestamp, now);
    const about = e.involvedObject;
    const source = e.source?.component || e.reportingComponent || "";
    const host = e.source?.host || e.reportingInstance || "";
    return [
      e.series === undefined ? last : age(e.series.lastObservedTime, now),
      e.type ?? "",
      e.reason ?? "",
      `${(about?.kind ?? "").toLowerCase()}${about?.name ? `/${about.name}` : ""}`,
      about?.fieldPath ?? "",
      host === "" ? source : `${source}, ${host}`,
      (e.message ?? "").trim(),
      first,
      e.series?.count ?? (e.count || 1),
      e.metadata?.name ?? "",
    ];
  },
);

function nodeStatus(node: Node): string {
  const ready = node.status?.conditions?.find((c) => c.type === "Ready");
  const state = ready === undefined ? "Unknown" : ready.status === "True" ? "Ready" : "NotReady";
  return node.spec?.unschedulable === true ? `${state},SchedulingDisabled` : state;
}

function nodeRoles(node: Node): string {
  const roles = new Set<string>();
  for (const [key, value] of Object.entries(node.metadata?.labels ?? {})) {
    if (key.startsWith(rolePrefix) && key.length > rolePrefix.length) roles.add(key.slice(rolePrefix.length));
    else if (key === roleLabel && value !== "") roles.add(value);
  }
  return [...roles].sort().join(",");
}
